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

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use super::generation::KeyMode;
use super::ids::{AgentId, OrganizationId, Slug};
use record::Record;

mod record;

/// How long an outcome counts: longer than the longest call.
pub const WINDOW: Duration = Duration::from_secs(300);

/// However badly calls fare, one of each scope is let through in this time.
pub const PROBE_EVERY: Duration = Duration::from_secs(5);

/// So many accepted calls in a row show that upstream works again, and what was before is forgotten.
/// Where two of three calls fail, chance makes such a row once in 243 times.
pub const ROW: u32 = 5;

/// The most scopes that are kept; at most three kilobytes each.
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
    /// Whether a call of this agent would be let through now. Nobody's turn is taken by asking.
    ///
    /// # Errors
    /// The scope whose calls fail too often.
    pub fn would_pass(
        &mut self,
        (demand, agent): (&Demand, &AgentId),
        now: Duration,
        draw: u64,
    ) -> Result<(), Scope> {
        let own = self.records.get(&Scope::Organization(demand.clone()));
        // Whoever had a turn waits for the next one, though it was given back.
        let agent_waited = own.is_none_or(|own| own.agent_waited(agent, now));
        let all_waited = own.is_none_or(|own| own.had_none_since(now));
        for scope in Scope::of(demand) {
            let is_own = matches!(scope, Scope::Organization(_));
            let has_waited = agent_waited && (is_own || all_waited);
            let record = self.records.get_mut(&scope);
            if record.is_some_and(|record| record.stops(now, draw, has_waited)) {
                return Err(scope);
            }
        }
        Ok(())
    }

    /// Whether a call of this agent is worth its hold; then it is let through. `draw` is a random
    /// number of all that there are.
    ///
    /// # Errors
    /// The scope whose calls fail too often.
    pub fn ask(
        &mut self,
        (demand, agent): (&Demand, &AgentId),
        now: Duration,
        draw: u64,
    ) -> Result<(), Scope> {
        self.would_pass((demand, agent), now, draw)?;
        self.let_through(&Scope::of(demand), now);
        Ok(())
    }

    /// A call that was let through `at` that time was never sent. It leaves its turn to others, as if
    /// it had never had it: that of its own scope to the organization's other agents, those of wider
    /// ones to other organizations. So whoever asks again and again at its limit, or without the
    /// credits for it, neither takes the others' turns nor makes them more.
    pub fn give_back(&mut self, (demand, agent): (&Demand, &AgentId), at: Duration) {
        let mut is_refused = false;
        for scope in Scope::of(demand) {
            if let Some(record) = self.records.get_mut(&scope) {
                is_refused |= record.refuses();
                record.let_back(at);
            }
        }
        if is_refused {
            let own = self.record(&Scope::Organization(demand.clone()));
            own.had_in_vain(agent, at);
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
            record.tell(sent, now, accepted, scope.least());
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
                record.let_through(at);
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

#[cfg(test)]
mod tests;
