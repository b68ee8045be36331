//! Requests as they arrive. How fast they do is up to whoever sends them, so it is noted since when one
//! is waited for.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::stalls::Flow;

/// Bytes of a request that have to come before its sender has time again for the next: by single
/// bytes nobody gets through a request.
const HEARD_BYTES: usize = 16 * 1024;

/// The request of a call, as it arrives.
pub(super) struct Asked {
    body: Incoming,
    /// `None` if it is not noted: reflection has streams that are kept open and asked now and then.
    asks: Option<Flow>,
    /// Whether more has to come, and how much has since that was noted.
    waits: bool,
    heard: usize,
}

// === impl Asked ===

impl Asked {
    /// What this peer sends.
    pub(super) const fn new(body: Incoming, asks: Option<Flow>) -> Self {
        Self {
            body,
            asks,
            waits: false,
            heard: 0,
        }
    }

    /// Notes whether there is something that the peer has yet to send.
    fn note(&mut self, frame: &Poll<Option<Result<Frame<Bytes>, hyper::Error>>>) {
        let Some(asks) = &self.asks else {
            return;
        };
        let moved = match frame {
            Poll::Pending => {
                if !std::mem::replace(&mut self.waits, true) {
                    self.heard = 0;
                    asks.waits();
                }
                return;
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.heard += frame.data_ref().map_or(0, Bytes::len);
                self.heard >= HEARD_BYTES || self.body.is_end_stream()
            }
            Poll::Ready(_) => true,
        };
        if moved && std::mem::replace(&mut self.waits, false) {
            asks.moves();
        }
    }
}

impl http_body::Body for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.note(&frame);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
