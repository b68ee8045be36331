//! Keys that end while they are used: their streams end, what they began does not.

use std::time::Duration;

use image_gateway::mock::{self, Script};
use image_gateway::proto;
use image_gateway::proto::generation_event::Event;
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use crate::helpers::{House, Setup, Story, reason, request};

/// Above how soon a stream ends after its key (`reliability.md` row 3: a second), because a machine may
/// stand still for a while; below the five seconds after which a sign of life would find it out.
const AT_ONCE: Duration = Duration::from_millis(3500);

/// How long a key is good that expires in a test: long enough to begin something with it, and not as
/// long as it takes until a sign of life.
const GOOD_FOR: Duration = Duration::from_secs(6);

/// Reads a stream until it ends, which it must do with an error.
async fn end<T>(mut events: Streaming<T>) -> Status {
    loop {
        match events.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => return status,
        }
    }
}

/// The stream ends in time, and for its key.
async fn ended_at_once<T>(events: Streaming<T>) {
    let status = tokio::time::timeout(AT_ONCE, end(events)).await;
    let status = status.expect("at once");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::Unauthenticated, "UNAUTHENTICATED")
    );
}

fn watch(request_id: &str) -> proto::WatchGenerationRequest {
    let which = proto::watch_generation_request::Which::RequestId(request_id.to_owned());
    proto::WatchGenerationRequest {
        which: Some(which),
        resume: Vec::new(),
    }
}

#[tokio::test]
async fn the_open_streams_of_a_revoked_key_end_at_once_and_what_it_began_is_charged() {
    let house = House::open().await;
    let (key, secret) = house.fresh(proto::Role::Runtime).await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&secret);
    let drawn = images.generate_image(request("r")).await.expect("taken");
    let watched = images.watch_generation(watch("r")).await.expect("taken");
    let mut others = house.images(&house.runtime);
    let by_another = others.watch_generation(watch("r")).await.expect("taken");
    house.mock.wait_at_gate("slow").await;

    house.revoke(&house.admin, &key.id).await.expect("ended");
    let (drawn, watched) = (drawn.into_inner(), watched.into_inner());
    tokio::join!(ended_at_once(drawn), ended_at_once(watched));
    let refused = images.generate_image(request("next")).await;
    assert_eq!(reason(&refused.expect_err("ended")), "UNAUTHENTICATED");

    house.mock.open_gate("slow");
    let story = Story::read(by_another.into_inner()).await;
    let story = story.expect("another key goes on");
    assert_eq!(story.charge().credits, "29.00");
    let again = house.generate(request("r")).await.expect("a replay");
    assert!(again.completed.replayed);
    assert_eq!(again.images, story.images);
    assert_eq!(house.sent(), 1);
    assert_eq!(house.balance().await.credits, "9971.00");
    house.close().await;
}

#[tokio::test]
async fn a_picture_that_is_being_read_ends_with_its_key() {
    let options = mock::Options {
        size_bytes: Some(8_000_000),
        ..Default::default()
    };
    let house = House::with(Setup {
        mock: options,
        ..Setup::default()
    })
    .await;
    let story = house.generate(request("r")).await.expect("a picture");
    let read = proto::ReadImageRequest {
        generation_id: story.completed.id.clone(),
        ..Default::default()
    };
    let (key, secret) = house.fresh(proto::Role::Runtime).await;
    let mut images = house.images(&secret);
    let mut pieces = images
        .read_image(read.clone())
        .await
        .expect("taken")
        .into_inner();
    pieces.message().await.expect("a piece").expect("a piece");
    // A replay is a stream of its own.
    let replay = images.watch_generation(watch("r")).await.expect("taken");
    let mut replay = replay.into_inner();
    replay.message().await.expect("an event").expect("an event");

    house.revoke(&house.admin, &key.id).await.expect("ended");
    // Both had stopped, because nobody read on; what is on its way is less than the picture.
    tokio::join!(ended_at_once(pieces), ended_at_once(replay));
    let mut images = house.images(&house.runtime);
    let pieces = images.read_image(read).await.expect("taken").into_inner();
    let bytes = futures_util::TryStreamExt::try_fold(pieces, 0, |sum, piece| async move {
        Ok(sum + piece.data.len())
    });
    assert_eq!(bytes.await.expect("every piece"), story.images[&0].len());
    house.close().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_key_expires() {
    let house = House::open().await;
    let soon = std::time::SystemTime::now() + GOOD_FOR;
    let create = proto::CreateApiKeyRequest {
        name: "short".to_owned(),
        role: proto::Role::Runtime.into(),
        expire_time: Some(soon.into()),
        ..Default::default()
    };
    let mut admin = house.organizations(&house.admin);
    let made = admin.create_api_key(create).await.expect("a key");
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&made.into_inner().secret);
    let events = images.generate_image(request("r")).await.expect("taken");
    let expected = Instant::now() + GOOD_FOR;
    let status = end(events.into_inner()).await;
    assert_eq!(reason(&status), "UNAUTHENTICATED");
    assert!(std::time::SystemTime::now() >= soon, "not before its time");
    assert!(Instant::now() < expected + AT_ONCE);
    house.mock.open_gate("slow");
    let story = house.generate(request("r")).await.expect("the picture");
    assert_eq!(story.charge().credits, "29.00");
    assert_eq!(house.sent(), 1);
    house.close().await;
}

