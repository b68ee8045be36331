//! Pictures to work from that are named by their address.

use std::time::Duration;

use image_gateway::proto;
use image_gateway::proto::reference_image::Source;
use tonic::Code;
use tonic_types::StatusExt;

use crate::helpers::{House, Setup, Story, detail, is_told, reason, request};
use site::Site;

mod fair;
mod site;

fn with_urls(id: &str, urls: &[String]) -> proto::GenerateImageRequest {
    let references = urls.iter().map(|url| proto::ReferenceImage {
        source: Some(Source::Url(url.clone())),
        media_type: String::new(),
    });
    proto::GenerateImageRequest {
        reference_images: references.collect(),
        ..request(id)
    }
}

/// A house that may fetch from this site and from nowhere else in the own network.
async fn house_beside(site: &Site) -> House {
    let setup = Setup {
        reference_url_allow: Some(site.address.to_string()),
        ..Setup::default()
    };
    House::with(setup).await
}

/// What the mock recorded of the references of a paid call.
fn drawn_from(house: &House, call: usize) -> String {
    house.mock.requests()[call].body["input_references"].to_string()
}

/// A picture as the house makes them.
async fn a_picture(house: &House) -> Story {
    house.generate(request("first")).await.expect("a picture")
}

#[tokio::test]
async fn a_reference_by_url_is_fetched_and_drawn_from() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let first = a_picture(&house).await;
    site.says("200 OK", &first.images[&0]);
    house
        .generate(with_urls("by-url", &[site.url()]))
        .await
        .expect("a picture");
    let data = proto::ReferenceImage {
        source: Some(Source::Data(first.images[&0].clone().into())),
        media_type: String::new(),
    };
    let by_data = proto::GenerateImageRequest {
        reference_images: vec![data],
        ..request("by-data")
    };
    house.generate(by_data).await.expect("a picture");
    let sent = drawn_from(&house, 1);
    assert!(sent.contains(&first.finished[0].sha256), "{sent}");
    assert_eq!(sent, drawn_from(&house, 2), "the same bytes either way");
    assert!(!sent.contains("http"), "the bytes, not the address");
    assert_eq!(site.guests(), 1);
    house.close().await;
}

#[tokio::test]
async fn several_references_keep_their_order_and_weigh_what_they_are() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let first = a_picture(&house).await;
    site.says("200 OK", &first.images[&0]);
    let one = house
        .generate(with_urls("one", &[site.url()]))
        .await
        .expect("a picture");
    let three = vec![site.url(); 3];
    let three = house
        .generate(with_urls("three", &three))
        .await
        .expect("a picture");
    assert_eq!(site.guests(), 4);
    let sent = drawn_from(&house, 2);
    assert_eq!(sent.matches(&first.finished[0].sha256).count(), 3);
    assert_ne!(one.accepted.hold, three.accepted.hold, "each is paid for");
    house.close().await;
}

#[tokio::test]
async fn a_repeated_call_is_known_by_its_address_and_fetches_nothing() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let first = a_picture(&house).await;
    site.says("200 OK", &first.images[&0]);
    let asked = with_urls("same", &[site.url()]);
    let story = house.generate(asked.clone()).await.expect("a picture");
    // What is there now does not matter any more.
    site.says("404 Not Found", b"");
    let again = house.generate(asked).await.expect("the same picture");
    assert!(again.completed.replayed);
    assert_eq!(again.images, story.images);
    assert_eq!(again.completed.charge, story.completed.charge);
    let other = format!("{}&other", site.url());
    let status = house
        .generate(with_urls("same", &[other]))
        .await
        .expect_err("another address is another request");
    assert_eq!(reason(&status), "IDEMPOTENCY_CONFLICT");
    assert_eq!(site.guests(), 1);
    house.close().await;
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_refused_before_any_hold() {
    let site = Site::open().await;
    let inside = Site::open().await;
    let house = house_beside(&site).await;
    inside.says("200 OK", b"\x89PNG\r\n\x1a\n");
    let moved = format!("302 Found\r\nLocation: {}", inside.url());
    let gif_bomb = [&b"GIF89a"[..], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0]].concat();
    let mut png_bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png_bomb.extend([
        0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 8, 2, 0, 0, 0, 0, 0, 0, 0,
    ]);
    let mut seen = Vec::new();
    for (headers, body) in [
        ("404 Not Found", &b""[..]),
        ("401 Unauthorized", b""),
        ("200 OK\r\nContent-Encoding: gzip", b"\x89PNG\r\n\x1a\n    "),
        (moved.as_str(), b""),
        ("200 OK", b"<!DOCTYPE html><title>a fox</title>"),
        ("200 OK", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("200 OK\r\nContent-Type: image/png", b""),
        ("200 OK", &gif_bomb),
        ("200 OK", &png_bomb),
    ] {
        site.says(headers, body);
        seen.push(refused(&house, &site.url()).await);
    }
    let unreachable = seen[0].clone();
    assert!(
        seen[..4].iter().all(|words| *words == unreachable),
        "{seen:#?}"
    );
    assert!(
        seen[4..7]
            .iter()
            .all(|words| words.contains("does not lead to a PNG"))
    );
    assert!(
        seen[7..]
            .iter()
            .all(|words| words.contains("16384 a side and 64 megapixels"))
    );
    for url in [
        inside.url(),
        "http://127.0.0.1/fox.png".to_owned(),
        "https://127.0.0.1/fox.png".to_owned(),
        "https://localhost/fox.png".to_owned(),
        "https://0x7f.1/fox.png".to_owned(),
        "https://[::ffff:127.0.0.1]/fox.png".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://no-such-name.invalid/fox.png".to_owned(),
    ] {
        assert_eq!(refused(&house, &url).await, unreachable, "{url}");
    }
    for url in [
        "ftp://example.com/",
        "https://user:hunter2@example.com/",
        "fox.png",
    ] {
        refused(&house, url).await;
    }
    assert_eq!((site.guests(), inside.guests()), (9, 0));
    house.assert_untouched().await;
    house.close().await;
}

