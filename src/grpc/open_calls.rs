//! How many calls an organization may have open at a time. A call takes its place when its key is
//! known, and keeps it until the last byte of its answer is gone or nobody wants it: what a caller
//! does not read stays in memory, and its connection stays on its seat.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::OrganizationId;

/// Calls of one organization, or of the operator, at a time: on a connection each they take half of
/// the seats. An answer that nobody reads takes 73 KiB, so all of them take 37 MiB, which is below what
/// a flood may cost (64 MiB, `reliability.md` G18).
const OPEN_MAX: usize = 512;

/// When to come back: most calls are short.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose calls they are: an organization's, or the operator's.
type Whose = Option<OrganizationId>;

/// Who has calls open, and how many; never more entries than there are open calls.
#[derive(Debug, Default)]
pub(super) struct OpenCalls(Mutex<HashMap<Whose, usize>>);

/// The place of a call, given back when this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall {
    all: Arc<OpenCalls>,
    whose: Whose,
}

/// The body of an answer, with the place of its call.
struct Kept {
    body: Body,
    _call: OpenCall,
}

// === impl OpenCalls ===

impl OpenCalls {
    /// Takes a place for one more call.
    ///
    /// # Errors
    /// `LIMIT_REACHED`, with the time to come back.
    pub(super) fn enter(self: &Arc<Self>, whose: Whose) -> Result<OpenCall, Failure> {
        let mut open = self.lock();
        let calls = open.entry(whose.clone()).or_default();
        if *calls >= OPEN_MAX {
            return Err(refusal());
        }
        *calls += 1;
        drop(open);
        Ok(OpenCall {
            all: Arc::clone(self),
            whose,
        })
    }

    fn leave(&self, whose: &Whose) {
        let mut open = self.lock();
        let Some(calls) = open.get_mut(whose) else {
            return;
        };
        *calls = calls.saturating_sub(1);
        if *calls == 0 {
            open.remove(whose);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Whose, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal() -> Failure {
    let what = format!(
        "Your organization has {OPEN_MAX} calls open; nothing was done. Read their answers to the end, \
         or try again in a moment."
    );
    Failure::new(Reason::LimitReached, what)
        .with("limit", "open_calls")
        .retry_after(PAUSE)
}

// === impl OpenCall ===

impl OpenCall {
    /// Keeps the place for as long as there is something of this answer left to send.
    pub(super) fn until_sent(self, answer: Response) -> Response {
        answer.map(|body| Body::new(Kept { body, _call: self }))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.all.leave(&self.whose);
    }
}

// === impl Kept ===

impl http_body::Body for Kept {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(name: &str) -> Whose {
        Some(OrganizationId::parse(name).expect("a name"))
    }

    #[test]
    fn half_of_the_seats_are_there_for_one_organization_and_others_do_not_pay_for_it() {
        let open = Arc::new(OpenCalls::default());
        let enter = |name: &str| open.enter(whose(name));
        let mut loud: Vec<_> = std::iter::from_fn(|| enter("loud").ok()).collect();
        assert_eq!(loud.len(), 512);
        let refused = enter("loud").expect_err("one too many");
        assert_eq!(refused.reason, Reason::LimitReached);
        assert_eq!(refused.retry_after, Some(PAUSE));
        let others = (enter("quiet"), open.enter(None));
        assert!(others.0.is_ok() && others.1.is_ok());
        loud.pop();
        let again = enter("loud").expect("a place that was given back");
        assert!(enter("loud").is_err());
        drop((loud, again, others));
        assert!(open.lock().is_empty(), "nothing is kept of who has none");
    }

    #[tokio::test]
    async fn a_place_is_kept_until_the_answer_is_gone() {
        let open = Arc::new(OpenCalls::default());
        let call = open.enter(whose("acme")).expect("a place");
        let answer = call.until_sent(Response::new(Body::from("words")));
        assert_eq!(open.lock().len(), 1);
        let words = axum::body::to_bytes(answer.into_body(), 5).await;
        assert_eq!(words.expect("words"), "words");
        assert!(open.lock().is_empty());
        let call = open.enter(whose("acme")).expect("a place");
        drop(call.until_sent(Response::new(Body::from("words"))));
        assert!(open.lock().is_empty(), "nobody wants it");
    }
}
