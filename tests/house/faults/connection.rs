//! Connections that cannot be made, break before an answer begins, or never bring one.

use std::time::Duration;

use futures_util::future::join_all;
use image_gateway::proto;
use rust_decimal::Decimal;
use tokio::net::TcpSocket;
use tonic::Code;

use super::proxy::{End, Fault, Proxy};
use super::{PRICE, behind_a_proxy, fails, rehearse};
use crate::helpers::{House, Setup, Story, reason, request};

#[tokio::test]
async fn a_connection_that_cannot_be_made_costs_nothing() {
    // Bound and not listening: nobody else can take the port.
    let shut = TcpSocket::new_v4().expect("a socket");
    shut.bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let shut = shut.local_addr().expect("an address");
    // A label of over 63 characters is no name, whoever is asked.
    let nobody = format!("https://{}.invalid/api/v1", "x".repeat(64));
    // What is not HTTP is hung up on.
    let plain = Proxy::open().await;
    let no_tls = plain.base_url().replace("http:", "https:");
    let roads = [
        ("refused", format!("http://{shut}/api/v1")),
        ("no such name", nobody),
        ("no TLS", no_tls),
    ];
    let houses = roads.map(async |(name, base_url)| {
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
    });
    join_all(houses).await;
}

/// Calls that were sent, or may have been, and got no answer with a name to ask by. Their callers
/// were told at once; nothing is sent again, and the holds wait for their time.
async fn are_in_doubt(house: &House, proxy: &Proxy, asked: &[proto::GenerateImageRequest]) {
    let sent = proxy.paid_calls();
    // Asking again waits for the end as long as its caller does.
    let again = asked.iter().map(async |asked| {
        let id = asked.request_id.as_str();
        let generation = house.generation(id).await;
        assert_eq!(generation.stage(), proto::Stage::InDoubt, "{id}");
        assert_eq!((generation.charge, generation.error), (None, None), "{id}");
        let mut again = tonic::Request::new(asked.clone());
        again.set_timeout(Duration::from_secs(5));
        let mut images = house.images(&house.runtime);
        let events = images.generate_image(again).await.expect("it waits");
        let status = Story::read(events.into_inner()).await.expect_err(id);
        assert_eq!(reason(&status), "DEADLINE_EXCEEDED", "{id}");
    });
    join_all(again).await;
    assert_eq!(proxy.paid_calls(), sent, "nothing is sent again");
}

/// Ends a house in which so many holds are still in doubt, and for which upstream has billed so
/// many pictures that nobody can be asked about.
async fn leave(mut house: House, in_doubt: u64, billed: u32) {
    house.in_doubt = in_doubt;
    house.absorbed = PRICE.parse::<Decimal>().expect("a price") * Decimal::from(billed);
    house.close().await;
}

#[tokio::test]
async fn a_request_whose_connection_breaks_is_never_sent_again_and_stays_in_doubt() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    rehearse(&house, &proxy).await;
    let reference = large_reference(&house).await;
    let mut all = Vec::new();
    for (name, fault) in [
        ("reset at once", Fault::ResetAtOnce),
        ("reset in the body", Fault::ResetRequest(1 << 20)),
    ] {
        let asked = proto::GenerateImageRequest {
            reference_images: vec![reference.clone()],
            ..request(name)
        };
        proxy.next(fault);
        let status = house.generate(asked.clone()).await.expect_err(name);
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
            "{name}"
        );
        all.push(asked);
    }
    are_in_doubt(&house, &proxy, &all).await;
    assert_eq!(proxy.paid_calls(), 1 + 2);
    assert_eq!(house.sent(), 1, "nothing has arrived");
    leave(house, 2, 0).await;
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
async fn an_answer_that_breaks_in_its_head_leaves_the_hold_in_doubt() {
    let (house, proxy) = behind_a_proxy(Setup::default()).await;
    let places = rehearse(&house, &proxy).await;
    let mut all = Vec::new();
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
        all.push(request(name));
    }
    are_in_doubt(&house, &proxy, &all).await;
    assert_eq!(proxy.paid_calls(), 1 + 7);
    leave(house, 7, 7).await;
}

#[tokio::test]
async fn an_answer_that_never_begins_leaves_the_hold_in_doubt() {
    let (house, proxy) = behind_a_proxy(Setup {
        upstream_timeout: "3s",
        ..Setup::default()
    })
    .await;
    for fault in [
        // The request is not read, nothing is answered, half a head is answered.
        Fault::Deaf(500),
        Fault::Ends(0, End::Silence),
        Fault::Ends(60, End::Silence),
    ] {
        proxy.next(fault);
    }
    let ids = ["first", "second", "third"];
    let calls = ids.map(|id| fails(&house, id, Code::DeadlineExceeded, "UPSTREAM_TIMEOUT"));
    join_all(calls).await;
    are_in_doubt(&house, &proxy, &ids.map(request)).await;
    assert_eq!(proxy.paid_calls(), 3);
    leave(house, 3, 2).await;
}
