//! Pictures to work from: sent along, or made here before.

use image_gateway::proto;
use image_gateway::proto::reference_image::Source;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use crate::helpers::{GPT, House, NANO, detail, reason, request};

mod room;

fn reference(source: Source) -> proto::ReferenceImage {
    proto::ReferenceImage {
        source: Some(source),
        media_type: String::new(),
    }
}

fn data(bytes: Vec<u8>) -> proto::ReferenceImage {
    reference(Source::Data(bytes.into()))
}

fn made(generation_id: &str, index: i32) -> proto::ReferenceImage {
    reference(Source::Generated(proto::GeneratedImage {
        generation_id: generation_id.to_owned(),
        index,
    }))
}

fn with(id: &str, references: Vec<proto::ReferenceImage>) -> proto::GenerateImageRequest {
    proto::GenerateImageRequest {
        reference_images: references,
        ..request(id)
    }
}

#[tokio::test]
async fn a_reference_reaches_upstream_byte_for_byte() {
    let house = House::open().await;
    let first = house.generate(request("first")).await.expect("a picture");
    let png = first.images[&0].clone();
    house
        .generate(with("data", vec![data(png)]))
        .await
        .expect("from data");
    let story = house
        .generate(with("made", vec![made(&first.completed.id, 0)]))
        .await
        .expect("from what was made");
    let source = &story.completed.sources[0];
    assert_eq!(
        (source.generation_id.as_str(), source.index),
        (first.completed.id.as_str(), 0)
    );
    let requests = house.mock.requests();
    let sent = |position: usize| {
        requests[position].body["input_references"][0]["image_url"]["url"].to_string()
    };
    assert!(
        sent(1).contains(&first.finished[0].sha256) || sent(1) == sent(2),
        "{}",
        sent(1)
    );
    assert_eq!(sent(1), sent(2), "the same picture either way");
    house.close().await;
}

#[tokio::test]
async fn a_reference_that_cannot_be_used_is_refused_before_any_hold() {
    let house = House::open().await;
    let gif_bomb = [&b"GIF89a"[..], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0]].concat();
    let cases = vec![
        vec![data(b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec())],
        vec![data(Vec::new())],
        vec![data(b"\x89PNG\r\n\x1a\n".to_vec())],
        vec![data(gif_bomb)],
        vec![reference(Source::Url(
            "http://example.com/fox.png".to_owned(),
        ))],
        vec![proto::ReferenceImage::default()],
        vec![made("not-an-id", 0)],
        vec![made("01890000-0000-7000-8000-000000000000", 0)],
    ];
    for references in cases {
        let status = house
            .generate(with("bad", references))
            .await
            .expect_err("unusable");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "REFERENCE_IMAGE_INVALID")
        );
        assert_eq!(detail(&status, "position"), "0");
    }
    let large = house
        .generate(with("large", vec![data(vec![0; 10 * 1024 * 1024 + 1])]))
        .await
        .expect_err("too large");
    assert_eq!(reason(&large), "REFERENCE_IMAGE_TOO_LARGE");
    assert_eq!(detail(&large, "limit_bytes"), "10485760");
    house.assert_untouched().await;
    house.close().await;
}

#[tokio::test]
async fn a_reference_is_judged_by_its_head_alone_and_what_is_wrong_with_it_is_said() {
    let house = House::open().await;
    let first = house.generate(request("first")).await.expect("a picture");
    let png = first.images[&0].clone();
    let mut large = png[..64].to_vec();
    large[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    for (bytes, words) in [
        (b"<svg/>".to_vec(), "is not a PNG, JPEG, WebP or GIF."),
        (large, "at most 16384 a side and 64 megapixels."),
    ] {
        let refused = house.generate(with("bad", vec![data(bytes)])).await;
        let status = refused.expect_err("unusable");
        assert_eq!(reason(&status), "REFERENCE_IMAGE_INVALID");
        assert!(status.message().ends_with(words), "{status:?}");
    }
    // Without its end it goes upstream as it was sent; what is made of it there is not ours to say.
    let half = png[..png.len() / 2].to_vec();
    let hash: String = Sha256::digest(&half)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let known = format!("({} bytes, sha256 {hash})", half.len());
    house.generate(with("half", vec![data(half)])).await.ok();
    let requests = house.mock.requests();
    let sent = requests[1].body["input_references"][0]["image_url"]["url"].to_string();
    assert!(sent.contains(&known), "{sent} instead of {known}");
    house.close().await;
}

#[tokio::test]
async fn more_references_than_the_model_takes_are_refused() {
    let house = House::open().await;
    let first = house.generate(request("first")).await.expect("a picture");
    let many = |count: usize| vec![made(&first.completed.id, 0); count];
    let status = house
        .generate(with("five", many(5)))
        .await
        .expect_err("klein takes four");
    assert_eq!(
        (
            reason(&status).as_str(),
            detail(&status, "position").as_str()
        ),
        ("REFERENCE_IMAGE_INVALID", "4")
    );
    house
        .generate(with("four", many(4)))
        .await
        .expect("four are taken");
    house.tool(|tool| tool.model = GPT.to_owned()).await;
    let status = house
        .generate(with("seventeen", many(17)))
        .await
        .expect_err("nobody takes seventeen");
    assert_eq!(detail(&status, "position"), "16");
    house.tool(|tool| tool.allow_reference_images = false).await;
    let status = house
        .generate(with("none", many(1)))
        .await
        .expect_err("not allowed");
    assert_eq!(reason(&status), "REFERENCE_IMAGE_INVALID");
    house.close().await;
}

#[tokio::test]
async fn another_organizations_picture_cannot_be_used() {
    let house = House::open().await;
    let first = house.generate(request("first")).await.expect("a picture");
    house.add_organization("other").await;
    let key = house.key("other", proto::Role::Admin).await;
    let theirs = with("theirs", vec![made(&first.completed.id, 0)]);
    let absent = with(
        "absent",
        vec![made("01890000-0000-7000-8000-000000000000", 0)],
    );
    let mut words = Vec::new();
    for asked in [theirs, absent] {
        let status = house
            .images(&key)
            .generate_image(asked)
            .await
            .expect_err("not theirs");
        words.push((reason(&status), status.message().to_owned()));
    }
    assert_eq!(words[0], words[1]);
    house.close().await;
}

#[tokio::test]
async fn a_changed_reference_is_another_request() {
    let house = House::open().await;
    house.tool(|tool| tool.model = NANO.to_owned()).await;
    let two = proto::GenerateImageRequest {
        count: 2,
        ..request("first")
    };
    let first = house.generate(two).await.expect("pictures");
    house
        .generate(with("same", vec![made(&first.completed.id, 0)]))
        .await
        .expect("a picture");
    let status = house
        .generate(with("same", vec![]))
        .await
        .expect_err("another request");
    assert_eq!(reason(&status), "IDEMPOTENCY_CONFLICT");
    house.close().await;
}
