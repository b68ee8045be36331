//! The image route: answers, refusals and the bill.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::mock::record::{REQUESTS_KEPT, Recorder};
use crate::mock::{RecordedRequest, Script};

#[tokio::test]
async fn a_minimal_request_gets_the_recorded_shape_and_a_picture_that_decodes() {
    let mock = start().await;
    let response = post(&mock, "/images", &minimal(SEEDREAM)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    let id = generation_id(&response);
    let (head, tail) = id.rsplit_once('-').expect("parts");
    assert!(head.starts_with("gen-") && tail.len() == 20, "{id}");
    let body = json_of(response).await;
    assert_has_keys_of(&body, &sample("images-200-jpeg-n2"));
    assert_eq!(body["data"][0]["media_type"], "image/png");
    let base64 = body["data"][0]["b64_json"].as_str().expect("text");
    assert_eq!(decoded_size(base64), (1024, 1024));
    assert_eq!(
        body["usage"]["completion_tokens_details"]["image_tokens"],
        4175
    );
}

#[tokio::test]
async fn the_answer_follows_count_shape_and_resolution() {
    let mock = start().await;
    let mut wish = minimal(SEEDREAM);
    wish["n"] = json!(2);
    wish["aspect_ratio"] = json!("16:9");
    wish["resolution"] = json!("2K");
    let body = json_of(post(&mock, "/images", &wish).await).await;
    let pictures = body["data"].as_array().expect("a list");
    assert_eq!(pictures.len(), 2);
    assert_ne!(pictures[0]["b64_json"], pictures[1]["b64_json"]);
    assert_eq!(
        decoded_size(pictures[0]["b64_json"].as_str().expect("text")),
        (2688, 1536)
    );
    assert_eq!(body["usage"]["completion_tokens"], 8350);
    assert_eq!(mock.total_billed(), Decimal::new(8, 2));
}

#[tokio::test]
async fn explicit_pixels_win() {
    let mock = start().await;
    let mut wish = minimal("black-forest-labs/flux.2-pro");
    wish["size"] = json!("1536x1024");
    let body = json_of(post(&mock, "/images", &wish).await).await;
    let base64 = body["data"][0]["b64_json"].as_str().expect("text");
    assert_eq!(decoded_size(base64), (1536, 1024));
    assert_eq!(mock.total_billed(), Decimal::new(45, 3));
}

#[tokio::test]
async fn the_bill_names_the_call_but_not_the_key() {
    let mock = start().await;
    let mut wish = minimal(SEEDREAM);
    wish["session_id"] = json!("session-7");
    wish["user"] = json!("agent-9");
    let response = post(&mock, "/images", &wish).await;
    let id = generation_id(&response);
    response.bytes().await.expect("a whole body");
    let bill = mock.bill();
    let [entry] = bill.as_slice() else {
        panic!("one entry, not {bill:?}")
    };
    assert_eq!(entry.generation_id, id);
    assert_eq!(entry.model, SEEDREAM);
    assert_eq!((entry.images, entry.cost), (1, Decimal::new(4, 2)));
    assert_eq!(entry.session_id.as_deref(), Some("session-7"));
    assert_eq!(entry.user.as_deref(), Some("agent-9"));
    assert!(entry.billed && !entry.cancelled);
    let everything = format!("{bill:?}{:?}{mock:?}", mock.requests());
    assert!(!everything.contains("sk-test"));
}

#[tokio::test]
async fn the_cost_is_written_digit_by_digit() {
    let mock = start().await;
    let text = post(&mock, "/images", &minimal("openai/gpt-5-image-mini"))
        .await
        .text()
        .await;
    let text = text.expect("a whole body");
    // 20 characters of prompt are 5 tokens at 2.50 per million, 1290 image tokens at 8.
    assert!(
        text.contains("\"cost\":0.0103325,"),
        "{}",
        &text[text.len() - 600..]
    );
    assert_eq!(mock.total_billed(), "0.0103325".parse().expect("a decimal"));
}

#[tokio::test]
async fn what_openrouter_refuses_is_refused_in_its_shape() {
    let mock = start().await;
    let with = |field: &str, value: Value| {
        let mut wish = minimal(SEEDREAM);
        wish[field] = value;
        wish
    };
    let reference = json!({ "type": "image_url", "image_url": { "url": "https://a.test/b.png" } });
    let mut mismatch = with("size", json!("1344x768"));
    mismatch["aspect_ratio"] = json!("1:1");
    let mut too_many = minimal("black-forest-labs/flux.2-pro");
    too_many["n"] = json!(2);
    let refused = [
        (minimal("acme/fake-1.0"), 404),
        (minimal("example/chat-only-image"), 404),
        (minimal("openai/gpt-4"), 404),
        (too_many, 400),
        (with("n", json!(11)), 400),
        (with("n", json!(0)), 400),
        (with("aspect_ratio", json!("7:3")), 400),
        (with("resolution", json!("8K")), 400),
        (with("size", json!("9000x9000")), 400),
        (mismatch, 400),
        (with("prompt", json!("")), 400),
        (with("prompt", Value::Null), 400),
        (with("input_references", json!(vec![reference; 15])), 400),
        (with("input_references", json!(["a"])), 400),
    ];
    for (wish, status) in refused {
        let response = post(&mock, "/images", &wish).await;
        assert_eq!(response.status(), status, "{wish}");
        generation_id(&response);
        let body = json_of(response).await;
        assert_has_keys_of(&body, &sample("err-400-invalid-request"));
        assert_eq!(body["error"]["code"], status);
    }
    assert!(mock.bill().is_empty());
}

#[tokio::test]
async fn a_call_without_a_key_is_refused_as_recorded() {
    let mock = start().await;
    let request = client().post(format!("{}/images", mock.base_url()));
    let response = request
        .body(minimal(SEEDREAM).to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 401);
    assert_eq!(json_of(response).await, sample("err-401-missing-key"));
}

#[tokio::test]
async fn text_that_is_not_json_is_refused() {
    let mock = start().await;
    let request = client()
        .post(format!("{}/images", mock.base_url()))
        .bearer_auth("sk-test");
    let response = request.body("{\"model\":").send().await.expect("an answer");
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn a_native_streamer_streams_and_others_answer_json() {
    let mock = start().await;
    let mut wish = minimal("openai/gpt-5-image");
    wish["stream"] = json!(true);
    let response = post(&mock, "/images", &wish).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a whole stream");
    let mut lines = text.lines().filter(|line| !line.is_empty());
    assert_eq!(lines.next(), Some(": OPENROUTER PROCESSING"));
    let mut events: Vec<&str> = lines
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(events.pop(), Some("[DONE]"));
    let events: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    assert_eq!(events[0]["type"], "image_generation.partial_image");
    assert_eq!(events[1]["type"], "image_generation.completed");
    assert_eq!(
        decoded_size(events[1]["b64_json"].as_str().expect("text")),
        (1024, 1024)
    );
    assert_eq!(events[1]["usage"]["completion_tokens"], 1290);
    assert_eq!(mock.bill().len(), 1);

    let mut wish = minimal(SEEDREAM);
    wish["stream"] = json!(true);
    let response = post(&mock, "/images", &wish).await;
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn references_are_priced_and_recorded_by_hash() {
    let mock = start().await;
    mock.script(Script::sample("err-502").for_prompt("another prompt"));
    let picture = sample("images-200-png-with-reference")["data"][0]["b64_json"].clone();
    let url = format!("data:image/png;base64,{}", picture.as_str().expect("text"));
    let reference = json!({ "type": "image_url", "image_url": { "url": url } });
    let mut wish = minimal("sourceful/riverflow-v2-fast");
    wish["input_references"] = json!([reference]);
    let response = post(&mock, "/images", &wish).await;
    assert_eq!(response.status(), 200);
    response.bytes().await.expect("a whole body");
    assert_eq!(mock.total_billed(), Decimal::new(22, 2));
    let recorded = &mock.requests()[0].body["input_references"][0]["image_url"]["url"];
    let recorded = recorded.as_str().expect("text");
    assert!(recorded.starts_with("data:image/png;base64,(") && recorded.contains("sha256 "));
    assert_eq!(mock.scripts_left(), 1);
}

#[test]
fn only_the_last_requests_are_remembered() {
    let recorder = Recorder::default();
    for number in 0..REQUESTS_KEPT + 2 {
        let request = RecordedRequest {
            method: "GET".to_owned(),
            path: number.to_string(),
            query: String::new(),
            headers: BTreeMap::new(),
            body: Value::Null,
        };
        recorder.record(request, false);
    }
    let requests = recorder.requests();
    assert_eq!(requests.len(), REQUESTS_KEPT);
    assert_eq!(requests[0].path, "2");
}
