//! Answers on their way. What a call holds is held until the last byte of its answer is gone, or
//! nobody wants it: the body alone does not tell, because h2 takes pieces that its peer does not.
//! So each piece holds it as well. A page of megabytes goes in pieces too, so that it is seen to move
//! when it is read slowly.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
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

/// Bytes of a piece: as much as one of a picture has.
const PIECE_BYTES: usize = 64 * 1024;

/// An answer that counts as open while it, or a piece of it, lives.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    /// What was taken of it and goes next.
    rest: Bytes,
    put_out: Option<PutOut>,
    held: Option<Arc<Held>>,
    /// What it ends with if another stranger needs the room.
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
    pub(super) _open: Open,
    pub(super) reads: Flow,
    /// What the routes have fastened to their answer.
    pub(super) _extensions: Extensions,
}

/// When another stranger needs the room.
pub(super) struct PutOut(Pin<Box<WaitForCancellationFutureOwned>>);

/// Bytes that are not sent.
struct Piece {
    bytes: Bytes,
    held: Arc<Held>,
}

// === impl Answer ===

impl Answer {
    /// One that holds nothing.
    pub(super) fn of_nobody(answer: Response) -> http::Response<Self> {
        answer.map(|body| Self {
            body,
            rest: Bytes::new(),
            put_out: None,
            held: None,
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
            rest: Bytes::new(),
            put_out,
            held: Some(Arc::new(held)),
            overloaded,
        }
    }

    /// Ends it, because another one needs the room.
    fn break_off(&mut self) -> Frame<Bytes> {
        self.put_out = None;
        (self.body, self.rest) = (Body::empty(), Bytes::new());
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
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => self.rest = bytes,
                    Ok(nothing) => return Poll::Ready(Some(Ok(Frame::data(nothing)))),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let next = self.rest.len().min(PIECE_BYTES);
        let bytes = self.rest.split_to(next);
        let piece = match &self.held {
            Some(held) => Piece::of(bytes, held),
            None => bytes,
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // It is asked before the first piece is taken.
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
    /// These bytes, which hold what their answer holds.
    fn of(bytes: Bytes, held: &Arc<Held>) -> Bytes {
        held.reads.waits();
        let held = Arc::clone(held);
        Bytes::from_owner(Self { bytes, held })
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.held.reads.moves();
    }
}

#[cfg(test)]
mod tests;
