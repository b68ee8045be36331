//! From when until when a certificate is valid: the dates that rustls reads and does not tell. Follows
//! the nesting of X.509 (RFC 5280 section 4.1) as far as those dates and no further.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::der::{SEQUENCE, next, read, signed};

/// Tags of ASN.1 (X.690 section 8).
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When a certificate is valid, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

// === impl Validity ===

impl Validity {
    pub(super) fn holds_at(&self, now: Timestamp) -> bool {
        self.from <= now && now <= self.until
    }
}

/// When a certificate is valid; `None` if it is no certificate.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (mut fields, _) = signed(certificate)?;
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = next(fields)?;
    }
    let (validity, _) = read(fields, SEQUENCE)?;
    let (tag, text, not_after) = next(validity)?;
    let from = instant(tag, text)?;
    let (tag, text, _) = next(not_after)?;
    let until = instant(tag, text)?;
    Some(Validity { from, until })
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from 2050 on (RFC 5280 section 4.1.2.5).
fn instant(tag: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| -> Option<i8> { rest.get(at..at + 2)?.parse().ok() };
    let (month, day, hour, minute, second) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    if rest.len() != 10 {
        return None;
    }
    let time = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    jiff::tz::TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(1999, 12, 31);
        params.not_after = date_time_ymd(year, 2, 28);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn the_ends_of_a_certificate_are_read_in_both_notations() {
        for year in [2001, 2027, 2049, 2050, 2999] {
            let valid = of(&certificate(year)).unwrap();
            assert_eq!(valid.from.to_string(), "1999-12-31T00:00:00Z");
            assert_eq!(valid.until.to_string(), format!("{year}-02-28T00:00:00Z"));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(2027);
        assert!(of(&CertificateDer::from(&whole[..60])).is_none());
        for (tag, text) in [
            (UTC_TIME, "270228000000"),
            (UTC_TIME, "270230000000Z"),
            (UTC_TIME, "2702280000000Z"),
            (UTC_TIME, "27022800000Z"),
            (UTC_TIME, "+70228000000Z"),
            (GENERALIZED_TIME, "270228000000Z"),
            (SEQUENCE, "270228000000Z"),
        ] {
            assert_eq!(instant(tag, text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = of(&CertificateDer::from(bytes));
        }

        #[test]
        fn no_change_of_a_certificate_breaks_the_reader(at in 0_usize..200, to in any::<u8>()) {
            let mut bytes = certificate(2027).to_vec();
            bytes[at] = to;
            let _ = of(&CertificateDer::from(bytes));
        }
    }
}
