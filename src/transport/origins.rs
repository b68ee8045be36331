//! Where those come from who were put out. They come back at once, and mostly from the same
//! address; so what a connection did is held against its address as a debt of time, which passes as
//! time does. Where more than a minute is owed, newcomers take turns. Who would wait too long for its
//! turn is turned away before anything is read or sent. Only of addresses that owe something, and
//! of those where a good key was shown within a minute, anything is kept.
//!
//! An address is not a person: behind a proxy or a router there are many. So nobody who is there is
//! touched; turns come often where a good key was shown lately; and whoever came in its turn and
//! shows a good key gives the turn back.
//!
//! An example. At 10:00:00 five connections from one address are put out for flooding, 15 seconds of
//! debt each: 75 are owed, 15 more than are free, and so two seconds pass from one turn to the next.
//! Seven newcomers knock at that instant. The first comes in at once, the second at 10:00:02, the
//! third at 10:00:04, the sixth at 10:00:10. The seventh would wait for twelve seconds, and is turned
//! away.
//!
//! - At 10:00:01 there are 74 owed, 14 more than are free: from now on one second passes between two
//!   turns that are given out. At 10:00:15 there are 60 owed: newcomers come in as they like. At
//!   10:01:15 nothing is owed, and the address is forgotten.
//! - Has somebody there shown a good key since 09:59:00, whether anything was owed then or not, a tenth
//!   of a second passes between two turns: the seventh waits for six tenths of a second. If the second
//!   then shows a good key too, it gives its turn back: the eighth waits no longer than the seventh.
//! - Had there been ten, all 150 seconds would be owed that can be: half a minute from one turn to the
//!   next, and a minute and a half until newcomers come in as they like.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::ORIGINS_MAX;
use crate::metrics::Metrics;

/// What an address owes for a connection that flooded or tried too many bad keys.
const FLOOD_DEBT: Duration = Duration::from_secs(15);

/// What it owes for one that ended in any other way and never showed a good key: a crowd is made of
/// those. Probes of health and callers that try another protocol stay far below four a second.
const NAMELESS_DEBT: Duration = Duration::from_millis(250);

/// What an address may owe and still come and go as it likes: four put out in a minute.
const DEBT_FREE: Duration = Duration::from_secs(60);

/// The most an address can owe: everything is forgiven two and a half minutes after the last time.
const DEBT_MAX: Duration = Duration::from_secs(150);

/// From one turn to the next where nobody has shown a good key lately. It doubles with each further
/// connection that is put out, …
const PAUSE: Duration = Duration::from_secs(1);

/// … so often at most: half a minute.
const DOUBLINGS_MAX: u32 = 5;

/// From one turn to the next where somebody has: what ten connections a second can do that are put
/// out after their first bad calls is next to nothing.
const PAUSE_AMONG_GOOD: Duration = Duration::from_millis(100);

/// How long a good key speaks for its address.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// The longest a newcomer waits for its turn. Clients give a connection twenty seconds to come
/// about (gRPC, Connection Backoff: `MIN_CONNECT_TIMEOUT`).
pub(super) const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// Says of which addresses newcomers never take turns: of proxies that see to it themselves.
#[derive(Clone)]
pub struct Unrationed(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

/// What is held against whom.
#[derive(Debug)]
pub(super) struct Origins {
    unrationed: Unrationed,
    metrics: Arc<Metrics>,
    held: Mutex<Held>,
}

/// Somebody who may come in: at once, or when its turn has come.
#[derive(Debug)]
pub(super) struct Visitor {
    origins: Arc<Origins>,
    peer: IpAddr,
    /// When it may come in, if it has to wait.
    turn: Option<Instant>,
    good: AtomicBool,
}

/// The addresses that owe something; never more than there is room for.
#[derive(Debug, Default)]
struct Held {
    records: HashMap<Origin, Record>,
    /// By when they owe nothing: the first is forgotten first.
    order: BTreeSet<(Instant, Origin)>,
    /// When somebody there last showed a good key, whether anything is owed or not; of as many at
    /// most, so that nobody who floods makes anybody forget them.
    good: HashMap<Origin, Instant>,
}

/// An address of IPv4, or of IPv6 all that share the first half: a site has at least as many to
/// choose from (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Origin(IpAddr);

/// What is held against an address.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// When it owes nothing any more.
    clear: Instant,
    /// When the last turn begins that was given out.
    last_turn: Option<Instant>,
}

/// When a newcomer may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Now,
    At(Instant),
    /// Too late for anybody to wait.
    Never,
}

// === impl Unrationed ===

impl Unrationed {
    /// What says so.
    pub fn new(is_unrationed: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_unrationed))
    }

    /// All take turns.
    pub fn nobody() -> Self {
        Self::new(|_| false)
    }
}

impl fmt::Debug for Unrationed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unrationed").finish_non_exhaustive()
    }
}

// === impl Origins ===