/// Asks for a picture from this address, which is refused; the words it is refused with.
async fn refused(house: &House, url: &str) -> String {
    let asked = with_urls("bad", &[url.to_owned()]);
    let status = house.generate(asked).await.expect_err(url);
    let told = (status.code(), reason(&status));
    let expected = (Code::InvalidArgument, "REFERENCE_IMAGE_INVALID".to_owned());
    assert_eq!(told, expected, "{url}: {status:?}");
    assert_eq!(detail(&status, "position"), "0");
    assert_eq!(detail(&status, "field"), "reference_images[0]");
    let words = status.message().to_owned();
    assert!(!format!("{status:?}").contains("hunter2"), "{status:?}");
    assert!(!words.contains("127.0.0.1"), "{words}");
    words
}

#[tokio::test]
async fn a_picture_that_is_too_large_is_named_by_its_place() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let mut large = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x04\0".to_vec();
    large.resize(11 << 20, 0);
    site.says("200 OK", &large);
    let first = proto::ReferenceImage {
        source: Some(Source::Data(large[..40].to_vec().into())),
        media_type: String::new(),
    };
    let mut asked = with_urls("large", &[site.url()]);
    asked.reference_images.insert(0, first);
    let status = house.generate(asked).await.expect_err("too large");
    assert_eq!(reason(&status), "REFERENCE_IMAGE_TOO_LARGE");
    assert_eq!(detail(&status, "position"), "1");
    assert_eq!(detail(&status, "size_bytes"), "11534336");
    assert_eq!(detail(&status, "limit_bytes"), "10485760");
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn nothing_is_fetched_for_a_call_that_is_refused_without_it() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    site.says("200 OK", b"");
    let refused = async |asked: proto::GenerateImageRequest, expected: &str| {
        let status = house.generate(asked).await.expect_err(expected);
        assert_eq!(reason(&status), expected);
    };
    let asked = || with_urls("refused", &[site.url()]);
    let many = with_urls("refused", &vec![site.url(); 5]);
    refused(many, "REFERENCE_IMAGE_INVALID").await;
    let beside = with_urls("refused", &[site.url(), "ftp://example.com".to_owned()]);
    refused(beside, "REFERENCE_IMAGE_INVALID").await;
    let dear = proto::GenerateImageRequest {
        max_credits: "1".to_owned(),
        ..asked()
    };
    refused(dear, "MAX_CREDITS_EXCEEDED").await;
    house.tool(|tool| tool.allow_reference_images = false).await;
    refused(asked(), "REFERENCE_IMAGE_INVALID").await;
    house.tool(|tool| tool.enabled = false).await;
    refused(asked(), "TOOL_NOT_ENABLED").await;
    assert_eq!(site.guests(), 0);
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_slow_address_ends_with_the_callers_time_and_nothing_was_begun() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let mut told = None;
    for attempt in 1..=3 {
        let mut asked = tonic::Request::new(with_urls("slow", &[site.url()]));
        asked.set_timeout(Duration::from_secs(4));
        let mut images = house.images(&house.runtime);
        let answer = images.generate_image(asked).await;
        let status = answer.expect_err("nothing comes");
        assert_eq!(site.guests(), attempt);
        if is_told(&status) {
            told = Some(status);
            break;
        }
    }
    let status = told.expect("three times not within the last second");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_fetch_and_pays_nothing() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let mut client = house.images(&house.runtime);
    let call = client.generate_image(with_urls("gone", &[site.url()]));
    tokio::select! {
        answer = call => panic!("{answer:?}"),
        () = site.asked.notified() => {}
    }
    site.gone.notified().await;
    assert_eq!(site.guests(), 1);
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_key_that_ends_while_its_references_are_fetched_begins_nothing() {
    let site = Site::open().await;
    let house = house_beside(&site).await;
    let (key, secret) = house.fresh(proto::Role::Runtime).await;
    for start in [false, true] {
        let (key, secret) = if start {
            house.fresh(proto::Role::Runtime).await
        } else {
            (key.clone(), secret.clone())
        };
        let mut images = house.images(&secret);
        let asked = with_urls(&format!("ended {start}"), &[site.url()]);
        let call = async {
            if start {
                images.start_generation(asked).await.map(drop)
            } else {
                images.generate_image(asked).await.map(drop)
            }
        };
        let ending = async {
            site.asked.notified().await;
            house.revoke(&house.owner, &key.id).await.expect("ended");
        };
        let (answer, ()) = tokio::join!(call, ending);
        assert_eq!(
            reason(&answer.expect_err("its key has ended")),
            "UNAUTHENTICATED"
        );
        // The address is left alone at once.
        site.gone.notified().await;
    }
    house.assert_untouched().await;
    house.close().await;
}
