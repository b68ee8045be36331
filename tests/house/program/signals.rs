//! Being told to end.

use image_gateway::mock::{self, Script};
use image_gateway::proto;
use tonic::Streaming;

use super::{Served, audited_open_holds};
use crate::helpers::{House, OPERATOR_KEY, Story, reason, request};

/// A generation that has reached the upstream and waits there.
async fn stuck(served: &Served) -> Streaming<proto::GenerationEvent> {
    let house = &served.house;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let events = images.generate_image(request("running")).await;
    house.mock.wait_at_gate("slow").await;
    events.expect("taken").into_inner()
}

#[tokio::test]
async fn a_running_generation_finishes_after_sigterm_and_new_calls_are_refused() {
    let served = Served::start(&[]).await;
    let events = stuck(&served).await;
    served.running.signal("TERM").await;
    served.wait_for_drain().await;

    assert_eq!(
        served.page("/readyz").await,
        (503, r#"{"status":"draining"}"#.to_owned())
    );
    assert_eq!(served.page("/healthz").await.0, 200);
    let house = &served.house;
    // On the old connection, which the client may still believe in; then on a new one.
    let refused = house.generate(request("late")).await;
    refused.expect_err("closed");
    let refused = house.generate(request("later")).await;
    assert_eq!(
        refused.expect_err("closed").code(),
        tonic::Code::Unavailable
    );

    house.mock.open_gate("slow");
    let story = Story::read(events).await.expect("the whole picture");
    assert_eq!(story.charge().credits, "29.00");
    let Served { house, running, .. } = served;
    let ended = running.ended().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    assert_eq!(audited_open_holds(&house).await, 0);
    assert_eq!(house.sent(), 1);
}

#[tokio::test]
async fn nobody_waits_for_callers_that_only_keep_their_connection() {
    for signal in ["TERM", "INT"] {
        let served = Served::start(&[]).await;
        served.house.balance().await;
        served.running.signal(signal).await;
        let ended = served.running.ended().await;
        assert_eq!(ended.status, Some(0), "{signal}: {ended:#?}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let served = Served::start(&[]).await;
    let _events = stuck(&served).await;
    served.running.signal("TERM").await;
    served.wait_for_drain().await;
    served.running.signal("TERM").await;
    let ended = served.running.ended().await;
    ended.assert_failed(1);
    assert!(ended.stderr.contains("second signal"), "{ended:#?}");
}

#[tokio::test]
async fn a_stuck_upstream_is_left_behind_when_the_time_for_draining_is_up() {
    let served = Served::start(&[("DRAIN_TIMEOUT", "100ms")]).await;
    let events = stuck(&served).await;
    served.running.signal("TERM").await;
    let Served { house, running, .. } = served;
    let ended = running.ended().await;
    ended.assert_failed(1);
    assert!(ended.stderr.contains("within 100ms: 1 left"), "{ended:#?}");
    assert!(ended.stderr.contains("--drain-timeout"), "{ended:#?}");
    Story::read(events).await.expect_err("cut off");
    assert_eq!(audited_open_holds(&house).await, 1);
}

/// Makes so many calls, one after the other, that are answered at once.
async fn calls(house: &House, count: usize) {
    for _ in 0..count {
        let mut models = house.models(OPERATOR_KEY);
        let listed = models.list_models(proto::ListModelsRequest::default());
        listed.await.expect("models");
    }
}

#[tokio::test]
async fn a_sync_of_prices_ends_at_the_drain_with_a_reason_and_is_no_generation() {
    let served = Served::start(&[]).await;
    let mock = &served.house.mock;
    mock.script(Script::gated("lists").for_path("/models").times(u32::MAX));
    let ask = async || {
        let mut models = served.house.models(OPERATOR_KEY);
        models.sync_models(proto::SyncModelsRequest {}).await
    };
    // The first hangs up while upstream thinks, the second is still there.
    tokio::select! {
        _ = ask() => panic!("upstream has not answered"),
        () = mock.wait_at_gate("lists") => {}
    }
    let mut waiting = std::pin::pin!(ask());
    tokio::select! {
        _ = &mut waiting => panic!("upstream has not answered"),
        // Its turn is long before the last of these, which come after it on the same connection.
        () = calls(&served.house, 20) => {}
    }
    served.running.signal("TERM").await;
    let refused = waiting.await.expect_err("going down");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (tonic::Code::Unavailable, "SHUTTING_DOWN")
    );
    let Served { running, .. } = served;
    let ended = running.ended().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
}

#[tokio::test]
async fn a_caller_that_does_not_read_holds_nothing_up_and_loses_nothing() {
    let options = mock::Options {
        size_bytes: Some(8 << 20),
        ..mock::Options::default()
    };
    let served = Served::with(options, &[("DRAIN_TIMEOUT", "100ms")]).await;
    let house = &served.house;
    let mut images = house.images(&house.runtime);
    let unread = images.generate_image(request("unread")).await;
    let unread = unread.expect("taken").into_inner();
    // Settled when the second to ask for it has its receipt.
    let story = house.generate(request("unread")).await.expect("a picture");
    assert!(story.finished[0].size_bytes >= 8 << 20);
    let ended = served.close().await;
    assert!(ended.stderr.contains("callers were left"), "{ended:#?}");
    drop(unread);
}
