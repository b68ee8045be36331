//! Days, weeks and months begin at midnight UTC, and with them whatever is counted in them.

use std::time::Duration;

use jiff::Timestamp;

/// Seconds of a day. The time of the system knows no leap seconds.
const DAY: i64 = 24 * 60 * 60;

/// Longer than a test takes that counts in days.
const NEAR: i64 = 60;

/// Waits until midnight is past if it is near: what a test makes before it, and what it makes after
/// it, count for two days.
pub(crate) async fn away_from_midnight() {
    if let Some(left) = until_past_midnight(image_gateway::clock::now()) {
        tokio::time::sleep(left).await;
    }
}

/// How long it takes until midnight is past; nothing if it is not near.
fn until_past_midnight(now: Timestamp) -> Option<Duration> {
    let left = DAY - now.as_second().rem_euclid(DAY);
    let past = u64::try_from(left + 1).ok()?;
    (left <= NEAR).then(|| Duration::from_secs(past))
}

#[test]
fn only_a_midnight_that_is_near_is_waited_for() {
    let wait = |time: &str| until_past_midnight(time.parse().expect("a time"));
    assert_eq!(wait("2026-11-29T00:00:00Z"), None);
    assert_eq!(wait("2026-11-29T12:00:00Z"), None);
    assert_eq!(wait("2026-11-29T23:58:59Z"), None);
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(wait("2026-11-29T23:59:00Z"), seconds(61));
    assert_eq!(wait("2026-12-31T23:59:59.9Z"), seconds(2));
}
