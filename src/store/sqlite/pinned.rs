//! Prices as they were when a generation began, as JSON: shown and computed with, never searched.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::odd::odd;
use crate::domain::generation::Draft;
use crate::domain::pricing::{OutputPrice, Pricing, Question, ReferencePrice, TokenPrice};
use crate::domain::shape::{AspectRatio, PixelSize, Quality, Resolution, SentShape};

/// The prices, what they were asked, and what the calls say about size and shape.
#[derive(Serialize, Deserialize)]
pub(super) struct Pinned {
    output: Option<Output>,
    reference: Option<Reference>,
    prompt: Option<Usd>,
    quality: Option<String>,
    references: u32,
    reference_megapixels: u64,
    prompt_bytes: u64,
    sent_ratio: Option<String>,
    sent_resolution: Option<String>,
    sent_size: Option<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Output {
    Image {
        base: Usd,
        variants: Vec<(String, Usd)>,
    },
    Megapixel {
        first: Usd,
        next: Option<Usd>,
    },
    Token {
        shown: Usd,
        image: Usd,
        text: Usd,
        tokens: Vec<(String, u32)>,
        tokens_by_quality: Vec<(String, u32)>,
        spread_percent: u8,
        beside_tokens: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reference {
    Free,
    PerImage(Usd),
    PerhapsPerImage(Usd),
    PerMegapixel(Usd),
    PerhapsPerMegapixel(Usd),
    Tokens(Usd),
}

/// A price in USD as text, so that no digit is lost.
#[derive(Serialize, Deserialize)]
struct Usd(String);

/// What is pinned of a draft.
pub(super) struct Prices {
    pub(super) pricing: Option<Pricing>,
    pub(super) question: Question,
    pub(super) sent: SentShape,
}

// === impl Pinned ===

impl Pinned {
    pub(super) fn of(draft: &Draft) -> Self {
        let (question, sent) = (&draft.question, &draft.sent);
        Self {
            output: draft
                .pricing
                .as_ref()
                .map(|pricing| Output::of(&pricing.output)),
            reference: draft
                .pricing
                .as_ref()
                .map(|pricing| Reference::of(pricing.reference)),
            prompt: draft
                .pricing
                .as_ref()
                .map(|pricing| Usd::of(pricing.prompt)),
            quality: question.quality.map(|quality| quality.to_string()),
            references: question.references,
            reference_megapixels: question.reference_megapixels,
            prompt_bytes: question.prompt_bytes,
            sent_ratio: sent.aspect_ratio.map(|ratio| ratio.to_string()),
            sent_resolution: sent.resolution.map(|resolution| resolution.to_string()),
            sent_size: sent.size.map(|size| (size.width, size.height)),
        }
    }

    pub(super) fn read(
        self,
        resolution: Resolution,
        count: u32,
    ) -> Result<Prices, rusqlite::Error> {
        let quality = read(self.quality.as_deref(), Quality::parse)?;
        let pricing = match (self.output, self.reference, self.prompt) {
            (Some(output), Some(reference), Some(prompt)) => Some(Pricing {
                output: output.read()?,
                reference: reference.read()?,
                prompt: prompt.read()?,
            }),
            _ => None,
        };
        Ok(Prices {
            pricing,
            question: Question {
                resolution,
                quality,
                count,
                references: self.references,
                reference_megapixels: self.reference_megapixels,
                prompt_bytes: self.prompt_bytes,
            },
            sent: SentShape {
                aspect_ratio: read(self.sent_ratio.as_deref(), AspectRatio::parse)?,
                resolution: read(self.sent_resolution.as_deref(), Resolution::parse)?,
                size: self
                    .sent_size
                    .map(|(width, height)| PixelSize { width, height }),
            },
        })
    }
}

// === impl Output ===

impl Output {
    fn of(price: &OutputPrice) -> Self {
        match price {
            OutputPrice::PerImage { base, variants } => Self::Image {
                base: Usd::of(*base),
                variants: variants
                    .iter()
                    .map(|(resolution, usd)| (resolution.to_string(), Usd::of(*usd)))
                    .collect(),
            },
            OutputPrice::PerMegapixel { first, next } => Self::Megapixel {
                first: Usd::of(*first),
                next: next.map(Usd::of),
            },
            OutputPrice::PerToken(price) => Self::Token {
                shown: Usd::of(price.shown),
                image: Usd::of(price.image),
                text: Usd::of(price.text),
                tokens: words(&price.tokens),
                tokens_by_quality: words(&price.tokens_by_quality),
                spread_percent: price.spread_percent,
                beside_tokens: price.beside_tokens,
            },
        }
    }

    fn read(self) -> Result<OutputPrice, rusqlite::Error> {
        Ok(match self {
            Self::Image { base, variants } => OutputPrice::PerImage {
                base: base.read()?,
                variants: variants
                    .into_iter()
                    .map(|(word, usd)| Ok((known(&word, Resolution::parse)?, usd.read()?)))
                    .collect::<Result<_, rusqlite::Error>>()?,
            },
            Self::Megapixel { first, next } => OutputPrice::PerMegapixel {
                first: first.read()?,
                next: next.map(Usd::read).transpose()?,
            },
            Self::Token {
                shown,
                image,
                text,
                tokens,
                tokens_by_quality,
                spread_percent,
                beside_tokens,
            } => OutputPrice::PerToken(TokenPrice {
                shown: shown.read()?,
                image: image.read()?,
                text: text.read()?,
                tokens: unworded(tokens, Resolution::parse)?,
                tokens_by_quality: unworded(tokens_by_quality, Quality::parse)?,
                spread_percent,
                beside_tokens,
            }),
        })
    }
}

// === impl Reference ===

impl Reference {
    fn of(price: ReferencePrice) -> Self {
        match price {
            ReferencePrice::Free => Self::Free,
            ReferencePrice::PerImage(usd) => Self::PerImage(Usd::of(usd)),
            ReferencePrice::PerhapsPerImage(usd) => Self::PerhapsPerImage(Usd::of(usd)),
            ReferencePrice::PerMegapixel(usd) => Self::PerMegapixel(Usd::of(usd)),
            ReferencePrice::PerhapsPerMegapixel(usd) => Self::PerhapsPerMegapixel(Usd::of(usd)),
            ReferencePrice::Tokens(usd) => Self::Tokens(Usd::of(usd)),
        }
    }

    fn read(self) -> Result<ReferencePrice, rusqlite::Error> {
        Ok(match self {
            Self::Free => ReferencePrice::Free,
            Self::PerImage(usd) => ReferencePrice::PerImage(usd.read()?),
            Self::PerhapsPerImage(usd) => ReferencePrice::PerhapsPerImage(usd.read()?),
            Self::PerMegapixel(usd) => ReferencePrice::PerMegapixel(usd.read()?),
            Self::PerhapsPerMegapixel(usd) => ReferencePrice::PerhapsPerMegapixel(usd.read()?),
            Self::Tokens(usd) => ReferencePrice::Tokens(usd.read()?),
        })
    }
}

// === impl Usd ===

impl Usd {
    fn of(usd: Decimal) -> Self {
        Self(usd.to_string())
    }

    fn read(self) -> Result<Decimal, rusqlite::Error> {
        Decimal::from_str_exact(&self.0).map_err(|_| odd("generation.details"))
    }
}

fn words<T: ToString>(steps: &[(T, u32)]) -> Vec<(String, u32)> {
    let word = |(word, count): &(T, u32)| (word.to_string(), *count);
    steps.iter().map(word).collect()
}

fn unworded<T>(
    steps: Vec<(String, u32)>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<(T, u32)>, rusqlite::Error> {
    let read = |(word, count): (String, u32)| Ok((known(&word, &parse)?, count));
    steps.into_iter().map(read).collect()
}

fn known<T>(word: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, rusqlite::Error> {
    parse(word).ok_or_else(|| odd("generation.details"))
}

fn read<T>(
    word: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, rusqlite::Error> {
    word.map(|word| known(word, parse)).transpose()
}
