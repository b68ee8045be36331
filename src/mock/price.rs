//! What each model charges: a table of the mock's own.
//!
//! Nothing here comes from the rest of the crate, so that the mock's bill is a second opinion on
//! every charge. Prices are USD list prices; see `domain.md B3` and `B4`.

use rust_decimal::Decimal;

use super::size::Pixels;

/// Pseudo tokens that OpenRouter reports for one image of a per-image model.
pub(crate) const TOKENS_PER_IMAGE: u64 = 4175;
/// Pseudo tokens that OpenRouter reports for one megapixel of a per-megapixel model.
pub(crate) const TOKENS_PER_MEGAPIXEL: u64 = 4096;
/// Megapixels are binary and begun ones count whole (`domain.md B4`).
const PIXELS_PER_MEGAPIXEL: u64 = 1_048_576;
/// Image tokens of the GPT image models when no quality is asked for (`domain.md B3`).
const GPT_IMAGE_TOKENS: u64 = 1290;
/// An estimate: no source says what a reference image costs in tokens.
const TOKENS_PER_REFERENCE: u64 = 258;
/// An estimate of the length of a token in characters.
const CHARACTERS_PER_TOKEN: u64 = 4;

/// The prices of one model in USD.
#[derive(Debug)]
pub(crate) struct PriceRow {
    pub(crate) model: &'static str,
    prompt: Decimal,
    completion: Decimal,
    tariff: Tariff,
}

#[derive(Debug)]
enum Tariff {
    /// Per image token.
    Tokens {
        image_output: Decimal,
        table: TokenTable,
    },
    /// Per begun megapixel: the first, each further one, and each one of a reference.
    Megapixels {
        first: Decimal,
        next: Decimal,
        input: Decimal,
    },
    /// Per image: at 1K and from the tier named in `variant` on; per reference and font.
    Images {
        base: Decimal,
        variant: Option<(u32, Decimal)>,
        reference: Decimal,
        font: Decimal,
    },
    /// Makes no images.
    Text,
}

#[derive(Debug, Clone, Copy)]
enum TokenTable {
    /// Depends on quality, not on size.
    Gpt,
    /// By tier: 512, 1K, 2K, 4K.
    ByTier([u64; 4]),
}

/// What a call asks for, as far as its price depends on it.
#[derive(Debug, Clone)]
pub(crate) struct Order<'a> {
    pub(crate) images: usize,
    pub(crate) pixels: Pixels,
    /// Side in pixels of the square of the asked resolution: 512, 1024, 2048, 4096 …
    pub(crate) tier: u32,
    pub(crate) quality: &'a str,
    /// Pixels of each reference image.
    pub(crate) references: &'a [u64],
    pub(crate) fonts: usize,
    pub(crate) prompt_characters: usize,
    pub(crate) text_tokens: u64,
}

/// What a call costs and the tokens it reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) prompt_tokens: u64,
    pub(crate) image_tokens: u64,
    pub(crate) text_tokens: u64,
    /// USD for everything sent in.
    pub(crate) prompt_cost: Decimal,
    /// USD for everything made.
    pub(crate) completion_cost: Decimal,
}

const fn usd(digits: u32, decimals: u32) -> Decimal {
    Decimal::from_parts(digits, 0, 0, false, decimals)
}

const fn per_million(prompt_cents: u32, completion_cents: u32) -> (Decimal, Decimal) {
    (usd(prompt_cents, 8), usd(completion_cents, 8))
}

const fn tokens(
    model: &'static str,
    (prompt, completion): (Decimal, Decimal),
    image_dollars_per_million: u32,
    table: TokenTable,
) -> PriceRow {
    let image_output = usd(image_dollars_per_million, 6);
    PriceRow {
        model,
        prompt,
        completion,
        tariff: Tariff::Tokens {
            image_output,
            table,
        },
    }
}

const fn megapixels(model: &'static str, first: u32, next: u32, input: u32) -> PriceRow {
    let tariff = Tariff::Megapixels {
        first: usd(first, 3),
        next: usd(next, 3),
        input: usd(input, 3),
    };
    PriceRow {
        model,
        prompt: Decimal::ZERO,
        completion: Decimal::ZERO,
        tariff,
    }
}

const fn per_image(
    model: &'static str,
    base_cents: u32,
    variant: Option<(u32, Decimal)>,
    (reference_cents, font_cents): (u32, u32),
) -> PriceRow {
    let (reference, font) = (usd(reference_cents, 2), usd(font_cents, 2));
    let tariff = Tariff::Images {
        base: usd(base_cents, 2),
        variant,
        reference,
        font,
    };
    PriceRow {
        model,
        prompt: Decimal::ZERO,
        completion: Decimal::ZERO,
        tariff,
    }
}

const fn text(model: &'static str, (prompt, completion): (Decimal, Decimal)) -> PriceRow {
    PriceRow {
        model,
        prompt,
        completion,
        tariff: Tariff::Text,
    }
}

/// The tier 512 of Gemini 3.1 Flash is an estimate; the others are `domain.md B4`.
const GEMINI_FLASH: TokenTable = TokenTable::ByTier([747, 1120, 1680, 2520]);
const GEMINI_PRO: TokenTable = TokenTable::ByTier([1120, 1120, 1120, 2000]);

