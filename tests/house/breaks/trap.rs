//! Counts every crossing of a port, and lets the n-th of them fail.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a crossing fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nothing has happened.
    Before,
    /// It has happened, and its answer is lost.
    After,
}

/// What a trap does to its crossings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Where the process dies; crossings are counted from then on, or from the start if it does not.
    pub(crate) dies_at: Option<&'static str>,
    /// Which crossing fails, and how.
    pub(crate) fails: Option<(Crossing, Side)>,
}

/// A crossing that is to fail, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// The n-th of all, from 1.
    Place(u64),
    /// The first of this name.
    Named(&'static str),
}

/// What has happened so far.
#[derive(Debug)]
struct State {
    plan: Plan,
    counts: bool,
    crossed: u64,
    /// The crossing that failed.
    sprung: Option<String>,
    dead: bool,
}

/// Watches over all ports of one studio.
pub(crate) struct Trap {
    state: Mutex<State>,
}

/// What becomes of a crossing.
enum Fate {
    Goes,
    Fails(Side),
    Dies,
}

// === impl Trap ===

impl Trap {
    pub(crate) fn new(plan: Plan) -> Self {
        let state = State {
            plan,
            counts: plan.dies_at.is_none(),
            crossed: 0,
            sprung: None,
            dead: false,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// One crossing: does it, or fails before or after it with what `lost` makes of it.
    pub(crate) async fn cross<T, E>(
        &self,
        name: &'static str,
        lost: impl FnOnce(Side) -> E,
        crossing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.fate(name) {
            Fate::Goes => crossing.await,
            Fate::Fails(Side::Before) => Err(lost(Side::Before)),
            Fate::Fails(Side::After) => match crossing.await {
                Ok(_) => Err(lost(Side::After)),
                refused => refused,
            },
            // Unwinding without the hook's lines: it is meant.
            Fate::Dies => std::panic::resume_unwind(Box::new("the process dies here")),
        }
    }

    /// The crossing that failed, if one did.
    pub(crate) fn sprung(&self) -> Option<String> {
        self.lock().sprung.clone()
    }

    /// Whether the process died.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Nothing fails from now on.
    pub(crate) fn disarm(&self) {
        self.lock().plan = Plan {
            dies_at: None,
            fails: None,
        };
    }

    fn fate(&self, name: &'static str) -> Fate {
        let mut state = self.lock();
        if !state.dead && state.plan.dies_at == Some(name) {
            state.dead = true;
            state.counts = true;
            return Fate::Dies;
        }
        state.crossed += u64::from(state.counts);
        match state.plan.fails {
            Some((crossing, side))
                if state.counts && state.sprung.is_none() && state.is(crossing, name) =>
            {
                state.sprung = Some(format!("{side:?} {name}, crossing {}", state.crossed));
                Fate::Fails(side)
            }
            _ => Fate::Goes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is(&self, crossing: Crossing, name: &str) -> bool {
        match crossing {
            Crossing::Place(place) => self.crossed == place,
            Crossing::Named(wanted) => wanted == name,
        }
    }
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trap").finish_non_exhaustive()
    }
}
