//! The twelve models of the published page: what a gateway knows before its first sync.
//!
//! Names and shown prices are the page's (`domain.md` B2); image prices, token counts and
//! parameters are what OpenRouter's records said in autumn 2026 (`domain.md` B3, B4).

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::curated::{Curated, TokenPrices, milli};
use super::{Capabilities, Catalog, Door, Model, Parameters};
use crate::domain::ids::Slug;
use crate::domain::pricing::{OutputPrice, Pricing, ReferencePrice};
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
        flux("klein-4b", "Klein 4B", 4, None),
        flux("pro", "Pro", 8, None),
        flux("flex", "Flex", 8, Some(milli(60))),
        flux("max", "Max", 8, None),
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

/// From cents per million tokens.
fn usd_per_million(prompt_cents: i64, text_cents: i64, image_cents: i64) -> TokenPrices {
    TokenPrices {
        prompt: Decimal::new(prompt_cents, 8),
        text: Decimal::new(text_cents, 8),
        image: Decimal::new(image_cents, 8),
    }
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
        text_price: None,
        pricing: Some(pricing),
        perhaps: Vec::new(),
        context_tokens: None,
        price_lines: Vec::new(),
        withdrawn: false,
        price_changed: None,
        caution_since: None,
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
    let slug = format!("openai/{slug}");
    let pricing = by_token(&slug, prices);
    image_model(&slug, format!("OpenAI: {name}"), true, parameters, pricing)
}

fn gemini_flash() -> Option<Model> {
    gemini(
        "google/gemini-3.1-flash-image-preview",
        "Google: Nano Banana 2 (Gemini 3.1 Flash Image Preview)",
        usd_per_million(50, 300, 6000),
        (&[R512, R1K, R2K, R4K], GEMINI_FLASH),
    )
}

fn gemini_pro() -> Option<Model> {
    gemini(
        "google/gemini-3-pro-image-preview",
        "Google: Nano Banana Pro (Gemini 3 Pro Image Preview)",
        usd_per_million(200, 1200, 12_000),
        (&[R1K, R2K, R4K], GEMINI_PRO),
    )
}

fn gemini(
    slug: &str,
    name: &str,
    prices: TokenPrices,
    (resolutions, shapes): (&[Resolution], Ratios),
) -> Option<Model> {
    let parameters = Parameters {
        aspect_ratios: ratios(shapes),
        resolutions: resolutions.to_vec(),
        images_per_call: 1,
        references: 14,
        ..Parameters::default()
    };
    let pricing = by_token(slug, prices);
    image_model(slug, name.to_owned(), true, parameters, pricing)
}

/// The page shows the text price; pictures are billed at their own.
fn by_token(slug: &str, prices: TokenPrices) -> Pricing {
    let price = Curated::of(slug).by_token(prices, prices.text);
    Pricing {
        output: OutputPrice::PerToken(price),
        reference: ReferencePrice::Tokens(prices.prompt),
        prompt: prices.prompt,
    }
}

/// FLUX.2: by area, no size class upstream, so larger ones are asked for in pixels.
fn flux(slug: &str, name: &str, references: u32, listed: Option<Decimal>) -> Option<Model> {
    let slug = format!("black-forest-labs/flux.2-{slug}");
    let known = Curated::of(&slug);
    let (first, next) = known.megapixels()?;
    let reference = listed.map(ReferencePrice::PerMegapixel);
    let reference = reference.or(known.reference(None))?;
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
        first,
        next: Some(next),
    };
    let name = format!("Black Forest Labs: FLUX.2 {name}");
    image_model(
        &slug,
        name,
        false,
        parameters,
        Pricing {
            output,
            reference,
            prompt: Decimal::ZERO,
        },
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
        prompt: Decimal::ZERO,
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
        reference: ReferencePrice::PerhapsPerImage(milli(200)),
        prompt: Decimal::ZERO,
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
