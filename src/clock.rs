//! What time it is: to the microsecond, because that is what the books keep. A time that was shown
//! once reads the same for ever.

use jiff::Timestamp;

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that all others ask"
)]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_has_no_more_digits_than_the_books_keep() {
        assert_eq!(super::now().subsec_nanosecond() % 1000, 0);
    }
}
