//! Nobody's references take the room of the others.

use http::uri::PathAndQuery;
use image_gateway::mock;
use image_gateway::proto;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{data, with};
use crate::faults::move_in;
use crate::helpers::{House, Setup, bearer, reason, request};

/// Of the references of a loud call: three of ten megabytes, as large as any may be.
const LOUD_BYTES: usize = 10 << 20;

/// Of each reference of a quiet call: three are more than would be left of a room that both shared.
const QUIET_BYTES: usize = 9 << 20;

/// A call whose message is whole, and whose end never comes: its bytes are kept and not looked at.
async fn without_end(channel: Channel, key: String, id: String) -> Status {
    let (send, body) = mpsc::channel(1);
    let references = vec![data(vec![0; LOUD_BYTES]); 3];
    let asked = with(&id, references);
    send.send(asked).await.expect("room for one");
    let body = ReceiverStream::new(body);
    let channel = InterceptedService::new(channel, bearer(&key));
    let mut client = tonic::client::Grpc::new(channel).max_encoding_message_size(64 << 20);
    client.ready().await.expect("a connection");
    let path = PathAndQuery::from_static("/squados.images.v1.ImageService/GenerateImage");
    let codec =
        tonic_prost::ProstCodec::<proto::GenerateImageRequest, proto::GenerationEvent>::default();
    let answer = client.streaming(tonic::Request::new(body), path, codec);
    let status = answer.await.map(drop).expect_err("it never ends");
    drop(send);
    status
}

#[tokio::test]
async fn an_organization_whose_references_fill_its_room_keeps_those_of_no_other_out() {
    let setup = Setup {
        mock: mock::Options {
            size_bytes: Some(QUIET_BYTES),
            ..mock::Options::default()
        },
        ..Setup::default()
    };
    let mut house = House::with(setup).await;
    let mut calls = JoinSet::new();
    for n in 0..8 {
        let (channel, key) = (house.channel.clone(), house.runtime.clone());
        calls.spawn(without_end(channel, key, format!("loud-{n}")));
    }
    // Five have room, the others are refused for all that is sent of them.
    for _ in 0..3 {
        let refused = calls.join_next().await.expect("eight calls");
        let status = refused.expect("an answer");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(reason(&status), "OVERLOADED");
        let details = status.get_error_details();
        assert!(details.quota_failure().is_some() && details.retry_info().is_some());
    }
    house.assert_untouched().await;
    move_in(&mut house, "quiet").await;
    let first = house.generate(request("first")).await.expect("a picture");
    let picture = first.images[&0].clone();
    assert!(picture.len() >= QUIET_BYTES, "{}", picture.len());
    let three = vec![data(picture); 3];
    house
        .generate(with("quiet", three))
        .await
        .expect("drawn from three references");
    calls.shutdown().await;
    house.close().await;
}
