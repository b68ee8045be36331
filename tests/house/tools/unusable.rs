//! Agents whose model can no longer be used: they say why, and nothing is drawn with another.

use image_gateway::domain::catalog::{Catalog, Model};
use image_gateway::proto;
use proto::ToolStatus;
use tonic::Code;

use super::listing::enabled;
use super::{Tool, agents, get, switch, update};
use crate::helpers::{AGENT, House, KLEIN, detail, reason, request};

/// The painter says why it cannot draw, and every way to have it draw is refused for that cause.
async fn cannot_draw(house: &House, cause: &str, why: &str) {
    let tool = get(house, AGENT).await.expect("found");
    assert_eq!(tool.status(), ToolStatus::NeedsConfiguration);
    let expected = format!("{KLEIN} {why}; pick another model.");
    assert_eq!(tool.status_reason, expected);
    assert_eq!(tool.estimate, None);
    assert_eq!((tool.enabled, tool.model.as_str()), (true, KLEIN));
    let in_need = proto::ListGenerateImageToolsRequest {
        model: KLEIN.to_owned(),
        status: ToolStatus::NeedsConfiguration.into(),
        ..Default::default()
    };
    assert_eq!(agents(house, in_need).await, [AGENT]);

    let refused = house.generate(request("r")).await.expect_err(cause);
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "MODEL_UNAVAILABLE")
    );
    assert_eq!(detail(&refused, "cause"), cause);
    assert_eq!(detail(&refused, "model"), KLEIN);
    let mut images = house.images(&house.runtime);
    let refused = images.start_generation(request("s")).await;
    assert_eq!(detail(&refused.expect_err(cause), "cause"), cause);
    let estimate = proto::EstimateImageRequest {
        subject: Some(proto::estimate_image_request::Subject::AgentId(
            AGENT.to_owned(),
        )),
        ..Default::default()
    };
    let refused = images.estimate_image(estimate).await;
    assert_eq!(detail(&refused.expect_err(cause), "cause"), cause);

    // No other agent can be given the model, tried or not.
    for validate_only in [true, false] {
        let other = update(house, enabled("other", KLEIN), &[], validate_only).await;
        let other = other.expect_err(cause);
        if cause == "not_in_catalog" {
            assert_eq!(reason(&other), "MODEL_NOT_FOUND");
        } else {
            assert_eq!(reason(&other), "MODEL_UNAVAILABLE");
            assert_eq!(detail(&other, "cause"), cause);
        }
    }
    house.assert_untouched().await;
}

#[tokio::test]
async fn a_tool_whose_model_is_switched_off_needs_configuration_until_it_is_on_again() {
    let house = House::open().await;
    switch(&house, KLEIN, false, false).await.expect("off");
    let why = "is switched off for this organization";
    cannot_draw(&house, "not_available_to_organization", why).await;
    // It can still be switched off, which needs no model.
    let off = update(&house, super::tool(AGENT), &["enabled"], false).await;
    assert_eq!(off.expect("off").status(), ToolStatus::Disabled);
    let on = Tool {
        enabled: true,
        ..super::tool(AGENT)
    };
    let refused = update(&house, on.clone(), &["enabled"], false).await;
    assert_eq!(reason(&refused.expect_err("no")), "MODEL_UNAVAILABLE");
    switch(&house, KLEIN, true, false).await.expect("on");
    let ready = update(&house, on, &["enabled"], false).await;
    assert_eq!(ready.expect("on").status(), ToolStatus::Ready);
    house.generate(request("r")).await.expect("a picture");
    house.close().await;
}

#[tokio::test]
async fn a_tool_whose_model_changed_for_the_worse_needs_configuration() {
    let published = Catalog::built_in();
    let change = |change: fn(&mut Model)| {
        let models = published.models().iter().map(|model| {
            let mut model = Model::clone(model);
            if model.slug.as_str() == KLEIN {
                change(&mut model);
            }
            model
        });
        Catalog::new(models.collect(), published.as_of)
    };
    let others = published
        .models()
        .iter()
        .filter(|model| model.slug.as_str() != KLEIN);
    let others = others.map(|model| Model::clone(model)).collect();
    let mut house = House::open().await;
    for (cause, why, catalog) in [
        (
            "withdrawn",
            "is no longer offered",
            change(|model| model.withdrawn = true),
        ),
        (
            "text_only",
            "makes no images",
            change(|model| model.capabilities.generates_images = false),
        ),
        (
            "unpriced",
            "has no price that can be read",
            change(|model| model.pricing = None),
        ),
        (
            "not_in_catalog",
            "is not in the catalog",
            Catalog::new(others, published.as_of),
        ),
    ] {
        house.restart(catalog).await;
        cannot_draw(&house, cause, why).await;
    }
    house.restart(published).await;
    let tool = get(&house, AGENT).await.expect("found");
    assert_eq!(tool.status(), ToolStatus::Ready);
    house.generate(request("r")).await.expect("a picture");
    house.close().await;
}