/// All models of the catalog.
pub(crate) static PRICES: [PriceRow; 16] = [
    tokens(
        "openai/gpt-5-image-mini",
        per_million(250, 200),
        8,
        TokenTable::Gpt,
    ),
    tokens(
        "openai/gpt-5-image",
        per_million(1000, 1000),
        40,
        TokenTable::Gpt,
    ),
    tokens(
        "openai/gpt-5.4-image-2",
        per_million(800, 1500),
        30,
        TokenTable::Gpt,
    ),
    tokens(
        "google/gemini-3.1-flash-image-preview",
        per_million(50, 300),
        60,
        GEMINI_FLASH,
    ),
    tokens(
        "google/gemini-3-pro-image-preview",
        per_million(200, 1200),
        120,
        GEMINI_PRO,
    ),
    megapixels("black-forest-labs/flux.2-klein-4b", 14, 1, 0),
    megapixels("black-forest-labs/flux.2-pro", 30, 15, 0),
    megapixels("black-forest-labs/flux.2-flex", 60, 60, 60),
    megapixels("black-forest-labs/flux.2-max", 70, 30, 0),
    per_image("bytedance-seed/seedream-4.5", 4, None, (0, 0)),
    per_image(
        "sourceful/riverflow-v2-fast",
        2,
        Some((2048, usd(4, 2))),
        (20, 3),
    ),
    per_image(
        "sourceful/riverflow-v2-pro",
        15,
        Some((4096, usd(33, 2))),
        (20, 3),
    ),
    tokens(
        "example/chat-only-image",
        per_million(30, 250),
        30,
        TokenTable::Gpt,
    ),
    per_image("example/chat-only-picture", 5, None, (0, 0)),
    text("openai/gpt-4", per_million(3000, 6000)),
    text("example/text-mini", per_million(15, 60)),
];

impl PriceRow {
    /// Prices a call to this model.
    pub(crate) fn charge(&self, order: &Order<'_>) -> Charge {
        let images = u64::try_from(order.images).unwrap_or(u64::MAX);
        let (image_tokens, image_cost) = self.images_made(order, images);
        let (reference_tokens, reference_cost) = self.references_sent(order);
        let characters = u64::try_from(order.prompt_characters).unwrap_or(u64::MAX);
        let prompt_tokens = characters.div_ceil(CHARACTERS_PER_TOKEN) + reference_tokens;
        Charge {
            prompt_tokens,
            image_tokens,
            text_tokens: order.text_tokens,
            prompt_cost: Decimal::from(prompt_tokens) * self.prompt + reference_cost,
            completion_cost: image_cost + Decimal::from(order.text_tokens) * self.completion,
        }
    }

    fn images_made(&self, order: &Order<'_>, images: u64) -> (u64, Decimal) {
        match &self.tariff {
            Tariff::Text => (0, Decimal::ZERO),
            Tariff::Tokens {
                image_output,
                table,
            } => {
                let made = images * table.tokens(order);
                (made, Decimal::from(made) * image_output)
            }
            Tariff::Megapixels { first, next, .. } => {
                let megapixels = begun_megapixels(order.pixels.count());
                let one = first + Decimal::from(megapixels - 1) * next;
                (
                    images * megapixels * TOKENS_PER_MEGAPIXEL,
                    Decimal::from(images) * one,
                )
            }
            Tariff::Images { base, variant, .. } => {
                let one = match variant {
                    Some((tier, price)) if order.tier >= *tier => price,
                    Some(_) | None => base,
                };
                (images * TOKENS_PER_IMAGE, Decimal::from(images) * one)
            }
        }
    }

    fn references_sent(&self, order: &Order<'_>) -> (u64, Decimal) {
        let count = u64::try_from(order.references.len()).unwrap_or(u64::MAX);
        match &self.tariff {
            Tariff::Text => (0, Decimal::ZERO),
            Tariff::Tokens { .. } => (count * TOKENS_PER_REFERENCE, Decimal::ZERO),
            Tariff::Megapixels { input, .. } => {
                let sum: u64 = order
                    .references
                    .iter()
                    .map(|pixels| begun_megapixels(*pixels))
                    .sum();
                (0, Decimal::from(sum) * input)
            }
            Tariff::Images {
                reference, font, ..
            } => {
                let fonts = u64::try_from(order.fonts).unwrap_or(u64::MAX);
                (
                    0,
                    Decimal::from(count) * reference + Decimal::from(fonts) * font,
                )
            }
        }
    }
}

impl TokenTable {
    fn tokens(self, order: &Order<'_>) -> u64 {
        match self {
            Self::Gpt => gpt_tokens(order),
            Self::ByTier([half, one, two, four]) => match order.tier {
                ..=512 => half,
                513..=1024 => one,
                1025..=2048 => two,
                _ => four,
            },
        }
    }
}

impl Charge {
    /// Tokens made in all: image tokens are among them, as upstream counts.
    pub(crate) fn completion_tokens(&self) -> u64 {
        self.image_tokens + self.text_tokens
    }

    /// The whole cost in USD.
    pub(crate) fn cost(&self) -> Decimal {
        self.prompt_cost + self.completion_cost
    }
}

/// Tokens that OpenAI publishes per quality, square and not; the default is `domain.md B3`.
fn gpt_tokens(order: &Order<'_>) -> u64 {
    let square = order.pixels.width == order.pixels.height;
    match (order.quality, square) {
        ("low", true) => 272,
        ("low", false) => 400,
        ("medium", true) => 1056,
        ("medium", false) => 1568,
        ("high" | "xhigh" | "max", true) => 4160,
        ("high" | "xhigh" | "max", false) => 6208,
        _ => GPT_IMAGE_TOKENS,
    }
}

fn begun_megapixels(pixels: u64) -> u64 {
    pixels.div_ceil(PIXELS_PER_MEGAPIXEL).max(1)
}
