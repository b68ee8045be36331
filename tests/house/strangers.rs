//! Calls without a key that last for as long as their callers like.

use std::time::Duration;

use futures_util::future::join_all;
use image_gateway::proto;
use image_gateway::proto::model_service_client::ModelServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::helpers::{House, bearer, connect, reason, request};

/// As many as there is room for, of all strangers and of those of one connection
/// (`transport::limits`).
const ROOM: usize = 256;
const ROOM_EACH: usize = 8;

/// A caller on a connection of its own.
async fn stranger(house: &House) -> HealthClient<Channel> {
    HealthClient::new(connect(house.app.as_ref().unwrap()).await)
}

/// Watches the whole, and hears how it is.
async fn watch(mut stranger: HealthClient<Channel>) -> Streaming<HealthCheckResponse> {
    let watching = stranger.watch(HealthCheckRequest::default()).await;
    let mut watching = watching.expect("room").into_inner();
    is_well(watching.message().await.expect("an answer").expect("more"));
    watching
}

fn is_well(answer: HealthCheckResponse) {
    assert_eq!(answer.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn strangers_who_keep_their_calls_keep_nobody_from_asking_how_it_is() {
    let house = House::open().await;
    let mut kept = Vec::new();
    for _ in 0..ROOM / ROOM_EACH {
        let one = stranger(&house).await;
        kept.extend(join_all((0..ROOM_EACH).map(|_| watch(one.clone()))).await);
    }
    // Whoever comes later has its answer all the same, and no more room than the others.
    let (mut asks, mut watches) = (stranger(&house).await, stranger(&house).await);
    let mut newcomers = Vec::new();
    for _ in 0..ROOM_EACH {
        let answer = asks.check(HealthCheckRequest::default()).await;
        is_well(answer.expect("an answer").into_inner());
        newcomers.push(watch(watches.clone()).await);
    }
    let status = watches.watch(HealthCheckRequest::default()).await;
    let status = status.expect_err("as many as one connection may have");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "OVERLOADED");
    // The oldest have made room and are told so; the check before a watch may still have had its own.
    for (place, watching) in kept.iter_mut().enumerate() {
        if place < ROOM_EACH {
            let status = watching.message().await.expect_err("put out");
            assert_eq!(reason(&status), "OVERLOADED", "{place}");
            assert!(status.get_error_details().retry_info().is_some());
        } else if place >= 2 * ROOM_EACH {
            let told = tokio::time::timeout(Duration::from_millis(5), watching.message()).await;
            assert!(told.is_err(), "{place} goes on");
        }
    }
    let again = stranger(&house).await;
    watch(again).await;
    house.generate(request("r")).await.expect("a picture");
    drop((kept, newcomers));
    house.close().await;
}

#[tokio::test]
async fn the_watch_of_whoever_showed_a_good_key_is_not_put_out_by_a_crowd_without_keys() {
    let house = House::open().await;
    let channel = connect(house.app.as_ref().unwrap()).await;
    let mut models = ModelServiceClient::with_interceptor(channel.clone(), bearer(&house.runtime));
    let asked = models.list_models(proto::ListModelsRequest::default());
    asked.await.expect("a good key");
    let mut watching = watch(HealthClient::new(channel)).await;
    let mut crowd = Vec::new();
    for _ in 0..=ROOM / ROOM_EACH {
        let one = stranger(&house).await;
        crowd.extend(join_all((0..ROOM_EACH).map(|_| watch(one.clone()))).await);
    }
    let told = tokio::time::timeout(Duration::from_millis(50), watching.message()).await;
    assert!(told.is_err(), "it goes on");
    let status = crowd[0].message().await.expect_err("put out");
    assert_eq!(reason(&status), "OVERLOADED");
    drop((watching, crowd));
    house.close().await;
}

/// How many calls are answered with this code on a connection of their own, so many at a time, until
/// it is put out.
async fn answered(house: &House, path: &'static str, code: Code, at_a_time: usize) -> usize {
    let channel = connect(house.app.as_ref().unwrap()).await;
    let mut made = 0;
    while made < 10_000 {
        let calls = (0..at_a_time).map(|_| is_answered(channel.clone(), path, code));
        let answered = join_all(calls).await;
        made += answered.iter().filter(|answered| **answered).count();
        if answered.contains(&false) {
            return made;
        }
    }
    panic!("nobody is put out")
}

async fn is_answered(channel: Channel, path: &'static str, code: Code) -> bool {
    let mut grpc = tonic::client::Grpc::new(channel);
    // It comes back after it was put out, and has no answer meanwhile.
    if grpc.ready().await.is_err() {
        return false;
    }
    let codec = ProstCodec::<(), ()>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    let answer = grpc.unary(Request::new(()), path, codec).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok) == code
}

#[tokio::test]
async fn whoever_makes_calls_without_end_that_need_no_key_or_do_not_exist_is_put_out() {
    let house = House::open().await;
    for path in [
        "/foo/Bar",
        "/grpc.foo/Bar",
        "/squados.images.v1.imageservice/ReadImage",
    ] {
        let made = answered(&house, path, Code::Unimplemented, 1).await;
        assert!((16..40).contains(&made), "{path}: {made}");
    }
    // Forty a second may be asked without end, which a slow machine hardly does one after the other.
    let made = answered(
        &house,
        "/grpc.health.v1.Health/Check",
        Code::Ok,
        ROOM_EACH / 2,
    )
    .await;
    assert!((150..5000).contains(&made), "health: {made}");
    house.generate(request("r")).await.expect("a picture");
    house.close().await;
}
