//! Money: credits in integer hundredths, US dollars in integer pico-dollars, and the one formula
//! that turns the second into the first. Nothing here can be a float, and nothing can overflow
//! without saying so.

use std::fmt;

use rust_decimal::Decimal;

/// Pico-dollars in one US dollar.
const PICO_PER_USD: i128 = 1_000_000_000_000;

/// Pico-dollars that buy one hundredth of a credit: `1 / (2000 × 100)` USD (`domain.md` R7).
const PICO_PER_HUNDREDTH: i128 = 5_000_000;

/// The largest cost that is believed to be a number at all: one million US dollars. Anything
/// above it is treated as missing (`domain.md` C15), long before the sanity cap of
/// [`Charge`](super::job::Charge) looks at it.
const USD_MAX: i128 = 1_000_000 * PICO_PER_USD;

/// The largest amount of credits a balance or a top-up may hold (`reliability.md` §3).
const HUNDREDTHS_MAX: i64 = 9_000_000_000_000_000;

/// An amount of credits, in hundredths. One credit is 0.0005 USD of upstream cost.
///
/// May be negative: a balance with debt is shown as a negative amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

/// What an upstream call cost, in pico-dollars (10⁻¹² USD), never negative.
///
/// Digits beyond the twelfth decimal are rounded up. Because a hundredth of a credit is a whole
/// number of pico-dollars, that rounding can never change the charge of a single cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsdCost(i64);

/// Why a text is not an amount of credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    /// Not digits with at most one point.
    #[error("must be a decimal number such as 1500 or 12.50")]
    Malformed,
    /// More than two decimals.
    #[error("must have at most two decimals")]
    TooPrecise,
    /// Beyond what a balance can hold.
    #[error("must be at most 90000000000000.00")]
    TooLarge,
}

/// The rule by which images are paid for (`domain.md` R7–R10).
///
/// `usd × 2000 + images`, rounded up at two decimals: the overhead of one credit is counted per
/// image (C1), and the sum is rounded once (C2). Nothing delivered costs nothing (C12).
pub fn platform_charge(cost: UsdCost, images: u32) -> Credits {
    if images == 0 {
        return Credits::ZERO;
    }
    let variable = ceil_div(i128::from(cost.0), PICO_PER_HUNDREDTH);
    let hundredths = variable.saturating_add(i128::from(images) * 100);
    Credits(clamp(hundredths))
}

/// What an organization pays that brings its own OpenRouter key: one credit per image (C14).
pub fn own_key_charge(images: u32) -> Credits {
    Credits(i64::from(images) * 100)
}

// === impl Credits ===

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(0);

    /// An amount in hundredths of a credit.
    pub const fn from_hundredths(hundredths: i64) -> Self {
        Self(hundredths)
    }

    /// Whole credits.
    pub const fn from_whole(credits: i32) -> Self {
        Self(credits as i64 * 100)
    }

    /// The amount in hundredths of a credit, as the books keep it.
    pub const fn hundredths(self) -> i64 {
        self.0
    }

    /// Reads an amount typed by a caller: digits with at most two decimals, no sign, no exponent.
    ///
    /// # Errors
    /// See [`CreditsError`].
    pub fn parse(text: &str) -> Result<Self, CreditsError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(CreditsError::Malformed);
        }
        if fraction.len() > 2 {
            return Err(CreditsError::TooPrecise);
        }
        format!("{whole}{fraction:0<2}")
            .parse::<i64>()
            .ok()
            .filter(|hundredths| *hundredths <= HUNDREDTHS_MAX)
            .map(Self)
            .ok_or(CreditsError::TooLarge)
    }

    /// The sum, unless it would leave what the books can hold.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?;
        (-HUNDREDTHS_MAX..=HUNDREDTHS_MAX)
            .contains(&sum)
            .then_some(Self(sum))
    }

    /// The difference, unless it would leave what the books can hold.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self(other.0.checked_neg()?))
    }

    /// The difference, or nothing if `other` is larger.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0).max(0))
    }
}

impl fmt::Display for Credits {
    /// Always two decimals (`domain.md` C3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let text = format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100);
        f.pad(&text)
    }
}

// === impl UsdCost ===

impl UsdCost {
    /// Free.
    pub const ZERO: Self = Self(0);

    /// A cost in pico-dollars; `None` if negative or not believable.
    pub fn from_pico(pico: i64) -> Option<Self> {
        (0..=USD_MAX)
            .contains(&i128::from(pico))
            .then_some(Self(pico))
    }

