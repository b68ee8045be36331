//! The chat route against its recorded answers.

use serde_json::{Value, json};

use super::*;
use crate::mock::Script;

const GEMINI: &str = "google/gemini-3-pro-image-preview";
const PATH: &str = "/chat/completions";

fn picture_of(body: &Value) -> &str {
    let url = body
        .pointer("/choices/0/message/images/0/image_url/url")
        .and_then(Value::as_str);
    url.and_then(|url| url.strip_prefix("data:image/png;base64,"))
        .expect("a data URL")
}

#[tokio::test]
async fn a_picture_comes_beside_the_text_in_the_recorded_shape() {
    let mock = start().await;
    let mut wish = chat(GEMINI, &["image", "text"]);
    wish["image_config"] = json!({ "aspect_ratio": "16:9", "image_size": "2K" });
    let response = post(&mock, PATH, &wish).await;
    let id = generation_id(&response);
    let body = json_of(response).await;
    let mut recorded = sample("chat-200-gemini-image");
    // Details that only this provider reports, and only sometimes.
    recorded["usage"]["prompt_tokens_details"] = json!({ "cached_tokens": 0 });
    recorded["usage"]["completion_tokens_details"] = json!({ "image_tokens": 0 });
    assert_has_keys_of(&body, &recorded);
    assert!(body.get("system_fingerprint").is_some());
    assert_eq!(body["id"], id.as_str());
    assert_eq!(body["choices"][0]["native_finish_reason"], "STOP");
    assert_eq!(decoded_size(picture_of(&body)), (2688, 1536));
}

#[tokio::test]
async fn models_that_only_chat_reaches_draw_there() {
    let mock = start().await;
    for (model, modalities) in [
        ("example/chat-only-image", &["image", "text"][..]),
        ("example/chat-only-picture", &["image"][..]),
        (SEEDREAM, &["image"][..]),
    ] {
        let body = json_of(post(&mock, PATH, &chat(model, modalities)).await).await;
        assert_eq!(decoded_size(picture_of(&body)), (1024, 1024), "{model}");
    }
    assert_eq!(mock.bill().len(), 3);
}

#[tokio::test]
async fn text_from_an_image_only_model_is_refused_as_recorded() {
    let mock = start().await;
    let response = post(&mock, PATH, &chat(SEEDREAM, &["image", "text"])).await;
    assert_eq!(response.status(), 404);
    assert_eq!(json_of(response).await, sample("err-404-modalities"));
}

#[tokio::test]
async fn without_the_image_modality_only_text_comes() {
    let mock = start().await;
    for wish in [chat(GEMINI, &["text"]), chat("openai/gpt-4", &["text"])] {
        let body = json_of(post(&mock, PATH, &wish).await).await;
        let message = &body["choices"][0]["message"];
        assert!(
            message["content"].is_string() && message.get("images").is_none(),
            "{message}"
        );
        assert_eq!(
            body["usage"]["completion_tokens_details"]["image_tokens"],
            0
        );
    }
    let mut unsaid = chat(GEMINI, &[]);
    unsaid
        .as_object_mut()
        .expect("an object")
        .remove("modalities");
    let body = json_of(post(&mock, PATH, &unsaid).await).await;
    assert!(body["choices"][0]["message"].get("images").is_none());
    let mut unsaid = chat(SEEDREAM, &[]);
    unsaid
        .as_object_mut()
        .expect("an object")
        .remove("modalities");
    let body = json_of(post(&mock, PATH, &unsaid).await).await;
    picture_of(&body);
}

#[tokio::test]
async fn an_unknown_model_is_refused_in_the_second_shape() {
    let mock = start().await;
    let response = post(&mock, PATH, &chat("acme/fake-1.0", &["image"])).await;
    assert_eq!(response.status(), 400);
    assert_eq!(
        json_of(response).await,
        sample("err-400-model-not-found-availability")
    );
}

#[tokio::test]
async fn requests_that_no_endpoint_takes_are_refused() {
    let mock = start().await;
    let mut tools = chat(GEMINI, &["image", "text"]);
    tools["tools"] = json!([{ "type": "function" }]);
    let mut file = chat(GEMINI, &["image"]);
    file["messages"][0]["content"] = json!([{ "type": "file", "file": {} }]);
    let mut silent = chat(GEMINI, &["image"]);
    silent["messages"] = json!([]);
    for (wish, status) in [(tools, 404), (file, 400), (silent, 400)] {
        assert_eq!(post(&mock, PATH, &wish).await.status(), status, "{wish}");
    }
}

#[tokio::test]
async fn a_stream_has_comments_one_line_of_pictures_and_usage_last() {
    let mock = start().await;
    let mut wish = chat(GEMINI, &["image", "text"]);
    wish["stream"] = json!(true);
    let response = post(&mock, PATH, &wish).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.expect("a whole stream");
    assert!(text.starts_with(": OPENROUTER PROCESSING\n\n"));
    let mut events: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(events.pop(), Some("[DONE]"));
    let chunks: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str(event).expect("JSON"))
        .collect();
    let url = chunks.iter().find_map(|chunk| {
        chunk
            .pointer("/choices/0/delta/images/0/image_url/url")
            .and_then(Value::as_str)
    });
    let base64 = url.and_then(|url| url.strip_prefix("data:image/png;base64,"));
    assert_eq!(decoded_size(base64.expect("a picture")), (1024, 1024));
    let last = chunks.last().expect("a chunk");
    assert!(last["usage"]["cost"].is_number());
    assert!(
        chunks
            .iter()
            .rev()
            .skip(1)
            .all(|chunk| chunk.get("usage").is_none())
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.get("system_fingerprint").is_some())
    );
}

#[tokio::test]
async fn a_refusal_shows_as_each_provider_was_seen_to_show_it() {
    let mock = start().await;
    mock.script(Script::images(0).times(2));
    let google = json_of(post(&mock, PATH, &chat(GEMINI, &["image", "text"])).await).await;
    let choice = &google["choices"][0];
    assert!(choice["message"]["content"].is_string());
    assert_eq!(
        (&choice["finish_reason"], &choice["native_finish_reason"]),
        (&json!("stop"), &json!("STOP"))
    );
    let wish = chat("openai/gpt-5-image", &["image", "text"]);
    let openai = json_of(post(&mock, PATH, &wish).await).await;
    let choice = &openai["choices"][0];
    assert_eq!(choice["message"]["content"], Value::Null);
    assert_eq!(choice["finish_reason"], Value::Null);
    assert!(choice["message"].get("images").is_none());
}
