//! How many tries again are affordable: when upstream is down for everybody, every call failing
//! three times would only keep it down.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a call pays in, in hundredths of a retry: retries stay below 15 % of the calls
/// (`reliability.md` row 30).
const DEPOSIT: u32 = 15;

/// What a retry costs.
const PRICE: u32 = 100;

/// The most that is saved: a burst of ten retries after quiet times.
const CAP: u32 = 10 * PRICE;

/// The retries left, shared by all calls.
#[derive(Debug)]
pub(super) struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(CAP))
    }
}

impl RetryBudget {
    /// A new call has begun.
    pub(super) fn deposit(&self) {
        self.update(|saved| Some(saved.saturating_add(DEPOSIT).min(CAP)));
    }

    /// Whether another try is affordable; pays for it.
    pub(super) fn withdraw(&self) -> bool {
        self.update(|saved| saved.checked_sub(PRICE))
    }

    fn update(&self, change: impl FnMut(u32) -> Option<u32>) -> bool {
        let Self(saved) = self;
        saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_small_part_of_the_calls() {
        let budget = RetryBudget::default();
        let retries = (0..1000)
            .filter(|_| {
                budget.deposit();
                budget.withdraw()
            })
            .count();
        assert!((150..=160).contains(&retries), "{retries}");
    }

    #[test]
    fn quiet_times_save_ten_retries_and_no_more() {
        let budget = RetryBudget::default();
        (0..1000).for_each(|_| budget.deposit());
        let burst = (0..100).filter(|_| budget.withdraw()).count();
        assert_eq!(burst, 10);
    }
}
