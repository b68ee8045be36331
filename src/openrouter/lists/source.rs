//! One question for a part of the list: conditional, without the key, at most three times.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use reqwest::Response;
use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};

use super::super::Config;
use super::super::classify::RefusalBody;
use super::super::client::{
    MAX_RETRIES, RETRY_AFTER_MAX, RETRY_AFTER_SPREAD, below, refusal_of, url,
};
use super::super::discretion::Discretion;
use super::super::error_body::ErrorBody;
use super::super::failures::chain;
use super::super::presentable::presentable;
use super::reading::{Part, Unread};
use crate::ports::ListError;

/// The longest `ETag` that is kept; the usual ones have some 40 bytes.
const ETAG_MAX_BYTES: usize = 256;

/// Whoever answers, for the time of one list.
#[derive(Debug)]
pub(super) struct Source<'a> {
    config: &'a Config,
    http: &'a reqwest::Client,
    /// Whoever answers has asked for the key.
    keyed: AtomicBool,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Question<'a, T> {
    /// Below the address of the API.
    pub(super) path: &'a str,
    /// The most bytes of the answer.
    pub(super) bytes_max: usize,
    /// What was answered before.
    pub(super) before: Option<&'a Version<T>>,
}

/// A part as it was read.
#[derive(Debug)]
pub(super) struct Version<T> {
    pub(super) part: Arc<T>,
    /// Its name, weak or strong, by which it can be asked whether it still holds.
    pub(super) etag: Option<HeaderValue>,
    /// How long it was on the way here.
    pub(super) size_bytes: usize,
}

/// A question without an answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: ListError,
    pub(super) verdict: Verdict,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Final,
    /// There is no such thing.
    NotThere,
    /// To show the key.
    KeyWanted,
    /// To ask again, after so long if that is told.
    Again(Option<Duration>),
}

// === impl Source ===

impl<'a> Source<'a> {
    pub(super) const fn new(config: &'a Config, http: &'a reqwest::Client) -> Self {
        Self {
            config,
            http,
            keyed: AtomicBool::new(false),
        }
    }

    /// Asks until there is an answer, or no hope of one.
    pub(super) async fn ask<T: Part>(
        &self,
        question: &Question<'_, T>,
    ) -> Result<Version<T>, Failed> {
        let mut tries = 0;
        loop {
            let keyed = self.keyed.load(Ordering::Relaxed);
            let failed = match self.attempt(question, keyed).await {
                Ok(version) => return Ok(version),
                Err(failed) => failed.without_key(&self.config.api_key),
            };
            if failed.verdict == Verdict::KeyWanted && !keyed {
                self.keyed.store(true, Ordering::Relaxed);
                continue;
            }
            tries += 1;
            let Some(wait) = self.wait(&failed, tries) else {
                return Err(failed);
            };
            tracing::info!(path = question.path, error = %failed.error, ?wait, "asking again");
            sleep(wait).await;
        }
    }

    async fn attempt<T: Part>(
        &self,
        question: &Question<'_, T>,
        keyed: bool,
    ) -> Result<Version<T>, Failed> {
        let url = url(self.config, question.path);
        let mut request = self.http.get(url).header(ACCEPT, "application/json");
        if keyed {
            request = request.bearer_auth(self.config.api_key.expose_secret());
        }
        let named = question.before.and_then(|before| before.etag.as_ref());
        if let Some(etag) = named {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(Failed::on_the_way)?;
        match (response.status(), question.before) {
            (StatusCode::OK, _) => version(response, question.bytes_max).await,
            (StatusCode::NOT_MODIFIED, Some(before)) if named.is_some() => Ok(before.clone()),
            _ => Err(self.refused(response).await),
        }
    }

    async fn refused(&self, response: Response) -> Failed {
        let status = response.status().as_u16();
        if status < 400 {
            // A redirect would lead elsewhere, and a part or nothing is no list.
            return Failed::finally(ListError::Malformed(format!("HTTP {status}")));
        }
        let until = Instant::now() + self.config.idle_timeout;
        let refusal = refusal_of(response, None, until).await;
        let is_page = matches!(refusal.body, RefusalBody::Html);
        let error = refusal.to_error();
        Failed {
            error: ListError::Unavailable(error.detail),
            verdict: match status {
                401 => Verdict::KeyWanted,
                // A page would say that this is not OpenRouter.
                404 if !is_page => Verdict::NotThere,
                429 | 500.. => Verdict::Again(error.retry_after),
                _ => Verdict::Final,
            },
        }
    }

    /// How long to wait before another try; `None` if there is to be none.
    fn wait(&self, failed: &Failed, tries: u32) -> Option<Duration> {
        let Verdict::Again(advised) = failed.verdict else {
            return None;
        };
        if tries > MAX_RETRIES {
            return None;
        }
        match advised {
            Some(advised) if advised > RETRY_AFTER_MAX => None,
            Some(advised) => Some(advised + below(RETRY_AFTER_SPREAD)),
            None => Some(below(self.config.backoff * (1 << (tries - 1)))),
        }
    }
}

/// Reads an answer that began well.
async fn version<T: Part>(response: Response, bytes_max: usize) -> Result<Version<T>, Failed> {
    let headers = response.headers();
    let is_page = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            kind.trim_start()
                .to_ascii_lowercase()
                .starts_with("text/html")
        });
    if is_page {
        let error = ListError::Malformed("an HTML page".to_owned());
        return Err(Failed::finally(error));
    }
    let etag = headers.get(ETAG).cloned();
    let body = whole(response, bytes_max).await?;
    let size_bytes = body.len();
    // A long one takes a tenth of a second, in which others want to be served.
    let read = tokio::task::spawn_blocking(move || T::read(&body)).await;
    let read = read.map_err(|error| {
        Failed::finally(ListError::Malformed(format!("it is not read: {error}")))
    })?;
    Ok(Version {
        part: Arc::new(read.map_err(Failed::unread)?),
        etag: etag.filter(is_entity_tag),
        size_bytes,
    })
}

