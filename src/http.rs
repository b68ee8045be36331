//! The side door: whether the process lives, whether it should get calls, and its metrics. Answers
//! are small, nothing is read but the request line, and nobody waits for ever.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::{self, Metrics};
use crate::ports::{Ledger, LedgerError};

/// A database that needs longer than this does not work.
const DATABASE_PATIENCE: Duration = Duration::from_secs(1);

/// How long a good answer about the database holds: each asks the disk for a flush.
const TRIED_FOR: Duration = Duration::from_secs(1);

/// The longest any answer may take; above [`DATABASE_PATIENCE`], so that its finding is told.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the pages look at.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The books: asked whether they answer.
    pub ledger: Arc<dyn Ledger>,
    /// What is shown at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the process begins to drain.
    pub draining: CancellationToken,
}

/// What the pages know.
#[derive(Clone, Debug)]
struct Pages {
    parts: Parts,
    /// When the database was last tried and worked.
    worked: Arc<Mutex<Option<Instant>>>,
}

/// The pages: `/healthz`, `/readyz`, `/metrics`, and a 404 in JSON for everything else.
pub fn routes(parts: Parts) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(within_patience))
        .with_state(Pages {
            parts,
            worked: Arc::default(),
        })
}

/// The process runs. Says nothing about the database: a restart would not mend that.
async fn healthz() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#)
}

/// Whether this process should get calls (`api.md`, settings): not while it drains, not while the
/// database fails or cannot be written, not while calls meet that though a look does not. A silent upstream does not count, because no other replica
/// has a better one.
async fn readyz(State(pages): State<Pages>) -> Response {
    if pages.parts.draining.is_cancelled() {
        return json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"draining"}"#);
    }
    if pages.is_working().await {
        return json(StatusCode::OK, r#"{"status":"ready"}"#);
    }
    json(
        StatusCode::SERVICE_UNAVAILABLE,
        r#"{"status":"database_failed"}"#,
    )
}

/// Counters are shown even when the database fails: then they are needed most. Open holds keep
/// their last known number.
async fn metrics_page(State(Pages { parts, .. }): State<Pages>) -> Response {
    if let Some(holds) = in_time(parts.ledger.open_holds()).await {
        parts.metrics.set_open_holds(holds);
    }
    let headers = [(CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (headers, parts.metrics.encode()).into_response()
}

async fn not_found() -> Response {
    json(
        StatusCode::NOT_FOUND,
        r#"{"error":"not found; there are /healthz, /readyz and /metrics"}"#,
    )
}

async fn method_not_allowed() -> Response {
    let mut response = json(
        StatusCode::METHOD_NOT_ALLOWED,
        r#"{"error":"only GET and HEAD are allowed"}"#,
    );
    let allowed = HeaderValue::from_static("GET,HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

async fn within_patience(request: Request, next: Next) -> Response {
    tokio::time::timeout(PATIENCE, next.run(request))
        .await
        .unwrap_or_else(|_| {
            json(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"error":"took too long"}"#,
            )
        })
}

// === impl Pages ===

impl Pages {
    /// Whether calls find the books well, whether these can be read, and a change be made durable.
    /// However often it is asked, a disk that works is asked once in [`TRIED_FOR`].
    async fn is_working(&self) -> bool {
        if self.parts.ledger.is_failing() {
            return false;
        }
        let mut worked = self.worked.lock().await;
        if worked.is_some_and(|at| at.elapsed() < TRIED_FOR) {
            return true;
        }
        let ledger = &self.parts.ledger;
        let works = in_time(ledger.open_holds()).await.is_some()
            && in_time(ledger.writable()).await.is_some();
        *worked = works.then(Instant::now);
        works
    }
}

/// What the database answers, unless it fails or dawdles.
async fn in_time<T>(answer: impl Future<Output = Result<T, LedgerError>>) -> Option<T> {
    match tokio::time::timeout(DATABASE_PATIENCE, answer).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, source, "the database does not work");
            None
        }
        Err(_) => {
            tracing::warn!("the database took over {DATABASE_PATIENCE:?}");
            None
        }
    }
}

/// States change from one second to the next, so nothing on the way may keep an answer.
fn json(status: StatusCode, body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

#[cfg(test)]
mod tests;
