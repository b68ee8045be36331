//! Who is connected: newcomers in the lobby, the others on seats. Both are bounded, and a flood of
//! newcomers does not keep honest ones out: the oldest newcomer goes first, then the connection
//! that has been without a call for longest, those that never made a good one before the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
}

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
    put_out: CancellationToken,
    presence: Mutex<Presence>,
    quiet: Notify,
}

/// A call that is open; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall {
    seat: Arc<Seat>,
}

/// Whether a connection is of use to anybody.
#[derive(Clone, Copy, Debug)]
struct Presence {
    open: usize,
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
    /// Takes the seat of the connection that is missed least; false if all have calls.
    fn make_room(&mut self) -> bool {
        let idle = self.seats.iter().filter_map(|(number, seat)| {
            let presence = *seat.presence();
            let rank = (presence.served, presence.quiet_since);
            (presence.open == 0).then_some((rank, *number))
        });
        let Some((_, number)) = idle.min() else {
            return false;
        };
        if let Some(seat) = self.seats.remove(&number) {
            seat.put_out.cancel();
        }
        true
    }
}

// === impl Newcomer ===

impl Newcomer {
    /// Waits until a later one needs the place.
    pub(super) async fn put_out(&self) {
        self.place.put_out.cancelled().await;
    }

    /// Takes a seat; `None` if all are taken by connections with calls.
    pub(super) fn sit(self) -> Option<Seated> {
        let seat = Arc::new(Seat {
            put_out: self.place.put_out.clone(),
            presence: Mutex::new(Presence {
                open: 0,
                quiet_since: Instant::now(),
                served: false,
            }),
            quiet: Notify::new(),
        });
        let mut taken = self.place.seats.lock();
        taken.lobby.remove(&self.place.number);
        if taken.seats.len() >= self.place.seats.seats_max && !taken.make_room() {
            return None;
        }
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
    /// A call begins.
    pub(super) fn open_call(self: &Arc<Self>) -> OpenCall {
        self.presence().open += 1;
        OpenCall {
            seat: Arc::clone(self),
        }
    }

    /// Waits until another connection needs the seat.
    pub(super) async fn put_out(&self) {
        self.put_out.cancelled().await;
    }

    /// Waits until there has been no call for so long. One waits at a time.
    pub(super) async fn idle_for(&self, time: Duration) {
        loop {
            let presence = *self.presence();
            if presence.open > 0 {
                self.quiet.notified().await;
                continue;
            }
            let due = presence.quiet_since + time;
            if due <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }

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
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let mut presence = self.seat.presence();
        presence.open -= 1;
        if presence.open == 0 {
            presence.quiet_since = Instant::now();
            self.seat.quiet.notify_one();
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.lobby.remove(&self.number);
        taken.seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
