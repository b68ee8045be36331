//! What the lists do not tell, or tell wrong: a short table with its sources. A live price always
//! wins over it; it only says how pictures are counted where upstream names a price alone.

use rust_decimal::Decimal;

use crate::domain::pricing::{ReferencePrice, TokenPrice};
use crate::domain::shape::{Quality, Resolution};
use Resolution::{R1K, R2K, R4K};

/// How pictures of a model, or of a family, are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Curated {
    /// The beginning of the slugs it is about; the first that fits stands.
    prefix: &'static str,
    /// Image tokens by size class; each holds for its class and those above.
    tokens: &'static [(Resolution, u32)],
    /// Image tokens by level of work.
    tokens_by_quality: &'static [(Quality, u32)],
    /// How far the variable part may stray, in percent.
    spread_percent: u8,
    /// Tokens of thought and text beside a picture.
    beside_tokens: u32,
    /// Thousandths of a dollar: the first megapixel, and each further one as long as the first
    /// costs that.
    megapixels: Option<(i64, i64)>,
    /// What references cost where no line says it.
    reference: Option<Reference>,
}

/// What references cost, in thousandths of a dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    /// Per megapixel, by older documents.
    PerhapsPerMegapixel(i64),
    /// Per picture, where sources disagree on whether it is always billed.
    PerhapsPerImage,
}

/// Output tokens of OpenAI's image models at 1024 × 1536, its dearest size, by quality (OpenAI's
/// image guide). "auto" is not among them: the page's figure and its spread stand for it.
const QUALITY_TOKENS: &[(Quality, u32)] = &[
    (Quality::Low, 408),
    (Quality::Medium, 1584),
    (Quality::High, 6240),
];

const NOTHING: Curated = Curated {
    prefix: "",
    tokens: &[],
    tokens_by_quality: &[],
    spread_percent: 0,
    beside_tokens: 0,
    megapixels: None,
    reference: None,
};

/// The GPT-5 family strays by 30 % (`domain.md` R15, C11: `openai/gpt-5*image*`).
const GPT_5: Curated = Curated {
    tokens_by_quality: QUALITY_TOKENS,
    spread_percent: 30,
    ..NOTHING
};

/// Gemini: 700 to 900 thinking tokens were seen beside a picture (`domain.md` B3).
const GEMINI: Curated = Curated {
    beside_tokens: 1000,
    ..NOTHING
};

/// FLUX.2 bills further megapixels cheaper than its list says (`domain.md` 0.6, B4; OpenRouter's
/// announcement of FLUX.2), and megapixels of references of which most lists say nothing.
const fn flux(prefix: &'static str, first: i64, next: i64, reference: i64) -> Curated {
    Curated {
        prefix,
        megapixels: Some((first, next)),
        reference: Some(Reference::PerhapsPerMegapixel(reference)),
        ..NOTHING
    }
}

/// The longer prefix first.
const TABLE: &[Curated] = &[
    Curated {
        prefix: "openai/gpt-5",
        ..GPT_5
    },
    Curated {
        prefix: "openai/gpt-image",
        tokens_by_quality: QUALITY_TOKENS,
        ..NOTHING
    },
    Curated {
        // Vertex AI's guide to image tokens (`domain.md` B4).
        prefix: "google/gemini-3.1-flash-image",
        tokens: &[(R1K, 1120), (R2K, 1680), (R4K, 2520)],
        ..GEMINI
    },
    Curated {
        prefix: "google/gemini-3-pro-image",
        tokens: &[(R1K, 1120), (R4K, 2000)],
        ..GEMINI
    },
    Curated {
        prefix: "google/gemini",
        ..GEMINI
    },
    flux("black-forest-labs/flux.2-klein-4b", 14, 1, 6),
    flux("black-forest-labs/flux.2-pro", 30, 15, 15),
    flux("black-forest-labs/flux.2-flex", 60, 60, 60),
    flux("black-forest-labs/flux.2-max", 70, 30, 30),
    Curated {
        prefix: "sourceful/riverflow-v2",
        reference: Some(Reference::PerhapsPerImage),
        ..NOTHING
    },
];

/// Prices of a token model in USD per token.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenPrices {
    pub(super) prompt: Decimal,
    pub(super) text: Decimal,
    pub(super) image: Decimal,
}

impl Curated {
    /// What is known of a model; nothing, of most.
    pub(super) fn of(slug: &str) -> Self {
        let known = TABLE.iter().find(|known| slug.starts_with(known.prefix));
        known.copied().unwrap_or(NOTHING)
    }

    /// The same of a model that is said to take levels of work: where nobody documents what they
    /// make of a picture, they count as OpenAI's do.
    pub(super) const fn with_levels(mut self) -> Self {
        if self.tokens.is_empty() && self.tokens_by_quality.is_empty() {
            self.tokens_by_quality = QUALITY_TOKENS;
        }
        self
    }

    /// How the model bills, by these prices.
    pub(super) fn by_token(&self, prices: TokenPrices, shown: Decimal) -> TokenPrice {
        TokenPrice {
            shown,
            image: prices.image,
            text: prices.text,
            tokens: self.tokens.to_vec(),
            tokens_by_quality: self.tokens_by_quality.to_vec(),
            spread_percent: self.spread_percent,
            beside_tokens: self.beside_tokens,
        }
    }

    /// The price of the first and each further megapixel, where the first is known.
    pub(super) fn megapixels(&self) -> Option<(Decimal, Decimal)> {
        let (first, next) = self.megapixels?;
        Some((milli(first), milli(next)))
    }

    /// What references cost, where `line` is what a price line says per picture.
    pub(super) fn reference(&self, line: Option<Decimal>) -> Option<ReferencePrice> {
        match (self.reference?, line) {
            (Reference::PerhapsPerMegapixel(usd), _) => {
                Some(ReferencePrice::PerhapsPerMegapixel(milli(usd)))
            }
            (Reference::PerhapsPerImage, Some(usd)) => Some(ReferencePrice::PerhapsPerImage(usd)),
            (Reference::PerhapsPerImage, None) => None,
        }
    }
}

/// From thousandths of a dollar.
pub(super) fn milli(thousandths: i64) -> Decimal {
    Decimal::new(thousandths, 3)
}