impl Origins {
    /// Nobody owes anything.
    pub(super) fn new(unrationed: Unrationed, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            unrationed,
            metrics,
            held: Mutex::default(),
        })
    }

    /// Somebody has come; `None` if it is turned away.
    pub(super) fn knock(self: &Arc<Self>, peer: IpAddr) -> Option<Visitor> {
        let peer = peer.to_canonical();
        let turn = match self.held().turn(Origin::of(peer), Instant::now()) {
            Turn::Now => None,
            Turn::At(_) | Turn::Never if (self.unrationed.0)(peer) => None,
            Turn::At(turn) => Some(turn),
            Turn::Never => return None,
        };
        Some(Visitor {
            origins: Arc::clone(self),
            peer,
            turn,
            good: AtomicBool::new(false),
        })
    }

    fn hold(&self, peer: IpAddr, debt: Duration) {
        if (self.unrationed.0)(peer) {
            return;
        }
        let mut held = self.held();
        held.hold(Origin::of(peer), debt, Instant::now());
        self.metrics.addresses_held(held.records.len());
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Visitor ===

impl Visitor {
    /// Waits for its turn.
    pub(super) async fn turn(&self) {
        if let Some(turn) = self.turn.filter(|turn| *turn > Instant::now()) {
            self.origins.metrics.newcomer_waits();
            tokio::time::sleep_until(turn).await;
        }
    }

    /// A call came with a good key, whatever became of it.
    pub(super) fn shows_good_key(&self) {
        let first = !self.good.swap(true, Ordering::Relaxed);
        let gives_back = first && self.turn.is_some();
        let mut held = self.origins.held();
        held.vouch(Origin::of(self.peer), gives_back, Instant::now());
    }

    /// Its connection has ended; `flooded` is whether for what was sent on it.
    pub(super) fn left(&self, flooded: bool) {
        if flooded {
            self.origins.hold(self.peer, FLOOD_DEBT);
        } else if !self.good.load(Ordering::Relaxed) {
            self.origins.hold(self.peer, NAMELESS_DEBT);
        }
    }
}

// === impl Held ===

impl Held {
    /// When the next newcomer from there may come in.
    fn turn(&mut self, origin: Origin, now: Instant) -> Turn {
        let is_good = self.is_good(origin, now);
        let Some(record) = self.records.get_mut(&origin) else {
            return Turn::Now;
        };
        let Some(pause) = record.pause(is_good, now) else {
            return Turn::Now;
        };
        let turn = record.last_turn.map_or(now, |last| now.max(last + pause));
        if turn.saturating_duration_since(now) > TURN_PATIENCE {
            return Turn::Never;
        }
        record.last_turn = Some(turn);
        Turn::At(turn)
    }

    /// Adds to what an origin owes.
    fn hold(&mut self, origin: Origin, debt: Duration, now: Instant) {
        self.forget(now);
        let known = self.records.get(&origin).copied();
        if let Some(record) = known {
            self.order.remove(&(record.clear, origin));
        } else if self.records.len() >= ORIGINS_MAX
            && let Some((_, least)) = self.order.pop_first()
        {
            self.records.remove(&least);
        }
        let mut record = known.unwrap_or(Record {
            clear: now,
            last_turn: None,
        });
        record.clear = (record.clear.max(now) + debt).min(now + DEBT_MAX);
        self.order.insert((record.clear, origin));
        self.records.insert(origin, record);
    }

    /// A good key was shown there.
    fn vouch(&mut self, origin: Origin, gives_back: bool, now: Instant) {
        let was_good = self.is_good(origin, now);
        self.remember(origin, now);
        let Some(record) = self.records.get_mut(&origin) else {
            return;
        };
        if !was_good {
            // Those who wait were told to wait for long, which is in nobody's way any more.
            record.last_turn = record.last_turn.map(|last| last.min(now));
        } else if gives_back {
            let last = record.last_turn;
            record.last_turn = last.and_then(|last| last.checked_sub(PAUSE_AMONG_GOOD));
        }
    }

    /// Keeps that a good key was shown there, if need be in the place of the one that was shown first.
    fn remember(&mut self, origin: Origin, now: Instant) {
        if self.good.len() >= ORIGINS_MAX && !self.good.contains_key(&origin) {
            self.good.retain(|_, at| speaks(*at, now));
            let first = self.good.iter().min_by_key(|(_, at)| **at);
            if self.good.len() >= ORIGINS_MAX
                && let Some(first) = first.map(|(first, _)| *first)
            {
                self.good.remove(&first);
            }
        }
        self.good.insert(origin, now);
    }

    /// Whether somebody there has shown a good key lately.
    fn is_good(&self, origin: Origin, now: Instant) -> bool {
        self.good.get(&origin).is_some_and(|at| speaks(*at, now))
    }

    /// Forgets all that owe nothing any more.
    fn forget(&mut self, now: Instant) {
        while let Some((clear, origin)) = self.order.first().copied() {
            if clear > now {
                return;
            }
            self.order.pop_first();
            self.records.remove(&origin);
        }
    }
}

// === impl Origin ===

impl Origin {
    fn of(peer: IpAddr) -> Self {
        Self(match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64).into(),
        })
    }
}

// === impl Record ===

impl Record {
    /// From one turn to the next; `None` if none are needed.
    fn pause(&self, is_good: bool, now: Instant) -> Option<Duration> {
        let owed = self.clear.saturating_duration_since(now);
        let beyond = owed.checked_sub(DEBT_FREE).filter(|left| !left.is_zero())?;
        if is_good {
            return Some(PAUSE_AMONG_GOOD);
        }
        let doublings = beyond.as_secs() / FLOOD_DEBT.as_secs();
        let doublings = u32::try_from(doublings).unwrap_or(DOUBLINGS_MAX);
        Some(PAUSE * 2_u32.pow(doublings.min(DOUBLINGS_MAX)))
    }
}

/// Whether a good key that was shown then speaks for its address still.
fn speaks(shown: Instant, now: Instant) -> bool {
    now.saturating_duration_since(shown) < GOOD_FOR
}

#[cfg(test)]
mod tests;
