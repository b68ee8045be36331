//! What waits for the peer of one connection: pieces of answers that it does not take, and requests
//! that it does not finish. Of each call and direction it is known since when; a caller that reads or
//! writes slowly moves, one that does neither stalls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// All that waits on one connection; never more than its calls have directions.
#[derive(Debug, Default)]
pub(super) struct Stalls {
    waits: Mutex<Waits>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct Waits {
    last_call: u64,
    open: BTreeMap<(u64, Way), Wait>,
}

/// Where bytes go, seen from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Asks,
    Reads,
}

/// Something that only the peer can move.
#[derive(Clone, Copy, Debug)]
struct Wait {
    since: Instant,
    /// What it has not taken.
    pieces: usize,
}

/// One direction of a call. Nothing waits in it any more when this is dropped.
#[derive(Debug)]
pub(super) struct Flow {
    stalls: Arc<Stalls>,
    call: u64,
    way: Way,
}

// === impl Stalls ===

impl Stalls {
    /// The directions of a call that begins: what its peer asks, and what it reads.
    pub(super) fn call(self: &Arc<Self>) -> (Flow, Flow) {
        let mut waits = self.lock();
        waits.last_call += 1;
        let call = waits.last_call;
        let flow = |way| Flow {
            stalls: Arc::clone(self),
            call,
            way,
        };
        (flow(Way::Asks), flow(Way::Reads))
    }

    /// Since when the one has waited that has waited for longest.
    pub(super) fn since(&self) -> Option<Instant> {
        let waits = self.lock();
        waits.open.values().map(|wait| wait.since).min()
    }

    /// Calls that have waited for so long.
    pub(super) fn calls(&self, time: Duration) -> usize {
        let now = Instant::now();
        let waits = self.lock();
        let stalled = waits.open.iter();
        let stalled = stalled.filter(|(_, wait)| now.duration_since(wait.since) >= time);
        let mut calls: Vec<_> = stalled.map(|((call, _), _)| call).collect();
        calls.dedup();
        calls.len()
    }

    /// Waits until something has waited for so long. One waits at a time.
    pub(super) async fn stalled_for(&self, time: Duration) {
        loop {
            let Some(since) = self.since() else {
                self.begun.notified().await;
                continue;
            };
            if since.elapsed() >= time {
                return;
            }
            tokio::time::sleep_until(since + time).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Flow ===

impl Flow {
    /// The peer has a piece more to move.
    pub(super) fn waits(&self) {
        let mut waits = self.stalls.lock();
        let was_empty = waits.open.is_empty();
        let wait = waits.open.entry((self.call, self.way)).or_insert(Wait {
            since: Instant::now(),
            pieces: 0,
        });
        wait.pieces += 1;
        drop(waits);
        if was_empty {
            self.stalls.begun.notify_one();
        }
    }

    /// It has moved one, and has time again for those that are left.
    pub(super) fn moves(&self) {
        let mut waits = self.stalls.lock();
        let place = (self.call, self.way);
        let Some(wait) = waits.open.get_mut(&place) else {
            return;
        };
        wait.since = Instant::now();
        wait.pieces -= 1;
        if wait.pieces == 0 {
            waits.open.remove(&place);
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.stalls.lock().open.remove(&(self.call, self.way));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_moves_now_and_then_does_not_stall_and_what_stands_still_does() {
        let stalls = Arc::<Stalls>::default();
        let begun = Instant::now();
        let (asks, reads) = stalls.call();
        let move_on = async {
            tokio::time::sleep(30 * SECOND).await;
            reads.waits();
            reads.waits();
            tokio::time::sleep(9 * SECOND).await;
            reads.moves();
            tokio::time::sleep(9 * SECOND).await;
            reads.moves();
            assert_eq!(stalls.since(), None);
            tokio::time::sleep(20 * SECOND).await;
            asks.waits();
        };
        tokio::join!(stalls.stalled_for(10 * SECOND), move_on);
        assert_eq!(begun.elapsed(), 78 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_stalls_both_ways_is_one_and_none_when_it_is_gone() {
        let stalls = Arc::<Stalls>::default();
        let (asks, reads) = stalls.call();
        let (_, other) = stalls.call();
        asks.waits();
        reads.waits();
        tokio::time::advance(SECOND).await;
        other.waits();
        assert_eq!((stalls.calls(SECOND), stalls.calls(Duration::ZERO)), (1, 2));
        drop((asks, reads, other));
        assert_eq!(stalls.calls(Duration::ZERO), 0);
        assert!(stalls.lock().open.is_empty(), "nothing is kept of it");
    }
}
