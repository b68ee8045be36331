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
/// [`delivery`](super::delivery) looks at it.
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
mod tests;
