//! The twelve models of the published page: what a gateway knows before its first sync.
//!
//! Names and shown prices are the page's (`domain.md` B2); image prices, token counts and
//! parameters are what OpenRouter's records said in autumn 2026 (`domain.md` B3, B4).

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Capabilities, Catalog, Door, Model, Parameters};
use crate::domain::ids::Slug;
use crate::domain::pricing::{OutputPrice, Pricing, ReferencePrice, TokenPrice};
use crate::domain::shape::{AspectRatio, Background, OutputFormat, Quality, Resolution};
use Resolution::{R1K, R2K, R4K, R512};

/// 23 November 2026, when these records were last compared with their sources.
const AS_OF_SECONDS: i64 = 1_795_392_000;

/// `W:H` pairs in OpenRouter's order.
type Ratios = &'static [(u32, u32)];

const SQUARE_AND_PHOTO: Ratios = &[(1, 1), (3, 2), (2, 3)];
const FLUX: Ratios = &[
    (1, 1),
    (4, 3),
    (3, 4),
    (3, 2),
    (2, 3),
    (16, 9),
    (9, 16),
    (21, 9),
];
const GPT_5_4: Ratios = &[
    (1, 1),
    (3, 2),
    (2, 3),
    (4, 3),
    (3, 4),
    (16, 9),
    (9, 16),
    (21, 9),
];
const GEMINI_PRO: Ratios = &[
    (1, 1),
    (2, 3),
    (3, 2),
    (3, 4),
    (4, 3),
    (4, 5),
    (5, 4),
    (9, 16),
    (16, 9),
    (21, 9),
];
const GEMINI_FLASH: Ratios = &[
    (1, 1),
    (1, 4),
    (1, 8),
    (2, 3),
    (3, 2),
    (3, 4),
    (4, 1),
    (4, 3),
    (4, 5),
    (5, 4),
    (8, 1),
    (9, 16),
    (16, 9),
    (21, 9),
];
const SEEDREAM: Ratios = &[
    (1, 1),
    (1, 2),
    (2, 1),
    (2, 3),
    (3, 2),
    (3, 4),
    (4, 3),
    (4, 5),
    (5, 4),
    (9, 16),
    (16, 9),
    (9, 20),
    (20, 9),
    (9, 21),
    (21, 9),
];

pub(super) fn catalog() -> Catalog {
    let models = [
        gpt_5(
            "gpt-5-image-mini",
            "GPT-5 Image Mini",
            usd_per_million(250, 200, 800),
            SQUARE_AND_PHOTO,
        ),
        gpt_5(
            "gpt-5-image",
            "GPT-5 Image",
            usd_per_million(1000, 1000, 4000),
            SQUARE_AND_PHOTO,
        ),
        gpt_5(
            "gpt-5.4-image-2",
            "GPT-5.4 Image 2",
            usd_per_million(800, 1500, 3000),
            GPT_5_4,
        ),
        gemini_flash(),
        gemini_pro(),
        flux(
            "klein-4b",
            "Klein 4B",
            (14, 1),
            4,
            ReferencePrice::PerhapsPerMegapixel(milli(6)),
        ),
        flux(
            "pro",
            "Pro",
            (30, 15),
            8,
            ReferencePrice::PerhapsPerMegapixel(milli(15)),
        ),
        flux(
            "flex",
            "Flex",
            (60, 60),
            8,
            ReferencePrice::PerMegapixel(milli(60)),
        ),
        flux(
            "max",
            "Max",
            (70, 30),
            8,
            ReferencePrice::PerhapsPerMegapixel(milli(30)),
        ),
        seedream(),
        riverflow("fast", "Fast", milli(20), (R2K, milli(40)), &[R1K, R2K]),
        riverflow(
            "pro",
            "Pro",
            milli(150),
            (R4K, milli(330)),
            &[R1K, R2K, R4K],
        ),
    ];
    let as_of = Timestamp::from_second(AS_OF_SECONDS).unwrap_or(Timestamp::UNIX_EPOCH);
    Catalog::new(models.into_iter().flatten().collect(), as_of)
}

/// Output tokens of OpenAI's image models at 1024 × 1536, its dearest size, by quality (OpenAI's
/// image guide). "auto" is not among them: the page's figure and its spread stand for it.
const QUALITY_TOKENS: [(Quality, u32); 3] = [
    (Quality::Low, 408),
    (Quality::Medium, 1584),
    (Quality::High, 6240),
];

/// Prices of a token model in USD per token: prompt, text, image.
struct TokenPrices {
    prompt: Decimal,
    text: Decimal,
    image: Decimal,
}

/// From cents per million tokens.
fn usd_per_million(prompt_cents: i64, text_cents: i64, image_cents: i64) -> TokenPrices {
    TokenPrices {
        prompt: Decimal::new(prompt_cents, 8),
        text: Decimal::new(text_cents, 8),
        image: Decimal::new(image_cents, 8),
    }
}

/// From thousandths of a dollar.
fn milli(thousandths: i64) -> Decimal {
    Decimal::new(thousandths, 3)
}

fn ratios(pairs: Ratios) -> Vec<AspectRatio> {
    pairs
        .iter()
        .map(|(w, h)| AspectRatio::whole(*w, *h))
        .collect()
}

fn image_model(
    slug: &str,
    name: String,
    text: bool,
    parameters: Parameters,
    pricing: Pricing,
) -> Option<Model> {
    Some(Model {
        slug: Slug::parse(slug).ok()?,
        name,
        capabilities: Capabilities {
            generates_images: true,
            reads_images: true,
            text,
            files: slug.starts_with("openai/"),
        },
        door: Door::Images,
        parameters,
        pricing: Some(pricing),
        withdrawn: false,
    })
}

