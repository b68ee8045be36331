//! Calls for which no key is needed: health and reflection. Some last for as long as their caller
//! likes, and a few strangers who keep them would have all the room there is: whoever asks whether
//! this process is well would be sent away. So one connection has a few at a time, and of all one
//! makes room for the next: the oldest on a connection that never showed a good key, or, if all have
//! shown one, the oldest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::conduct::Conduct;

/// The calls of all strangers.
#[derive(Debug)]
pub(super) struct Strangers {
    /// In all.
    most: usize,
    /// Of one party.
    most_each: usize,
    visits: Mutex<Visits>,
}

/// Those who come on one connection.
#[derive(Clone, Debug)]
pub(super) struct Party {
    strangers: Arc<Strangers>,
    number: u64,
    conduct: Conduct,
}

/// A call of a stranger; its place is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    strangers: Arc<Strangers>,
    number: u64,
    put_out: CancellationToken,
}

/// By number: the first is the oldest. Never more than may be open.
#[derive(Debug, Default)]
struct Visits {
    /// Of parties and visits.
    last_number: u64,
    open: BTreeMap<u64, Place>,
}

/// What is kept of a visit.
#[derive(Debug)]
struct Place {
    party: u64,
    conduct: Conduct,
    put_out: CancellationToken,
}

// === impl Strangers ===

impl Strangers {
    /// Room for so many, and for so many of one connection.
    pub(super) fn new(most: usize, most_each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_each,
            visits: Mutex::default(),
        })
    }

    /// Those of a connection that has just come and behaves like this.
    pub(super) fn party(self: &Arc<Self>, conduct: Conduct) -> Party {
        Party {
            strangers: Arc::clone(self),
            number: self.lock().next(),
            conduct,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Visits> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Visits ===

impl Visits {
    const fn next(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Takes the place of the one that is missed least.
    fn make_room(&mut self) -> Option<Place> {
        let mut numbered = self.open.iter();
        let nameless = numbered.find(|(_, place)| !place.conduct.is_good());
        match nameless.map(|(number, _)| *number) {
            Some(number) => self.open.remove(&number),
            None => self.open.pop_first().map(|(_, oldest)| oldest),
        }
    }
}

// === impl Party ===

impl Party {
    /// Room for one more call, if need be that of another; `None` if this connection has as many as it
    /// may.
    pub(super) fn enter(&self) -> Option<Visit> {
        let mut visits = self.strangers.lock();
        let ours = visits.open.values().filter(|one| one.party == self.number);
        if ours.count() >= self.strangers.most_each {
            return None;
        }
        while visits.open.len() >= self.strangers.most {
            visits.make_room()?.put_out.cancel();
        }
        let (number, put_out) = (visits.next(), CancellationToken::new());
        let place = Place {
            party: self.number,
            conduct: self.conduct.clone(),
            put_out: put_out.clone(),
        };
        visits.open.insert(number, place);
        Some(Visit {
            strangers: Arc::clone(&self.strangers),
            number,
            put_out,
        })
    }
}

// === impl Visit ===

impl Visit {
    /// Resolves when another needs the room.
    pub(super) fn put_out(&self) -> WaitForCancellationFutureOwned {
        self.put_out.clone().cancelled_owned()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.strangers.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::conduct::CallEnd;

    /// A connection that never showed a good key.
    fn party(strangers: &Arc<Strangers>) -> Party {
        strangers.party(Conduct::default())
    }

    fn is_out(visit: &Visit) -> bool {
        visit.put_out.is_cancelled()
    }

    #[test]
    fn the_oldest_of_all_makes_room_for_the_next() {
        let strangers = Strangers::new(3, 2);
        let (one, other) = (party(&strangers), party(&strangers));
        let old = [one.enter(), one.enter()].map(|visit| visit.expect("room"));
        let kept = other.enter().expect("room");
        let next = other.enter().expect("the room of the oldest");
        assert_eq!(old.each_ref().map(is_out), [true, false]);
        assert!(!is_out(&kept) && !is_out(&next));
        // Whoever was put out has room elsewhere, and leaves nobody's place when it goes.
        let [first, second] = old;
        drop(first);
        let again = one.enter().expect("room");
        assert!(is_out(&second) && !is_out(&kept));
        drop((second, kept, next, again));
        assert!(strangers.lock().open.is_empty());
    }

    #[test]
    fn who_showed_a_good_key_goes_last() {
        let strangers = Strangers::new(3, 2);
        let conduct = Conduct::default();
        let (caller, crowd) = (strangers.party(conduct.clone()), party(&strangers));
        let watch = caller.enter().expect("room");
        conduct.call_ended(CallEnd::Refused);
        let crowded = [crowd.enter(), crowd.enter()].map(|visit| visit.expect("room"));
        let next = party(&strangers).enter().expect("room");
        assert!(!is_out(&watch) && is_out(&crowded[0]) && !is_out(&crowded[1]));
        drop((crowded, next));
        // Where all have shown one, a newcomer has room all the same.
        let others = [caller.enter(), strangers.party(conduct).enter()];
        let newcomer = party(&strangers).enter();
        assert!(is_out(&watch) && newcomer.is_some());
        assert!(others.iter().flatten().all(|visit| !is_out(visit)));
    }

    #[test]
    fn a_connection_has_no_more_than_its_part_though_there_is_room() {
        let strangers = Strangers::new(8, 2);
        let (many, few) = (party(&strangers), party(&strangers));
        let has = [many.enter(), many.enter()].map(|visit| visit.expect("room"));
        assert!(many.enter().is_none());
        assert!(few.enter().is_some());
        assert!(!has.iter().any(is_out));
        drop(has);
        assert!(many.enter().is_some());
    }
}
