//! How the peer of one connection behaves, as those tell each other who see different sides of it:
//! the meter sees frames, the calls see what becomes of them, the life of the connection asks at
//! its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

/// Calls without a good key, on a connection that never showed one, before it is put out: enough for
/// slips of a person and for what a client had under way, and nothing for whoever guesses.
const TRIES_MAX: u64 = 16;

/// What is known of a peer. Copies speak of the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Conduct(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    taken: AtomicU64,
    served: AtomicU64,
    given_up: AtomicU64,
    of_nobody: AtomicU64,
    of_strangers: AtomicU64,
    good: AtomicBool,
    tries: AtomicU64,
    flooded: CancellationToken,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallEnd {
    /// Its answer began, and whoever made it has a key.
    Served,
    /// It was refused, and whoever made it has a key.
    Refused,
    /// It was put off before anybody knew whether its key is good.
    PutOff,
    /// Nobody waited for its answer.
    GivenUp,
    /// It came without a good key, or there is no such call.
    OfNobody,
    /// It needs no key, or is no call.
    OfStranger,
}

/// How many calls ended so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) served: u64,
    pub(super) given_up: u64,
    pub(super) of_nobody: u64,
    pub(super) of_strangers: u64,
}

// === impl Conduct ===

impl Conduct {
    /// A call was handed on to whoever answers it.
    pub(super) fn call_taken(&self) {
        self.0.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub(super) fn calls_taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// What became of one of them.
    pub(super) fn call_ended(&self, end: CallEnd) {
        let count = match end {
            CallEnd::Served => {
                self.show_good_key();
                &self.0.served
            }
            CallEnd::Refused => return self.show_good_key(),
            CallEnd::PutOff => return,
            CallEnd::GivenUp => &self.0.given_up,
            CallEnd::OfNobody => {
                self.tried();
                &self.0.of_nobody
            }
            CallEnd::OfStranger => &self.0.of_strangers,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many ended so since this was asked last.
    pub(super) fn collect(&self) -> Ended {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Ended {
            served: take(&self.0.served),
            given_up: take(&self.0.given_up),
            of_nobody: take(&self.0.of_nobody),
            of_strangers: take(&self.0.of_strangers),
        }
    }

    /// Whether a good key was shown.
    pub(super) fn is_good(&self) -> bool {
        self.0.good.load(Ordering::Relaxed)
    }

    /// The connection is cut off for what its peer sent.
    pub(super) fn flood(&self) {
        self.0.flooded.cancel();
    }

    /// Whether it was.
    pub(super) fn is_flood(&self) -> bool {
        self.0.flooded.is_cancelled()
    }

    /// Waits until it is.
    pub(super) async fn flooded(&self) {
        self.0.flooded.cancelled().await;
    }

    fn show_good_key(&self) {
        self.0.good.store(true, Ordering::Relaxed);
    }

    /// A call came without a good key.
    fn tried(&self) {
        let tries = self.0.tries.fetch_add(1, Ordering::Relaxed);
        if tries >= TRIES_MAX && !self.is_good() {
            self.flood();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_showed_a_good_key_has_sixteen_tries_and_who_did_has_more() {
        let stranger = Conduct::default();
        (0..16).for_each(|_| stranger.call_ended(CallEnd::OfNobody));
        for end in [CallEnd::PutOff, CallEnd::GivenUp, CallEnd::OfStranger] {
            stranger.call_ended(end);
        }
        assert!(!stranger.is_flood());
        stranger.call_ended(CallEnd::OfNobody);
        assert!(stranger.is_flood());

        for shows_key in [CallEnd::Served, CallEnd::Refused] {
            let caller = Conduct::default();
            (0..16).for_each(|_| caller.call_ended(CallEnd::OfNobody));
            caller.call_ended(shows_key);
            (0..100).for_each(|_| caller.call_ended(CallEnd::OfNobody));
            assert!(!caller.is_flood(), "that is for the meter to judge");
        }
    }
}
