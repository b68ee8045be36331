//! Callers that do not read what they are answered, and how many of their calls are kept.

use std::time::Duration;

use image_gateway::proto;
use image_gateway::proto::image_service_client::ImageServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::helpers::{House, OPERATOR_KEY, bearer, detail, reason, request};

/// Calls of one organization at a time (`grpc::open_calls`).
const OPEN_MAX: usize = 512;

/// Bytes of an answer that may be sent before it is read: less than a picture.
const WINDOW: u32 = 4096;

/// Within this a place is given back, if ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls on each connection.
const EACH: usize = 64;

type Pieces = Streaming<proto::ReadImageResponse>;

/// A connection on which no answer fits that has not been read.
async fn stalled(house: &House) -> Channel {
    let address = house.app.as_ref().expect("open").grpc_address();
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    let connected = endpoint.initial_stream_window_size(WINDOW).connect().await;
    connected.expect("a seat")
}

async fn read(channel: &Channel, key: &str, generation: &str) -> Result<Pieces, Status> {
    let mut images = ImageServiceClient::with_interceptor(channel.clone(), bearer(key));
    let asked = proto::ReadImageRequest {
        generation_id: generation.to_owned(),
        ..proto::ReadImageRequest::default()
    };
    images
        .read_image(asked)
        .await
        .map(tonic::Response::into_inner)
}

async fn models(house: &House, key: &str) -> Result<(), Status> {
    let mut models = house.models(key);
    let asked = proto::ListModelsRequest::default();
    models.list_models(asked).await.map(drop)
}

/// Waits until the organization has a place: the gateway may see a moment later what a caller did.
async fn has_a_place(house: &House) {
    let begun = Instant::now();
    while let Err(status) = models(house, &house.runtime).await {
        assert_eq!(reason(&status), "LIMIT_REACHED");
        assert!(begun.elapsed() < PATIENCE, "no place is given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_organization_that_does_not_read_keeps_half_of_the_seats_and_others_go_on() {
    let house = House::open().await;
    house.add_organization("other").await;
    let quiet = house.key("other", proto::Role::Runtime).await;
    let generation = house.generate(request("r")).await.expect("a picture");
    let generation = generation.completed.id;
    let mut unread = Vec::new();
    for _ in 0..OPEN_MAX / EACH {
        let channel = stalled(&house).await;
        for _ in 0..EACH {
            let pieces = read(&channel, &house.runtime, &generation).await;
            unread.push(pieces.expect("a place"));
        }
    }
    // Nobody reads, and the places are still taken.
    let status = models(&house, &house.runtime).await;
    let status = status.expect_err("one too many");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "LIMIT_REACHED");
    assert_eq!(detail(&status, "limit"), "open_calls");
    let details = status.get_error_details();
    assert!(details.quota_failure().is_some() && details.retry_info().is_some());
    let status = house.generate(request("another")).await;
    assert_eq!(reason(&status.expect_err("refused")), "LIMIT_REACHED");
    models(&house, &quiet).await.expect("another organization");
    models(&house, OPERATOR_KEY).await.expect("the operator");
    // Whoever reads to the end, or hangs up, gives its places back.
    let mut first = unread.swap_remove(0);
    while first.message().await.expect("a piece").is_some() {}
    has_a_place(&house).await;
    assert_eq!(house.balance().await.held, "0.00", "nothing was held");
    drop(unread);
    has_a_place(&house).await;
    house.generate(request("later")).await.expect("a picture");
    house.close().await;
}
