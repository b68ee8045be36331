//! A bound on what callers may have in flight: the bytes of all requests being read or drawn from
//! share one budget, however many callers there are (`api.md`, Limits), and no organization takes the
//! room of the others (`reliability.md` row 78).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http_body::Frame;

use super::caller::Caller;
use super::status;
use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::OrganizationId;
use crate::domain::tally::Tally;
use crate::ports::Room;

/// Bytes of all requests together: eight of the largest kind, or thousands of ordinary ones.
const IN_FLIGHT_BYTES_MAX: usize = 8 * super::REQUEST_BYTES_MAX;

/// An organization may hold so many times what is left for all (dynamic thresholds; Choudhury and
/// Hahne, 1998). Whoever is alone gets two thirds, which is more than the sixteen references of ten
/// megabytes that one call may name; beside it a newcomer finds room for a request of the largest kind
/// at once; and whoever has more than the others gets no more until they have as much.
const TIMES_WHAT_IS_LEFT: usize = 2;

/// The first bytes of each call have their room as long as there is any: whoever asks for a balance is
/// not refused because its organization draws from large pictures. All calls that can be open
/// together take a quarter of the budget with them at most.
const FIRST_BYTES: usize = 8 * 1024;

/// Whose bytes they are: an organization's, or the operator's.
type Whose = Option<OrganizationId>;

/// What is in flight; it never knows more parties than there are open calls and running generations.
#[derive(Debug, Default)]
pub(super) struct Budget {
    taken: Mutex<Tally<Whose>>,
}

/// What one call has of the budget; given back when the last holder drops it.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    whose: Whose,
    taken: Mutex<usize>,
}

/// A request body that takes its share while it is read.
pub(super) struct Counted {
    body: Body,
    share: Arc<Share>,
}

// === impl Budget ===

impl Budget {
    /// Takes so many bytes for a call that has taken `before`; `false` if they are too many.
    fn take(&self, whose: &Whose, before: usize, bytes: usize) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = IN_FLIGHT_BYTES_MAX.checked_sub(taken.all().saturating_add(bytes)) else {
            return false;
        };
        let has = taken.of(whose) + bytes;
        if before + bytes > FIRST_BYTES && has > left * TIMES_WHAT_IS_LEFT {
            return false;
        }
        taken.add(whose, bytes);
        true
    }

    fn give_back(&self, whose: &Whose, bytes: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(whose, bytes);
    }
}

// === impl Counted ===

impl Counted {
    /// Counts the body of a request, whose caller is known from its head. Whoever keeps bytes of it
    /// keeps the [`Share`] found in the request's extensions.
    pub(super) fn count(budget: &Arc<Budget>, caller: &Caller, request: Request) -> Request {
        Self::of(budget, caller.whose(), request)
    }

