//! Keys that were refused, in the log: by their public beginning, and at most one line a second,
//! however many come (`reliability.md` row 2).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// When the last line was written, and how many were not since.
#[derive(Debug, Default)]
pub(super) struct Refused {
    last: Mutex<(Option<Instant>, u64)>,
}

impl Refused {
    /// Writes a line, if it is time for one.
    pub(super) fn note(&self, prefix: &str, why: &'static str) {
        if let Some(others) = self.due(Instant::now()) {
            tracing::warn!(prefix, why, others, "a key was refused");
        }
    }

    /// How many were passed over, if a line may be written now.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, others) = *last;
        if at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE) {
            last.1 = others.saturating_add(1);
            return None;
        }
        *last = (Some(now), 0);
        Some(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_a_second_and_none_is_passed_over_uncounted() {
        let (refused, start) = (Refused::default(), Instant::now());
        assert_eq!(refused.due(start), Some(0));
        for millis in 1..1000 {
            assert_eq!(refused.due(start + Duration::from_millis(millis)), None);
        }
        assert_eq!(refused.due(start + PAUSE), Some(999));
        assert_eq!(refused.due(start + 2 * PAUSE), Some(0));
    }
}
