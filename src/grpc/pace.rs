//! How many calls an organization may make: a bucket of tokens each, refilled as time passes. It is
//! asked before anything else is done for a call, so that a flood costs the gateway one look at its
//! key in a second ([`super::loud`]).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::OrganizationId;

/// How many seconds' worth may come at once.
const BURST_SECONDS: u32 = 2;

/// Buckets that are kept. A full one says nothing and is thrown away first.
const BUCKETS_MAX: usize = 10_000;

/// Tokens are counted in so small parts, so that time is never lost between two calls.
const PARTS: u64 = 1_000_000;

/// The pace of every organization.
#[derive(Debug)]
pub(super) struct Pace {
    /// Calls a second.
    rate: u64,
    buckets: Mutex<HashMap<OrganizationId, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In millionths of a call.
    parts: u64,
    /// When it was last refilled.
    at: Instant,
}

impl Pace {
    /// `rate` calls a second.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate: rate.into(),
            buckets: Mutex::default(),
        }
    }

    /// Takes one call out of the organization's bucket.
    ///
    /// # Errors
    /// `LIMIT_REACHED`, with the time after which there is another.
    pub(super) fn take(&self, organization: &OrganizationId, now: Instant) -> Result<(), Failure> {
        let full = self.full();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(organization) {
            buckets.retain(|_, bucket| self.refilled(*bucket, now) < full);
        }
        let fresh = Bucket {
            parts: full,
            at: now,
        };
        let bucket = buckets.entry(organization.clone()).or_insert(fresh);
        let parts = self.refilled(*bucket, now);
        let left = parts.checked_sub(PARTS);
        *bucket = Bucket {
            parts: left.unwrap_or(parts),
            at: now,
        };
        left.map(drop).ok_or_else(|| self.refusal(PARTS - parts))
    }

    /// Whether there is a call in the organization's bucket. None is taken.
    ///
    /// # Errors
    /// `LIMIT_REACHED`, as of [`Pace::take`].
    pub(super) fn look(&self, organization: &OrganizationId, now: Instant) -> Result<(), Failure> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(organization);
        let parts = bucket.map_or(PARTS, |bucket| self.refilled(*bucket, now));
        let missing = PARTS.saturating_sub(parts);
        if missing > 0 {
            return Err(self.refusal(missing));
        }
        Ok(())
    }

    const fn full(&self) -> u64 {
        self.rate * BURST_SECONDS as u64 * PARTS
    }

    fn refilled(&self, bucket: Bucket, now: Instant) -> u64 {
        let micros = now.saturating_duration_since(bucket.at).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        // One call a second is one part a microsecond.
        let gained = micros.saturating_mul(self.rate);
        bucket.parts.saturating_add(gained).min(self.full())
    }

    fn refusal(&self, missing: u64) -> Failure {
        let wait = Duration::from_micros(missing.div_ceil(self.rate));
        let what = format!(
            "Your organization makes more than {} calls a second; nothing was done. Try again in a moment.",
            self.rate
        );
        Failure::new(Reason::LimitReached, what)
            .with("limit", "calls_per_second")
            .retry_after(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(name: &str) -> OrganizationId {
        OrganizationId::parse(name).expect("a name")
    }

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second() {
        let pace = Pace::new(10);
        let (acme, begun) = (organization("acme"), Instant::now());
        let taken = (0..100).filter(|_| pace.take(&acme, begun).is_ok());
        assert_eq!(taken.count(), 20);
        let refused = pace.take(&acme, begun).expect_err("empty");
        assert_eq!(refused.retry_after, Some(Duration::from_millis(100)));
        assert_eq!(refused.reason, Reason::LimitReached);
        assert_eq!(pace.look(&acme, begun), Err(refused));
        assert_eq!(pace.look(&organization("other"), begun), Ok(()));
        let later = begun + Duration::from_millis(100);
        assert_eq!(pace.look(&acme, later), Ok(()), "and none is taken");
        // A call every 50 ms for ten seconds: every second one is taken.
        let calls = (1..=200).map(|n| begun + Duration::from_millis(n * 50));
        let taken = calls.filter(|at| pace.take(&acme, *at).is_ok());
        assert_eq!(taken.count(), 100);
    }

    #[test]
    fn nobody_pays_for_another() {
        let (pace, now) = (Pace::new(1), Instant::now());
        while pace.take(&organization("loud"), now).is_ok() {}
        assert!(pace.take(&organization("quiet"), now).is_ok());
    }

    #[test]
    fn buckets_that_are_full_again_are_thrown_away() {
        let (pace, begun) = (Pace::new(1), Instant::now());
        for number in 0..BUCKETS_MAX {
            let one = organization(&format!("o{number}"));
            assert!(pace.take(&one, begun).is_ok());
        }
        let later = begun + Duration::from_secs(10);
        assert!(pace.take(&organization("another"), later).is_ok());
        assert_eq!(pace.buckets.lock().expect("a look").len(), 1);
    }
}