    fn of(budget: &Arc<Budget>, whose: Whose, request: Request) -> Request {
        let share = Arc::new(Share {
            budget: Arc::clone(budget),
            whose,
            taken: Mutex::default(),
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
    /// What is refused is not taken: nobody keeps it.
    fn take(&self, bytes: usize) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let takes = self.budget.take(&self.whose, *taken, bytes);
        if takes {
            *taken += bytes;
        }
        takes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let taken = self.taken.get_mut();
        let taken = *taken.unwrap_or_else(PoisonError::into_inner);
        self.budget.give_back(&self.whose, taken);
    }
}

pub(super) fn overloaded() -> Failure {
    let what = "Too many reference images are in flight, of your organization or of all; try again in \
                a moment.";
    Failure::new(Reason::Overloaded, what).retry_after(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body::Body as _;
    use std::future::poll_fn;

    const MIB: usize = 1024 * 1024;

    fn whose(name: &str) -> Whose {
        Some(OrganizationId::parse(name).expect("a name"))
    }

    /// A call that has nothing yet.
    fn call(budget: &Arc<Budget>, name: &str) -> Share {
        Share {
            budget: Arc::clone(budget),
            whose: whose(name),
            taken: Mutex::default(),
        }
    }

    /// Calls of a megabyte each until one is refused.
    fn flood(budget: &Arc<Budget>, name: &str) -> Vec<Share> {
        let calls = std::iter::repeat_with(|| call(budget, name));
        calls.take_while(|call| call.take(MIB)).collect()
    }

    fn taken(budget: &Budget) -> (usize, usize) {
        let taken = budget.taken.lock().expect("a look");
        (taken.all(), taken.parties())
    }

    fn fill(budget: &Budget) {
        let mut taken = budget.taken.lock().expect("a change");
        taken.add(&whose("acme"), IN_FLIGHT_BYTES_MAX);
    }

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
        let request = Request::new(Body::from(vec![0; 1000]));
        let request = Counted::of(&budget, whose("acme"), request);
        let kept = request.extensions().get::<Arc<Share>>().cloned();
        assert_eq!(read(request).await.expect("within the budget"), 1000);
        assert_eq!(taken(&budget), (1000, 1));
        drop(kept);
        assert_eq!(taken(&budget), (0, 0));
    }

    #[tokio::test]
    async fn a_request_over_the_budget_is_refused_and_costs_nothing_after() {
        let budget = Arc::new(Budget::default());
        fill(&budget);
        let request = Counted::of(&budget, None, Request::new(Body::from(vec![0; 1])));
        let refused = read(request).await.expect_err("full");
        let status = tonic::Status::from_error(Box::new(refused));
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
        assert_eq!(taken(&budget).0, IN_FLIGHT_BYTES_MAX);
    }

    #[test]
    fn whoever_is_alone_may_have_two_thirds_and_the_largest_call_fits() {
        let budget = Arc::new(Budget::default());
        assert_eq!(flood(&budget, "loud").len(), 170);
        assert_eq!(taken(&budget), (0, 0));
        let largest = call(&budget, "acme");
        assert!(largest.take(16 * 10 * MIB), "sixteen references");
    }

    #[test]
    fn whoever_floods_leaves_room_for_a_newcomer_and_the_next() {
        let budget = Arc::new(Budget::default());
        let loud = flood(&budget, "loud");
        let largest = call(&budget, "quiet");
        assert!(largest.take(super::super::REQUEST_BYTES_MAX));
        let third = flood(&budget, "third");
        assert!(third.len() >= 16, "{}", third.len());
        // Even now whoever brings little is let in, and the bound holds for all together.
        let small = std::iter::repeat_with(|| call(&budget, "loud"));
        let small: Vec<_> = small.take_while(|call| call.take(FIRST_BYTES)).collect();
        assert!(small.len() > 1000, "{}", small.len());
        assert!(taken(&budget).0 <= IN_FLIGHT_BYTES_MAX);
        assert!(!call(&budget, "fourth").take(FIRST_BYTES));
        drop((loud, largest, third, small));
        assert_eq!(taken(&budget), (0, 0));
    }

    #[test]
    fn parts_even_out_as_bytes_are_given_back() {
        let budget = Arc::new(Budget::default());
        let mut loud = flood(&budget, "loud");
        let mut quiet = flood(&budget, "quiet");
        for _ in 0..500 {
            loud.pop();
            quiet.extend(flood(&budget, "quiet"));
            loud.extend(flood(&budget, "loud"));
        }
        let (loud, quiet) = (loud.len(), quiet.len());
        assert!(loud.abs_diff(quiet) <= 2, "{loud} {quiet}");
        assert!(loud + quiet >= 200, "{loud} {quiet}");
    }

    #[test]
    fn what_is_refused_is_not_taken() {
        let budget = Arc::new(Budget::default());
        let call = call(&budget, "acme");
        assert!(!call.take(IN_FLIGHT_BYTES_MAX));
        assert!(!call.take(usize::MAX));
        assert_eq!(taken(&budget), (0, 0));
    }
}
