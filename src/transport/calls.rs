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
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::conduct::{CallEnd, Conduct};
use super::limits::{CALLS_MAX, STRANGERS_EACH_MAX, STRANGERS_MAX};
use super::origins::Visitor;
use super::seats::{OpenCall, Seat};
use super::strangers::{Party, Strangers, Visit};
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
    strangers: Arc<Strangers>,
    metrics: Arc<Metrics>,
    overloaded: fn() -> Response,
}

/// The calls of one connection.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    calls: Arc<Calls>,
    seat: Arc<Seat>,
    strangers: Party,
    conduct: Conduct,
    visitor: Arc<Visitor>,
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
    put_out: Option<PutOut>,
    _open: Option<Open>,
}

/// What an open call holds.
#[derive(Debug)]
struct Open {
    call: OpenCall,
    visit: Option<Visit>,
    _room: OwnedSemaphorePermit,
}

/// When another stranger needs the room, and what the answer ends with then.
struct PutOut {
    due: Pin<Box<WaitForCancellationFutureOwned>>,
    overloaded: fn() -> Response,
}

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
            strangers: Strangers::new(STRANGERS_MAX, STRANGERS_EACH_MAX),
            metrics,
            overloaded,
        })
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

impl Caller {
    /// The calls of the connection on this seat, which behaves like this and comes from there.
    pub(super) fn new(
        calls: Arc<Calls>,
        seat: Arc<Seat>,
        conduct: Conduct,
        visitor: Arc<Visitor>,
    ) -> Self {
        Self {
            strangers: calls.strangers.party(),
            calls,
            seat,
            conduct,
            visitor,
        }
    }

    /// Room for a call, if there is any.
    fn open(&self, needs_key: bool) -> Option<Open> {
        let room = Arc::clone(&self.calls.all).try_acquire_owned().ok()?;
        let visit = if needs_key {
            None
        } else {
            Some(self.strangers.enter()?)
        };
        Some(Open {
            call: self.seat.open_call(),
            visit,
            _room: room,
        })
    }
}

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
        let needs_key = !is_of_strangers(request.uri().path());
        let overloaded = self.calls.overloaded;
        let Some(open) = self.open(needs_key) else {
            self.calls.metrics.call_shed();
            let refusal = overloaded();
            return Box::pin(std::future::ready(Ok(refusal.map(Answer::of_nobody))));
        };
        let mut put_out = open.visit.as_ref().map(|visit| PutOut {
            due: Box::pin(visit.put_out()),
            overloaded,
        });
        let unanswered = Unanswered::new(&self.conduct, needs_key);
        let visitor = Arc::clone(&self.visitor);
        let answering = self.calls.routes.call(request);
        Box::pin(async move {
            let answer = match &mut put_out {
                None => {
                    let Ok(answer) = answering.await;
                    answer
                }
                Some(put_out) => tokio::select! {
                    Ok(answer) = answering => answer,
                    () = put_out.due.as_mut() => overloaded(),
                },
            };
            let status = answer.headers().get(STATUS);
            if unanswered.answered(status) == CallEnd::Served {
                visitor.served();
            }
            if status.is_none() {
                open.call.served();
            }
            Ok(answer.map(|body| Answer {
                body,
                put_out,
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

// === impl PutOut ===

impl PutOut {
    /// The status that there was no room, as what ends an answer that has begun.
    fn last_words(&self) -> HeaderMap {
        let mut status = (self.overloaded)().into_parts().0.headers;
        status.remove(CONTENT_TYPE);
        status
    }
}

impl fmt::Debug for PutOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutOut").finish_non_exhaustive()
    }
}

// === impl Answer ===

impl Answer {
    const fn of_nobody(body: Body) -> Self {
        Self {
            body,
            put_out: None,
            _open: None,
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(put_out) = &mut self.put_out
            && put_out.due.as_mut().poll(cx).is_ready()
        {
            let last_words = put_out.last_words();
            self.put_out = None;
            self.body = Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(last_words))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
