//! Every price of a model that can decide a bill, and which of them have moved: a leap of any is
//! hard to believe (`domain.md` R26, C19), not only one of the cheapest picture.

use std::fmt;

use rust_decimal::Decimal;

use super::Model;
use crate::domain::pricing::{OutputPrice, Pricing};
use crate::domain::shape::Resolution;

/// A price that moves by more than this factor is hard to believe.
const BELIEVABLE_FACTOR: u32 = 10;

/// One of a model's prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PricePart {
    /// A square picture of this size, at the price that is shown: USD per picture.
    Picture(Resolution),
    /// The same at the dearest price that is listed.
    PictureAtMost(Resolution),
    /// A reference picture of one megapixel, at most: USD per picture.
    Reference,
    /// The prompt: USD per token.
    Prompt,
    /// Text that comes beside a picture or instead of one: USD per token.
    Text,
}

/// A price that is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) part: PricePart,
    pub(super) before: Decimal,
    pub(super) after: Decimal,
}

/// The prices that have moved. A price that nobody knew before has not; neither has a larger size
/// whose price is, and was, that of a smaller one.
pub(super) fn moves(before: &Model, after: &Model) -> Vec<Move> {
    let mut pictures: Vec<Move> = Vec::new();
    for part in parts_of_pictures(before, after) {
        let Some(moved) = moved(part, before, after) else {
            continue;
        };
        let alike = |one: &Move| (one.before, one.after) == (moved.before, moved.after);
        if !pictures.iter().any(alike) {
            pictures.push(moved);
        }
    }
    let others = [PricePart::Reference, PricePart::Prompt, PricePart::Text];
    let others = others.into_iter();
    pictures.extend(others.filter_map(|part| moved(part, before, after)));
    pictures
}

/// Whether the price may have moved like this since `trusted`.
pub(super) fn is_believable(part: PricePart, trusted: &Model, after: Decimal) -> bool {
    part.of(trusted).is_none_or(|before| {
        let (low, high) = (before.min(after), before.max(after));
        let most = low.checked_mul(BELIEVABLE_FACTOR.into());
        high.is_zero() || (!low.is_zero() && most.is_none_or(|most| high <= most))
    })
}

fn moved(part: PricePart, before: &Model, after: &Model) -> Option<Move> {
    let (before, after) = (part.of(before)?, part.of(after)?);
    (before != after).then_some(Move {
        part,
        before,
        after,
    })
}

/// 1K first, by which prices are compared everywhere, then every other size that either has.
fn parts_of_pictures(before: &Model, after: &Model) -> impl Iterator<Item = PricePart> {
    let (mut sizes, after) = (before.resolutions(), after.resolutions());
    sizes.extend(after);
    let others = Resolution::ALL.into_iter();
    let others = others.filter(move |size| *size != Resolution::R1K && sizes.contains(size));
    let sizes = [Resolution::R1K].into_iter().chain(others);
    sizes.flat_map(|size| [PricePart::Picture(size), PricePart::PictureAtMost(size)])
}

// === impl PricePart ===

impl PricePart {
    /// Reads the word; `None` if it is another one.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "reference" => Self::Reference,
            "prompt" => Self::Prompt,
            "text" => Self::Text,
            size => match size.strip_suffix(" at most") {
                Some(size) => Self::PictureAtMost(Resolution::parse(size)?),
                None => Self::Picture(Resolution::parse(size)?),
            },
        })
    }

    /// What this price is of a model; `None` if the model has none.
    fn of(self, model: &Model) -> Option<Decimal> {
        let text = model.text_price;
        let pricing = model.pricing.as_ref();
        match self {
            Self::Picture(size) => pricing?.billed_at(size),
            Self::PictureAtMost(size) => {
                let all = pricing.into_iter().chain(&model.perhaps);
                all.filter_map(|pricing| pricing.billed_at(size)).max()
            }
            Self::Reference => pricing.map(Pricing::billed_per_reference),
            Self::Prompt => pricing
                .map(|pricing| pricing.prompt)
                .or_else(|| Some(text?.input)),
            Self::Text => match pricing.map(|pricing| &pricing.output) {
                Some(OutputPrice::PerToken(price)) => Some(price.text),
                _ => Some(text?.output),
            },
        }
    }
}

impl fmt::Display for PricePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(size) => f.pad(size.as_str()),
            Self::PictureAtMost(size) => f.pad(&format!("{size} at most")),
            Self::Reference => f.pad("reference"),
            Self::Prompt => f.pad("prompt"),
            Self::Text => f.pad("text"),
        }
    }
}
