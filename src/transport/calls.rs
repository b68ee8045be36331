//! Calls at the door: how many are open, on each connection and on all, and whether there is room
//! for another one. A call counts until the last byte of its answer is gone or nobody wants it.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use http::HeaderValue;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;

use super::answers::{Answer, Held, Open, PutOut};
use super::asked::Asked;
use super::conduct::{CallEnd, Conduct};
use super::limits::{CALLS_MAX, STRANGERS_EACH_MAX, STRANGERS_MAX};
use super::origins::Visitor;
use super::seats::Seat;
use super::stalls::Flow;
use super::strangers::{Party, Strangers};
use crate::metrics::Metrics;

/// Where gRPC's own services are, which need no key: health and reflection.
const STRANGERS: &str = "/grpc.";

/// The header that ends a call which has no answer (gRPC over HTTP/2, Trailers-Only).
const STATUS: &str = "grpc-status";

/// What it says of a call whose key is missing or not good (UNAUTHENTICATED) …
const OF_NOBODY: &[u8] = b"16";

/// … of one that does not exist (UNIMPLEMENTED) …
const NO_SUCH_CALL: &[u8] = b"12";

/// … and of what is no call at all (INVALID_ARGUMENT): nobody has looked for its key.
const NO_CALL: &[u8] = b"3";

/// What is understood of the routes' own answers, and what is answered in their place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// The answer if there is no room.
    pub(super) overloaded: fn() -> Response,
    /// Whether an answer was made after the caller's key was found good.
    pub(super) shows_good_key: fn(&Response) -> bool,
}

/// Everything that is served, with a bound on how much at a time.
pub(super) struct Calls {
    routes: TowerToHyperService<Router>,
    all: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    metrics: Arc<Metrics>,
    words: Words,
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
    end: CallEnd,
}

/// A call that is being answered.
struct Begun {
    unanswered: Unanswered,
    calls: Arc<Calls>,
    visitor: Arc<Visitor>,
    put_out: Option<PutOut>,
    open: Open,
    reads: Flow,
    needs_key: bool,
}

// === impl Calls ===

impl Calls {
    /// Serves these routes.
    pub(super) fn new(routes: Router, metrics: Arc<Metrics>, words: Words) -> Arc<Self> {
        Arc::new(Self {
            routes: TowerToHyperService::new(routes.with_state(())),
            all: Arc::new(Semaphore::new(CALLS_MAX)),
            strangers: Strangers::new(STRANGERS_MAX, STRANGERS_EACH_MAX),
            metrics,
            words,
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

/// What became of a call with this status, if it has one already.
fn end(status: Option<&HeaderValue>, needs_key: bool, has_key: bool) -> CallEnd {
    match status.map(HeaderValue::as_bytes) {
        None if has_key => CallEnd::Served,
        _ if has_key => CallEnd::Refused,
        Some(OF_NOBODY | NO_SUCH_CALL) => CallEnd::OfNobody,
        Some(NO_CALL) => CallEnd::OfStranger,
        _ if needs_key => CallEnd::PutOff,
        _ => CallEnd::OfStranger,
    }
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
            strangers: calls.strangers.party(conduct.clone()),
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
            call: self.seat.open_call(needs_key),
            visit,
            _room: room,
        })
    }
}

impl Service<Request<Incoming>> for Caller {
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.conduct.call_taken();
        if self.conduct.is_flood() {
            // What came together with the calls that put it out; nobody will read an answer.
            let nothing = Answer::of_nobody(Response::default());
            return Box::pin(std::future::ready(Ok(nothing)));
        }
        let needs_key = !is_of_strangers(request.uri().path());
        let Some(open) = self.open(needs_key) else {
            self.calls.metrics.call_shed();
            if !needs_key {
                self.conduct.call_ended(CallEnd::OfStranger);
            }
            let refusal = Answer::of_nobody((self.calls.words.overloaded)());
            return Box::pin(std::future::ready(Ok(refusal)));
        };
        request.extensions_mut().insert(open.call.introduction());
        let (asks, reads) = self.seat.stalls().call();
        let answering = self
            .calls
            .routes
            .call(request.map(|body| Asked::new(body, needs_key.then_some(asks))));
        let begun = Begun {
            unanswered: Unanswered::new(&self.conduct),
            calls: Arc::clone(&self.calls),
            visitor: Arc::clone(&self.visitor),
            put_out: open.visit.as_ref().map(PutOut::of),
            open,
            reads,
            needs_key,
        };
        Box::pin(async move { Ok(begun.answer(answering).await) })
    }
}

// === impl Begun ===

impl Begun {
    /// Waits for the answer, and sees whose it is.
    async fn answer(
        mut self,
        answering: impl Future<Output = Result<Response, Infallible>>,
    ) -> http::Response<Answer> {
        let words = self.calls.words;
        let mut answer = match &mut self.put_out {
            None => {
                let Ok(answer) = answering.await;
                answer
            }
            Some(put_out) => tokio::select! {
                Ok(answer) = answering => answer,
                () = put_out.due() => (words.overloaded)(),
            },
        };
        let status = answer.headers().get(STATUS);
        let has_key = (words.shows_good_key)(&answer);
        self.unanswered
            .answered(end(status, self.needs_key, has_key));
        if has_key {
            self.visitor.shows_good_key();
        } else {
            self.open.call.is_nobodys();
        }
        if status.is_none() && has_key {
            self.open.call.served();
        }
        let held = Held {
            _open: self.open,
            reads: self.reads,
            _extensions: std::mem::take(answer.extensions_mut()),
        };
        answer.map(|body| Answer::new(body, held, self.put_out, words.overloaded))
    }
}

// === impl Unanswered ===

impl Unanswered {
    fn new(conduct: &Conduct) -> Self {
        Self {
            conduct: conduct.clone(),
            end: CallEnd::GivenUp,
        }
    }

    fn answered(mut self, end: CallEnd) {
        self.end = end;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.conduct.call_ended(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_key_is_one_whatever_becomes_of_its_call_and_what_does_not_exist_is_of_nobody() {
        let told = |status: &'static str, needs_key, has_key| {
            let status = (!status.is_empty()).then(|| HeaderValue::from_static(status));
            end(status.as_ref(), needs_key, has_key)
        };
        for status in ["5", "7", "8", "9", "12", "16"] {
            assert_eq!(told(status, true, true), CallEnd::Refused, "{status}");
        }
        assert_eq!(told("", true, true), CallEnd::Served);
        for (status, needs_key) in [("16", true), ("12", true), ("12", false)] {
            assert_eq!(
                told(status, needs_key, false),
                CallEnd::OfNobody,
                "{status}"
            );
        }
        assert_eq!(told("14", true, false), CallEnd::PutOff);
        assert_eq!(told("3", true, false), CallEnd::OfStranger);
        for status in ["", "5", "8"] {
            assert_eq!(told(status, false, false), CallEnd::OfStranger, "{status}");
        }
    }
}
