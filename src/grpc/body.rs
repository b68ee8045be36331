//! A bound on what callers may have in flight: the bytes of all requests being read or drawn from
//! share one budget, however many callers there are (`api.md`, Limits).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body::Frame;

use super::status;
use crate::domain::failure::{Failure, Reason};
use crate::ports::Room;

/// Bytes of all requests together: eight of the largest kind, or thousands of ordinary ones.
const IN_FLIGHT_BYTES_MAX: usize = 8 * super::REQUEST_BYTES_MAX;

/// What is in flight.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: AtomicUsize,
}

/// A share of the budget; given back when the last holder drops it.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    taken: AtomicUsize,
}

/// A request body that takes its share while it is read.
pub(super) struct Counted {
    body: Body,
    share: Arc<Share>,
}

// === impl Counted ===

impl Counted {
    /// Counts the body of a request. Whoever keeps bytes of it keeps the [`Share`] found in the
    /// request's extensions.
    pub(super) fn count(budget: &Arc<Budget>, request: Request) -> Request {
        let share = Arc::new(Share {
            budget: Arc::clone(budget),
            taken: AtomicUsize::new(0),
        });
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Arc::clone(&share));
        Request::from_parts(head, Body::new(Self { body, share }))
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if !self.share.take(bytes) {
                let error = axum::Error::new(status::of(&overloaded()));
                return Poll::Ready(Some(Err(error)));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

// === impl Share ===

impl Room for Share {
    fn take(&self, bytes: usize) -> bool {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= IN_FLIGHT_BYTES_MAX
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = self.taken.load(Ordering::Relaxed);
        self.budget.used.fetch_sub(taken, Ordering::Relaxed);
    }
}

pub(super) fn overloaded() -> Failure {
    let what = "Too many reference images are in flight; try again in a moment.";
    Failure::new(Reason::Overloaded, what).retry_after(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::future::poll_fn;

    async fn read(request: Request) -> Result<usize, axum::Error> {
        let mut body = request.into_body();
        let mut total = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            total += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(total)
    }

    #[tokio::test]
    async fn a_share_is_given_back_when_its_last_holder_is_gone() {
        let budget = Arc::new(Budget::default());
        let request = Counted::count(&budget, Request::new(Body::from(vec![0; 1000])));
        let kept = request.extensions().get::<Arc<Share>>().cloned();
        assert_eq!(read(request).await.expect("within the budget"), 1000);
        assert_eq!(budget.used.load(Ordering::Relaxed), 1000);
        drop(kept);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_request_over_the_budget_is_refused_and_costs_nothing_after() {
        let budget = Arc::new(Budget::default());
        budget.used.store(IN_FLIGHT_BYTES_MAX, Ordering::Relaxed);
        let request = Counted::count(&budget, Request::new(Body::from(vec![0; 1])));
        assert!(read(request).await.is_err());
        assert_eq!(budget.used.load(Ordering::Relaxed), IN_FLIGHT_BYTES_MAX);
    }
}
