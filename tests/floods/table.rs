//! What is printed of an attack, and what must hold of it.

use std::fmt;

use crate::DOSE;
use crate::figures::{Spread, millis};
use crate::honest::Seen;

/// What a flood may cost in memory (`reliability.md` G18).
const MEMORY_MAX_BYTES: u64 = 64 << 20;

/// How much longer honest callers may wait at p99, unless they wait less than [`Dose::floor`].
///
/// [`Dose::floor`]: crate::Dose::floor
const LONGER: f64 = 2.0;

/// One line.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) attack: &'static str,
    /// Why its connections should end.
    pub(crate) end: &'static str,
    /// Connections that were made.
    pub(crate) connections: u64,
    /// How they ended, as the gateway counts it.
    pub(crate) ends: Vec<(String, u64)>,
    pub(crate) before_bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) quiet: Seen,
    pub(crate) seen: Seen,
}

impl Row {
    /// What does not hold, in words.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let grown = self.peak_bytes.saturating_sub(self.before_bytes);
        let mut wrong = [&self.quiet.failures[..], &self.seen.failures].concat();
        if grown > MEMORY_MAX_BYTES {
            wrong.push(format!("memory grew by {grown} bytes"));
        }
        if !self.ends.iter().any(|(end, _)| end == self.end) {
            wrong.push(format!("nobody was put out: {:?}", self.ends));
        }
        for (what, quiet, now) in self.waits() {
            let most = (quiet.p99_ms * LONGER).max(millis(DOSE.floor));
            if now.p99_ms > most {
                wrong.push(format!("{what} wait {now:?} instead of {quiet:?}"));
            }
        }
        let named = |wrong| format!("{}: {wrong}", self.attack);
        wrong.into_iter().map(named).collect()
    }

    fn waits(&self) -> [(&'static str, Spread, Spread); 3] {
        let (quiet, seen) = (&self.quiet, &self.seen);
        [
            ("calls", quiet.calls, seen.calls),
            ("arrivals", quiet.arrivals, seen.arrivals),
            ("pictures", quiet.pictures, seen.pictures),
        ]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        let (before, peak) = (mib(self.before_bytes), mib(self.peak_bytes));
        write!(f, "{:<17} {before:>4} → {peak:>3} MiB", self.attack)?;
        for (what, quiet, now) in self.waits() {
            let (p50, p99) = (now.p50_ms, now.p99_ms);
            let times = p99 / quiet.p99_ms.max(0.001);
            write!(f, " | {what} {p50:>5.1} {p99:>6.1} ms {times:>4.1}×")?;
        }
        write!(f, " | {} connections", self.connections)?;
        for (end, count) in &self.ends {
            write!(f, ", {end} {count}")?;
        }
        Ok(())
    }
}
