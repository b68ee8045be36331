//! Prices of the pictures that a model works from.

use rust_decimal::Decimal;

use super::Question;

/// Tokens that a reference picture may become at a model that bills it so. Gemini
/// counts 258 to 1,290 a picture, OpenAI's high fidelity up to about 6,200.
const TOKENS_PER_REFERENCE: u64 = 6_200;

/// How a model bills the pictures it works from. All prices in USD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferencePrice {
    /// Nothing.
    Free,
    /// Per picture.
    PerImage(Decimal),
    /// Per picture, where sources disagree on whether it is always billed: counts in the high
    /// estimate (`api.md`: Riverflow V2).
    PerhapsPerImage(Decimal),
    /// Per megapixel, as the price list says.
    PerMegapixel(Decimal),
    /// Per megapixel, where only older documents say so: counts in the high estimate.
    PerhapsPerMegapixel(Decimal),
    /// As tokens, each at this price.
    Tokens(Decimal),
}

// === impl ReferencePrice ===

impl ReferencePrice {
    /// What references surely cost, and what they may cost.
    pub(super) fn usd(self, question: &Question) -> (Decimal, Decimal) {
        let times = |price: Decimal, n: u64| price.checked_mul(n.into()).unwrap_or(Decimal::MAX);
        let calls = u64::from(question.count);
        let pictures = u64::from(question.references).saturating_mul(calls);
        let megapixels = question.reference_megapixels.saturating_mul(calls);
        match self {
            Self::Free => (Decimal::ZERO, Decimal::ZERO),
            Self::PerImage(price) => (times(price, pictures), times(price, pictures)),
            Self::PerhapsPerImage(price) => (Decimal::ZERO, times(price, pictures)),
            Self::PerMegapixel(price) => (times(price, megapixels), times(price, megapixels)),
            Self::PerhapsPerMegapixel(price) => (Decimal::ZERO, times(price, megapixels)),
            Self::Tokens(price) => {
                let most = times(price, pictures.saturating_mul(TOKENS_PER_REFERENCE));
                (Decimal::ZERO, most)
            }
        }
    }
}
