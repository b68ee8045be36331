//! Whom a change of a model's availability would touch, before it is made.

use image_gateway::domain::catalog::{Catalog, Model};
use image_gateway::proto;
use proto::ToolStatus;
use tonic::Code;

use super::listing::{enabled, save_all};
use super::{Tool, agents, get, list, switch};
use crate::helpers::{AGENT, GPT, House, KLEIN, detail, reason, request};

type Asked = proto::ListGenerateImageToolsRequest;

/// More than one answer names.
const MANY: usize = 1_030;

fn affected_by(slug: &str, available: bool) -> Asked {
    Asked {
        affected_by: Some(proto::AvailabilityChange {
            slug: slug.to_owned(),
            available,
        }),
        ..Asked::default()
    }
}

/// Two agents that draw with Klein, one that may not draw, and one that draws with another model.
async fn busy() -> House {
    let house = House::open().await;
    let off = Tool {
        enabled: false,
        ..enabled("off", KLEIN)
    };
    save_all(&house, [off, enabled("second", KLEIN), enabled("gpt", GPT)]).await;
    house
}

/// Nobody is touched, whoever asks.
async fn touches_nobody(house: &House, slug: &str, available: bool) {
    let tried = switch(house, slug, available, true).await.expect("tried");
    assert!(tried.agents_affected.is_empty(), "{tried:?}");
    assert_eq!(
        (tried.agents_affected_count, tried.affected_status()),
        (0, ToolStatus::Unspecified)
    );
    assert_eq!(tried.affected_status_reason, "");
    let listed = agents(house, affected_by(slug, available)).await;
    assert!(listed.is_empty(), "{listed:?}");
}

#[tokio::test]
async fn those_that_would_stop_are_told_before_and_do_stop_after() {
    let house = busy().await;
    let tried = switch(&house, KLEIN, false, true).await.expect("tried");
    assert_eq!(tried.agents_affected, [AGENT, "second"]);
    assert_eq!(tried.agents_affected_count, 2);
    assert_eq!(tried.affected_status(), ToolStatus::NeedsConfiguration);
    let model = tried.model.clone().expect("a model");
    assert_eq!((model.available, model.agents_using), (Some(false), 3));
    // The list tells the same agents, as they still are.
    let page = list(&house, affected_by(KLEIN, false)).await;
    let page = page.expect("a page").generate_image_tools;
    let names: Vec<&str> = page.iter().map(|tool| tool.agent_id.as_str()).collect();
    assert_eq!(names, [AGENT, "second"]);
    assert!(page.iter().all(|tool| tool.status() == ToolStatus::Ready));
    // Nothing was written.
    house.generate(request("before")).await.expect("still on");
    touches_nobody(&house, KLEIN, true).await;

    let done = switch(&house, KLEIN, false, false).await.expect("done");
    assert_eq!(done, tried);
    for agent in [AGENT, "second"] {
        let tool = get(&house, agent).await.expect("found");
        assert_eq!(tool.status(), tried.affected_status());
        assert_eq!(tool.status_reason, tried.affected_status_reason);
    }
    let off = get(&house, "off").await.expect("found");
    assert_eq!(off.status(), ToolStatus::Disabled);
    let refused = house.generate(request("after")).await.expect_err("off");
    assert_eq!(detail(&refused, "cause"), "not_available_to_organization");
    house.close().await;
}

#[tokio::test]
async fn those_that_would_start_are_told_before_and_do_start_after() {
    let house = busy().await;
    switch(&house, KLEIN, false, false).await.expect("off");
    touches_nobody(&house, KLEIN, false).await;
    let again = switch(&house, KLEIN, false, false).await.expect("off");
    assert_eq!(again.agents_affected_count, 0);

    let tried = switch(&house, KLEIN, true, true).await.expect("tried");
    assert_eq!(tried.agents_affected, [AGENT, "second"]);
    assert_eq!(
        (
            tried.affected_status(),
            tried.affected_status_reason.as_str()
        ),
        (ToolStatus::Ready, "")
    );
    let listed = agents(&house, affected_by(KLEIN, true)).await;
    assert_eq!(listed, [AGENT, "second"]);
    let refused = house.generate(request("r")).await.expect_err("still off");
    assert_eq!(reason(&refused), "MODEL_UNAVAILABLE");

    let done = switch(&house, KLEIN, true, false).await.expect("done");
    assert_eq!(done, tried);
    house.generate(request("r")).await.expect("it works");
    house.close().await;
}

#[tokio::test]
async fn other_filters_narrow_those_that_a_change_would_touch() {
    let house = busy().await;
    let both = |model: &str, status: ToolStatus| Asked {
        model: model.to_owned(),
        status: status.into(),
        page_size: 1,
        ..affected_by(KLEIN, false)
    };
    for (asked, expected) in [
        (both(KLEIN, ToolStatus::Ready), &[AGENT, "second"][..]),
        (both("", ToolStatus::Unspecified), &[AGENT, "second"]),
        (both(GPT, ToolStatus::Unspecified), &[]),
        (both(KLEIN, ToolStatus::NeedsConfiguration), &[]),
        (both(KLEIN, ToolStatus::Disabled), &[]),
    ] {
        assert_eq!(agents(&house, asked.clone()).await, expected, "{asked:?}");
    }
    let unknown = list(&house, affected_by("acme/none", false)).await;
    let unknown = unknown.expect_err("unknown");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "MODEL_NOT_FOUND")
    );
    let nothing = list(&house, affected_by("", false)).await;
    let nothing = nothing.expect_err("no model");
    assert_eq!(detail(&nothing, "field"), "affected_by.slug");
    house.close().await;
}

#[tokio::test]
async fn a_model_that_is_withdrawn_breaks_nobody_twice() {
    let mut house = busy().await;
    let published = Catalog::built_in();
    let models = published.models().iter().map(|model| {
        let mut model = Model::clone(model);
        model.withdrawn = model.slug.as_str() == KLEIN;
        model
    });
    house
        .restart(Catalog::new(models.collect(), published.as_of))
        .await;
    touches_nobody(&house, KLEIN, false).await;
    switch(&house, KLEIN, false, false).await.expect("off");
    touches_nobody(&house, KLEIN, true).await;
    house.close().await;
}

#[tokio::test]
async fn beyond_a_thousand_agents_the_first_are_named_all_are_counted_and_every_one_is_listed() {
    let house = House::open().await;
    let many = (0..MANY).map(|n| enabled(&format!("agent-{n:04}"), KLEIN));
    save_all(&house, many).await;
    let mut expected: Vec<_> = (0..MANY).map(|n| format!("agent-{n:04}")).collect();
    expected.push(AGENT.to_owned());
    let tried = switch(&house, KLEIN, false, true).await.expect("tried");
    assert_eq!(tried.agents_affected, expected[..1_000]);
    assert_eq!(
        usize::try_from(tried.agents_affected_count),
        Ok(expected.len())
    );
    assert_eq!(agents(&house, affected_by(KLEIN, false)).await, expected);
    let done = switch(&house, KLEIN, false, false).await.expect("done");
    assert_eq!(done, tried);
    let in_need = Asked {
        status: ToolStatus::NeedsConfiguration.into(),
        page_size: 1_000,
        ..Asked::default()
    };
    assert_eq!(agents(&house, in_need).await, expected);
    house.close().await;
}
