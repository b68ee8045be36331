//! Prices of `GET /models`, and the encodings that only look like a price per token.

use rust_decimal::{Decimal, RoundingStrategy};

use super::super::curated::{Curated, TokenPrices};
use super::{believable, by_area};
use crate::domain::pricing::{OutputPrice, Pricing, ReferencePrice};

/// Pseudo tokens by which `GET /models` spreads the price of one picture (`domain.md` B3).
const TOKENS_PER_IMAGE: u32 = 4175;

/// Pseudo tokens by which it spreads the price of one megapixel.
const TOKENS_PER_MEGAPIXEL: u32 = 4096;

/// Decimals of a true price per million tokens; a spread price has more.
const DECIMALS_PER_MILLION: u32 = 3;

/// Decimals of a true price per picture or megapixel.
const DECIMALS_PER_IMAGE: u32 = 4;

/// A price of `GET /models` alone: per token, or one of the encodings that only look like it.
pub(super) fn spread(
    (image_output, completion): (&str, &str),
    curated: Curated,
    token: TokenPrices,
) -> Vec<Pricing> {
    let of = |output, reference, prompt| Pricing {
        output,
        reference,
        prompt,
    };
    let reference = curated.reference(None);
    // Without a price of its own a picture is billed as text is (`domain.md` C10), unless text is
    // free, because there is none.
    let as_text = || believable(completion).filter(|usd| !usd.is_zero());
    let Some(usd) = believable(image_output).or_else(as_text) else {
        return Vec::new();
    };
    let per_million = usd.checked_mul(Decimal::from(1_000_000));
    let true_tokens = per_million.is_some_and(|usd| decimals(usd) <= DECIMALS_PER_MILLION);
    if true_tokens {
        let price = curated.by_token(
            TokenPrices {
                image: usd,
                ..token
            },
            usd,
        );
        let reference = ReferencePrice::Tokens(token.prompt);
        return vec![of(OutputPrice::PerToken(price), reference, token.prompt)];
    }
    let reference = reference.unwrap_or(ReferencePrice::Free);
    if let Some(listed) = whole_price(usd, TOKENS_PER_MEGAPIXEL) {
        // Some lists spread the price of a further megapixel; then the known first one stands.
        let known = curated.megapixels().map(|(known, _)| known);
        let first = known.filter(|known| *known > listed).unwrap_or(listed);
        return vec![of(by_area(first, curated), reference, Decimal::ZERO)];
    }
    let Some(base) = whole_price(usd, TOKENS_PER_IMAGE) else {
        return Vec::new();
    };
    let output = OutputPrice::PerImage {
        base,
        variants: Vec::new(),
    };
    vec![of(output, reference, Decimal::ZERO)]
}

/// The price that was spread over so many pseudo tokens, if it comes out even.
fn whole_price(usd: Decimal, tokens: u32) -> Option<Decimal> {
    let product = usd.checked_mul(tokens.into())?;
    // Upstream prints 15 to 18 digits, so that the product is a hair beside the price.
    let price = product.round_dp_with_strategy(12, RoundingStrategy::MidpointNearestEven);
    (decimals(price) <= DECIMALS_PER_IMAGE).then(|| price.normalize())
}

fn decimals(value: Decimal) -> u32 {
    value.normalize().scale()
}