/// The GPT-5 family: no size class, cost varies by 30 % (`domain.md` R15).
fn gpt_5(slug: &str, name: &str, prices: TokenPrices, shapes: Ratios) -> Option<Model> {
    let parameters = Parameters {
        aspect_ratios: ratios(shapes),
        qualities: vec![Quality::Auto, Quality::Low, Quality::Medium, Quality::High],
        backgrounds: vec![Background::Auto, Background::Opaque],
        images_per_call: 10,
        references: 16,
        ..Parameters::default()
    };
    let price = TokenPrice {
        shown: prices.text,
        image: prices.image,
        prompt: prices.prompt,
        text: prices.text,
        tokens: Vec::new(),
        tokens_by_quality: QUALITY_TOKENS.to_vec(),
        spread_percent: 30,
        beside_tokens: 0,
    };
    image_model(
        &format!("openai/{slug}"),
        format!("OpenAI: {name}"),
        true,
        parameters,
        by_token(price),
    )
}

fn gemini_flash() -> Option<Model> {
    gemini(
        "google/gemini-3.1-flash-image-preview",
        "Google: Nano Banana 2 (Gemini 3.1 Flash Image Preview)",
        usd_per_million(50, 300, 6000),
        vec![(R1K, 1120), (R2K, 1680), (R4K, 2520)],
        (&[R512, R1K, R2K, R4K], GEMINI_FLASH),
    )
}

fn gemini_pro() -> Option<Model> {
    gemini(
        "google/gemini-3-pro-image-preview",
        "Google: Nano Banana Pro (Gemini 3 Pro Image Preview)",
        usd_per_million(200, 1200, 12_000),
        vec![(R1K, 1120), (R4K, 2000)],
        (&[R1K, R2K, R4K], GEMINI_PRO),
    )
}

fn gemini(
    slug: &str,
    name: &str,
    prices: TokenPrices,
    tokens: Vec<(Resolution, u32)>,
    (resolutions, shapes): (&[Resolution], Ratios),
) -> Option<Model> {
    let parameters = Parameters {
        aspect_ratios: ratios(shapes),
        resolutions: resolutions.to_vec(),
        images_per_call: 1,
        references: 14,
        ..Parameters::default()
    };
    let price = TokenPrice {
        shown: prices.text,
        image: prices.image,
        prompt: prices.prompt,
        text: prices.text,
        tokens,
        tokens_by_quality: Vec::new(),
        spread_percent: 0,
        // 700 to 900 thinking tokens were seen beside a picture (`domain.md` B3).
        beside_tokens: 1000,
    };
    image_model(slug, name.to_owned(), true, parameters, by_token(price))
}

const fn by_token(price: TokenPrice) -> Pricing {
    Pricing {
        output: OutputPrice::PerToken(price),
        reference: ReferencePrice::Tokens,
    }
}

/// FLUX.2: by area, no size class upstream, so larger ones are asked for in pixels.
fn flux(
    slug: &str,
    name: &str,
    (first, next): (i64, i64),
    references: u32,
    reference: ReferencePrice,
) -> Option<Model> {
    let parameters = Parameters {
        aspect_ratios: ratios(FLUX),
        pixel_resolutions: vec![R1K, R2K, R4K],
        output_formats: vec![OutputFormat::Png, OutputFormat::Jpeg],
        seed: true,
        images_per_call: 1,
        references,
        ..Parameters::default()
    };
    let output = OutputPrice::PerMegapixel {
        first: milli(first),
        next: Some(milli(next)),
    };
    let slug = format!("black-forest-labs/flux.2-{slug}");
    let name = format!("Black Forest Labs: FLUX.2 {name}");
    image_model(
        &slug,
        name,
        false,
        parameters,
        Pricing { output, reference },
    )
}

fn seedream() -> Option<Model> {
    let mut aspect_ratios = ratios(SEEDREAM);
    aspect_ratios.extend(
        ["9:19.5", "19.5:9"]
            .into_iter()
            .filter_map(AspectRatio::parse),
    );
    let parameters = Parameters {
        aspect_ratios,
        resolutions: vec![R1K, R2K, R4K],
        seed: true,
        images_per_call: 10,
        references: 14,
        ..Parameters::default()
    };
    let pricing = Pricing {
        output: OutputPrice::PerImage {
            base: milli(40),
            variants: Vec::new(),
        },
        reference: ReferencePrice::Free,
    };
    let name = "ByteDance Seed: Seedream 4.5".to_owned();
    image_model(
        "bytedance-seed/seedream-4.5",
        name,
        false,
        parameters,
        pricing,
    )
}

fn riverflow(
    slug: &str,
    name: &str,
    base: Decimal,
    variant: (Resolution, Decimal),
    resolutions: &[Resolution],
) -> Option<Model> {
    let parameters = Parameters {
        aspect_ratios: ratios(FLUX),
        resolutions: resolutions.to_vec(),
        images_per_call: 1,
        references: 10,
        ..Parameters::default()
    };
    let pricing = Pricing {
        output: OutputPrice::PerImage {
            base,
            variants: vec![variant],
        },
        reference: ReferencePrice::PerImage(milli(200)),
    };
    let slug = format!("sourceful/riverflow-v2-{slug}");
    image_model(
        &slug,
        format!("Sourceful: Riverflow V2 {name}"),
        false,
        parameters,
        pricing,
    )
}
