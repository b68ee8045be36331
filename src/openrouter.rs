//! The door out: the only room that knows HTTP clients. It keeps [`crate::ports::ImageProvider`]
//! with OpenRouter, and holds no picture: references are encoded while they are sent, answers
//! decoded while they arrive, and the memory of a call is bounded by constants. It keeps
//! [`crate::ports::Lister`] as well, for the models and their prices.
//!
//! Upstream is not trusted. Every field of it is optional, every size has a cap, redirects are
//! errors (following one would carry the key along), and what it says is cut and cleaned before
//! anybody reads it.

use std::time::Duration;

use secrecy::SecretString;

mod base64;
mod budget;
mod classify;
mod client;
mod decoder;
mod discretion;
mod drawing;
mod error_body;
mod failures;
mod lenient;
mod lists;
mod presentable;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod probe;
mod quotes;
mod records;
mod request;
mod splice;
mod sse;
mod summary;
mod wire;

pub use client::Client;
pub use lists::Lists;
pub use wire::KeyUsage;

/// Where OpenRouter is, how to pay it, and how long and how much it may answer.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address of the API, such as `https://openrouter.ai/api/v1`.
    pub base_url: String,
    /// The key that is sent with every call.
    pub api_key: SecretString,
    /// How long a whole call may take, unless the order's deadline is nearer.
    pub total_timeout: Duration,
    /// How long a connection may take to be made, TLS included.
    pub connect_timeout: Duration,
    /// How long an answer may pause once its data has begun. Until then only the total applies:
    /// a picture takes minutes, and it is not known whether the headers wait for it. White space
    /// and comments before the data do not begin it.
    pub idle_timeout: Duration,
    /// The most bytes of one answer.
    pub body_cap_bytes: u64,
    /// The most decoded bytes of one picture.
    pub image_cap_bytes: u64,
    /// The longest first wait before another try, when upstream names none; doubled for the
    /// second. The wait is random below it ("full jitter").
    pub backoff: Duration,
}

impl Config {
    /// OpenRouter at this address with this key, within the usual limits (`api.md`, Limits).
    pub fn new(base_url: impl Into<String>, api_key: SecretString) -> Self {
        Self {
            base_url: base_url.into(),
            api_key,
            // `reliability.md` row 41.
            total_timeout: Duration::from_secs(180),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            body_cap_bytes: 64 << 20,
            image_cap_bytes: 48 << 20,
            backoff: Duration::from_millis(500),
        }
    }
}

/// Chooses ring for all TLS of this process, once; a second call changes nothing. Without a choice
/// the first client would panic.
pub fn install_crypto() {
    // An error means that a choice was made before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
