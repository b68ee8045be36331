//! What the mock remembers of the requests it got.
//!
//! API keys are never kept, and pictures only by length and hash, so that a recording can be shown
//! and stays small.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, header};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

/// How many requests are kept.
pub(crate) const REQUESTS_KEPT: usize = 10_000;
/// Longer texts in a recorded body are cut to this many bytes.
const TEXT_BYTES_KEPT: usize = 4096;
/// Bodies that are still longer than this as JSON are dropped from the recording.
const BODY_BYTES_KEPT: usize = 64 * 1024;

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordedRequest {
    /// The HTTP method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The query without the question mark; empty if there is none.
    pub query: String,
    /// Headers by lower-case name. `authorization` tells only the fingerprint of the key.
    pub headers: BTreeMap<String, String>,
    /// The JSON body; null if there is none. Data URLs are replaced by length and SHA-256.
    pub body: Value,
}

/// The last requests, and how many paid ones there were.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    requests: Mutex<VecDeque<RecordedRequest>>,
    paid: watch::Sender<usize>,
}

impl Recorder {
    pub(crate) fn record(&self, request: RecordedRequest, paid: bool) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == REQUESTS_KEPT {
            requests.pop_front();
        }
        requests.push_back(request);
        drop(requests);
        if paid {
            self.paid.send_modify(|count| *count += 1);
        }
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().cloned().collect()
    }

    /// Resolves when this many paid requests have come in since the start.
    pub(crate) async fn paid_arrived(&self, count: usize) {
        let _ = self.paid.subscribe().wait_for(|now| *now >= count).await;
    }
}

/// The headers with the key replaced by its fingerprint.
pub(crate) fn headers_of(
    headers: &HeaderMap,
    key_fingerprint: Option<&str>,
) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for (name, value) in headers {
        let text = if *name == header::AUTHORIZATION {
            format!("Bearer (key {})", key_fingerprint.unwrap_or("missing"))
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        kept.insert(name.as_str().to_owned(), text);
    }
    kept
}

/// The body with everything long replaced by what identifies it.
pub(crate) fn shortened(body: &Value) -> Value {
    let short = shorten(body);
    let length = short.to_string().len();
    if length > BODY_BYTES_KEPT {
        Value::from(format!("({length} bytes of JSON)"))
    } else {
        short
    }
}

fn shorten(value: &Value) -> Value {
    match value {
        Value::String(text) => short_text(text).unwrap_or_else(|| text.clone()).into(),
        Value::Array(items) => items.iter().map(shorten).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, field)| (name.clone(), shorten(field)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn short_text(text: &str) -> Option<String> {
    if text.starts_with("data:")
        && let Some((head, payload)) = text.split_once(',')
    {
        let bytes = base64_simd::STANDARD.decode_to_vec(payload);
        let bytes = bytes.unwrap_or_else(|_| payload.as_bytes().to_vec());
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        return Some(format!("{head},({} bytes, sha256 {hash})", bytes.len()));
    }
    if text.len() <= TEXT_BYTES_KEPT {
        return None;
    }
    let end = text.floor_char_boundary(TEXT_BYTES_KEPT);
    let kept = text.get(..end)?;
    Some(format!("{kept}… ({} bytes)", text.len()))
}
