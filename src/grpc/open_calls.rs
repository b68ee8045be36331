//! How many calls an organization may have open at a time. A call takes its place when its key is
//! known, and keeps it until the last byte of its answer is gone or nobody wants it: what a caller
//! does not read stays in memory, and its connection stays on its seat.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::OrganizationId;
use crate::domain::tally::Tally;

/// Bounds on calls at a time: of each organization, or of the operator, and of all.
#[derive(Clone, Copy, Debug)]
struct Most {
    each: usize,
    all: usize,
}

/// On a connection each, the calls of one take half of the seats. Those for which no key is needed, and
/// those that are refused, have the rest of what the door takes: 8192 (`transport::limits`).
const CALLS: Most = Most {
    each: 512,
    all: 7 * 1024,
};

/// Of these, answers with pages: each may have megabytes, which stay in memory until they are read.
const PAGES: Most = Most { each: 32, all: 128 };

/// When to come back: most calls are short.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose calls they are: an organization's, or the operator's.
type Whose = Option<OrganizationId>;

/// Who has calls open, and how many.
#[derive(Debug)]
pub(super) struct OpenCalls {
    calls: Counter,
    pages: Counter,
}

/// The place of a call, given back when this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall {
    all: Arc<OpenCalls>,
    whose: Whose,
    has_page: bool,
}

/// Counts what is open; it never has more entries than there are open calls.
#[derive(Debug)]
struct Counter {
    most: Most,
    open: Mutex<Tally<Whose>>,
}

// === impl OpenCalls ===

impl Default for OpenCalls {
    fn default() -> Self {
        Self {
            calls: Counter::new(CALLS),
            pages: Counter::new(PAGES),
        }
    }
}

impl OpenCalls {
    /// Takes a place for one more call, which may be answered with a page.
    ///
    /// # Errors
    /// `LIMIT_REACHED`, with the time to come back.
    pub(super) fn enter(
        self: &Arc<Self>,
        whose: Whose,
        has_page: bool,
    ) -> Result<OpenCall, Failure> {
        if let Err(has) = self.calls.enter(&whose) {
            return Err(refusal("calls", has));
        }
        if has_page && let Err(has) = self.pages.enter(&whose) {
            self.calls.leave(&whose);
            return Err(refusal("calls for lists", has));
        }
        Ok(OpenCall {
            all: Arc::clone(self),
            whose,
            has_page,
        })
    }
}

// === impl Counter ===

impl Counter {
    fn new(most: Most) -> Self {
        Self {
            most,
            open: Mutex::default(),
        }
    }

    /// One more. Nobody has more than are left for all: several who fill the house together leave
    /// something to whoever comes.
    ///
    /// # Errors
    /// How many it has, which are as many as it may.
    fn enter(&self, whose: &Whose) -> Result<(), usize> {
        let mut open = self.lock();
        let has = open.of(whose);
        if has >= self.most.each.min(self.most.all - open.all()) {
            return Err(has);
        }
        open.add(whose, 1);
        Ok(())
    }

    fn leave(&self, whose: &Whose) {
        self.lock().remove(whose, 1);
    }

    fn lock(&self) -> MutexGuard<'_, Tally<Whose>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(what: &str, has: usize) -> Failure {
    let what = format!(
        "Your organization has {has} {what} open, and no room for more; nothing was done. Read their \
         answers to the end, or try again in a moment."
    );
    Failure::new(Reason::LimitReached, what)
        .with("limit", "open_calls")
        .retry_after(PAUSE)
}

// === impl OpenCall ===

impl OpenCall {
    /// The name of its organization; the operator has none.
    pub(super) fn whose(&self) -> Arc<str> {
        self.whose
            .as_ref()
            .map_or("", OrganizationId::as_str)
            .into()
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.all.calls.leave(&self.whose);
        if self.has_page {
            self.all.pages.leave(&self.whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(name: &str) -> Whose {
        Some(OrganizationId::parse(name).expect("a name"))
    }

    /// As many calls as one can open.
    fn flood(open: &Arc<OpenCalls>, name: &str) -> Vec<OpenCall> {
        std::iter::from_fn(|| open.enter(whose(name), false).ok()).collect()
    }

    #[test]
    fn half_of_the_seats_are_there_for_one_organization_and_others_do_not_pay_for_it() {
        let open = Arc::new(OpenCalls::default());
        let enter = |name: &str| open.enter(whose(name), false);
        let mut loud = flood(&open, "loud");
        assert_eq!(loud.len(), 512);
        let refused = enter("loud").expect_err("one too many");
        assert_eq!(refused.reason, Reason::LimitReached);
        assert_eq!(refused.retry_after, Some(PAUSE));
        let others = (enter("quiet"), open.enter(None, false));
        assert!(others.0.is_ok() && others.1.is_ok());
        loud.pop();
        let again = enter("loud").expect("a place that was given back");
        assert!(enter("loud").is_err());
        drop((loud, again, others));
        let left = open.calls.lock();
        assert!(left.all() == 0 && left.parties() == 0, "{left:?}");
    }

    #[test]
    fn answers_with_pages_are_fewer_and_give_their_places_back() {
        let open = Arc::new(OpenCalls::default());
        let enter = |name: &str| open.enter(whose(name), true);
        let pages: Vec<_> = std::iter::from_fn(|| enter("loud").ok()).collect();
        assert_eq!(pages.len(), 32);
        assert_eq!(
            open.calls.lock().all(),
            32,
            "the one that was refused has no place"
        );
        assert!(
            open.enter(whose("loud"), false).is_ok(),
            "other calls go on"
        );
        assert!(enter("quiet").is_ok());
        drop(pages);
        assert!(enter("loud").is_ok());
        assert_eq!((open.calls.lock().all(), open.pages.lock().all()), (0, 0));
    }

    #[test]
    fn organizations_that_fill_the_house_together_leave_something_to_whoever_comes() {
        let open = Arc::new(OpenCalls::default());
        let names: Vec<_> = (0..16).map(|number| format!("loud-{number}")).collect();
        let loud: Vec<_> = names.iter().map(|name| flood(&open, name)).collect();
        let (last, full) = loud.split_last().expect("sixteen");
        assert!(full[..13].iter().all(|calls| calls.len() == 512));
        assert_eq!((full[13].len(), full[14].len(), last.len()), (256, 128, 64));
        assert_eq!(flood(&open, "quiet").len(), 32);
        assert!(open.enter(None, false).is_ok(), "the operator");
    }
}
