//! What the lists say, and what is understood.

use super::*;
use crate::domain::catalog::reading::read;
use crate::domain::listing::{Listed, ListedPrices, Offer};
use crate::domain::pricing::{BillingType, OutputPrice, ReferencePrice};

/// A price line: billable, unit, variant, USD.
type Said = (&'static str, &'static str, &'static str, &'static str);

/// An image model as it is listed, with the lines of one provider.
pub(super) fn listed(slug: &str, lines: &[Said]) -> Listed {
    let line = |(billable, unit, variant, usd): &Said| PriceLine {
        provider: "first".to_owned(),
        billable: (*billable).to_owned(),
        unit: (*unit).to_owned(),
        variant: (*variant).to_owned(),
        usd: (*usd).to_owned(),
        last_good: String::new(),
    };
    Listed {
        slug: Slug::parse(slug).expect("a slug"),
        name: format!("Somebody: {slug}"),
        inputs: vec!["text".to_owned(), "image".to_owned()],
        outputs: vec!["image".to_owned()],
        context_tokens: None,
        prices: ListedPrices {
            prompt: "0".to_owned(),
            completion: "0".to_owned(),
            image_output: String::new(),
        },
        last_good: ListedPrices::default(),
        offer: Some(Offer {
            lines: lines.iter().map(line).collect(),
            ..Offer::default()
        }),
    }
}

/// An image model that only `GET /models` lists.
pub(super) fn by_chat(slug: &str, completion: &str, image_output: &str) -> Listed {
    Listed {
        offer: None,
        prices: ListedPrices {
            prompt: "0.000001".to_owned(),
            completion: completion.to_owned(),
            image_output: image_output.to_owned(),
        },
        ..listed(slug, &[])
    }
}

pub(super) fn sized(mut listed: Listed, resolutions: &[&str]) -> Model {
    if let Some(offer) = &mut listed.offer {
        offer.resolutions = resolutions.iter().map(|text| (*text).to_owned()).collect();
    }
    read(&listed)
}

pub(super) fn expected(model: &Model, resolution: Resolution) -> String {
    let estimate = model.estimate_for(&Question::one(resolution));
    estimate.expect("an estimate").bounds.expected.to_string()
}

pub(super) fn highest(model: &Model, question: &Question) -> String {
    let estimate = model.estimate_for(question);
    estimate.expect("an estimate").bounds.high.to_string()
}

use Resolution::{R1K, R2K, R4K};

