//! Refusals: whatever upstream writes, what is made of it can be acted on and logged.

use std::time::Duration;

use jiff::Timestamp;

use super::answers::check_failure;
use crate::openrouter::probe;
use crate::ports::Billed;

/// Stands for the secret in an input.
const SECRET_BYTE: u8 = 1;

/// Stands for the secret without what makes it known as a key.
const BARE_SECRET_BYTE: u8 = 2;

/// Stands for a blob, so that small inputs make long messages.
const BLOB_BYTE: u8 = b'~';
const BLOB_BYTES: usize = 200;

/// The beginning of a key as OpenRouter's are, and its end, of which nothing may be seen that could
/// help anybody.
const SECRET_HEAD: &str = "sk-or-v1-";
const SECRET: &str = "7c1e0f93b5d24a68970a1c3e5b7d9f02468ace13579bdf00112233445566778f";

/// Letters of the secret in a row that would be a part of it.
const PART_BYTES: usize = 8;

/// Some moment: dates in `Retry-After` count from it.
const NOW_SECOND: i64 = 1_795_392_000;

/// The longest wait that is believed.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn check(data: &[u8]) {
    let head_length = data.iter().position(|byte| *byte == b'\n');
    let (head, body) = data.split_at(head_length.unwrap_or(0));
    let head = String::from_utf8_lossy(head);
    let (status, advised) = match head.split_once(' ') {
        Some((status, advised)) => (status, Some(advised)),
        None => (&*head, None),
    };
    // Answers of status 2xx are no refusals.
    let status = status.parse().unwrap_or(500).clamp(300, 999);
    let body = with_secret(body);
    let now = Timestamp::from_second(NOW_SECOND).unwrap_or_default();
    let (error, retryable) = probe::refusal(status, advised, now, &body);
    check_failure(&error);
    assert!(!error.detail.is_empty(), "a failure says something");
    assert!(error.detail.starts_with("HTTP "), "{}", error.detail);
    assert!(error.retry_after.is_none_or(|wait| wait <= WAIT_MAX));
    assert!(error.cost.is_none(), "a refusal costs nothing that it says");
    assert!(!retryable || error.billed == Billed::No, "{error}");
    assert!(
        error.billed == Billed::No || error.billed == Billed::Perhaps,
        "a refusal is an answer: {error}"
    );
    check_secret(&error.detail);
}

fn check_secret(detail: &str) {
    for part in SECRET.as_bytes().windows(PART_BYTES) {
        let seen = memchr::memmem::find(detail.as_bytes(), part).is_some();
        assert!(!seen, "a part of a key: {detail}");
    }
}

fn with_secret(body: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(body.len());
    for byte in body {
        match *byte {
            SECRET_BYTE => shown.extend([SECRET_HEAD, SECRET].concat().bytes()),
            BARE_SECRET_BYTE => shown.extend(SECRET.bytes()),
            BLOB_BYTE => shown.resize(shown.len() + BLOB_BYTES, b'A'),
            plain => shown.push(plain),
        }
    }
    shown
}
