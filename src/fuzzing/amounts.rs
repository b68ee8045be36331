//! A reader of decimal costs that cannot be wrong in the way the real one might be: it never rounds
//! or shifts, it only compares digits, and searches for the least amount that is enough.

use rust_decimal::{Decimal, RoundingStrategy};

use crate::domain::money::UsdCost;

/// One million US dollars in pico-dollars: the most that is believed (`domain.md` C15).
const PICO_MAX: i64 = 1_000_000_000_000_000_000;

/// The longest number that is believed, without its quotes.
const TEXT_MAX_BYTES: usize = 64;

/// Exponents beyond this may be refused although the number is zero or next to nothing.
const EXPONENT_MAX: u64 = 2_000_000_000;

/// What the text of a cost comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many pico-dollars, rounded up.
    Pico(i64),
    /// No believable cost.
    Missing,
    /// Missing, or this: the exponent is absurd.
    Perhaps(i64),
}

/// A number as it is written: `digits × 10^exponent`.
#[derive(Debug)]
struct Number {
    negative: bool,
    /// Without leading zeros; empty for zero.
    digits: String,
    exponent: i64,
    absurd: bool,
}

/// Reads the JSON text of a cost.
pub fn amount(text: &str) -> Amount {
    let Some(number) = Number::read(unquoted(text.trim())) else {
        return Amount::Missing;
    };
    if number.negative && !number.digits.is_empty() {
        return Amount::Missing;
    }
    if !number.is_at_most(PICO_MAX) {
        return Amount::Missing;
    }
    // The least amount that is not below the number.
    let (mut too_little, mut enough) = (-1, PICO_MAX);
    while enough - too_little > 1 {
        let middle = too_little + (enough - too_little) / 2;
        if number.is_at_most(middle) {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    if number.absurd {
        Amount::Perhaps(enough)
    } else {
        Amount::Pico(enough)
    }
}

pub(super) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read = UsdCost::from_json(text);
    let pico = read.map(UsdCost::pico);
    match amount(text) {
        Amount::Pico(exact) => assert_eq!(pico, Some(exact), "{text:?}"),
        Amount::Missing => assert_eq!(pico, None, "{text:?}"),
        Amount::Perhaps(exact) => {
            assert!(pico.is_none_or(|pico| pico == exact), "{text:?}: {pico:?}");
        }
    }
    if let Some(cost) = read {
        check_cost(cost);
    }
    check_decimal(text, read);
}

/// A cost is what it says: written down and read again it is the same.
fn check_cost(cost: UsdCost) {
    assert!((0..=PICO_MAX).contains(&cost.pico()), "{cost:?}");
    assert_eq!(UsdCost::from_json(&cost.to_string()), Some(cost));
    assert_eq!(UsdCost::from_decimal(cost.to_decimal()), Some(cost));
    assert_eq!(UsdCost::from_pico(cost.pico()), Some(cost));
}

/// Wherever a `Decimal` can hold the number, it must come to the same.
fn check_decimal(text: &str, read: Option<UsdCost>) {
    let plain = unquoted(text.trim());
    let Some(number) = Number::read(plain) else {
        return;
    };
    let fits = number.digits.len() <= 28 && (-28..=0).contains(&number.exponent);
    // `from_scientific` rounds a mantissa that is too long; `from_str_exact` refuses it.
    let (mantissa, has_exponent) = match plain.split_once(['e', 'E']) {
        Some((mantissa, _)) => (mantissa, true),
        None => (plain, false),
    };
    let exact = Decimal::from_str_exact(mantissa).ok().filter(|_| fits);
    let Some(exact) = exact.and_then(|exact| match has_exponent {
        true => Decimal::from_scientific(plain).ok(),
        false => Some(exact),
    }) else {
        return;
    };
    let rounded = exact.round_dp_with_strategy(12, RoundingStrategy::ToPositiveInfinity);
    let most = Decimal::from(1_000_000);
    let expected = (!exact.is_sign_negative() || exact.is_zero()).then_some(rounded);
    let expected = expected.filter(|usd| *usd <= most);
    assert_eq!(read.map(UsdCost::to_decimal), expected, "{text:?}");
    assert_eq!(UsdCost::from_decimal(exact), read, "{text:?}");
}

fn unquoted(text: &str) -> &str {
    match text.as_bytes() {
        [b'"', .., b'"'] => &text[1..text.len() - 1],
        _ => text,
    }
}

// === impl Number ===

impl Number {
    /// JSON's grammar, except that zeros in front are harmless.
    fn read(text: &str) -> Option<Self> {
        if text.len() > TEXT_MAX_BYTES {
            return None;
        }
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mantissa_end = text.find(['e', 'E']).unwrap_or(text.len());
        let (mantissa, tail) = text.split_at(mantissa_end);
        let (exponent, absurd) = match tail.get(1..) {
            Some(written) => exponent(written)?,
            None => (0, false),
        };
        let (whole, fraction) = match mantissa.find('.') {
            Some(point) => (&mantissa[..point], Some(&mantissa[point + 1..])),
            None => (mantissa, None),
        };
        if !is_digits(whole) || fraction.is_some_and(|fraction| !is_digits(fraction)) {
            return None;
        }
        let fraction = fraction.unwrap_or_default();
        let digits = [whole, fraction].concat();
        Some(Self {
            negative,
            digits: digits.trim_start_matches('0').to_owned(),
            exponent: exponent - i64::try_from(fraction.len()).ok()?,
            absurd,
        })
    }

    /// Whether it is at most so many pico-dollars, told by writing both out.
    fn is_at_most(&self, pico: i64) -> bool {
        if self.digits.is_empty() || pico <= 0 {
            return self.digits.is_empty() && pico >= 0;
        }
        let (mut left, mut right) = (self.digits.clone(), pico.to_string());
        // Neither has more than 64 digits, so beyond 200 zeros the other side cannot matter.
        match self.exponent.saturating_add(12) {
            zeros @ 0.. => pad(&mut left, zeros.min(200)),
            zeros => pad(&mut right, zeros.saturating_neg().min(200)),
        }
        (left.len(), left) <= (right.len(), right)
    }
}

fn pad(digits: &mut String, zeros: i64) {
    digits.extend((0..zeros).map(|_| '0'));
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The exponent, and whether it is absurd; `None` if it is no number.
fn exponent(written: &str) -> Option<(i64, bool)> {
    let (sign, digits) = match written.as_bytes().first()? {
        b'-' => (-1, &written[1..]),
        b'+' => (1, &written[1..]),
        _ => (1, written),
    };
    if !is_digits(digits) {
        return None;
    }
    let size = digits.parse::<u64>().unwrap_or(u64::MAX);
    let small = i64::try_from(size.min(EXPONENT_MAX)).ok()?;
    Some((sign * small, size > EXPONENT_MAX))
}
