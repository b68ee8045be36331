//! The windows that limits count in: days and months begin at midnight UTC.

use jiff::Timestamp;

/// Midnight UTC before `now`.
pub(super) fn day_start(now: Timestamp) -> Timestamp {
    civil(now, |date| date)
}

/// The first midnight UTC of the month.
pub(super) fn month_start(now: Timestamp) -> Timestamp {
    civil(now, jiff::civil::Date::first_of_month)
}

/// The first midnight UTC of the month after.
pub(super) fn next_month(now: Timestamp) -> Timestamp {
    civil(now, |date| {
        date.last_of_month()
            .tomorrow()
            .unwrap_or(jiff::civil::Date::MAX)
    })
}

fn civil(now: Timestamp, pick: impl FnOnce(jiff::civil::Date) -> jiff::civil::Date) -> Timestamp {
    use jiff::tz::TimeZone;
    let date = pick(TimeZone::UTC.to_datetime(now).date());
    TimeZone::UTC
        .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))
        .unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        let now: Timestamp = "2026-12-31T23:59:59.9Z".parse().expect("a time");
        assert_eq!(day_start(now).to_string(), "2026-12-31T00:00:00Z");
        assert_eq!(month_start(now).to_string(), "2026-12-01T00:00:00Z");
        assert_eq!(next_month(now).to_string(), "2027-01-01T00:00:00Z");
    }
}
