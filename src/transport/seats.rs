//! Who is connected: newcomers in the lobby, the others on seats. Both are bounded, and a flood of
//! newcomers does not keep honest ones out: the oldest newcomer goes first, then the connection
//! that has been without a call for longest, those that never made a good one before the others; and
//! where all have calls, one of whoever has most (`full`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stalls::Stalls;

mod full;

/// Whose a connection is, as far as its calls say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    /// It has shown no good key, and its calls need none.
    #[default]
    Nobodys,
    /// Whose the key of a call is that needs one is not known yet.
    Unknown,
    /// Of whom the key was that was found good last.
    Of(Arc<str>),
}

/// Whoever has calls on more than such a part of the seats goes before callers that are idle.
const CROWD_PART: usize = 4;

/// Whoever has no more connections with calls keeps them: backends have a few each.
const FEW: usize = 2;

/// Whoever came no longer ago than this may be about to call: as long as a newcomer has to arrive.
const NEW: Duration = Duration::from_secs(5);

/// So often is looked whether anybody is left who reads.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// All places.
#[derive(Debug)]
pub(super) struct Seats {
    lobby_max: usize,
    seats_max: usize,
    taken: Mutex<Taken>,
}

/// By number of arrival: the first is the oldest.
#[derive(Debug, Default)]
struct Taken {
    arrived: u64,
    lobby: BTreeMap<u64, CancellationToken>,
    seats: BTreeMap<u64, Arc<Seat>>,
    /// Seats without a call, in order: a flood of newcomers asks for the first with each of them.
    idle: BTreeSet<Rank>,
}

/// How much a connection without a call is missed: whether it ever made a good one, since when it
/// is quiet, and its number.
type Rank = (bool, Instant, u64);

/// A place in the lobby; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Newcomer {
    place: Place,
}

/// A connection that has arrived; it gives its seat back when this is dropped.
#[derive(Debug)]
pub(super) struct Seated {
    seat: Arc<Seat>,
    _place: Place,
}

/// What is known of a connection while it has a seat.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    put_out: CancellationToken,
    presence: Mutex<Presence>,
    whose: Mutex<Whose>,
    stalls: Arc<Stalls>,
    quiet: Notify,
}

/// A call that is open; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall {
    seat: Arc<Seat>,
}

/// Among the extensions of a request: tells the door whose it is, as soon as that is known. Whoever has
/// most of a full house loses a seat, before it is answered too.
#[derive(Clone, Debug)]
pub struct Introduction(Arc<Seat>);

/// Whether a connection is of use to anybody.
#[derive(Clone, Copy, Debug)]
struct Presence {
    open: usize,
    /// If none is open.
    quiet_since: Instant,
    served: bool,
}

#[derive(Debug)]
struct Place {
    seats: Arc<Seats>,
    number: u64,
    put_out: CancellationToken,
}

// === impl Seats ===

impl Seats {
    /// All empty.
    pub(super) fn new(lobby_max: usize, seats_max: usize) -> Arc<Self> {
        Arc::new(Self {
            lobby_max,
            seats_max,
            taken: Mutex::default(),
        })
    }

