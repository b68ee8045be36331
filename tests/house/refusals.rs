//! Bad input, each with its reason, and nothing moved.

use std::time::Duration;

use image_gateway::proto;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::calendar::away_from_midnight;
use crate::helpers::{AGENT, GPT, House, KLEIN, Setup, detail, is_told, reason, request};

type Asked = proto::GenerateImageRequest;

#[tokio::test]
async fn an_agent_that_may_not_draw_is_told_why() {
    let house = House::open().await;
    let refused = async |agent: &str| {
        let asked = Asked {
            agent_id: agent.to_owned(),
            ..request("r")
        };
        house.generate(asked).await.expect_err(agent)
    };
    let status = refused("stranger").await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "AGENT_NOT_FOUND")
    );
    house.tool(|tool| tool.enabled = false).await;
    let status = refused(AGENT).await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "TOOL_NOT_ENABLED")
    );
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_tool_without_a_model_needs_configuration() {
    let house = House::open().await;
    // No call can save it so; an operator's hand in the database can.
    house.tool(|_| {}).await;
    let database = rusqlite::Connection::open(house.database()).expect("the database");
    let choose = |model: Option<&str>| {
        let chosen = database.execute("UPDATE tool SET model = ?1", [model]);
        assert_eq!(chosen.expect("an update"), 1);
    };
    choose(None);
    let status = house.generate(request("r")).await.expect_err("no model");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "TOOL_NEEDS_CONFIGURATION")
    );
    house.assert_untouched().await;
    // The audit trail tells of no such hand.
    let ledger = house.app.as_ref().expect("open").ledger();
    let breaks = ledger.audit().await.expect("an audit");
    assert_eq!(
        breaks,
        ["A7: a tool is not what its audit trail tells (model): acme painter"]
    );
    choose(Some(KLEIN));
    house.close().await;
}

#[tokio::test]
async fn a_model_that_cannot_be_used_is_refused_with_its_cause() {
    use image_gateway::domain::catalog::{Catalog, Model};
    let built_in = Catalog::built_in();
    let as_of = built_in.as_of;
    let usable = House::open().await;
    usable.close().await;
    let change = |change: fn(&mut Model)| {
        let models = built_in.models().iter().map(|model| {
            let mut model = Model::clone(model);
            if model.slug.as_str() == KLEIN {
                change(&mut model);
            }
            model
        });
        Catalog::new(models.collect(), as_of)
    };
    let gone = Catalog::new(
        built_in
            .models()
            .iter()
            .skip(4)
            .map(|model| Model::clone(model))
            .collect(),
        as_of,
    );
    for (cause, catalog) in [
        ("withdrawn", change(|model| model.withdrawn = true)),
        (
            "text_only",
            change(|model| model.capabilities.generates_images = false),
        ),
        ("not_in_catalog", gone),
    ] {
        refused_with(catalog, cause).await;
    }
}

/// A tool that was saved while its model was good, in a gateway whose catalog has changed since.
async fn refused_with(catalog: image_gateway::domain::catalog::Catalog, cause: &str) {
    let mut house = House::open().await;
    house.restart(catalog).await;
    let status = house.generate(request("r")).await.expect_err(cause);
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "MODEL_UNAVAILABLE")
    );
    assert_eq!(
        (
            detail(&status, "cause").as_str(),
            detail(&status, "model").as_str()
        ),
        (cause, KLEIN)
    );
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_model_switched_off_for_the_organization_is_refused() {
    let house = House::open().await;
    let off = proto::UpdateModelAvailabilityRequest {
        slug: KLEIN.to_owned(),
        ..Default::default()
    };
    let answer = house
        .models(&house.admin)
        .update_model_availability(off)
        .await
        .expect("switched off")
        .into_inner();
    assert_eq!(answer.agents_affected, [AGENT]);
    assert_eq!(answer.model.expect("a model").available, Some(false));
    let status = house
        .generate(request("r"))
        .await
        .expect_err("switched off");
    assert_eq!(detail(&status, "cause"), "not_available_to_organization");
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn too_few_credits_are_refused_with_both_figures() {
    let house = House::with(Setup {
        credits: "28.99",
        ..Setup::default()
    })
    .await;
    let status = house.generate(request("r")).await.expect_err("too few");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "INSUFFICIENT_CREDITS")
    );
    assert_eq!(
        (
            detail(&status, "needed").as_str(),
            detail(&status, "available").as_str()
        ),
        ("29.00", "28.99")
    );
    assert!(house.mock.requests().is_empty());
    house.top_up("acme", "0.01", "second").await;
    house
        .generate(request("r"))
        .await
        .expect("enough now, under the same id");
    assert_eq!(house.balance().await.credits, "0.00");
    house.close().await;
}

