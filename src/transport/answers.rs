//! Answers on their way. What a call holds is held until the last byte of its answer is gone, or
//! nobody wants it: the body alone does not tell, because h2 takes pieces that its peer does not.
//! So each piece holds it as well.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Extensions;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::seats::OpenCall;
use super::stalls::Flow;
use super::strangers::Visit;
use super::unsent::{Unsent, Whose};
use crate::metrics::Metrics;

/// An answer that counts as open while it, or a piece of it, lives.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    put_out: Option<PutOut>,
    sending: Option<Arc<Sending>>,
    /// What it ends with if there is no room for more of it.
    overloaded: fn() -> Response,
}

/// What an open call holds.
#[derive(Debug)]
pub(super) struct Open {
    /// On its connection.
    pub(super) call: OpenCall,
    /// If it needs no key.
    pub(super) visit: Option<Visit>,
    /// Among all calls.
    pub(super) _room: OwnedSemaphorePermit,
}

/// What an answer holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) open: Open,
    pub(super) whose: Whose,
    pub(super) reads: Flow,
    pub(super) unsent: Arc<Unsent>,
    pub(super) metrics: Arc<Metrics>,
    /// What the routes have fastened to their answer.
    pub(super) _extensions: Extensions,
}

/// What an answer holds while it is sent.
#[derive(Debug)]
struct Sending {
    held: Held,
    /// Bytes that wait.
    waiting: AtomicUsize,
}

/// When another stranger needs the room.
pub(super) struct PutOut(Pin<Box<WaitForCancellationFutureOwned>>);

/// Bytes that are not sent.
struct Piece {
    bytes: Bytes,
    sending: Arc<Sending>,
}

// === impl Answer ===

impl Answer {
    /// One that holds nothing.
    pub(super) fn of_nobody(answer: Response) -> http::Response<Self> {
        answer.map(|body| Self {
            body,
            put_out: None,
            sending: None,
            overloaded: Response::default,
        })
    }

    /// One that holds all this.
    pub(super) fn new(
        body: Body,
        held: Held,
        put_out: Option<PutOut>,
        overloaded: fn() -> Response,
    ) -> Self {
        Self {
            body,
            put_out,
            sending: Some(Arc::new(Sending {
                held,
                waiting: AtomicUsize::new(0),
            })),
            overloaded,
        }
    }

    /// Ends it, because there was no room.
    fn break_off(&mut self) -> Frame<Bytes> {
        self.put_out = None;
        self.body = Body::empty();
        let mut status = (self.overloaded)().into_parts().0.headers;
        status.remove(CONTENT_TYPE);
        Frame::trailers(status)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(PutOut(due)) = &mut self.put_out
            && due.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Ok(self.break_off())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let Some(sending) = &self.sending else {
            return Poll::Ready(frame);
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(match frame.into_data() {
                Ok(bytes) => {
                    Piece::of(bytes, sending).map_or_else(|| self.break_off(), Frame::data)
                }
                Err(trailers) => trailers,
            })),
            end => end,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl PutOut ===

impl PutOut {
    /// When this visit is over.
    pub(super) fn of(visit: &Visit) -> Self {
        Self(Box::pin(visit.put_out()))
    }

    /// Waits for it.
    pub(super) async fn due(&mut self) {
        self.0.as_mut().await;
    }
}

impl fmt::Debug for PutOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutOut").finish_non_exhaustive()
    }
}

// === impl Piece ===

impl Piece {
    /// These bytes, which hold what their answer holds; `None` if there is no room for them.
    fn of(bytes: Bytes, sending: &Arc<Sending>) -> Option<Bytes> {
        if bytes.is_empty() {
            return Some(bytes);
        }
        let Sending { held, waiting } = &**sending;
        let before = waiting.load(Ordering::Relaxed);
        if !held.unsent.take(&held.whose, before, bytes.len()) {
            held.metrics.call_shed();
            held.open.call.relieve();
            return None;
        }
        waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        held.reads.waits();
        Some(Bytes::from_owner(Self {
            bytes,
            sending: Arc::clone(sending),
        }))
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Sending { held, waiting } = &*self.sending;
        waiting.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        held.unsent.give_back(&held.whose, self.bytes.len());
        held.reads.moves();
    }
}

#[cfg(test)]
mod tests;
