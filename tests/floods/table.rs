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

    /// Whether the gateway put anybody out for it.
    pub(crate) fn is_answered(&self) -> bool {
        self.ends.iter().any(|(end, _)| end == self.attack.end)
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

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        let (before, peak) = (mib(self.before_bytes), mib(self.peak_bytes));
        let name = self.attack.name;
        write!(f, "{name:<19} {before:>4} → {peak:>3} MiB")?;
        for wait in self.waits() {
            let (what, p50, p99) = (wait.what, wait.now.p50_ms, wait.now.p99_ms);
            let times = |than: Spread| p99 / than.p99_ms.max(0.001);
            write!(
                f,
                " | {what} {p50:>5.1} {p99:>6.1} ms {:>4.1}×",
                times(wait.quiet)
            )?;
            if let Some(control) = wait.control {
                write!(f, " ({:.1}×)", times(control))?;
            }
        }
        let (things, connections) = (self.sent.things, self.sent.connections);
        let of = self.attack.things;
        write!(f, " | {things} {of} on {connections} connections")?;
        for (end, count) in &self.ends {
            write!(f, ", {end} {count}")?;
        }
        Ok(())
    }
}