#[tokio::test]
async fn a_body_that_comes_after_its_key_has_ended_begins_nothing() {
    let house = House::open().await;
    let (key, secret) = house.fresh(proto::Role::Runtime).await;
    let (send, body) = tokio::sync::mpsc::channel(1);
    let body = tokio_stream::wrappers::ReceiverStream::new(body);
    let channel = tonic::service::interceptor::InterceptedService::new(
        house.channel.clone(),
        crate::helpers::bearer(&secret),
    );
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("a connection");
    let path =
        http::uri::PathAndQuery::from_static("/squados.images.v1.ImageService/GenerateImage");
    let codec =
        tonic_prost::ProstCodec::<proto::GenerateImageRequest, proto::GenerationEvent>::default();
    let call = client.streaming(tonic::Request::new(body), path, codec);
    let story = async {
        // The key is looked at when the headers are there; that is when it is used.
        while house.listed(&key.id).await.last_used_time.is_none() {
            tokio::task::yield_now().await;
        }
        house.revoke(&house.admin, &key.id).await.expect("ended");
        send.send(request("late")).await.expect("a body");
        drop(send);
    };
    let (answer, ()) = tokio::join!(call, story);
    let status = match answer {
        Ok(events) => end(events.into_inner()).await,
        Err(status) => status,
    };
    assert_eq!(reason(&status), "UNAUTHENTICATED");
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn whoever_uses_a_key_while_it_ends_is_let_in_or_turned_away_and_nobody_after() {
    let house = House::open().await;
    for round in 0..5 {
        let (key, secret) = house.fresh(proto::Role::Runtime).await;
        let calls = (0..16).map(|n| {
            let mut images = house.images(&secret);
            let asked = request(&format!("race-{round}-{n}"));
            async move {
                let events = images.generate_image(asked).await?;
                Story::read(events.into_inner()).await
            }
        });
        let calls = futures_util::future::join_all(calls);
        let (outcomes, ended) = tokio::join!(calls, house.revoke(&house.admin, &key.id));
        ended.expect("ended");
        for status in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(reason(&status), "UNAUTHENTICATED");
        }
        let late = house.images(&secret).generate_image(request("late")).await;
        assert_eq!(reason(&late.expect_err("ended")), "UNAUTHENTICATED");
    }
    // What was begun is finished and charged, once each, and another key finds it.
    let all = proto::ListGenerationsRequest {
        page_size: 1000,
        ..Default::default()
    };
    let mut images = house.images(&house.runtime);
    let begun = images.list_generations(all).await.expect("a page");
    for generation in begun.into_inner().generations {
        let story = house.generate(request(&generation.request_id)).await;
        assert_eq!(story.expect("its picture").charge().credits, "29.00");
    }
    house.close().await;
}

#[tokio::test]
async fn a_stream_that_is_silent_hears_of_the_end_without_a_word_from_upstream() {
    let house = House::open().await;
    let (key, secret) = house.fresh(proto::Role::Runtime).await;
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&secret);
    let mut events = images
        .generate_image(request("r"))
        .await
        .expect("taken")
        .into_inner();
    let first = events.message().await.expect("an event").expect("an event");
    assert!(matches!(first.event, Some(Event::Accepted(_))));
    house.mock.wait_at_gate("slow").await;
    // The key ends itself for an owner, too.
    house.revoke(&house.owner, &key.id).await.expect("ended");
    ended_at_once(events).await;
    let cancel = proto::CancelGenerationRequest {
        which: Some(proto::cancel_generation_request::Which::RequestId(
            "r".to_owned(),
        )),
    };
    let refused = images.cancel_generation(cancel).await;
    assert_eq!(reason(&refused.expect_err("ended")), "UNAUTHENTICATED");
    house.mock.open_gate("slow");
    house.mock.wait_for_bill(1).await;
    assert_eq!(house.ended("r").await.stage(), proto::Stage::Settled);
    house.close().await;
}