    /// The cost in pico-dollars, as the books keep it.
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// Reads the JSON text of a cost: a number, with or without an exponent, or the same number as
    /// a JSON string. Anything that is not a believable cost is `None`, never zero
    /// (`domain.md` C15): negative, absent, `null`, over a million dollars, over 64 characters.
    pub fn from_json(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(text);
        if text.is_empty() || text.len() > 64 {
            return None;
        }
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let pico = scaled_up(mantissa, exponent.checked_add(12)?)?;
        if pico > USD_MAX || (negative && pico != 0) {
            return None;
        }
        i64::try_from(pico).ok().map(Self)
    }

    /// A price computed by us, rounded up to the next pico-dollar; `None` if negative or absurd.
    pub fn from_decimal(usd: Decimal) -> Option<Self> {
        Self::from_json(&usd.to_string())
    }

    /// The cost as a decimal number of US dollars.
    pub fn to_decimal(self) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(self.0), 12).normalize()
    }

    /// The sum, unless it is no longer believable.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::from_pico(self.0.checked_add(other.0)?)
    }

    /// This cost `count` times over, unless that is no longer believable.
    pub fn checked_mul(self, count: u32) -> Option<Self> {
        Self::from_pico(self.0.checked_mul(i64::from(count))?)
    }
}

impl fmt::Display for UsdCost {
    /// Plain notation, no exponent, no trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().fmt(f)
    }
}

/// The sum of several costs, unless it is no longer believable.
pub fn sum_costs(costs: impl IntoIterator<Item = UsdCost>) -> Option<UsdCost> {
    costs
        .into_iter()
        .try_fold(UsdCost::ZERO, UsdCost::checked_add)
}

/// `mantissa × 10^shift`, rounded up, where the mantissa is unsigned JSON digits with at most one
/// point. `None` if it is not, or the result has more than 30 digits.
fn scaled_up(mantissa: &str, shift: i32) -> Option<i128> {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let dangling = mantissa.contains('.') && fraction.is_empty();
    if whole.is_empty() || dangling || !digits(whole) || !digits(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()? + i64::from(shift);
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let leading = i64::try_from(digits.len() - significant.len()).ok()?;
    let kept = point - leading;
    if kept > 30 {
        return None;
    }
    let Ok(kept) = usize::try_from(kept) else {
        // Smaller than one unit, but not nothing: rounded up.
        return Some(1);
    };
    if kept >= significant.len() {
        let padded = format!("{significant:0<kept$}");
        return padded.parse().ok();
    }
    let (head, tail) = significant.split_at(kept);
    let head = if head.is_empty() {
        0
    } else {
        head.parse::<i128>().ok()?
    };
    let remainder = tail.bytes().any(|byte| byte != b'0');
    Some(head + i128::from(remainder))
}

fn ceil_div(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0)
}