/// Slug, lines of autumn 2026, and the credits at 1K, 2K and 4K (`domain.md` B3, B4).
type Documented = (&'static str, &'static [Said], [&'static str; 3]);

const TWELVE: &[Documented] = &[
    (
        "openai/gpt-5-image-mini",
        &[("output_image", "token", "", "8e-06")],
        ["21.64", "31.96", "47.44"],
    ),
    (
        "openai/gpt-5-image",
        &[("output_image", "token", "", "4e-05")],
        ["104.20", "155.80", "233.20"],
    ),
    (
        "openai/gpt-5.4-image-2",
        &[("output_image", "token", "", "3e-05")],
        ["78.40", "117.10", "175.15"],
    ),
    (
        "google/gemini-3.1-flash-image-preview",
        &[("output_image", "token", "", "6e-05")],
        ["135.40", "202.60", "303.40"],
    ),
    (
        "google/gemini-3-pro-image-preview",
        &[("output_image", "token", "", "0.00012")],
        ["269.80", "269.80", "481.00"],
    ),
    (
        "black-forest-labs/flux.2-klein-4b",
        &[("output_image", "megapixel", "", "0.014")],
        ["29.00", "35.00", "59.00"],
    ),
    (
        "black-forest-labs/flux.2-pro",
        &[("output_image", "megapixel", "", "0.03")],
        ["61.00", "151.00", "511.00"],
    ),
    (
        "black-forest-labs/flux.2-flex",
        &[("output_image", "megapixel", "", "0.06")],
        ["121.00", "481.00", "1921.00"],
    ),
    (
        "black-forest-labs/flux.2-max",
        &[("output_image", "megapixel", "", "0.07")],
        ["141.00", "321.00", "1041.00"],
    ),
    (
        "bytedance-seed/seedream-4.5",
        &[
            ("output_image", "image", "", "0.04"),
            ("input_image", "image", "", "0"),
        ],
        ["81.00", "81.00", "81.00"],
    ),
    (
        "sourceful/riverflow-v2-fast",
        &[
            ("output_image", "image", "", "0.02"),
            ("output_image", "image", "2k", "0.04"),
        ],
        ["41.00", "81.00", "81.00"],
    ),
    (
        "sourceful/riverflow-v2-pro",
        &[
            ("output_image", "image", "", "0.15"),
            ("output_image", "image", "4k", "0.33"),
        ],
        ["301.00", "301.00", "661.00"],
    ),
];

#[test]
fn the_twelve_models_as_they_are_listed_give_the_documented_figures() {
    assert_eq!(TWELVE.len(), 12);
    for (slug, lines, credits) in TWELVE {
        let model = sized(listed(slug, lines), &["1K", "2K", "4K"]);
        let found = [R1K, R2K, R4K].map(|resolution| expected(&model, resolution));
        assert_eq!(found, *credits, "{slug}");
    }
}

#[test]
fn a_further_megapixel_costs_what_is_known_only_while_the_first_does() {
    let line = |usd| [("output_image", "megapixel", "", usd)];
    let model = read(&listed("black-forest-labs/flux.2-pro", &line("0.04")));
    assert_eq!(
        expected(&model, R2K),
        "321.00",
        "4 megapixels at the listed price"
    );
    let unknown = read(&listed("somebody/by-area", &line("0.01")));
    assert_eq!(
        unknown.resolutions(),
        [R1K, R2K, R4K],
        "asked for in pixels"
    );
    assert_eq!(expected(&unknown, R4K), "321.00");
}

#[test]
fn prices_that_only_look_like_tokens_are_recognised() {
    for (image_output, billing_type, credits) in [
        // 0.05 / 4175 and 0.014 / 4096.
        ("0.0000119760479041916", BillingType::PerImage, "101.00"),
        ("0.00000341796875", BillingType::PerMegapixel, "29.00"),
        // $30 and $2.50 per million.
        ("0.00003", BillingType::PerToken, "78.40"),
        ("0.0000025", BillingType::PerToken, "7.45"),
    ] {
        let model = read(&by_chat("somebody/by-chat", "0", image_output));
        assert_eq!(model.door, Door::Chat);
        let estimate = model.estimate().expect("an estimate");
        assert_eq!(estimate.billing_type, billing_type, "{image_output}");
        assert_eq!(estimate.bounds.expected.to_string(), credits);
    }
    // $14.64 … $0.24 per million once stood for the further megapixels of FLUX.2.
    let model = read(&by_chat(
        "black-forest-labs/flux.2-klein-4b",
        "0",
        "0.000000244140625",
    ));
    assert_eq!(expected(&model, R1K), "29.00", "the known first megapixel");
    let odd = read(&by_chat("somebody/odd", "0", "0.00000123456789"));
    assert_eq!(odd.pricing, None, "it is not guessed");
    assert_eq!(odd.usability(true), Usability::Unpriced);
}

#[test]
fn what_is_not_understood_is_kept_and_shown_and_raises_only_the_hold() {
    let model = read(&listed(
        "somebody/odd",
        &[
            ("output_image", "image", "", "0.01"),
            ("output_image", "image", "high_resolution", "0.09"),
            ("output_image", "furlong", "", "0.50"),
            ("output_smell", "image", "", "0.50"),
            ("output_image", "image", "", "-1"),
            ("output_image", "image", "", "1e9"),
            ("output_image", "image", "", "soon"),
        ],
    ));
    assert_eq!(model.price_lines.len(), 7);
    assert_eq!(expected(&model, R1K), "21.00");
    assert_eq!(highest(&model, &Question::one(R1K)), "181.00");
    let nothing = read(&listed(
        "somebody/furlongs",
        &[("output_image", "furlong", "", "0.5")],
    ));
    assert_eq!((nothing.pricing, nothing.price_lines.len()), (None, 1));
}

#[test]
fn a_dearer_provider_raises_the_hold_and_not_the_estimate() {
    let mut two = listed(
        "somebody/popular",
        &[("output_image", "token", "", "5.4e-05")],
    );
    let offer = two.offer.as_mut().expect("an offer");
    offer.lines.push(PriceLine {
        provider: "second".to_owned(),
        usd: "3e-05".to_owned(),
        ..offer.lines[0].clone()
    });
    let model = read(&two);
    assert_eq!(expected(&model, R1K), "78.40");
    assert!(model.estimate().expect("priced").bounds.high.hundredths() > 14_000);
}

#[test]
fn references_cost_what_a_line_says_and_what_is_known() {
    let output = ("output_image", "image", "", "0.02");
    let of = |slug: &str, line: Said| {
        let model = read(&listed(slug, &[output, line]));
        model.pricing.expect("priced").reference
    };
    let usd = Decimal::new(2, 1);
    for (line, reference) in [
        (("input_image", "image", "", "0"), ReferencePrice::Free),
        (
            ("input_reference", "image", "", "0.2"),
            ReferencePrice::PerImage(usd),
        ),
        (
            ("input_image", "megapixel", "", "0.2"),
            ReferencePrice::PerMegapixel(usd),
        ),
        (("input_font", "image", "", "0.2"), ReferencePrice::Free),
    ] {
        assert_eq!(of("somebody/draws", line), reference, "{line:?}");
    }
    // api.md: sources disagree on whether Riverflow bills them.
    let riverflow = of(
        "sourceful/riverflow-v2-pro",
        ("input_reference", "image", "", "0.20"),
    );
    assert_eq!(riverflow, ReferencePrice::PerhapsPerImage(usd));
    let tokens = read(&listed(
        "somebody/tokens",
        &[("output_image", "token", "", "3e-05")],
    ));
    let pricing = tokens.pricing.expect("priced");
    assert_eq!(
        pricing.reference,
        ReferencePrice::Free,
        "its prompt is free"
    );
    assert!(matches!(pricing.output, OutputPrice::PerToken(price) if price.shown == price.image));
}

#[test]
fn a_model_that_reads_pictures_is_not_one_that_makes_them() {
    let text = Listed {
        outputs: vec!["text".to_owned()],
        context_tokens: Some(8192),
        prices: ListedPrices {
            prompt: "0.00003".to_owned(),
            completion: "0.00006".to_owned(),
            image_output: "0.00004".to_owned(),
        },
        offer: None,
        ..listed("openai/gpt-4", &[])
    };
    let model = read(&text);
    assert!(model.capabilities.reads_images && !model.capabilities.generates_images);
    assert_eq!(model.usability(true), Usability::TextOnly);
    assert_eq!((model.estimate(), model.tier()), (None, None));
    let (input, output) = model
        .text_price
        .and_then(TextPrice::credits_per_1k)
        .expect("priced");
    assert_eq!(
        (input.to_string(), output.to_string()),
        ("60.00".into(), "120.00".into())
    );
}

#[test]
fn parameters_are_those_that_are_listed_and_understood() {
    let mut one = listed("somebody/able", &[("output_image", "image", "", "0.04")]);
    let texts = |all: &[&str]| {
        all.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    one.offer = one.offer.map(|offer| Offer {
        aspect_ratios: texts(&["1:1", "9:19.5", "auto", "1:1", "wide"]),
        resolutions: texts(&["4K", "1K", "8K"]),
        qualities: texts(&["auto", "high", "ultra"]),
        output_formats: texts(&["png", "svg"]),
        backgrounds: texts(&["opaque"]),
        seed: true,
        images_per_call: Some(4),
        references: Some(3),
        ..offer
    });
    let found = read(&one).parameters;
    let ratios: Vec<_> = found
        .aspect_ratios
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ratios, ["1:1", "9:19.5"]);
    assert_eq!(found.resolutions, [R1K, R4K]);
    assert_eq!(found.pixel_resolutions, []);
    assert_eq!(found.qualities, [Quality::Auto, Quality::High]);
    assert_eq!(found.output_formats, [OutputFormat::Png]);
    assert_eq!(found.backgrounds, [Background::Opaque]);
    assert_eq!(
        (found.images_per_call, found.references, found.seed),
        (4, 3, true)
    );
}
