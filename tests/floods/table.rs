//! What is printed of an attack, and what must hold of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::DOSE;
use crate::attackers::Total;
use crate::attacks::{Attack, Source};
use crate::figures::{Spread, millis};
use crate::honest::Seen;

/// What a flood may cost in memory (`reliability.md` G18).
const MEMORY_MAX_BYTES: u64 = 64 << 20;

/// How much longer honest callers may wait at p99, unless they wait less than [`Dose::floor`].
///
/// [`Dose::floor`]: crate::Dose::floor
const LONGER: f64 = 2.0;

/// How long newcomers may wait where an attacker shares their address: as long as anybody waits for
/// its turn at the door.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// One line.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) attack: Arc<Attack>,
    pub(crate) sent: Total,
    /// How connections ended, as the gateway counts it.
    pub(crate) ends: Vec<(String, u64)>,
    pub(crate) before_bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) quiet: Seen,
    /// While the same was sent to another gateway.
    pub(crate) control: Option<Seen>,
    pub(crate) seen: Seen,
}

/// How long honest callers waited for one thing.
#[derive(Debug)]
struct Wait {
    what: &'static str,
    quiet: Spread,
    control: Option<Spread>,
    now: Spread,
}

impl Row {
    /// What does not hold, in words.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let grown = self.peak_bytes.saturating_sub(self.before_bytes);
        let mut wrong = [&self.quiet.failures[..], &self.seen.failures].concat();
        if grown > MEMORY_MAX_BYTES {
            wrong.push(format!("memory grew by {grown} bytes"));
        }
        if DOSE.controlled && self.sent.things < self.attack.least {
            wrong.push(format!("only {} were sent", self.sent.things));
        }
        for wait in self.waits() {
            let most = (wait.quiet.p99_ms * LONGER).max(millis(DOSE.floor));
            let turns = self.attack.from == Source::AmongHonest && wait.what == "arrivals";
            let most = if turns { millis(TURN_PATIENCE) } else { most };
            if wait.now.p99_ms > most {
                wrong.push(format!("more than {most} ms: {wait:?}"));
            }
        }
        let named = |wrong| format!("{}: {wrong}", self.attack.name);
        wrong.into_iter().map(named).collect()
    }

    /// What the table has no room for: medians, pictures, and why connections ended.
    pub(crate) fn details(&self) -> String {
        let mut told = format!("{}:", self.attack.name);
        for wait in self.waits() {
            let (p50, p99) = (wait.now.p50_ms, wait.now.p99_ms);
            told += &format!(" {} {p50:.1} ms, p99 {p99:.1} ms;", wait.what);
        }
        told += &format!(" {} connections", grouped(self.sent.connections));
        for (end, count) in &self.ends {
            told += &format!(", {end} {}", grouped(*count));
        }
        told
    }

    /// Whether the gateway put anybody out for it.
    pub(crate) fn is_answered(&self) -> bool {
        self.ended(self.attack.end) > 0
    }

    /// How many connections ended for this reason.
    fn ended(&self, why: &str) -> u64 {
        let ended = self.ends.iter().find(|(end, _)| end == why);
        ended.map_or(0, |(_, count)| *count)
    }

    fn waits(&self) -> [Wait; 3] {
        let wait = |what, of: fn(&Seen) -> Spread| Wait {
            what,
            quiet: of(&self.quiet),
            control: self.control.as_ref().map(of),
            now: of(&self.seen),
        };
        [
            wait("calls", |seen| seen.calls),
            wait("arrivals", |seen| seen.arrivals),
            wait("pictures", |seen| seen.pictures),
        ]
    }
}

/// A row of the table of `docs/security.md`.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        let (before, peak) = (mib(self.before_bytes), mib(self.peak_bytes));
        write!(f, "| {} | {before}, {peak} |", self.attack.name)?;
        let [calls, arrivals, _] = self.waits();
        for wait in [calls, arrivals] {
            let p99 = wait.now.p99_ms;
            let times = |than: Spread| format!("{:.1}", p99 / than.p99_ms.max(0.001));
            let control = wait.control.map_or_else(|| "–".to_owned(), times);
            write!(f, " {p99:.1} | {} | {control} |", times(wait.quiet))?;
        }
        let (things, connections) = (self.sent.things, self.sent.connections);
        match self.attack.things {
            Some(of) => write!(f, " {} {of} |", grouped(things))?,
            None => write!(f, " {} sockets |", grouped(connections))?,
        }
        write!(f, " {}", grouped(self.ended(self.attack.end)))?;
        match self.ended("turned_away") {
            0 => write!(f, " |"),
            many => write!(f, ", and {} turned away |", grouped(many)),
        }
    }
}

/// With a comma after each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
