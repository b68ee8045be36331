use std::future;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::*;
use crate::domain::books::Account;
use crate::domain::generation::{CallRecord, Generation};
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::ports::{
    Delivery, HoldOutcome, LedgerError, Opening, Purchase, Purchased, Settlement, Voiding, Which,
};

/// Books whose database is in the given state. Nothing but counting is asked of them here, and
/// whatever else is asked fails as it may when a database is down.
#[derive(Clone, Copy, Debug)]
enum Books {
    Healthy {
        open_holds: u64,
    },
    Broken,
    /// A full disk: what is there can be read.
    ReadOnly,
    /// Malformed in places where nobody looks but calls.
    Malformed,
    Silent,
}

fn broken<T>() -> Result<T, LedgerError> {
    Err(LedgerError::Broken("no database".into()))
}

#[async_trait]
impl Ledger for Books {
    async fn hold(&self, _: Opening) -> Result<HoldOutcome, LedgerError> {
        broken()
    }
    async fn dispatch(&self, _: GenerationId, _: Timestamp) -> Result<(), LedgerError> {
        broken()
    }
    async fn stream(
        &self,
        _: GenerationId,
        _: u32,
        _: Option<String>,
        _: Timestamp,
    ) -> Result<bool, LedgerError> {
        broken()
    }
    async fn note(&self, _: GenerationId, _: CallRecord) -> Result<(), LedgerError> {
        broken()
    }
    async fn store(&self, _: GenerationId, _: Delivery) -> Result<Generation, LedgerError> {
        broken()
    }
    async fn doubt(&self, _: GenerationId, _: Voiding) -> Result<Generation, LedgerError> {
        broken()
    }
    async fn cancel(&self, _: GenerationId, _: Voiding) -> Result<Generation, LedgerError> {
        broken()
    }
    async fn settle(&self, _: GenerationId, _: Settlement) -> Result<Generation, LedgerError> {
        broken()
    }
    async fn void(&self, _: GenerationId, _: Voiding) -> Result<Generation, LedgerError> {
        broken()
    }
    async fn add_credits(&self, _: Purchase) -> Result<Purchased, LedgerError> {
        broken()
    }
    async fn account(&self, _: &OrganizationId) -> Result<Account, LedgerError> {
        broken()
    }
    async fn generation(
        &self,
        _: &OrganizationId,
        _: &Which,
    ) -> Result<Option<Generation>, LedgerError> {
        broken()
    }
    async fn writable(&self) -> Result<(), LedgerError> {
        match self {
            Self::Healthy { .. } | Self::Malformed => Ok(()),
            Self::Broken | Self::ReadOnly => broken(),
            Self::Silent => future::pending().await,
        }
    }
    fn is_failing(&self) -> bool {
        matches!(self, Self::Malformed)
    }
    async fn open_holds(&self) -> Result<u64, LedgerError> {
        match self {
            Self::ReadOnly | Self::Malformed => Ok(0),
            Self::Healthy { open_holds } => Ok(*open_holds),
            Self::Broken => broken(),
            Self::Silent => future::pending().await,
        }
    }
    async fn audit(&self) -> Result<Vec<String>, LedgerError> {
        broken()
    }
}

/// The pages on a real socket.
struct Side {
    base: String,
    client: Client,
    draining: CancellationToken,
    tasks: TaskTracker,
}

impl Side {
    async fn open(books: Books) -> Self {
        // Another test may have been first; then it is the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let draining = CancellationToken::new();
        let routes = routes(Parts {
            ledger: Arc::new(books),
            metrics: Arc::new(Metrics::new()),
            draining: draining.clone(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(async move { axum::serve(listener, routes).await });
        Self {
            base,
            client: Client::new(),
            draining,
            tasks,
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(format!("{}{path}", self.base));
        let response = response.send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }
}

#[tokio::test]
async fn a_healthy_process_is_alive_and_ready() {
    let side = Side::open(Books::Healthy { open_holds: 0 }).await;
    assert_eq!(side.get("/healthz").await.0, StatusCode::OK);
    let (status, body) = side.get("/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::OK, r#"{"status":"ready"}"#)
    );
}

#[tokio::test]
async fn a_failing_database_makes_it_not_ready_but_keeps_it_alive() {
    let side = Side::open(Books::Broken).await;
    let (status, body) = side.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body, r#"{"status":"database_failed"}"#);
    assert_eq!(side.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(side.get("/metrics").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_database_that_can_only_be_read_makes_it_not_ready() {
    let side = Side::open(Books::ReadOnly).await;
    for _ in 0..2 {
        let (status, body) = side.get("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, r#"{"status":"database_failed"}"#);
    }
}

#[tokio::test]
async fn a_database_that_fails_calls_makes_it_not_ready_though_a_look_finds_nothing() {
    let side = Side::open(Books::Malformed).await;
    let (status, body) = side.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body, r#"{"status":"database_failed"}"#);
    assert_eq!(side.get("/metrics").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_database_that_does_not_answer_makes_it_not_ready_within_a_second() {
    let side = Side::open(Books::Silent).await;
    let (status, body) = side.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    // After five seconds it would be told that the answer took too long.
    assert_eq!(body, r#"{"status":"database_failed"}"#);
}

#[tokio::test]
async fn a_draining_process_is_alive_and_not_ready() {
    let side = Side::open(Books::Healthy { open_holds: 0 }).await;
    side.draining.cancel();
    let (status, body) = side.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body, r#"{"status":"draining"}"#);
    assert_eq!(side.get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_are_open_metrics_text_with_the_holds_of_this_moment() {
    let side = Side::open(Books::Healthy { open_holds: 3 }).await;
    let response = side.client.get(format!("{}/metrics", side.base));
    let response = response.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], metrics::CONTENT_TYPE);
    let page = response.text().await.unwrap();
    assert!(page.contains("\nimage_gateway_open_holds 3\n"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
}

#[tokio::test]
async fn anything_else_is_a_404_or_405_in_json() {
    let side = Side::open(Books::Healthy { open_holds: 0 }).await;
    let (status, body) = side.get("/").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(body["error"].is_string());
    let posted = side.client.post(format!("{}/healthz", side.base));
    let posted = posted.body("x").send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(posted.headers()["allow"], "GET,HEAD");
    assert_eq!(side.tasks.len(), 1, "the server is still there");
}
