//! The limits of a tool, in words: how much of a day's images or a month's credits is used, what a
//! call needs, and whether waiting helps.

use std::fmt::Display;

use jiff::Timestamp;

use super::failure::{Failure, Reason};
use super::money::Credits;

/// A limit that a call does not fit in: `used` and `needed` are more than `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota<T> {
    /// What counts already, with what is under way.
    pub used: T,
    /// The most.
    pub limit: T,
    /// What the call would add.
    pub needed: T,
}

/// What one limit is called.
struct Named {
    /// The field of the tool.
    limit: &'static str,
    /// What is counted.
    what: &'static str,
    /// For how long, as an adjective and as a time.
    each: &'static str,
    this: &'static str,
}

const DAILY: Named = Named {
    limit: "daily_image_limit",
    what: "images",
    each: "daily",
    this: "today",
};

const MONTHLY: Named = Named {
    limit: "monthly_credit_limit",
    what: "credits",
    each: "monthly",
    this: "this month",
};

/// What a call that asks for more images than are left of the day is answered. The next day begins
/// at `resets_at`.
pub fn daily_images(quota: Quota<u32>, now: Timestamp, resets_at: Timestamp) -> Failure {
    reached(&DAILY, &quota, now, resets_at)
}

/// What a call whose hold is more than is left of the month's credits is answered. The next month
/// begins at `resets_at`.
pub fn monthly_credits(quota: Quota<Credits>, now: Timestamp, resets_at: Timestamp) -> Failure {
    reached(&MONTHLY, &quota, now, resets_at)
}

fn reached<T: Display + PartialOrd>(
    named: &Named,
    quota: &Quota<T>,
    now: Timestamp,
    resets_at: Timestamp,
) -> Failure {
    let Named {
        limit: name,
        what,
        each,
        this,
    } = named;
    let Quota {
        used,
        limit,
        needed,
    } = quota;
    let failure = if needed > limit {
        let message = format!(
            "This call needs {needed} {what}, more than this agent's {each} limit of {limit}; waiting does not help. Ask for less, or have the limit raised."
        );
        Failure::new(Reason::LimitReached, message)
    } else {
        let message = format!(
            "Of this agent's {what} for {this}, {used} of {limit} are used or under way, and this call needs {needed}; the limit resets at {resets_at}."
        );
        Failure::new(Reason::LimitReached, message)
            .with("resets_at", resets_at)
            .retry_after(resets_at.duration_since(now).unsigned_abs())
    };
    failure
        .with("limit", name)
        .with("used", used)
        .with("limit_amount", limit)
        .with("needed", needed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    fn value<'a>(failure: &'a Failure, name: &str) -> Option<&'a str> {
        let mut values = failure.metadata.iter();
        let found = values.find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_limit_that_resets_says_when_and_what_is_missing() {
        let quota = Quota {
            used: 2,
            limit: 3,
            needed: 2,
        };
        let now = at("2026-11-28T23:00:00Z");
        let failure = daily_images(quota, now, at("2026-11-29T00:00:00Z"));
        assert_eq!(
            failure.message,
            "Of this agent's images for today, 2 of 3 are used or under way, and this call needs 2; the limit resets at 2026-11-29T00:00:00Z."
        );
        assert_eq!(failure.retry_after, Some(Duration::from_secs(3600)));
        for (name, expected) in [
            ("limit", "daily_image_limit"),
            ("used", "2"),
            ("limit_amount", "3"),
            ("needed", "2"),
            ("resets_at", "2026-11-29T00:00:00Z"),
        ] {
            assert_eq!(value(&failure, name), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_call_that_is_above_the_limit_alone_is_not_told_to_wait() {
        let quota = Quota {
            used: Credits::from_hundredths(0),
            limit: Credits::from_hundredths(2899),
            needed: Credits::from_hundredths(2900),
        };
        let now = at("2026-11-28T23:00:00Z");
        let failure = monthly_credits(quota, now, at("2026-12-01T00:00:00Z"));
        assert_eq!(
            failure.message,
            "This call needs 29.00 credits, more than this agent's monthly limit of 28.99; waiting does not help. Ask for less, or have the limit raised."
        );
        assert_eq!(failure.retry_after, None);
        assert_eq!(value(&failure, "resets_at"), None);
        assert_eq!(value(&failure, "needed"), Some("29.00"));
    }

    #[test]
    fn what_just_fits_an_empty_limit_is_told_to_wait() {
        let quota = Quota {
            used: 1,
            limit: 1,
            needed: 1,
        };
        let (now, resets) = (at("2026-11-28T00:00:00Z"), at("2026-11-29T00:00:00Z"));
        let failure = daily_images(quota, now, resets);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(86_400)));
    }
}
