//! What is sent, against the recorded requests.

use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::*;
use crate::domain::shape::{AspectRatio, Background, OutputFormat, PixelSize, Quality, Resolution};
use crate::openrouter::base64::encode;

/// The fields that every request of ours has beside those of the order.
const ALWAYS: [&str; 4] = ["stream", "user", "session_id", "trace"];

/// What arrives at OpenRouter.
async fn sent(order: &Order) -> (server::Seen, Value) {
    let server = Server::replying(vec![Reply::new(400, &[], b"")]).await;
    let refused = outcome(&client(&server.url), order).await;
    assert!(refused.ending.is_err());
    let seen = server.requests().remove(0);
    let body = serde_json::from_slice(&seen.body).expect("JSON");
    (seen, body)
}

/// Takes these fields out and returns them.
fn take(body: &mut Value, names: &[&str]) -> Vec<Option<Value>> {
    let fields = body.as_object_mut().expect("an object");
    names.iter().map(|name| fields.remove(*name)).collect()
}

fn tiny_png() -> Vec<u8> {
    let sample = sample("images-200-png-with-reference.json");
    let body: Value = serde_json::from_str(sample.body.get()).expect("JSON");
    let text = body["data"][0]["b64_json"].as_str().expect("a picture");
    base64_simd::STANDARD.decode_to_vec(text).expect("base64")
}

#[tokio::test]
async fn the_smallest_order_is_the_smallest_request() {
    let recorded = sample("req-images-minimal.json")
        .request_body
        .expect("a request");
    let order = Order {
        prompt: recorded["prompt"].as_str().expect("text").into(),
        ..images_order()
    };
    let (seen, mut body) = sent(&order).await;
    let ours = take(&mut body, &ALWAYS);
    assert_eq!(body, recorded);
    let trace = json!({"trace_id": GENERATION, "generation_name": "generate_image"});
    let expected = [json!(false), json!("org-tag"), json!(GENERATION), trace];
    assert_eq!(ours, expected.map(Some));
    assert_eq!(seen.line, "POST /api/v1/images HTTP/1.1");
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    assert!(!seen.headers.contains_key("accept-encoding"));
}

#[tokio::test]
async fn every_field_of_the_images_door_is_spelled_as_recorded() {
    let mut recorded = sample("req-images-full.json")
        .request_body
        .expect("a request");
    let order = Order {
        prompt: "a lighthouse at dusk".into(),
        aspect_ratio: AspectRatio::parse("16:9"),
        resolution: Some(Resolution::R1K),
        quality: Some(Quality::Auto),
        output_format: Some(OutputFormat::Png),
        background: Some(Background::Auto),
        seed: Some(42),
        references: vec![reference(&tiny_png())],
        ..order("black-forest-labs/flux.2-pro", Door::Images)
    };
    let (_, mut body) = sent(&order).await;
    take(&mut body, &ALWAYS);
    take(&mut recorded, &ALWAYS);
    // One is the default; compression and provider preferences are not ours to choose; pictures
    // are never sent as links.
    take(&mut recorded, &["n", "output_compression", "provider"]);
    recorded["input_references"]
        .as_array_mut()
        .expect("an array")
        .pop();
    assert_eq!(body, recorded);
}

#[tokio::test]
async fn several_pictures_explicit_pixels_and_every_reference_are_asked_for() {
    let pictures: Vec<Vec<u8>> = [0, 1, 2, 49_151, 49_152, 49_153, 200_001]
        .map(|length| (0..length).map(|i: u32| i.to_le_bytes()[0]).collect())
        .into();
    let order = Order {
        count: 3,
        size: Some(PixelSize {
            width: 2048,
            height: 1152,
        }),
        references: pictures.iter().map(|picture| reference(picture)).collect(),
        prompt: "\"quotes\" \\ and\nlines, 狐".into(),
        ..images_order()
    };
    let (seen, body) = sent(&order).await;
    assert_eq!(body["n"], 3);
    assert_eq!(body["size"], "2048x1152");
    assert_eq!(body["prompt"], "\"quotes\" \\ and\nlines, 狐");
    let sent: Vec<_> = body["input_references"]
        .as_array()
        .expect("an array")
        .clone();
    let expected: Vec<_> = pictures
        .iter()
        .map(|picture| format!("data:image/png;base64,{}", encode(picture)))
        .map(|url| json!({"type": "image_url", "image_url": {"url": url}}))
        .collect();
    assert!(sent == expected);
    // The length was known before the first byte of a picture was read.
    assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    assert!(!seen.headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn the_chat_door_is_asked_as_recorded() {
    let mut recorded = sample("req-chat-image.json")
        .request_body
        .expect("a request");
    let order = Order {
        prompt: "Put this cat on the moon".into(),
        aspect_ratio: AspectRatio::parse("16:9"),
        resolution: Some(Resolution::R2K),
        references: vec![reference(&tiny_png())],
        ..order("google/gemini-3-pro-image-preview", Door::Chat)
    };
    let (seen, mut body) = sent(&order).await;
    assert_eq!(seen.line, "POST /api/v1/chat/completions HTTP/1.1");
    take(&mut body, &ALWAYS);
    take(&mut recorded, &ALWAYS);
    // Ours leaves room for thinking; provider preferences are the account's.
    assert_eq!(take(&mut body, &["max_tokens"]), [Some(json!(16_384))]);
    take(&mut recorded, &["max_tokens", "provider"]);
    assert_eq!(body, recorded);
}

#[tokio::test]
async fn a_model_that_cannot_write_is_asked_for_pictures_only() {
    let order = Order {
        resolution: Some(Resolution::R512),
        quality: Some(Quality::High),
        seed: Some(-1),
        ..order("black-forest-labs/flux.2-pro", Door::Chat)
    };
    let (_, body) = sent(&order).await;
    assert_eq!(body["modalities"], json!(["image"]));
    assert_eq!(
        body["image_config"],
        json!({"image_size": "0.5K", "quality": "high"})
    );
    assert_eq!(body["seed"], -1);
    let content = json!([{"type": "text", "text": "a red panda"}]);
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": content}])
    );
    let bare = self::order("black-forest-labs/flux.2-pro", Door::Chat);
    assert_eq!(sent(&bare).await.1.get("image_config"), None);
}
