//! Calls: one order, one answer, and at most two more tries of what surely was not billed.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::{Instant, sleep, timeout_at};

use super::budget::RetryBudget;
use super::classify::{Refusal, RefusalBody, retry_after};
use super::discretion::Discretion;
use super::drawing::Answer;
use super::failures::{chain, unsent};
use super::request::{Outgoing, UploadFault, path};
use super::summary::believable_id;
use super::{Config, install_crypto};
use crate::ports::{
    Bill, Billed, DrawCause, DrawError, Drawing, ImageProvider, KeyRecord, Order, UpstreamKey,
};

/// Tries after the first (`reliability.md` row 30).
pub(super) const MAX_RETRIES: u32 = 2;

/// The longest `Retry-After` that is waited for; longer ones are for the caller to decide
/// (`api.md`, Limits).
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Spread on top of `Retry-After`, so that calls refused together do not return together.
pub(super) const RETRY_AFTER_SPREAD: Duration = Duration::from_millis(250);

/// With less than this left to the deadline another try is pointless.
const LEAST_USEFUL: Duration = Duration::from_secs(1);

/// The most bytes of an error or a record that are read.
pub(super) const SMALL_BODY_CAP_BYTES: usize = 64 << 10;

/// Per stream: with 200 slow readers 50 MiB may be in flight, and at 50 ms to OpenRouter a
/// picture still comes with 5 MB/s.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// Per connection: enough that slow readers do not starve the others.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// Bytes of the fingerprint of the platform's key: enough to tell keys apart, and nothing to guess a
/// key from, which is long and random.
const FINGERPRINT_BYTES: usize = 8;

/// The header that names the call before its body.
const GENERATION_ID: &str = "x-generation-id";

/// OpenRouter, as far as pictures go.
#[derive(Debug)]
pub struct Client {
    config: Config,
    pub(super) http: reqwest::Client,
    budget: RetryBudget,
}

/// A try that brought no answer.
struct Failed {
    error: DrawError,
    /// It surely was not billed, and may go better in a moment.
    retryable: bool,
}

impl Client {
    /// A client with an empty pool of connections.
    ///
    /// # Errors
    /// If the address is no URL, the key no header value, or TLS cannot be set up.
    pub fn new(config: Config) -> Result<Self, reqwest::Error> {
        let http = http(&config)?;
        let client = Self {
            config,
            http,
            budget: RetryBudget::default(),
        };
        // Address and key are tried now rather than at the first call.
        let request = client.http.get(client.url("key"));
        client.keyed(request, &UpstreamKey::Platform).build()?;
        Ok(client)
    }

    pub(super) fn url(&self, path: &str) -> String {
        url(&self.config, path)
    }

    /// A request that asks for JSON with this key.
    pub(super) fn keyed(&self, request: RequestBuilder, key: &UpstreamKey) -> RequestBuilder {
        request
            .bearer_auth(self.secret(key).expose_secret())
            .header(ACCEPT, "application/json")
    }

    /// The key itself.
    pub(super) const fn secret<'a>(&'a self, key: &'a UpstreamKey) -> &'a SecretString {
        match key {
            UpstreamKey::Platform => &self.config.api_key,
            UpstreamKey::Organization(secret) => secret,
        }
    }

    async fn attempt(
        &self,
        url: &str,
        (outgoing, order): (&Outgoing, &Order),
        deadline: Instant,
    ) -> Result<Answer, Failed> {
        let discretion = Discretion::of_order(order, self.secret(&order.key));
        if Instant::now() >= deadline {
            let error = unsent(DrawCause::Timeout, "no time left to send it");
            return Err(Failed::finally(error));
        }
        let fault = UploadFault::default();
        let request = self
            .keyed(self.http.post(url), &order.key)
            .header(CONTENT_TYPE, "application/json")
            .body(outgoing.body(fault.clone()));
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let failed = Failed::on_the_way(error, &fault);
                return Err(Failed {
                    error: discretion.error(failed.error),
                    ..failed
                });
            }
            Err(_) => return Err(Failed::finally(too_late())),
        };
        let upstream_id = discretion.id(generation_id(response.headers()));
        if response.status().is_success() {
            let call = (upstream_id, discretion);
            return Ok(Answer::new(response, call, deadline, &self.config));
        }
        let refusal = self.refusal(response, upstream_id, deadline).await;
        let error = refusal.to_error();
        Err(Failed {
            retryable: refusal.is_retryable(&error),
            error: discretion.error(error),
        })
    }

    pub(super) async fn refusal(
        &self,
        response: Response,
        upstream_id: Option<String>,
        deadline: Instant,
    ) -> Refusal {
        let until = deadline.min(Instant::now() + self.config.idle_timeout);
        refusal_of(response, upstream_id, until).await
    }

    /// How long to wait before another try, which must begin before `latest`; `None` if there is
    /// to be none.
    fn wait(&self, failed: &Failed, tries: u32, latest: Instant) -> Option<Duration> {
        if !failed.retryable || tries > MAX_RETRIES {
            return None;
        }
        let wait = match failed.error.retry_after {
            Some(advised) if advised > RETRY_AFTER_MAX => return None,
            Some(advised) => advised + below(RETRY_AFTER_SPREAD),
            None => below(self.config.backoff * (1 << (tries - 1))),
        };
        let in_time = Instant::now() + wait < latest;
        (in_time && self.budget.withdraw()).then_some(wait)
    }
}

