//! What OpenRouter's own records say: what a call cost, what a key has spent, whether it is a key.

use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use tokio::time::{Instant, timeout_at};

use super::Client;
use super::classify::RefusalBody;
use super::client::small_body;
use super::discretion::Discretion;
use super::failures::{chain, unsent};
use super::lenient::Object;
use super::wire::{self, KeyUsage, Record};
use crate::ports::{Bill, DrawCause, DrawError, KeyRecord, UpstreamKey};

/// How long a question may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);

impl Client {
    /// What a key has spent, by OpenRouter's own count (`GET /key`): all of it, and today, this
    /// week and this month in UTC. What is not told, or not believable, is `None`.
    ///
    /// # Errors
    /// [`DrawError`] if OpenRouter does not answer, or not in words that are understood.
    pub async fn key_usage(&self, key: &UpstreamKey) -> Result<KeyUsage, DrawError> {
        Ok(self.read_key(key).await?.usage())
    }

    /// What OpenRouter says of a key.
    pub(super) async fn record_of_key(&self, key: &UpstreamKey) -> Result<KeyRecord, DrawError> {
        let record = self.read_key(key).await?;
        record.key().ok_or_else(unreadable)
    }

    /// What a call cost (`GET /generation`).
    pub(super) async fn record_of_call(
        &self,
        upstream_id: &str,
        key: &UpstreamKey,
    ) -> Result<Bill, DrawError> {
        let deadline = Instant::now() + LOOKUP_TIMEOUT;
        let request = self.http.get(self.url("generation"));
        let request = self.keyed(request, key).query(&[("id", upstream_id)]);
        let response = send(request, deadline).await?;
        if !response.status().is_success() {
            let refusal = self.refusal(response, None, deadline).await;
            // Not filed yet; a page would say that this is not OpenRouter.
            return if refusal.status == 404 && !matches!(refusal.body, RefusalBody::Html) {
                Ok(Bill::NotFiled)
            } else {
                // Which prompt they may quote is not known here.
                Err(DrawError {
                    detail: format!("HTTP {}", refusal.status),
                    ..refusal.to_error()
                })
            };
        }
        let body = small_body(response, deadline).await;
        let record = body.and_then(|body| serde_json::from_slice(&body).ok());
        let Some(Object::<Record>(record)) = record else {
            return Err(unsent(DrawCause::Unavailable, "the record cannot be read"));
        };
        if record.is_of_another(upstream_id) {
            return Ok(Bill::OfAnother);
        }
        Ok(record.cost().map_or(Bill::NoCost, Bill::Cost))
    }

    async fn read_key(&self, key: &UpstreamKey) -> Result<wire::KeyRecord, DrawError> {
        let deadline = Instant::now() + LOOKUP_TIMEOUT;
        let request = self.keyed(self.http.get(self.url("key")), key);
        let discretion = Discretion::of_key(self.secret(key));
        let response = send(request, deadline).await;
        let response = response.map_err(|error| discretion.error(error))?;
        if !response.status().is_success() {
            let refusal = self.refusal(response, None, deadline).await;
            return Err(discretion.error(refusal.to_error()));
        }
        let body = small_body(response, deadline).await;
        let read = body.and_then(|body| serde_json::from_slice(&body).ok());
        let Object::<wire::KeyRecord>(key) = read.ok_or_else(unreadable)?;
        Ok(key)
    }
}

fn unreadable() -> DrawError {
    unsent(DrawCause::Unavailable, "the answer cannot be read")
}

async fn send(request: RequestBuilder, deadline: Instant) -> Result<Response, DrawError> {
    match timeout_at(deadline, request.send()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(unsent(DrawCause::Unavailable, &chain(error))),
        Err(_) => Err(unsent(DrawCause::Timeout, "no answer in time")),
    }
}
