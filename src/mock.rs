//! A stand-in for OpenRouter: a real HTTP server that speaks its API.
//!
//! Tests start it in process, the command line starts it for a workshop, the benchmark measures
//! against it. It draws real pictures, prices every call exactly from a table of its own, and keeps
//! a bill that the gateway's books can be held against. A [`Script`] makes single calls fail, wait,
//! break off or lie.
//!
//! Nothing here uses the rest of the crate: agreement with it is what the tests are to find out.

mod answer;
mod call;
mod catalog;
mod chat;
mod control;
mod draw;
mod fingerprint;
mod gate;
mod images;
mod ledger;
mod line;
mod lists;
mod pace;
mod parts;
mod price;
mod record;
mod reference;
mod render;
mod script;
mod size;
#[cfg(test)]
mod tests;
mod usage;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use rust_decimal::Decimal;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use answer::Samples;
use call::{REQUEST_BYTES_MOST, Scripts, Stage};
use catalog::Catalog;
use gate::Gates;
use ledger::Ledger;
use line::{Line, Lines};
use pace::Pacer;
use record::Recorder;

pub use ledger::BillEntry;
pub use record::RecordedRequest;
pub use script::{
    Billing, Drip, ErrorAnswer, GenerationLookup, ImageScript, MediaType, RawAnswer, Script,
    UsageScript,
};

/// How long [`Mock::stop`] waits for connections that clients keep open.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How a mock behaves when no script says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The least size of each drawn PNG in bytes; smaller ones are padded.
    pub size_bytes: Option<usize>,
    /// Milliseconds that every paid call waits before its headers.
    pub latency_ms: u64,
    /// How the body of every paid call is spread over time.
    pub drip: Option<Drip>,
}

/// A running mock. Dropping it stops the server without waiting; [`Mock::stop`] waits.
#[derive(Debug)]
pub struct Mock {
    address: SocketAddr,
    stage: Arc<Stage>,
    tracker: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Mock {
    /// Starts a mock on this address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    pub async fn start(listen: SocketAddr, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stage = Arc::new(Stage {
            catalog: Catalog::load()?,
            samples: Samples::load()?,
            ledger: Arc::new(Ledger::default()),
            recorder: Recorder::default(),
            scripts: Scripts::default(),
            pacer: Pacer {
                gates: Arc::new(Gates::default()),
                stop: stop.clone(),
                latency_ms: options.latency_ms,
                drip: options.drip,
            },
            size_bytes: options.size_bytes,
        });
        let service = routes(Arc::clone(&stage)).into_make_service_with_connect_info::<Line>();
        let server = axum::serve(Lines(listener), service)
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let tracker = TaskTracker::new();
        tracker.spawn(server.into_future());
        tracker.close();
        Ok(Self {
            address,
            stage,
            tracker,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// Where the mock listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stands in for `https://openrouter.ai/api/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// Adds a script behind those that are still waiting. At most 10,000 wait; more are dropped.
    pub fn script(&self, script: Script) {
        self.stage.scripts.add(script);
    }

    /// How many scripts have not been used up.
    #[must_use]
    pub fn scripts_left(&self) -> usize {
        self.stage.scripts.left().len()
    }

    /// Forgets all scripts that have not been used up.
    pub fn clear_scripts(&self) {
        self.stage.scripts.clear();
    }

    /// The calls that did paid work, in the order they ended; the last 10,000.
    #[must_use]
    pub fn bill(&self) -> Vec<BillEntry> {
        self.stage.ledger.entries()
    }

    /// What this body of `POST /images` would be billed, in USD, without drawing; `None` if it
    /// would be refused.
    #[must_use]
    pub fn quote(&self, body: &serde_json::Value) -> Option<Decimal> {
        images::quote(body, &self.stage.catalog)
    }

    /// The sum of everything billed since the start, in USD.
    #[must_use]
    pub fn total_billed(&self) -> Decimal {
        self.stage.ledger.total()
    }

    /// The requests that came in, the last 10,000.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.stage.recorder.requests()
    }

    /// Resolves when this many paid requests have come in since the start, answered or not.
    pub async fn wait_for_requests(&self, count: usize) {
        self.stage.recorder.paid_arrived(count).await;
    }

    /// Resolves when this many calls are on the bill since the start. A call comes onto it when its
    /// answer has been written or its connection has ended.
    pub async fn wait_for_bill(&self, count: usize) {
        self.stage.ledger.filed(count).await;
    }

    /// Lets everything through the gate of this name, now and later.
    pub fn open_gate(&self, name: &str) {
        self.stage.pacer.gates.open(name);
    }

    /// Resolves when an answer has come to the gate of this name.
    pub async fn wait_at_gate(&self, name: &str) {
        self.stage.pacer.gates.arrival(name).await;
    }

    /// Stops listening, ends all waits and lets open answers finish, at most five seconds long.
    pub async fn stop(&self) {
        self.stop.cancel();
        // A client that never closes its connection must not keep a test from ending.
        let _ = tokio::time::timeout(STOP_PATIENCE, self.tracker.wait()).await;
    }
}

fn routes(stage: Arc<Stage>) -> Router {
    Router::new()
        .route("/api/v1/images", post(images::create))
        .route("/api/v1/images/models", get(lists::image_models))
        .route(
            "/api/v1/images/models/{author}/{slug}/endpoints",
            get(lists::image_model_endpoints),
        )
        .route("/api/v1/chat/completions", post(chat::create))
        .route("/api/v1/models", get(lists::models))
        .route("/api/v1/generation", get(lists::generation))
        .route("/api/v1/key", get(lists::key))
        .route(
            "/mock/script",
            post(control::add_scripts)
                .get(control::scripts_left)
                .delete(control::clear_scripts),
        )
        .route("/mock/gate/{name}", post(control::open_gate))
        .route("/mock/bill", get(control::bill))
        .route("/mock/requests", get(control::requests))
        .fallback(lists::unknown)
        .method_not_allowed_fallback(lists::wrong_method)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MOST))
        .with_state(stage)
}
