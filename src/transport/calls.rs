//! Calls at the door: how many are open, on each connection and on all, and whether there is room
//! for another one. A call counts until the last byte of its answer is gone or nobody wants it.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{CALLS_MAX, STRANGERS_MAX};
use super::seats::{OpenCall, Seat};
use crate::metrics::Metrics;

/// Where gRPC's own services are, which need no key: health and reflection.
const STRANGERS: &str = "/grpc.";

/// The header that ends a call which has no answer (gRPC over HTTP/2, Trailers-Only).
const STATUS: &str = "grpc-status";

/// Everything that is served, with a bound on how much at a time.
pub(super) struct Calls {
    routes: TowerToHyperService<Router>,
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    overloaded: fn() -> Response,
}

/// The calls of one connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    calls: Arc<Calls>,
    seat: Arc<Seat>,
}

/// An answer that counts as open while it lives.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _open: Option<Open>,
}

/// What an open call holds.
#[derive(Debug)]
struct Open {
    call: OpenCall,
    _room: Room,
}

/// Of all calls, and of strangers'.
type Room = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

// === impl Calls ===

impl Calls {
    /// Serves these routes; `overloaded` is the answer if there is no room.
    pub(super) fn new(
        routes: Router,
        metrics: Arc<Metrics>,
        overloaded: fn() -> Response,
    ) -> Arc<Self> {
        Arc::new(Self {
            routes: TowerToHyperService::new(routes.with_state(())),
            all: Arc::new(Semaphore::new(CALLS_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            metrics,
            overloaded,
        })
    }

    fn room(&self, path: &str) -> Option<Room> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let of_strangers = if path.starts_with(STRANGERS) {
            let strangers = Arc::clone(&self.strangers);
            Some(strangers.try_acquire_owned().ok()?)
        } else {
            None
        };
        Some((all, of_strangers))
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("room", &self.all.available_permits())
            .finish_non_exhaustive()
    }
}

// === impl Caller ===

impl Caller {
    /// The calls of the connection on this seat.
    pub(super) const fn new(calls: Arc<Calls>, seat: Arc<Seat>) -> Self {
        Self { calls, seat }
    }
}

impl Service<Request<Incoming>> for Caller {
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Some(room) = self.calls.room(request.uri().path()) else {
            self.calls.metrics.call_shed();
            let refusal = (self.calls.overloaded)();
            return Box::pin(std::future::ready(Ok(refusal.map(Answer::of_nobody))));
        };
        let open = Open {
            call: self.seat.open_call(),
            _room: room,
        };
        let answering = self.calls.routes.call(request);
        Box::pin(async move {
            let Ok(answer) = answering.await;
            if !answer.headers().contains_key(STATUS) {
                open.call.served();
            }
            Ok(answer.map(|body| Answer {
                body,
                _open: Some(open),
            }))
        })
    }
}

// === impl Answer ===

impl Answer {
    const fn of_nobody(body: Body) -> Self {
        Self { body, _open: None }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
