//! Connections that cannot be made, break before an answer begins, or never bring one.

use std::time::Duration;

use image_gateway::proto;
use tokio::net::TcpSocket;
use tonic::Code;

use super::proxy::{End, Fault, Proxy};
use super::{behind_a_proxy, fails, rehearse};
use crate::helpers::{House, Setup, Story, reason, request};

#[tokio::test]
async fn a_connection_that_cannot_be_made_costs_nothing() {
    // Bound and not listening: nobody else can take the port.
    let shut = TcpSocket::new_v4().expect("a socket");
    shut.bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let shut = shut.local_addr().expect("an address");
    // A label of over 63 characters is no name, whoever is asked.
    let nobody = format!("http://{}.invalid/api/v1", "x".repeat(64));
    // What is not HTTP is hung up on.
    let plain = Proxy::open().await;
    let no_tls = plain.base_url().replace("http:", "https:");
    for (name, base_url) in [
        ("refused", format!("http://{shut}/api/v1")),
        ("no such name", nobody),
        ("no TLS", no_tls),
    ] {
        let base_url = Some(base_url);
        let house = House::with(Setup {
            base_url,
            ..Setup::default()
        })
        .await;
        fails(&house, name, Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
        let generation = house.generation(name).await;
        assert_eq!(generation.stage(), proto::Stage::Voided, "{name}: at once");
        house.assert_untouched().await;
        house.close().await;
    }
}

/// A call that sent its request and got no answer with a name to ask by: the caller is told at
/// once, nothing is sent again, and the hold waits for its time.
async fn is_in_doubt(house: &House, proxy: &Proxy, asked: &proto::GenerateImageRequest) {
    let id = asked.request_id.as_str();
    let generation = house.generation(id).await;
    assert_eq!(generation.stage(), proto::Stage::InDoubt, "{id}");
    assert_eq!((generation.charge, generation.error), (None, None), "{id}");
    let sent = proxy.paid_calls();
    // Asking again does not send it again: it waits as long as its caller does.
    let mut again = tonic::Request::new(asked.clone());
    again.set_timeout(Duration::from_millis(1200));
    let mut images = house.images(&house.runtime);
    let status = match images.generate_image(again).await {
        Ok(events) => Story::read(events.into_inner()).await.expect_err(id),
        Err(status) => status,
    };
    assert_eq!(reason(&status), "DEADLINE_EXCEEDED", "{id}");
    assert_eq!(proxy.paid_calls(), sent, "{id}");
}

/// Ends a house in which so many holds are still in doubt.
async fn leave(mut house: House, in_doubt: u64) {
    assert_ne!(house.balance().await.held, "0.00");
    let app = house.app.take().expect("open");
    let ledger = app.ledger();
    app.drain(Duration::from_secs(20)).await;
    assert!(ledger.audit().await.expect("an audit").is_empty());
    assert_eq!(ledger.open_holds().await.expect("a count"), in_doubt);
    house.mock.stop().await;
}

#[tokio::test]
#[ignore = "needs the recovery room"]
async fn a_request_whose_connection_breaks_is_never_sent_again_and_stays_in_doubt() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    rehearse(&house, &proxy).await;
    for (name, fault) in [
        ("reset at once", Fault::ResetAtOnce),
        ("reset in the body", Fault::ResetRequest(1 << 20)),
    ] {
        let asked = proto::GenerateImageRequest {
            reference_images: vec![large_reference(&house).await],
            ..request(name)
        };
        proxy.next(fault);
        let status = house.generate(asked.clone()).await.expect_err(name);
        assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE", "{name}");
        is_in_doubt(&house, &proxy, &asked).await;
    }
    assert_eq!(proxy.paid_calls(), 1 + 2);
    assert_eq!(house.mock.requests().len(), 1, "nothing has arrived");
    leave(house, 2).await;
}

/// A picture of eight megabytes, which no socket takes at one go.
async fn large_reference(house: &House) -> proto::ReferenceImage {
    let story = house
        .generate(request("rehearsal"))
        .await
        .expect("replayed");
    let mut bytes = story.images[&0].clone();
    bytes.resize(8 << 20, 0);
    proto::ReferenceImage {
        source: Some(proto::reference_image::Source::Data(bytes.into())),
        media_type: String::new(),
    }
}

#[tokio::test]
#[ignore = "needs the recovery room"]
async fn an_answer_that_breaks_in_its_head_leaves_the_hold_in_doubt() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let places = rehearse(&house, &proxy).await;
    for (name, fault) in [
        ("closed before the first byte", Fault::Ends(0, End::Close)),
        ("reset before the first byte", Fault::Ends(0, End::Reset)),
        ("closed in the status", Fault::Ends(10, End::Close)),
        (
            "reset in a header",
            Fault::Ends(places.body - 40, End::Reset),
        ),
        (
            "closed before the last byte of the head",
            Fault::Ends(places.body - 1, End::Close),
        ),
        (
            "garbage in the status",
            Fault::Overwrites(9, b"\0!".to_vec()),
        ),
        (
            "garbage before the status",
            Fault::Inserts(0, b"\x16\x03\x01".to_vec()),
        ),
    ] {
        proxy.next(fault);
        fails(&house, name, Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
        is_in_doubt(&house, &proxy, &request(name)).await;
    }
    assert_eq!(proxy.paid_calls(), 1 + 7, "nothing is sent again");
    leave(house, 7).await;
}

#[tokio::test]
#[ignore = "needs the recovery room"]
async fn an_answer_that_never_begins_leaves_the_hold_in_doubt() {
    let (house, proxy) = behind_a_proxy(Setup {
        upstream_timeout: "1s",
        ..Setup::default()
    })
    .await;
    for (name, fault) in [
        ("the request is not read", Fault::Deaf(500)),
        ("nothing is answered", Fault::Ends(0, End::Silence)),
        ("half a head is answered", Fault::Ends(60, End::Silence)),
    ] {
        proxy.next(fault);
        fails(&house, name, Code::DeadlineExceeded, "UPSTREAM_TIMEOUT").await;
        is_in_doubt(&house, &proxy, &request(name)).await;
    }
    assert_eq!(proxy.paid_calls(), 3, "nothing is sent again");
    leave(house, 3).await;
}
