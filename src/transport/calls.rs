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
use http::HeaderValue;
use http_body::{Frame, SizeHint};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::conduct::{CallEnd, Conduct};
use super::limits::{CALLS_MAX, STRANGERS_MAX};
use super::origins::Visitor;
use super::seats::{OpenCall, Seat};
use crate::metrics::Metrics;

/// Where gRPC's own services are, which need no key: health and reflection.
const STRANGERS: &str = "/grpc.";

/// The header that ends a call which has no answer (gRPC over HTTP/2, Trailers-Only).
const STATUS: &str = "grpc-status";

/// What it says of a call whose key is missing or not good (UNAUTHENTICATED).
const OF_NOBODY: &[u8] = b"16";

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
    /// All there are.
    pub(super) calls: Arc<Calls>,
    /// Where the connection sits.
    pub(super) seat: Arc<Seat>,
    /// How it behaves.
    pub(super) conduct: Conduct,
    /// Where it comes from.
    pub(super) visitor: Arc<Visitor>,
}

/// A call whose answer has not begun. It is told when this is dropped what became of it.
#[derive(Debug)]
struct Unanswered {
    conduct: Conduct,
    needs_key: bool,
    end: CallEnd,
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
        let of_strangers = if is_of_strangers(path) {
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

/// Whether no key is needed for it.
fn is_of_strangers(path: &str) -> bool {
    path.starts_with(STRANGERS)
}

// === impl Caller ===

impl Service<Request<Incoming>> for Caller {
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.conduct.call_taken();
        if self.conduct.is_flood() {
            // What came together with the calls that put it out; nobody will read an answer.
            let nothing = http::Response::new(Answer::of_nobody(Body::empty()));
            return Box::pin(std::future::ready(Ok(nothing)));
        }
        let Some(room) = self.calls.room(request.uri().path()) else {
            self.calls.metrics.call_shed();
            let refusal = (self.calls.overloaded)();
            return Box::pin(std::future::ready(Ok(refusal.map(Answer::of_nobody))));
        };
        let open = Open {
            call: self.seat.open_call(),
            _room: room,
        };
        let needs_key = !is_of_strangers(request.uri().path());
        let unanswered = Unanswered::new(&self.conduct, needs_key);
        let visitor = Arc::clone(&self.visitor);
        let answering = self.calls.routes.call(request);
        Box::pin(async move {
            let Ok(answer) = answering.await;
            let status = answer.headers().get(STATUS);
            if unanswered.answered(status) == CallEnd::Served {
                visitor.served();
            }
            if status.is_none() {
                open.call.served();
            }
            Ok(answer.map(|body| Answer {
                body,
                _open: Some(open),
            }))
        })
    }
}

// === impl Unanswered ===

impl Unanswered {
    fn new(conduct: &Conduct, needs_key: bool) -> Self {
        Self {
            conduct: conduct.clone(),
            needs_key,
            end: CallEnd::GivenUp,
        }
    }

    fn answered(mut self, status: Option<&HeaderValue>) -> CallEnd {
        self.end = match status {
            None if self.needs_key => CallEnd::Served,
            Some(status) if status.as_bytes() == OF_NOBODY => CallEnd::OfNobody,
            _ => CallEnd::Refused,
        };
        self.end
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.conduct.call_ended(self.end);
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
