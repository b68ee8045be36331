//! When upstream browns out: which calls are not worth a hold, because so many like them have come to
//! nothing lately. Google's client-side throttling (SRE Book, "Handling Overload"; `reliability.md`
//! row 79) with K = 2: as long as half of the calls are accepted, nothing is refused; below that, so
//! many are that upstream gets about two calls for each that it accepts. Two things are added for
//! calls that are few and take minutes: one call in [`PROBE_EVERY`] is always let through, and a
//! handful that is accepted in a row ends it at once.
//!
//! Calls with an organization's own key share their fate with each other alone: its provider, its
//! credit and its rate are others than the platform's, so that they neither suffer from the
//! platform's failures nor tell anything of them.
//!
//! Only calls that have ended count, because pictures take minutes and a burst of calls under way
//! proves nothing. Times are durations since the gateway began, so that no clock can be set back.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::generation::KeyMode;
use super::ids::{OrganizationId, Slug};

/// How long an outcome counts: longer than the longest call.
pub const WINDOW: Duration = Duration::from_secs(300);

/// However badly calls fare, one of each scope is let through in this time.
pub const PROBE_EVERY: Duration = Duration::from_secs(5);

/// So many accepted calls in a row show that upstream works again, and what was before is forgotten.
/// Where two of three calls fail, chance makes such a row once in 243 times.
pub const ROW: u32 = 5;

/// Seconds of outcomes that are counted together and forgotten together.
const SLOT_SECS: u64 = 10;

/// The most scopes that are kept; under a kilobyte each.
const SCOPES_MAX: usize = 4096;

/// Who asks which model, and with whose key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Demand {
    /// Who.
    pub organization: OrganizationId,
    /// Which.
    pub model: Slug,
    /// With whose key.
    pub key: KeyMode,
}

/// Calls that share their fate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Calls of one model for one organization with one kind of key: it may be what this one asks
    /// for. Calls with its own key have no other scope.
    Organization(Demand),
    /// All calls of one model with the platform's key.
    Model(Slug),
    /// Calls of all models of one author, whose machines are the same as far as we can tell.
    Author(String),
    /// All calls with the platform's key.
    OpenRouter,
}

/// A scope whose calls are refused from now on, or no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub scope: Scope,
    /// Whether they are refused.
    pub refuses: bool,
}

/// How the calls of every scope fared lately.
#[derive(Debug, Default)]
pub struct Throttle {
    records: HashMap<Scope, Record>,
}

/// How the calls of one scope fared.
#[derive(Debug, Default)]
struct Record {
    /// The newest is the last.
    slots: VecDeque<Slot>,
    /// Since when calls are refused.
    refuses_since: Option<Duration>,
    /// Accepted in a row, of those that were sent since then.
    row: u32,
    /// When the first of the row was sent: what was sent before tells of an earlier time.
    row_sent: Duration,
    /// Calls that were sent before this do not count any more.
    since: Duration,
    /// When a call was let through last.
    let_through: Option<Duration>,
    /// The same before that call.
    let_through_before: Option<Duration>,
}

/// Outcomes of some seconds.
#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    accepted: u64,
    failed: u64,
}

// === impl Scope ===

impl Scope {
    /// Its kind, in one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Organization(_) => "organization",
            Self::Model(_) => "model",
            Self::Author(_) => "author",
            Self::OpenRouter => "openrouter",
        }
    }

    /// The scopes of a call, the narrowest first.
    fn of(demand: &Demand) -> Vec<Self> {
        let own = Self::Organization(demand.clone());
        match demand.key {
            KeyMode::Organization => vec![own],
            KeyMode::Platform => {
                let model = &demand.model;
                let author = model.as_str().split('/').next().unwrap_or_default();
                let author = Self::Author(author.to_owned());
                vec![own, Self::Model(model.clone()), author, Self::OpenRouter]
            }
        }
    }

    /// The fewest failed calls that prove something. A scope that refuses counts no more for those
    /// around it, so that a model takes two organizations, an author two models, and all take more
    /// than two.
    const fn least(&self) -> u64 {
        match self {
            Self::Organization(_) => 10,
            Self::Model(_) => 15,
            Self::Author(_) => 20,
            Self::OpenRouter => 40,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Organization(demand) => {
                write!(f, "{} for {}", demand.model, demand.organization)?;
                match demand.key {
                    KeyMode::Platform => Ok(()),
                    KeyMode::Organization => f.write_str(" with its own key"),
                }
            }
            Self::Model(model) => model.fmt(f),
            Self::Author(author) => f.pad(author),
            Self::OpenRouter => f.pad("all models"),
        }
    }
}

// === impl Throttle ===

impl Throttle {
    /// Whether a call is worth its hold. `draw` is a random number of all that there are.
    ///
    /// # Errors
    /// The scope whose calls fail too often.
    pub fn ask(&mut self, demand: &Demand, now: Duration, draw: u64) -> Result<(), Scope> {
        let scopes = Scope::of(demand);
        // Whoever had a turn waits for the next one, though it was given back.
        let own = self.records.get(&Scope::Organization(demand.clone()));
        let has_waited = own.is_none_or(|own| own.is_due(now));
        for scope in &scopes {
            let record = self.records.get_mut(scope);
            if record.is_some_and(|record| record.stops(now, draw, has_waited)) {
                return Err(scope.clone());
            }
        }
        self.let_through(&scopes, now);
        Ok(())
    }

