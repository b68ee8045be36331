//! Callers that do not read what they are answered, and how many of their calls are kept.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{self, SendRequest};
use http::Request;
use image_gateway::proto;
use image_gateway::proto::image_service_client::ImageServiceClient;
use image_gateway::proto::model_service_client::ModelServiceClient;
use image_gateway::transport::raise_open_files;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::helpers::{House, OPERATOR_KEY, bearer, detail, reason, request};

/// Calls of one organization at a time (`grpc::open_calls`).
const OPEN_MAX: usize = 512;

/// Bytes of an answer that may be sent before it is read: less than the end of a picture …
const WINDOW: u32 = 4096;

/// … that is asked for.
const END_BYTES: i64 = 6000;

/// Within this a place is given back, if ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Calls on each connection.
const EACH: usize = 64;

/// Connections of all that stall together: more than there are seats.
const CROWD: usize = 1100;

type Pieces = Streaming<proto::ReadImageResponse>;

/// A connection on which no answer fits that has not been read.
async fn stalled(house: &House) -> Channel {
    let address = house.app.as_ref().expect("open").grpc_address();
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
    let connected = endpoint.initial_stream_window_size(WINDOW).connect().await;
    connected.expect("a seat")
}

/// The end of its picture.
async fn read(
    channel: &Channel,
    key: &str,
    generation: &proto::Generation,
) -> Result<Pieces, Status> {
    let mut images = ImageServiceClient::with_interceptor(channel.clone(), bearer(key));
    let asked = proto::ReadImageRequest {
        generation_id: generation.id.clone(),
        read_offset: generation.images[0].size_bytes - END_BYTES,
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
    let generation = generation.completed;
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

/// Connections of which each byte of an answer has to be asked for, and nobody does.
#[derive(Default)]
struct Crowd {
    connections: JoinSet<()>,
    unread: Vec<(SendRequest<Bytes>, RecvStream)>,
}

impl Crowd {
    /// Asks for the balance, so often on one more connection; told is how often it was answered.
    async fn ask(&mut self, house: &House, key: &str, often: usize) -> usize {
        self.try_to(house, key, often).await.unwrap_or(0)
    }

    async fn try_to(
        &mut self,
        house: &House,
        key: &str,
        often: usize,
    ) -> Result<usize, anyhow::Error> {
        let address = house.app.as_ref().expect("open").grpc_address();
        let socket = TcpStream::connect(address).await?;
        let mut builder = client::Builder::new();
        let handshake = builder.initial_window_size(1).handshake(socket).await;
        let (mut calls, connection) = handshake?;
        self.connections.spawn(async { _ = connection.await });
        let mut answered = 0;
        for _ in 0..often {
            let request =
                Request::post("http://gateway/squados.images.v1.BillingService/GetBalance")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .header("authorization", format!("Bearer {key}"))
                    .body(())?;
            let (answer, mut request) = calls.send_request(request, false)?;
            // An empty message (gRPC over HTTP/2, Length-Prefixed-Message).
            request.send_data(Bytes::from_static(&[0; 5]), true)?;
            let answer = answer.await?;
            if answer.headers().contains_key("grpc-status") {
                break;
            }
            answered += 1;
            self.unread.push((calls.clone(), answer.into_body()));
        }
        Ok(answered)
    }

    /// How many of its connections have ended.
    fn ended(&mut self) -> usize {
        std::iter::from_fn(|| self.connections.try_join_next()).count()
    }
}

/// What h2 holds of an answer is not sent: it has taken all of it, and its peer one byte.
#[tokio::test]
async fn an_answer_that_was_handed_on_and_is_not_sent_counts_as_open() {
    let house = House::open().await;
    let mut crowd = Crowd::default();
    let mut answered = 0;
    for _ in 0..=OPEN_MAX / EACH {
        answered += crowd.ask(&house, &house.admin, EACH).await;
    }
    assert_eq!(answered, OPEN_MAX);
    let status = models(&house, &house.runtime).await.expect_err("refused");
    assert_eq!(detail(&status, "limit"), "open_calls");
    drop(crowd);
    tokio::time::sleep(Duration::from_millis(200)).await;
    models(&house, &house.runtime).await.expect("a place");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn organizations_that_stall_together_leave_room_for_a_newcomer_and_its_calls() {
    raise_open_files();
    let house = House::open().await;
    let mut keys = Vec::new();
    for name in ["one", "two", "three", "quiet"] {
        house.add_organization(name).await;
        keys.push(house.key(name, proto::Role::Admin).await);
    }
    let quiet = keys.pop().expect("a key");
    let mut crowd = Crowd::default();
    for key in keys.iter().cycle().take(CROWD) {
        let answered = crowd.ask(&house, key, 1).await;
        assert_eq!(answered, 1, "a seat, if it is another one's of the crowd");
    }
    let before = crowd.ended();
    let address = house.app.as_ref().expect("open").grpc_address();
    let url = format!("http://{address}");
    for _ in 0..10 {
        let endpoint = Channel::from_shared(url.clone()).expect("an address");
        let channel = endpoint.connect().await.expect("a seat");
        let mut newcomer = ModelServiceClient::with_interceptor(channel, bearer(&quiet));
        let asked = proto::ListModelsRequest::default();
        newcomer.list_models(asked).await.expect("an answer");
    }
    models(&house, OPERATOR_KEY).await.expect("the operator");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ended = crowd.ended();
    let enough = (1..100).contains(&ended);
    assert!(enough, "{before}, then {ended}: as many as were needed");
    drop(crowd);
    house.close().await;
}