/// All bytes of an answer that is not too long.
async fn whole(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, Failed> {
    let too_long = |length: u64| length > u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if response.content_length().is_some_and(too_long) {
        return Err(Failed::too_long(bytes_max));
    }
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(Failed::cut_off)? {
        if body.len() + bytes.len() > bytes_max {
            return Err(Failed::too_long(bytes_max));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// Whether it is a name that can be sent back (RFC 9110, section 8.8.3).
fn is_entity_tag(tag: &HeaderValue) -> bool {
    let tag = tag.as_bytes();
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    let quoted = opaque.len() >= 2 && opaque.starts_with(b"\"") && opaque.ends_with(b"\"");
    quoted && tag.len() <= ETAG_MAX_BYTES
}

// === impl Version ===

impl<T> Clone for Version<T> {
    fn clone(&self) -> Self {
        Self {
            part: Arc::clone(&self.part),
            etag: self.etag.clone(),
            size_bytes: self.size_bytes,
        }
    }
}

// === impl Failed ===

impl Failed {
    pub(super) const fn finally(error: ListError) -> Self {
        Self {
            error,
            verdict: Verdict::Final,
        }
    }

    /// The same, without the key that it may quote.
    fn without_key(self, key: &SecretString) -> Self {
        let discretion = Discretion::of_key(key);
        let error = match self.error {
            ListError::Unavailable(words) => ListError::Unavailable(discretion.words(words)),
            ListError::Malformed(words) => ListError::Malformed(discretion.words(words)),
            ListError::TimedOut(after) => ListError::TimedOut(after),
        };
        Self { error, ..self }
    }

    /// A failure before the answer: nothing is bought here, so whatever broke can be asked again.
    fn on_the_way(error: reqwest::Error) -> Self {
        let verdict = if error.is_builder() {
            Verdict::Final
        } else {
            Verdict::Again(None)
        };
        Self {
            error: ListError::Unavailable(presentable(&chain(error))),
            verdict,
        }
    }

    fn cut_off(error: reqwest::Error) -> Self {
        let detail = presentable(&format!("it breaks off: {}", chain(error)));
        Self {
            error: ListError::Malformed(detail),
            verdict: Verdict::Again(None),
        }
    }

    fn too_long(bytes_max: usize) -> Self {
        let detail = format!("it is longer than {bytes_max} bytes");
        Self::finally(ListError::Malformed(detail))
    }

    fn unread(unread: Unread) -> Self {
        match unread {
            Unread::NoList(what) => Self::finally(ListError::Malformed(what)),
            Unread::Error(error) => Self::told(&error),
        }
    }

    /// An error within an answer that began well: as if it had come with its status.
    fn told(error: &ErrorBody) -> Self {
        let status = error.status().unwrap_or(502);
        let detail = format!("error {status} in the answer: {}", error.summary());
        Self {
            error: ListError::Unavailable(presentable(&detail)),
            verdict: match status {
                404 => Verdict::NotThere,
                429 | 500.. => Verdict::Again(None),
                _ => Verdict::Final,
            },
        }
    }
}