#[async_trait]
impl ImageProvider for Client {
    async fn draw(&self, order: &Order) -> Result<Box<dyn Drawing>, DrawError> {
        let deadline = order
            .deadline
            .min(Instant::now() + self.config.total_timeout);
        let url = self.url(path(order.model.door));
        let outgoing = Outgoing::new(order)
            .map_err(|error| unsent(DrawCause::InvalidRequest, &error.to_string()))?;
        self.budget.deposit();
        let latest = deadline
            .checked_sub(LEAST_USEFUL)
            .map_or(deadline, |latest| latest.min(order.retry_until));
        let mut tries = 0;
        loop {
            tries += 1;
            let failed = match self.attempt(&url, (&outgoing, order), deadline).await {
                Ok(answer) => return Ok(Box::new(answer)),
                Err(failed) => failed,
            };
            let Some(wait) = self.wait(&failed, tries, latest) else {
                return Err(failed.error);
            };
            tracing::info!(generation = %order.generation, error = %failed.error, ?wait, "trying again");
            sleep(wait).await;
        }
    }

    async fn bill_of(&self, upstream_id: &str, key: &UpstreamKey) -> Result<Bill, DrawError> {
        let told = self.record_of_call(upstream_id, key).await;
        told.map_err(|error| Discretion::of_key(self.secret(key)).error(error))
    }

    async fn check_key(&self, key: &UpstreamKey) -> Result<KeyRecord, DrawError> {
        self.record_of_key(key).await
    }

    fn is_platforms(&self, key: &UpstreamKey) -> bool {
        let [one, other] =
            [self.secret(key), &self.config.api_key].map(SecretString::expose_secret);
        bool::from(one.as_bytes().ct_eq(other.as_bytes()))
    }

    fn platform_fingerprint(&self) -> String {
        fingerprint(&self.config.api_key)
    }
}

// === impl Failed ===

impl Failed {
    const fn finally(error: DrawError) -> Self {
        Self {
            error,
            retryable: false,
        }
    }

    /// A failure between here and the first byte of the answer.
    fn on_the_way(error: reqwest::Error, fault: &UploadFault) -> Self {
        if let Some(word) = fault.word() {
            // What was sent of the body is no JSON, so nobody can have worked on it.
            return Self::finally(unsent(DrawCause::ReferenceInvalid, &word));
        }
        if error.is_connect() {
            let cause = if error.is_timeout() {
                DrawCause::Timeout
            } else {
                DrawCause::Unavailable
            };
            return Self {
                error: unsent(cause, &chain(error)),
                retryable: true,
            };
        }
        if error.is_builder() {
            return Self::finally(unsent(DrawCause::OursToMend, &chain(error)));
        }
        Self::finally(DrawError {
            billed: Billed::Unanswered,
            ..unsent(DrawCause::Unavailable, &chain(error))
        })
    }
}

/// A client with an empty pool of connections.
///
/// # Errors
/// If TLS cannot be set up.
pub(super) fn http(config: &Config) -> Result<reqwest::Client, reqwest::Error> {
    install_crypto();
    reqwest::Client::builder()
        .user_agent(concat!("image-gateway/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Whatever retries must know about money.
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(config.connect_timeout)
        // Calls are silent for minutes: a dead connection must be found out meanwhile.
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_keepalive_interval(Duration::from_secs(15))
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(20))
        .http2_initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .pool_idle_timeout(Duration::from_secs(90))
        .build()
}

/// The address of a path of the API.
pub(super) fn url(config: &Config, path: &str) -> String {
    format!("{}/{path}", config.base_url.trim_end_matches('/'))
}

/// Reads why, as far as it can be read until then: the status alone says enough.
pub(super) async fn refusal_of(
    response: Response,
    upstream_id: Option<String>,
    until: Instant,
) -> Refusal {
    let status = response.status().as_u16();
    let advised = response.headers().get(RETRY_AFTER);
    let retry_after = advised
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, crate::clock::now()));
    let body = small_body(response, until).await.unwrap_or_default();
    Refusal {
        status,
        retry_after,
        upstream_id,
        body: RefusalBody::read(&body),
    }
}

/// By what the books know the platform's key. It is keyed with nothing, so that `reconcile` finds what
/// this key has paid in any copy of the books, whatever protects the secrets in them; organizations'
/// keys are known by [another](crate::keys::Keyring::fingerprint).
fn fingerprint(key: &SecretString) -> String {
    let digest = Sha256::digest(key.expose_secret().as_bytes());
    digest
        .iter()
        .take(FINGERPRINT_BYTES)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn too_late() -> DrawError {
    DrawError {
        billed: Billed::Unanswered,
        ..unsent(DrawCause::Timeout, "no answer in time")
    }
}

fn generation_id(headers: &HeaderMap) -> Option<String> {
    believable_id(headers.get(GENERATION_ID)?.to_str().ok()?)
}

/// What comes of a small body until then; `None` if it is too long or breaks off before anything.
pub(super) async fn small_body(mut response: Response, until: Instant) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(bytes))) = timeout_at(until, response.chunk()).await {
        if body.len() + bytes.len() > SMALL_BODY_CAP_BYTES {
            return None;
        }
        body.extend_from_slice(&bytes);
    }
    Some(body)
}

/// A random wait up to this one.
pub(super) fn below(most: Duration) -> Duration {
    let most_us = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
    // Without randomness the whole wait is as good as any.
    let random = getrandom::u64().unwrap_or(most_us);
    Duration::from_micros(random % (most_us + 1))
}
