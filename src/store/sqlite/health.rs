//! Whether calls meet a database that fails. A look now and then can find all well where calls do
//! not: pages that it does not read are malformed, or one more page finds no room on the disk. So
//! what calls have met counts too, and is forgotten when it has not been met for a while: longer
//! each time, so that nobody sends calls here, and away again, without end.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use crate::ports::{LedgerError, SettingsError};

/// So many failures…
const FAILURES: usize = 3;

/// …within this time are more than an accident.
const WITHIN: Duration = Duration::from_secs(30);

/// How long none may be met before the database counts as well again: the first time.
const QUIET: Duration = Duration::from_secs(30);

/// And at most, however often it has failed again.
const QUIET_MAX: Duration = Duration::from_secs(8 * 60);

/// Whoever was well for this long begins with [`QUIET`] again.
const WELL_FOR: Duration = Duration::from_secs(10 * 60);

/// What was met lately.
#[derive(Debug, Default)]
pub(super) struct Health {
    met: Mutex<Met>,
}

/// What was met, by the time of each.
#[derive(Debug, Default)]
struct Met {
    /// The last failures, the oldest first; one less than are too many.
    before: [Option<Instant>; FAILURES - 1],
    illness: Option<Illness>,
}

/// A time in which calls met failures.
#[derive(Clone, Copy, Debug)]
struct Illness {
    /// When the last was met.
    last: Instant,
    /// How long none may be met.
    quiet: Duration,
}

/// An error of a port, which may tell of a database that fails.
pub(super) trait Ails {
    /// Whether the file or its disk is at fault. A lock that is held is not: who looks meets it too.
    fn ails(&self) -> bool;
}

// === impl Ails ===

impl Ails for LedgerError {
    fn ails(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Broken(cause) | Self::Uncertain(cause) => is_of_the_file(&**cause),
            _ => false,
        }
    }
}

impl Ails for SettingsError {
    fn ails(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Broken(cause) | Self::Uncertain(cause) => is_of_the_file(&**cause),
            _ => false,
        }
    }
}

fn is_of_the_file(cause: &(dyn Error + Send + Sync + 'static)) -> bool {
    let code = cause.downcast_ref::<rusqlite::Error>();
    let code = code.and_then(rusqlite::Error::sqlite_error_code);
    code.is_some_and(|code| {
        matches!(
            code,
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
        )
    })
}

// === impl Health ===

impl Health {
    /// Takes note of an outcome that is told to a caller.
    pub(super) fn note<T, E: Ails>(&self, outcome: &Result<T, E>) {
        if outcome.as_ref().is_err_and(Ails::ails) {
            let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
            met.failure(Instant::now());
        }
    }

    /// Whether calls meet failures.
    pub(super) fn is_failing(&self) -> bool {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.is_failing(Instant::now())
    }
}

// === impl Met ===

impl Met {
    fn failure(&mut self, now: Instant) {
        let [oldest, newest] = self.before;
        self.before = [newest, Some(now)];
        if let Some(illness) = self.illness.as_mut().filter(|illness| illness.lasts(now)) {
            illness.last = now;
            return;
        }
        if oldest.is_none_or(|oldest| now.saturating_duration_since(oldest) > WITHIN) {
            return;
        }
        let relapse = self.illness.filter(|illness| {
            now.saturating_duration_since(illness.last) < illness.quiet + WELL_FOR
        });
        let quiet = relapse.map_or(QUIET, |before| (before.quiet * 2).min(QUIET_MAX));
        self.illness = Some(Illness { last: now, quiet });
    }

    fn is_failing(&self, now: Instant) -> bool {
        self.illness.is_some_and(|illness| illness.lasts(now))
    }
}

// === impl Illness ===

impl Illness {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < self.quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Failures one second apart, as many as are too many; when the last was met.
    fn fall_ill(met: &mut Met, at: Instant) -> Instant {
        let last = at + SECOND * 2;
        for n in 0..3 {
            assert!(!met.is_failing(at + SECOND * n));
            met.failure(at + SECOND * n);
        }
        assert!(met.is_failing(last));
        last
    }

    #[test]
    fn a_failure_now_and_then_is_an_accident() {
        let (mut met, start) = (Met::default(), Instant::now());
        for n in 0..100 {
            met.failure(start + SECOND * 16 * n);
            assert!(!met.is_failing(start + SECOND * 16 * n), "{n}");
        }
    }

    #[test]
    fn it_is_well_again_when_none_was_met_for_a_while() {
        let mut met = Met::default();
        let mut last = fall_ill(&mut met, Instant::now());
        // Each failure begins the while again.
        for _ in 0..10 {
            last += QUIET - SECOND;
            assert!(met.is_failing(last));
            met.failure(last);
        }
        assert!(met.is_failing(last + QUIET - SECOND));
        assert!(!met.is_failing(last + QUIET));
    }

    #[test]
    fn it_is_doubted_longer_each_time_and_never_for_ever() {
        let mut met = Met::default();
        let mut at = Instant::now();
        let mut changes = 0;
        for _ in 0..20 {
            let last = fall_ill(&mut met, at);
            changes += 2;
            at = last;
            while met.is_failing(at) {
                at += SECOND;
            }
            let quiet = at - last;
            let expected = QUIET * 2_u32.pow(changes / 2 - 1).min(16);
            assert_eq!(quiet, expected);
        }
        let last = fall_ill(&mut met, at + WELL_FOR + QUIET_MAX);
        assert!(met.is_failing(last + QUIET - SECOND));
        assert!(
            !met.is_failing(last + QUIET),
            "what is long ago is forgotten"
        );
    }

    #[test]
    fn only_the_file_and_its_disk_make_it_ill() {
        let of = |code| {
            let error = rusqlite::ffi::Error::new(code);
            LedgerError::Broken(Box::new(rusqlite::Error::SqliteFailure(error, None)))
        };
        use rusqlite::ffi::{SQLITE_BUSY, SQLITE_CONSTRAINT, SQLITE_CORRUPT, SQLITE_IOERR};
        for (error, ails) in [
            (of(SQLITE_CORRUPT), true),
            (of(SQLITE_IOERR), true),
            (LedgerError::Full, true),
            (of(SQLITE_BUSY), false),
            (of(SQLITE_CONSTRAINT), false),
            (LedgerError::Broken("a bug".into()), false),
            (LedgerError::OrganizationNotFound, false),
        ] {
            assert_eq!(error.ails(), ails, "{error:?}");
            let health = Health::default();
            let outcome = Err::<(), _>(error);
            for _ in 0..FAILURES {
                assert!(!health.is_failing());
                health.note(&outcome);
            }
            assert_eq!(health.is_failing(), ails);
        }
    }
}
