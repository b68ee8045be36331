//! Which keys were good lately. Nothing is granted by that: every key is looked up with every call.
//! It only says who need not wait: keys that nobody has shown lately are looked up one at a time,
//! so that whoever tries keys by the thousand stands in the way of others who do, and not of those
//! who have one.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Keys that are remembered twice over at most: some 100 bytes each.
const REMEMBERED_MAX: usize = 8 * 1024;

/// Look-ups of other keys at a time: the books have three readers, and two are left.
const STRANGERS_AT_A_TIME: usize = 1;

/// The keys that were good lately, by their public beginnings.
#[derive(Debug)]
pub(super) struct Known {
    lately: Mutex<Lately>,
    strangers: Semaphore,
}

/// Two generations: when the younger is full, the older is forgotten.
#[derive(Debug, Default)]
struct Lately {
    younger: HashSet<String>,
    older: HashSet<String>,
}

// === impl Known ===

impl Known {
    pub(super) fn new() -> Self {
        Self {
            lately: Mutex::default(),
            strangers: Semaphore::new(STRANGERS_AT_A_TIME),
        }
    }

    /// Waits until the key with this beginning may be looked up, which it may until what is answered
    /// is dropped.
    pub(super) async fn turn(&self, prefix: &str) -> Option<SemaphorePermit<'_>> {
        if self.lock().contains(prefix) {
            return None;
        }
        // It is never closed; if it were, nobody would have to wait.
        let turn = self.strangers.acquire().await.ok()?;
        // Somebody may have shown it meanwhile: then all who wait with it go on together.
        (!self.lock().contains(prefix)).then_some(turn)
    }

    /// The key with this beginning is good.
    pub(super) fn note(&self, prefix: &str) {
        self.lock().insert(prefix);
    }

    /// It is not, or not any more, or somebody knows no more of it than its beginning.
    pub(super) fn forget(&self, prefix: &str) {
        self.lock().remove(prefix);
    }

    fn lock(&self) -> MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lately ===

impl Lately {
    fn contains(&self, prefix: &str) -> bool {
        self.younger.contains(prefix) || self.older.contains(prefix)
    }

    fn insert(&mut self, prefix: &str) {
        if self.younger.contains(prefix) {
            return;
        }
        if self.younger.len() >= REMEMBERED_MAX {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(prefix.to_owned());
    }

    fn remove(&mut self, prefix: &str) {
        self.younger.remove(prefix);
        self.older.remove(prefix);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn keys_that_nobody_has_shown_lately_take_turns_and_others_do_not_wait() {
        let known = Known::new();
        known.note("good");
        let first = known.turn("bad").now_or_never().expect("at once");
        assert!(first.is_some());
        assert!(known.turn("worse").now_or_never().is_none(), "it waits");
        let good = known.turn("good").now_or_never().expect("at once");
        assert!(good.is_none(), "and takes nobody's turn");
        known.forget("good");
        assert!(known.turn("good").now_or_never().is_none());
        let mut again = Box::pin(known.turn("good"));
        assert!(again.as_mut().now_or_never().is_none());
        known.note("good");
        drop(first);
        assert!(again.now_or_never().expect("its turn").is_none());
        assert!(known.turn("worse").now_or_never().is_some());
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for_and_the_youngest_stay() {
        let known = Known::new();
        for number in 0..5 * REMEMBERED_MAX {
            known.note(&number.to_string());
        }
        let lately = known.lock();
        assert!(lately.younger.len() <= REMEMBERED_MAX);
        assert_eq!(lately.older.len(), REMEMBERED_MAX);
        assert!(lately.contains(&(5 * REMEMBERED_MAX - 1).to_string()));
        assert!(lately.contains(&(4 * REMEMBERED_MAX).to_string()));
        assert!(!lately.contains("0"));
    }
}