#[tokio::test]
async fn a_hold_above_what_the_caller_allows_is_refused() {
    let house = House::open().await;
    let asked = Asked {
        max_credits: "28.99".to_owned(),
        ..request("r")
    };
    let status = house.generate(asked).await.expect_err("too dear");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "MAX_CREDITS_EXCEEDED")
    );
    assert_eq!(
        (
            detail(&status, "needed").as_str(),
            detail(&status, "max_credits").as_str()
        ),
        ("29.00", "28.99")
    );
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn strict_refuses_what_would_be_adjusted() {
    let house = House::open().await;
    house.tool(|tool| tool.model = GPT.to_owned()).await;
    let asked = Asked {
        aspect_ratio: "16:9".to_owned(),
        strict: true,
        ..request("r")
    };
    let status = house.generate(asked).await.expect_err("would be adjusted");
    assert_eq!(
        (reason(&status).as_str(), detail(&status, "field").as_str()),
        ("INVALID_REQUEST", "aspect_ratio")
    );
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn less_than_a_second_to_the_deadline_counts_as_none() {
    let house = House::open().await;
    let mut told = None;
    for _ in 0..10 {
        let mut hasty = Request::new(request("r"));
        hasty.set_timeout(Duration::from_millis(900));
        let mut images = house.images(&house.runtime);
        let status = images.generate_image(hasty).await.expect_err("too late");
        if is_told(&status) {
            told = Some(status);
            break;
        }
    }
    let status = told.expect("ten times not within the time");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_request_over_the_transports_limit_still_gets_a_reason() {
    let house = House::open().await;
    let data = bytes::Bytes::from(vec![0; 33 << 20]);
    let reference = proto::ReferenceImage {
        source: Some(proto::reference_image::Source::Data(data)),
        ..Default::default()
    };
    let asked = Asked {
        reference_images: vec![reference],
        ..request("r")
    };
    let status = house.generate(asked).await.expect_err("too large");
    assert_eq!(reason(&status), "INVALID_REQUEST", "{status:?}");
    assert_eq!(status.code(), Code::InvalidArgument);
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn more_generations_than_allowed_at_a_time_are_turned_away_before_any_hold() {
    use image_gateway::mock::Script;
    let house = House::with(Setup {
        max_concurrent: 1,
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated("slow"));
    let first = house
        .images(&house.runtime)
        .generate_image(request("first"))
        .await
        .expect("taken")
        .into_inner();
    house.mock.wait_at_gate("slow").await;
    let status = house
        .generate(request("second"))
        .await
        .expect_err("too many");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    assert!(status.get_error_details().retry_info().is_some());
    assert_eq!(house.balance().await.held, "29.00", "only the first holds");
    house.mock.open_gate("slow");
    crate::helpers::Story::read(first).await.expect("a picture");
    house
        .generate(request("second"))
        .await
        .expect("a place is free again");
    house.close().await;
}

#[tokio::test]
async fn a_full_store_keeps_what_was_begun_and_sends_nothing_more() {
    let house = House::with(Setup {
        image_quota: Some(1000),
        ..Setup::default()
    })
    .await;
    // Each picture has some 200 KB: the first is begun in an empty store and kept above its quota.
    house.generate(request("first")).await.expect("a picture");
    for id in ["second", "third"] {
        let status = house.generate(request(id)).await.expect_err("no room");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::ResourceExhausted, "STORAGE_FULL")
        );
        let retry = status.get_error_details().retry_info().cloned();
        assert!(retry.and_then(|info| info.retry_delay).is_some());
    }
    let balance = house.balance().await;
    assert_eq!(
        (balance.credits.as_str(), balance.held.as_str()),
        ("9971.00", "0.00")
    );
    let bill = house.mock.bill().len();
    assert_eq!(bill, 1, "nothing is paid for and thrown away");
    house.close().await;
}

#[tokio::test]
async fn limits_of_the_tool_hold_for_the_day_and_the_month() {
    away_from_midnight().await;
    let house = House::open().await;
    house.tool(|tool| tool.daily_image_limit = 2).await;
    let two = Asked {
        count: 2,
        ..request("two")
    };
    house.generate(two.clone()).await.expect("within the limit");
    let status = house
        .generate(request("third"))
        .await
        .expect_err("over the limit");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::ResourceExhausted, "LIMIT_REACHED")
    );
    assert_eq!(detail(&status, "limit"), "daily_image_limit");
    assert!(!detail(&status, "resets_at").is_empty());
    let figures = ["used", "limit_amount", "needed"].map(|name| detail(&status, name));
    assert_eq!(figures, ["2", "2", "1"]);
    let details = status.get_error_details();
    assert!(details.quota_failure().is_some());
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    let day = Duration::from_secs(86_400);
    assert!(wait.is_some_and(|wait| wait <= day), "{wait:?}");
    let many = Asked {
        count: 3,
        ..request("many")
    };
    let status = house.generate(many).await.expect_err("never fits");
    assert_eq!(detail(&status, "needed"), "3");
    assert!(status.message().contains("waiting does not help"));
    let details = status.get_error_details();
    assert!(details.quota_failure().is_some() && details.retry_info().is_none());
    house
        .generate(two)
        .await
        .expect("a repeated call is no new image");
    house
        .tool(|tool| tool.monthly_credit_limit = "86.99".to_owned())
        .await;
    let status = house
        .generate(request("third"))
        .await
        .expect_err("over the limit");
    assert_eq!(detail(&status, "limit"), "monthly_credit_limit");
    let figures = ["used", "limit_amount", "needed"].map(|name| detail(&status, name));
    assert_eq!(figures, ["58.00", "86.99", "29.00"]);
    let details = status.get_error_details();
    assert!(details.quota_failure().is_some() && details.retry_info().is_some());
    house
        .tool(|tool| tool.monthly_credit_limit = "87.00".to_owned())
        .await;
    house
        .generate(request("third"))
        .await
        .expect("exactly the limit");
    house.close().await;
}
