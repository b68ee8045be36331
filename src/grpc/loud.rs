//! Keys of organizations that make more calls than they may, for as long as they do: so that the
//! next of these calls is turned away without a look at the database. What is remembered turns away
//! and never lets in; whoever is let in has had its key looked up.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ports::{ApiKey, KeyHash};

/// How long it is remembered. One look in that time costs nothing.
const MEMORY: Duration = Duration::from_secs(1);

/// Keys that are remembered at a time. Of more, each call is looked up.
const KEYS_MAX: usize = 1024;

/// The keys, by their public beginning.
#[derive(Debug, Default)]
pub(super) struct Loud {
    known: Mutex<HashMap<String, Known>>,
}

/// A key that was good when it was looked up.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// As it is kept.
    pub(super) key: ApiKey,
    /// What opens it.
    pub(super) hash: KeyHash,
    until: Instant,
}

// === impl Loud ===

impl Loud {
    /// Remembers a key that was looked up just now, and whose organization has no call left.
    pub(super) fn note(&self, key: ApiKey, hash: KeyHash, now: Instant) {
        let mut known = self.lock();
        if known.len() >= KEYS_MAX {
            known.retain(|_, known| now < known.until);
        }
        if known.len() < KEYS_MAX {
            let until = now + MEMORY;
            known.insert(key.prefix.clone(), Known { key, hash, until });
        }
    }

    /// What is known of a key.
    pub(super) fn find(&self, prefix: &str, now: Instant) -> Option<Known> {
        let known = self.lock();
        known.get(prefix).filter(|known| now < known.until).cloned()
    }

    /// Forgets a key that was revoked.
    pub(super) fn forget(&self, prefix: &str) {
        self.lock().remove(prefix);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::made_up::key;
    use super::*;

    fn note(loud: &Loud, prefix: &str, now: Instant) {
        let (key, hash) = key(prefix, None);
        loud.note(key, hash, now);
    }

    #[test]
    fn a_key_is_remembered_for_a_second() {
        let (loud, now) = (Loud::default(), Instant::now());
        note(&loud, "a", now);
        let last = now + MEMORY - Duration::from_millis(1);
        assert!(loud.find("a", last).is_some());
        assert!(loud.find("a", now + MEMORY).is_none());
        assert!(loud.find("b", now).is_none());
        loud.forget("a");
        assert!(loud.find("a", now).is_none());
    }

    #[test]
    fn memory_is_bounded_and_the_past_makes_room() {
        let (loud, now) = (Loud::default(), Instant::now());
        for n in 0..KEYS_MAX + 10 {
            note(&loud, &format!("k{n}"), now);
        }
        assert_eq!(loud.lock().len(), KEYS_MAX);
        assert!(loud.find("k0", now).is_some(), "it came first");
        let later = now + MEMORY;
        note(&loud, "later", later);
        assert!(loud.find("later", later).is_some());
        assert_eq!(loud.lock().len(), 1);
    }
}
