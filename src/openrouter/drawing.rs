//! An answer while it arrives. Whoever wants the next event pulls it through: nothing is read from
//! the connection before what was read is given on, so a slow reader slows the sender.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tokio::time::{Instant, timeout_at};

use super::Config;
use super::decoder::{Decoder, Framing};
use super::discretion::Discretion;
use super::failures::{chain, cut_off, failed};
use crate::ports::{DrawCause, DrawError, DrawEvent, Drawing};

/// An answer of status 2xx.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response,
    decoder: Decoder,
    upstream_id: Option<String>,
    discretion: Discretion,
    deadline: Instant,
    idle_timeout: Duration,
    body_cap_bytes: u64,
    received_bytes: u64,
}

/// Why no more bytes come.
enum Broken {
    /// What was complete before may be kept.
    Lost(DrawError),
    /// This is no answer to a question of ours: nothing of it is kept.
    Absurd(DrawError),
}

impl Answer {
    pub(super) fn new(
        response: Response,
        (upstream_id, discretion): (Option<String>, Discretion),
        deadline: Instant,
        config: &Config,
    ) -> Self {
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let framing = Framing::of_content_type(content_type.unwrap_or_default());
        Self {
            decoder: Decoder::new(framing, config.image_cap_bytes),
            response,
            upstream_id,
            discretion,
            deadline,
            idle_timeout: config.idle_timeout,
            body_cap_bytes: config.body_cap_bytes,
            received_bytes: 0,
        }
    }

    /// The next bytes; `None` at the end.
    async fn read(&mut self) -> Result<Option<Bytes>, Broken> {
        let encoding = self.response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            let error = failed(DrawCause::Unavailable, "the answer is compressed");
            return Err(Broken::Absurd(error));
        }
        let mut until = self.deadline;
        if self.decoder.has_begun() {
            until = until.min(Instant::now() + self.idle_timeout);
        }
        let bytes = match timeout_at(until, self.response.chunk()).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                let error = cut_off(DrawCause::Unavailable, &chain(error));
                return Err(Broken::Lost(error));
            }
            Err(_) => {
                let error = cut_off(DrawCause::Timeout, "the answer did not come in time");
                return Err(Broken::Lost(error));
            }
        };
        let length = bytes.as_ref().map_or(0, Bytes::len);
        self.received_bytes += u64::try_from(length).unwrap_or(u64::MAX);
        if self.received_bytes > self.body_cap_bytes {
            let cap = self.body_cap_bytes;
            let detail = format!("the answer has more than {cap} bytes");
            return Err(Broken::Absurd(failed(DrawCause::ImageInvalid, &detail)));
        }
        Ok(bytes)
    }

    /// Ends an answer that broke off: what is whole of it is kept, because it is paid for
    /// (`reliability.md` row 40).
    fn break_off(&mut self, error: DrawError) -> Result<DrawEvent, DrawError> {
        let error = self.discretion.error(error);
        if self.decoder.is_worth_keeping() {
            tracing::warn!(%error, upstream_id = self.upstream_id, "the rest of an answer is lost");
            let receipt = self.decoder.salvage();
            return Ok(DrawEvent::Finished(self.discretion.receipt(receipt)));
        }
        Err(self.named(error))
    }

    fn named(&self, error: DrawError) -> DrawError {
        DrawError {
            upstream_id: self.upstream_id.clone().or(error.upstream_id),
            ..error
        }
    }
}

#[async_trait]
impl Drawing for Answer {
    fn upstream_id(&self) -> Option<&str> {
        self.upstream_id.as_deref()
    }

    async fn next(&mut self) -> Result<DrawEvent, DrawError> {
        loop {
            match self.decoder.poll() {
                Ok(Some(event)) => return Ok(event),
                Ok(None) => {}
                Err(error) => return self.break_off(error),
            }
            match self.read().await {
                Ok(Some(bytes)) => self.decoder.feed(bytes),
                Ok(None) => {
                    return match self.decoder.finish() {
                        Ok(receipt) => Ok(DrawEvent::Finished(self.discretion.receipt(receipt))),
                        Err(error) => self.break_off(error),
                    };
                }
                Err(Broken::Lost(error)) => return self.break_off(error),
                Err(Broken::Absurd(error)) => return Err(self.named(error)),
            }
        }
    }
}
