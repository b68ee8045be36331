//! The same tool call sent again: the same pictures, one charge.

use image_gateway::mock::Script;
use image_gateway::proto;
use tonic::Code;
use tonic_types::StatusExt;

use crate::helpers::{House, KLEIN, Story, detail, reason, request};

#[tokio::test]
async fn a_repeated_call_replays_the_pictures_and_the_charge() {
    let house = House::open().await;
    let first = house.generate(request("same")).await.expect("a picture");
    // Neither an empty tool nor an empty purse matters to what was paid for.
    house.tool(|tool| tool.enabled = false).await;
    let again = house
        .generate(request("same"))
        .await
        .expect("the same picture");
    assert!(again.accepted.replayed && again.completed.replayed);
    assert_eq!(again.images, first.images);
    assert_eq!(again.finished, first.finished);
    assert_eq!(again.completed.charge, first.completed.charge);
    assert_eq!(again.completed.id, first.completed.id);
    assert_eq!(house.sent(), 1);
    assert_eq!(house.balance().await.credits, "9971.00");
    house.close().await;
}

#[tokio::test]
async fn the_same_id_with_another_body_is_a_conflict() {
    let house = House::open().await;
    let first = house.generate(request("same")).await.expect("a picture");
    let other = proto::GenerateImageRequest {
        prompt: "another".to_owned(),
        ..request("same")
    };
    let status = house.generate(other).await.expect_err("a conflict");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "IDEMPOTENCY_CONFLICT")
    );
    assert_eq!(detail(&status, "generation_id"), first.completed.id);
    let more = proto::GenerateImageRequest {
        metadata: [("a".to_owned(), "b".to_owned())].into(),
        ..request("same")
    };
    assert!(
        house
            .generate(more)
            .await
            .expect("metadata does not count")
            .completed
            .replayed
    );
    house.close().await;
}

#[tokio::test]
async fn a_racing_duplicate_sees_the_running_one() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let calls = (0..8).map(|_| house.generate(request("same")));
    let opened = async {
        house.mock.wait_at_gate("slow").await;
        house.mock.open_gate("slow");
    };
    let (stories, ()) = tokio::join!(futures_util::future::join_all(calls), opened);
    let stories: Vec<Story> = stories
        .into_iter()
        .map(|story| story.expect("a picture"))
        .collect();
    assert_eq!(house.sent(), 1);
    for story in &stories {
        assert_eq!(story.images, stories[0].images);
        assert_eq!(story.completed.charge, stories[0].completed.charge);
    }
    assert_eq!(house.balance().await.credits, "9971.00");
    house.close().await;
}

#[tokio::test]
async fn a_passing_failure_may_be_tried_again_under_the_same_id() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-502"));
    house
        .generate(request("same"))
        .await
        .expect_err("a failure");
    let story = house.generate(request("same")).await.expect("a picture");
    assert!(!story.completed.replayed);
    assert_eq!(house.balance().await.credits, "9971.00");
    house.close().await;
}

#[tokio::test]
async fn the_same_id_of_another_organization_is_another_call() {
    let house = House::open().await;
    house.generate(request("same")).await.expect("a picture");
    house.add_organization("other").await;
    house.top_up("other", "100", "first").await;
    let admin = house.key("other", proto::Role::Admin).await;
    let tool = proto::GenerateImageTool {
        agent_id: crate::helpers::AGENT.to_owned(),
        enabled: true,
        model: KLEIN.to_owned(),
        ..Default::default()
    };
    let update = proto::UpdateGenerateImageToolRequest {
        generate_image_tool: Some(tool),
        ..Default::default()
    };
    house
        .tools(&admin)
        .update_generate_image_tool(update)
        .await
        .expect("a tool");
    let events = house
        .images(&admin)
        .generate_image(request("same"))
        .await
        .expect("taken");
    let story = Story::read(events.into_inner()).await.expect("a picture");
    assert!(!story.completed.replayed);
    assert_eq!(house.sent(), 2);
    house.close().await;
}

#[tokio::test]
async fn a_top_up_is_booked_once_per_reference() {
    let house = House::open().await;
    let add = |credits: &str| proto::AddCreditsRequest {
        organization_id: "acme".to_owned(),
        credits: credits.to_owned(),
        reference: "invoice-7".to_owned(),
        description: "July".to_owned(),
    };
    let mut billing = house.billing(crate::helpers::OPERATOR_KEY);
    let first = billing
        .add_credits(add("50"))
        .await
        .expect("booked")
        .into_inner();
    assert!(!first.replayed);
    let entry = first.entry.clone().expect("an entry");
    assert_eq!(
        (entry.credits.as_str(), entry.balance_after.as_str()),
        ("50.00", "10050.00")
    );
    let again = billing
        .add_credits(add("50.00"))
        .await
        .expect("booked before")
        .into_inner();
    assert!(again.replayed);
    assert_eq!(again.entry, first.entry);
    let status = billing
        .add_credits(add("51"))
        .await
        .expect_err("another amount");
    assert_eq!(reason(&status), "IDEMPOTENCY_CONFLICT");
    assert_eq!(house.balance().await.credits, "10050.00");
    for bad in ["0", "-1", "1.001", "", "NaN"] {
        let status = billing.add_credits(add(bad)).await.expect_err(bad);
        assert_eq!(reason(&status), "INVALID_REQUEST", "{bad}");
    }
    house.close().await;
}

#[tokio::test]
async fn a_request_that_failed_in_passing_five_times_is_told_to_take_a_new_id() {
    let house = House::open().await;
    let down = Script::error(
        503,
        serde_json::json!({"error": {"code": 503, "message": "down"}}),
    );
    house.mock.script(down.times(u32::MAX));
    for _ in 0..5 {
        let status = house.generate(request("r")).await.expect_err("down");
        assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE");
    }
    house.mock.clear_scripts();
    let status = house.generate(request("r")).await.expect_err("used up");
    assert!(status.message().contains("tried 5 times"), "{status:?}");
    assert_eq!(detail(&status, "attempts"), "5");
    assert!(status.get_error_details().retry_info().is_none());
    house.generate(request("another")).await.expect("a picture");
    house.close().await;
}