fn clamp(hundredths: i128) -> i64 {
    i64::try_from(hundredths).map_or(HUNDREDTHS_MAX, |value| value.min(HUNDREDTHS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charged(usd: &str, images: u32) -> String {
        platform_charge(UsdCost::from_json(usd).expect(usd), images).to_string()
    }

    #[test]
    fn every_published_vector_is_charged_exactly() {
        // domain.md, Appendix 3.
        for (usd, images, credits) in [
            ("0", 1, "1.00"),
            ("0.0000001", 1, "1.01"),
            ("1E-7", 1, "1.01"),
            ("0.000005", 1, "1.01"),
            ("0.0000051", 1, "1.02"),
            ("0.000045", 1, "1.09"),
            ("0.00005", 1, "1.10"),
            ("0.00034", 1, "1.68"),
            ("0.00258", 1, "6.16"),
            ("0.00387", 1, "8.74"),
            ("0.0129", 1, "26.80"),
            ("0.01548", 1, "31.96"),
            ("0.01935", 1, "39.70"),
            ("0.014", 1, "29.00"),
            ("0.02", 1, "41.00"),
            ("0.03", 1, "61.00"),
            ("0.04", 1, "81.00"),
            ("0.06", 1, "121.00"),
            ("0.07", 1, "141.00"),
            ("0.15", 1, "301.00"),
            ("0.001234567", 1, "3.47"),
            ("0.0672", 1, "135.40"),
            ("0.134", 1, "269.00"),
            ("0.24", 1, "481.00"),
            ("0.33", 1, "661.00"),
            ("0.16", 4, "324.00"),
            ("0.0154801", 3, "33.97"),
            ("123.45", 0, "0.00"),
        ] {
            assert_eq!(charged(usd, images), credits, "{usd} USD, {images} images");
        }
        assert_eq!(own_key_charge(3).to_string(), "3.00");
        assert_eq!(own_key_charge(0).to_string(), "0.00");
    }

    #[test]
    fn a_cost_is_read_from_its_text_whatever_form_the_number_has() {
        for (text, pico) in [
            ("0.04", 40_000_000_000),
            (" 4e-2 ", 40_000_000_000),
            ("4.0E-02", 40_000_000_000),
            ("0.4e-1", 40_000_000_000),
            ("\"0.04\"", 40_000_000_000),
            ("7e-09", 7_000),
            ("2.1e-06", 2_100_000),
            ("1e0", 1_000_000_000_000),
            ("1E+2", 100_000_000_000_000),
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e999", 0),
            ("1e-12", 1),
            ("1e-13", 1),
            ("1e-400", 1),
            ("0.0000000000011", 2),
            ("0.040000000000000000000000000000000000001", 40_000_000_001),
        ] {
            let cost = UsdCost::from_json(text).map(UsdCost::pico);
            assert_eq!(cost, Some(pico), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_believable_cost_is_missing_and_never_zero() {
        for text in [
            "",
            "null",
            "NaN",
            "Infinity",
            "-0.01",
            "-1e-30",
            "1e400",
            "1000001",
            "1e7",
            "abc",
            "0.04x",
            "0..4",
            ".5",
            "5.",
            "+1",
            "1_000",
            "1e",
            "1e1.5",
            "0x10",
            "\"\"",
            "[0.04]",
            "{}",
            "true",
            "1e99999999999",
            "0.00000000000000000000000000000000000000000000000000000000000000001",
        ] {
            assert_eq!(UsdCost::from_json(text), None, "{text}");
        }
    }

    #[test]
    fn credits_are_shown_and_read_with_two_decimals() {
        for (text, hundredths) in [("61", 6100), ("61.5", 6150), ("0.01", 1), ("61.00", 6100)] {
            assert_eq!(
                Credits::parse(text),
                Ok(Credits::from_hundredths(hundredths))
            );
        }
        assert_eq!(Credits::from_hundredths(-5).to_string(), "-0.05");
        assert_eq!(Credits::from_hundredths(-12_345).to_string(), "-123.45");
        assert_eq!(format!("{:>9}", Credits::from_whole(61)), "    61.00");
    }

    #[test]
    fn credits_that_are_not_a_plain_amount_are_refused() {
        use CreditsError::{Malformed, TooLarge, TooPrecise};
        for (text, error) in [
            ("", Malformed),
            ("-1", Malformed),
            ("+1", Malformed),
            ("1e3", Malformed),
            ("1.", Malformed),
            (".5", Malformed),
            ("1,5", Malformed),
            ("1.2.3", Malformed),
            ("1.234", TooPrecise),
            ("90000000000000.01", TooLarge),
            ("99999999999999999999", TooLarge),
        ] {
            assert_eq!(Credits::parse(text), Err(error), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_charge_equals_exact_rational_arithmetic(pico in 0i64..2_000_000_000_000, n in 1u32..11) {
            let charge = platform_charge(UsdCost::from_pico(pico).expect("in range"), n);
            // credits × 100 = usd × 200000 + 100n, compared without division.
            let exact = i128::from(pico) + i128::from(n) * 100 * PICO_PER_HUNDREDTH;
            let charged = i128::from(charge.hundredths()) * PICO_PER_HUNDREDTH;
            proptest::prop_assert!(charged >= exact && charged - exact < PICO_PER_HUNDREDTH);
        }

        #[test]
        fn a_cost_reads_the_same_from_every_notation(digits in 0i64..1_000_000_000, scale in 0u32..13) {
            let plain = Decimal::new(digits, scale);
            let from_plain = UsdCost::from_decimal(plain);
            let from_exponent = UsdCost::from_json(&format!("{digits}e-{scale}"));
            proptest::prop_assert_eq!(from_plain, from_exponent);
            if let Some(cost) = from_plain {
                proptest::prop_assert_eq!(cost.to_decimal(), plain);
                proptest::prop_assert_eq!(UsdCost::from_json(&cost.to_string()), Some(cost));
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,80}") {
            let _ = UsdCost::from_json(&text);
            let _ = Credits::parse(&text);
        }
    }
}