    /// Somebody has come. Whoever waits for longest has to go if there are too many.
    pub(super) fn arrive(self: &Arc<Self>) -> Newcomer {
        let put_out = CancellationToken::new();
        let mut taken = self.lock();
        while taken.lobby.len() >= self.lobby_max {
            let Some((_, oldest)) = taken.lobby.pop_first() else {
                break;
            };
            oldest.cancel();
        }
        taken.arrived += 1;
        let number = taken.arrived;
        taken.lobby.insert(number, put_out.clone());
        Newcomer {
            place: Place {
                seats: Arc::clone(self),
                number,
                put_out,
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Taken ===

impl Taken {
    /// Takes the seat of the connection that is missed least; false if none can go.
    fn make_room(&mut self, seats_max: usize) -> bool {
        let idle = self.idle.first().copied();
        if let Some((false, since, number)) = idle
            && since.elapsed() >= NEW
        {
            self.put_out(number);
            return true;
        }
        let largest = full::largest(self.seats.values());
        let is_crowd = largest.has > FEW.max(seats_max / CROWD_PART);
        let least = match idle {
            Some((.., number)) if !is_crowd => Some(number),
            _ => (largest.has > FEW).then_some(largest.newest),
        };
        least.inspect(|number| self.put_out(*number)).is_some()
    }

    /// Takes the seat of this one.
    fn put_out(&mut self, number: u64) {
        if let Some(seat) = self.seats.remove(&number) {
            self.idle.remove(&seat.rank());
            seat.put_out.cancel();
        }
    }

    /// Gives back whatever place this one has.
    fn leave(&mut self, number: u64) {
        self.lobby.remove(&number);
        if let Some(seat) = self.seats.remove(&number) {
            self.idle.remove(&seat.rank());
        }
    }
}

// === impl Newcomer ===

impl Newcomer {
    /// Waits until a later one needs the place.
    pub(super) async fn put_out(&self) {
        self.place.put_out.cancelled().await;
    }

    /// Takes a seat; `None` if all are taken by connections with calls, of which none can go.
    pub(super) fn sit(self) -> Option<Seated> {
        let now = Instant::now();
        let seat = Arc::new(Seat {
            seats: Arc::clone(&self.place.seats),
            number: self.place.number,
            put_out: self.place.put_out.clone(),
            presence: Mutex::new(Presence {
                open: 0,
                quiet_since: now,
                served: false,
            }),
            whose: Mutex::default(),
            stalls: Arc::default(),
            quiet: Notify::new(),
        });
        let mut taken = self.place.seats.lock();
        taken.lobby.remove(&self.place.number);
        let seats_max = self.place.seats.seats_max;
        if taken.seats.len() >= seats_max && !taken.make_room(seats_max) {
            return None;
        }
        taken.idle.insert(seat.rank());
        taken.seats.insert(self.place.number, Arc::clone(&seat));
        drop(taken);
        Some(Seated {
            seat,
            _place: self.place,
        })
    }
}

// === impl Seated ===

impl Seated {
    /// What is known of the connection.
    pub(super) const fn seat(&self) -> &Arc<Seat> {
        &self.seat
    }
}

// === impl Seat ===

impl Seat {
    /// A call begins, which needs a key or does not.
    pub(super) fn open_call(self: &Arc<Self>, needs_key: bool) -> OpenCall {
        if needs_key {
            let mut whose = self.whose();
            if *whose == Whose::Nobodys {
                *whose = Whose::Unknown;
            }
        }
        let mut taken = self.seats.lock();
        taken.idle.remove(&self.rank());
        let mut presence = self.presence();
        presence.open += 1;
        drop((presence, taken));
        OpenCall {
            seat: Arc::clone(self),
        }
    }

    /// What waits for the peer.
    pub(super) const fn stalls(&self) -> &Arc<Stalls> {
        &self.stalls
    }

    /// Waits until calls are open, and all of them have stalled for so long.
    pub(super) async fn deserted_for(&self, time: Duration) {
        loop {
            let open = self.presence().open;
            if open > 0 && open <= self.stalls.calls(time) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until another connection needs the seat.
    pub(super) async fn put_out(&self) {
        self.put_out.cancelled().await;
    }

    /// Waits until there has been no call for so long from now on. One waits at a time.
    pub(super) async fn idle_for(&self, time: Duration) {
        let now = Instant::now();
        loop {
            let presence = *self.presence();
            if presence.open > 0 {
                self.quiet.notified().await;
                continue;
            }
            let due = presence.quiet_since.max(now) + time;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

    fn rank(&self) -> Rank {
        let presence = *self.presence();
        (presence.served, presence.quiet_since, self.number)
    }

    fn whose(&self) -> MutexGuard<'_, Whose> {
        self.whose.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locked after [`Seats::lock`], where both are.
    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl OpenCall ===

impl OpenCall {
    /// The call was not turned away: its connection is of use.
    pub(super) fn served(&self) {
        self.seat.presence().served = true;
    }

    /// It was answered as one without a good key.
    pub(super) fn is_nobodys(&self) {
        let mut whose = self.seat.whose();
        if *whose == Whose::Unknown {
            *whose = Whose::Nobodys;
        }
    }

    /// For whoever finds out whose it is.
    pub(super) fn introduction(&self) -> Introduction {
        Introduction(Arc::clone(&self.seat))
    }
}

// === impl Introduction ===

impl Introduction {
    /// The key that was shown with the call is good, and theirs.
    pub fn is_of(&self, whose: Arc<str>) {
        *self.0.whose() = Whose::Of(whose);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let seat = &self.seat;
        let mut taken = seat.seats.lock();
        let mut presence = seat.presence();
        presence.open -= 1;
        if presence.open > 0 {
            return;
        }
        presence.quiet_since = Instant::now();
        drop(presence);
        // It may have lost its seat while it had no call, just before this one.
        if taken.seats.contains_key(&seat.number) {
            taken.idle.insert(seat.rank());
        }
        seat.quiet.notify_one();
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.seats.lock().leave(self.number);
    }
}

#[cfg(test)]
mod tests;
