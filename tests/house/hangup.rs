//! Callers that leave, slow ones, and a gateway that is told to stop.

use std::time::Duration;

use image_gateway::mock::Script;
use image_gateway::proto;

use crate::helpers::{House, Story, reason, request};

#[tokio::test]
async fn a_caller_that_hangs_up_is_charged_and_finds_its_picture_again() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let mut events = house
        .images(&house.runtime)
        .generate_image(request("left"))
        .await
        .expect("taken")
        .into_inner();
    events.message().await.expect("an event").expect("accepted");
    house.mock.wait_at_gate("slow").await;
    drop(events);
    house.mock.open_gate("slow");
    house.mock.wait_for_bill(1).await;
    // Asking again attaches to it, or replays it: either way it is the same picture.
    let story = house.generate(request("left")).await.expect("the picture");
    assert_eq!(story.charge().credits, "29.00");
    assert_eq!(house.sent(), 1);
    assert_eq!(
        house.generation("left").await.state(),
        proto::GenerationState::Succeeded
    );
    assert_eq!(house.balance().await.credits, "9971.00");
    house.close().await;
}

#[tokio::test]
async fn a_deadline_that_passes_does_not_stop_a_dispatched_generation() {
    let house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let mut asked = tonic::Request::new(request("late"));
    asked.set_timeout(Duration::from_secs(5));
    let events = house
        .images(&house.runtime)
        .generate_image(asked)
        .await
        .expect("taken");
    let late = Story::read(events.into_inner())
        .await
        .expect_err("too late");
    assert_eq!(reason(&late), "DEADLINE_EXCEEDED");
    house.mock.open_gate("slow");
    let story = house.generate(request("late")).await.expect("the picture");
    assert_eq!(story.charge().credits, "29.00");
    assert_eq!(house.sent(), 1);
    house.close().await;
}

#[tokio::test]
async fn a_drain_lets_running_generations_finish_and_takes_no_new_ones() {
    let mut house = House::open().await;
    house.mock.script(Script::gated("slow"));
    let events = house
        .images(&house.runtime)
        .generate_image(request("running"))
        .await
        .expect("taken")
        .into_inner();
    house.mock.wait_at_gate("slow").await;
    let app = house.app.take().expect("open");
    let ledger = app.ledger();
    let drain = app.drain(Duration::from_secs(20));
    let story = async {
        house.mock.open_gate("slow");
        Story::read(events).await
    };
    let (_, story) = tokio::join!(drain, story);
    assert_eq!(story.expect("a picture").charge().credits, "29.00");
    assert_eq!(ledger.open_holds().await.expect("a count"), 0);
    assert!(ledger.audit().await.expect("an audit").is_empty());
    house
        .images(&house.runtime)
        .generate_image(request("late"))
        .await
        .expect_err("closed");
}

#[tokio::test]
async fn callers_that_hang_up_at_any_moment_leave_no_hold_behind() {
    let house = House::open().await;
    for microseconds in (0..4000).step_by(100) {
        let id = format!("gone-{microseconds}");
        let mut images = house.images(&house.runtime);
        let call = images.generate_image(request(&id));
        let _ = tokio::time::timeout(Duration::from_micros(microseconds), call).await;
    }
    // Draining waits for whatever was begun; closing then asserts that no hold is open.
    house.close().await;
}