    /// A call that was let through `at` that time was never sent. It leaves its turn to other
    /// organizations, as if it had never had it; its own has had it. So whoever asks again and
    /// again without the credits for it neither takes the others' turns nor makes them more.
    pub fn give_back(&mut self, demand: &Demand, at: Duration) {
        let mut is_refused = false;
        for scope in Scope::of(demand) {
            if matches!(scope, Scope::Organization(_)) {
                continue;
            }
            if let Some(record) = self.records.get_mut(&scope) {
                is_refused |= record.refuses();
                record.let_back(at);
            }
        }
        if is_refused {
            let own = self.record(&Scope::Organization(demand.clone()));
            own.let_through = own.let_through.max(Some(at));
        }
    }

    /// A call has ended: upstream accepted it, whatever came of it, or did not. Returns what that
    /// changes.
    pub fn tell(
        &mut self,
        demand: &Demand,
        sent: Duration,
        now: Duration,
        accepted: bool,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for scope in Scope::of(demand) {
            let record = self.record(&scope);
            let before = record.refuses();
            record.forget(now);
            if record.slots.is_empty() {
                record.refuses_since = None;
            }
            if sent >= record.since {
                record.count(sent, now, accepted);
                record.judge(now, scope.least());
            }
            let refuses = record.refuses();
            if refuses != before {
                changes.push(Change { scope, refuses });
            }
            // What fails in a narrow scope says nothing of the wider ones.
            if refuses && !accepted {
                break;
            }
        }
        changes
    }

    fn let_through(&mut self, scopes: &[Scope], at: Duration) {
        for scope in scopes {
            if let Some(record) = self.records.get_mut(scope) {
                record.let_through_before = record.let_through.replace(at);
            }
        }
    }

    /// The record of a scope; if there are too many, one makes room of which nothing was heard for
    /// the longest time.
    fn record(&mut self, scope: &Scope) -> &mut Record {
        if self.records.len() >= SCOPES_MAX && !self.records.contains_key(scope) {
            let quietest = self.records.iter().min_by_key(|(_, record)| record.last());
            if let Some(quietest) = quietest.map(|(scope, _)| scope.clone()) {
                self.records.remove(&quietest);
            }
        }
        self.records.entry(scope.clone()).or_default()
    }
}

// === impl Record ===

impl Record {
    const fn refuses(&self) -> bool {
        self.refuses_since.is_some()
    }

    /// Whether it is time to let a call through.
    fn is_due(&self, now: Duration) -> bool {
        let is_due = |last| now.saturating_sub(last) >= PROBE_EVERY;
        self.let_through.is_none_or(is_due)
    }

    /// Undoes that a call was let through at that time, unless another one was after it.
    fn let_back(&mut self, at: Duration) {
        if self.let_through == Some(at) {
            self.let_through = self.let_through_before;
        }
    }

    /// Whether this call is one of those that are refused.
    fn stops(&mut self, now: Duration, draw: u64, has_waited: bool) -> bool {
        if !self.refuses() {
            return false;
        }
        self.forget(now);
        let (accepted, failed) = self.sums();
        // SRE Book: max(0, (requests − 2 · accepts) / (requests + 1)), in whole numbers.
        let parts = u128::from(accepted + failed + 1);
        let drawn = (u128::from(draw) * parts) >> u64::BITS;
        let is_probe = has_waited && self.is_due(now);
        !is_probe && drawn < u128::from(failed.saturating_sub(accepted))
    }

    fn count(&mut self, sent: Duration, now: Duration, accepted: bool) {
        let number = now.as_secs() / SLOT_SECS;
        if self.slots.back().is_none_or(|slot| slot.number < number) {
            self.slots.push_back(Slot {
                number,
                accepted: 0,
                failed: 0,
            });
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.accepted += u64::from(accepted);
            slot.failed += u64::from(!accepted);
        }
        if !accepted && sent >= self.row_sent {
            self.row = 0;
        } else if accepted && self.refuses_since.is_some_and(|since| sent >= since) {
            let first = if self.row == 0 { sent } else { self.row_sent };
            self.row_sent = first.min(sent);
            self.row = self.row.saturating_add(1);
        }
    }

    fn judge(&mut self, now: Duration, least: u64) {
        let (accepted, failed) = self.sums();
        if !self.refuses() {
            let is_over = failed >= least && failed > accepted;
            self.refuses_since = is_over.then_some(now);
            self.row = 0;
        } else if self.row >= ROW {
            *self = Self {
                since: now,
                ..Self::default()
            };
        } else if failed * 2 <= accepted {
            // Well below the half, so that what lies at it is not told again and again.
            self.refuses_since = None;
        }
    }

    fn sums(&self) -> (u64, u64) {
        let add =
            |(accepted, failed), slot: &Slot| (accepted + slot.accepted, failed + slot.failed);
        self.slots.iter().fold((0, 0), add)
    }

    fn forget(&mut self, now: Duration) {
        let oldest = now.saturating_sub(WINDOW).as_secs() / SLOT_SECS;
        while self.slots.front().is_some_and(|slot| slot.number < oldest) {
            self.slots.pop_front();
        }
    }

    fn last(&self) -> Option<u64> {
        self.slots.back().map(|slot| slot.number)
    }
}

#[cfg(test)]
mod tests;
