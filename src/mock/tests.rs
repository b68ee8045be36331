//! The mock against the recorded answers, and each script against a real client.

mod chat;
mod images;
mod lists;
mod pace;
mod pictures;
mod prices;
mod scripts;

use std::net::{Ipv4Addr, SocketAddr};

use base64_simd::STANDARD;
use reqwest::{Client, Response};
use serde_json::{Value, json};

use super::{Mock, Options};

const SEEDREAM: &str = "bytedance-seed/seedream-4.5";

async fn start() -> Mock {
    start_with(Options::default()).await
}

async fn start_with(options: Options) -> Mock {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Mock::start(any, options).await.expect("a free port")
}

fn client() -> Client {
    // Another test may have been first: one provider serves the whole process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().expect("a client")
}

async fn post(mock: &Mock, path: &str, body: &Value) -> Response {
    let request = client().post(format!("{}{path}", mock.base_url()));
    let request = request.bearer_auth("sk-test").body(body.to_string());
    request.send().await.expect("an answer")
}

async fn get(mock: &Mock, path: &str) -> Response {
    let request = client().get(format!("{}{path}", mock.base_url()));
    request
        .bearer_auth("sk-test")
        .send()
        .await
        .expect("an answer")
}

async fn json_of(response: Response) -> Value {
    let text = response.text().await.expect("a whole body");
    serde_json::from_str(&text).expect("JSON")
}

fn generation_id(response: &Response) -> String {
    let header = response
        .headers()
        .get("x-generation-id")
        .expect("a generation id");
    header.to_str().expect("text").to_owned()
}

fn minimal(model: &str) -> Value {
    json!({ "model": model, "prompt": "a lighthouse at dusk" })
}

fn chat(model: &str, modalities: &[&str]) -> Value {
    json!({
        "model": model,
        "messages": [{ "role": "user", "content": "a lighthouse at dusk" }],
        "modalities": modalities,
    })
}

/// Width and height of a PNG that decodes to the last pixel.
fn decoded_size(base64: &str) -> (u32, u32) {
    let file = STANDARD.decode_to_vec(base64).expect("base64");
    let decoder = png::Decoder::new(std::io::Cursor::new(file));
    let mut reader = decoder.read_info().expect("a PNG head");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let frame = reader.next_frame(&mut pixels).expect("all pixels");
    reader.finish().expect("all chunks, checksums included");
    (frame.width, frame.height)
}

/// All keys of an object and of the objects in it, as paths; lists count by their first item.
fn key_paths(value: &Value, at: &str, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{at}/{name}");
                paths.push(path.clone());
                key_paths(field, &path, paths);
            }
        }
        Value::Array(items) => {
            if let Some(first) = items.first() {
                key_paths(first, &format!("{at}/0"), paths);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Everything that the sample has is in the answer too.
fn assert_has_keys_of(answer: &Value, sample: &Value) {
    let (mut there, mut wanted) = (Vec::new(), Vec::new());
    key_paths(answer, "", &mut there);
    key_paths(sample, "", &mut wanted);
    wanted.retain(|path| !there.contains(path));
    assert!(wanted.is_empty(), "missing: {wanted:?} in {there:?}");
}

/// The body of a recorded answer.
fn sample(name: &str) -> Value {
    let errors: Value = serde_json::from_str(include_str!("data/errors.json")).expect("JSON");
    let answers: Value = serde_json::from_str(include_str!("data/answers.json")).expect("JSON");
    let found = errors
        .get(name)
        .or_else(|| answers.get(name))
        .expect("a sample of this name");
    found["body"].clone()
}
