use super::*;
use crate::domain::catalog::{Catalog, Model};
use crate::domain::ids::Slug;
use std::sync::Arc;

use Resolution::{R1K, R2K, R4K, R512};

fn model(slug: &str) -> Arc<Model> {
    let slug = Slug::parse(slug).expect("a slug");
    Catalog::built_in()
        .find(&slug)
        .expect("in the catalog")
        .clone()
}

fn bounds(slug: &str, question: &Question) -> [String; 3] {
    let estimate = model(slug).estimate_for(question).expect("an estimate");
    let Bounds {
        low,
        expected,
        high,
    } = estimate.bounds;
    [low.to_string(), expected.to_string(), high.to_string()]
}

fn expected(slug: &str, resolution: Resolution) -> String {
    let [_, expected, _] = bounds(slug, &Question::one(resolution));
    expected
}

/// A token model as it is known after a sync: the table shows the price that is billed.
fn synced(slug: &str) -> Pricing {
    let mut pricing = model(slug).pricing.clone().expect("priced");
    if let OutputPrice::PerToken(price) = &mut pricing.output {
        price.shown = price.image;
    }
    pricing
}

#[test]
fn fixed_and_area_prices_scale_as_the_billing_type_says() {
    // domain.md B4.
    for (slug, at_1k, at_2k, at_4k) in [
        ("bytedance-seed/seedream-4.5", "81.00", "81.00", "81.00"),
        ("sourceful/riverflow-v2-pro", "301.00", "301.00", "661.00"),
        (
            "black-forest-labs/flux.2-klein-4b",
            "29.00",
            "35.00",
            "59.00",
        ),
        ("black-forest-labs/flux.2-pro", "61.00", "151.00", "511.00"),
        (
            "black-forest-labs/flux.2-flex",
            "121.00",
            "481.00",
            "1921.00",
        ),
        (
            "black-forest-labs/flux.2-max",
            "141.00",
            "321.00",
            "1041.00",
        ),
    ] {
        assert_eq!(expected(slug, R1K), at_1k, "{slug}");
        assert_eq!(expected(slug, R2K), at_2k, "{slug}");
        assert_eq!(expected(slug, R4K), at_4k, "{slug}");
    }
    assert_eq!(expected("sourceful/riverflow-v2-fast", R2K), "81.00");
    let [_, _, high] = bounds("black-forest-labs/flux.2-klein-4b", &Question::one(R4K));
    assert_eq!(high, "449.00", "the hold is linear in area");
}

#[test]
fn token_prices_at_the_billed_price_give_the_documented_figures() {
    // domain.md B3 and B4.
    for (slug, resolution, credits) in [
        ("openai/gpt-5-image-mini", R1K, "21.64"),
        ("openai/gpt-5-image", R1K, "104.20"),
        ("openai/gpt-5.4-image-2", R1K, "78.40"),
        ("google/gemini-3.1-flash-image-preview", R512, "135.40"),
        ("google/gemini-3.1-flash-image-preview", R1K, "135.40"),
        ("google/gemini-3.1-flash-image-preview", R2K, "202.60"),
        ("google/gemini-3.1-flash-image-preview", R4K, "303.40"),
        ("google/gemini-3-pro-image-preview", R1K, "269.80"),
        ("google/gemini-3-pro-image-preview", R2K, "269.80"),
        ("google/gemini-3-pro-image-preview", R4K, "481.00"),
    ] {
        let estimate = synced(slug)
            .estimate(&Question::one(resolution))
            .expect("an estimate");
        assert_eq!(
            estimate.bounds.expected.to_string(),
            credits,
            "{slug} {resolution}"
        );
        assert!(estimate.bounds.high >= estimate.bounds.expected);
    }
}

#[test]
fn the_gpt_5_family_may_stray_by_thirty_percent() {
    // domain.md B2: the range at the shown price, on the variable part only.
    for (slug, low, high) in [
        ("openai/gpt-5-image-mini", "4.62", "7.71"),
        ("openai/gpt-5-image", "19.06", "34.54"),
        ("openai/gpt-5.4-image-2", "28.09", "51.31"),
    ] {
        let mut pricing = model(slug).pricing.clone().expect("priced");
        if let OutputPrice::PerToken(price) = &mut pricing.output {
            price.image = price.shown;
        }
        pricing.prompt = Decimal::ZERO;
        let bounds = pricing
            .estimate(&Question::one(R1K))
            .expect("an estimate")
            .bounds;
        assert_eq!(bounds.low.to_string(), low, "{slug}");
        assert_eq!(bounds.high.to_string(), high, "{slug}");
    }
}

#[test]
fn a_hold_covers_the_billed_price_before_any_sync() {
    for (slug, resolution, billed) in [
        ("openai/gpt-5-image-mini", R1K, "21.64"),
        ("openai/gpt-5-image", R1K, "104.20"),
        ("google/gemini-3.1-flash-image-preview", R4K, "303.40"),
        ("google/gemini-3-pro-image-preview", R4K, "481.00"),
    ] {
        let [_, _, high] = bounds(slug, &Question::one(resolution));
        let high = Credits::parse(&high).expect("credits");
        assert!(
            high > Credits::parse(billed).expect("credits"),
            "{slug}: {high}"
        );
    }
}

#[test]
fn references_raise_the_hold_and_only_certain_prices_raise_the_estimate() {
    let with = Question {
        references: 2,
        reference_megapixels: 3,
        ..Question::one(R1K)
    };
    let [_, expected, high] = bounds("sourceful/riverflow-v2-fast", &with);
    assert_eq!((expected.as_str(), high.as_str()), ("41.00", "841.00"));
    let [_, expected, high] = bounds("black-forest-labs/flux.2-flex", &with);
    assert_eq!((expected.as_str(), high.as_str()), ("481.00", "481.00"));
    let [_, expected, high] = bounds("black-forest-labs/flux.2-pro", &with);
    assert_eq!((expected.as_str(), high.as_str()), ("61.00", "151.00"));
}

#[test]
fn a_long_prompt_raises_the_hold_of_a_token_model_only() {
    let long = Question {
        prompt_bytes: 30_000,
        ..Question::one(R1K)
    };
    let [_, expected, high] = bounds("openai/gpt-5-image", &long);
    let [_, expected_short, high_short] = bounds("openai/gpt-5-image", &Question::one(R1K));
    assert_eq!(expected, expected_short);
    assert!(Credits::parse(&high).ok() > Credits::parse(&high_short).ok());
    let seedream = "bytedance-seed/seedream-4.5";
    assert_eq!(
        bounds(seedream, &long),
        bounds(seedream, &Question::one(R1K))
    );
}

#[test]
fn several_images_are_summed_before_rounding() {
    let four = Question {
        count: 4,
        ..Question::one(R1K)
    };
    let [_, expected, _] = bounds("bytedance-seed/seedream-4.5", &four);
    assert_eq!(expected, "324.00");
}

#[test]
fn a_cost_that_upstream_did_not_tell_is_computed_from_what_came() {
    let cost = |slug: &str, delivered: &Delivered| {
        let pricing = model(slug).pricing.clone().expect("priced");
        pricing
            .computed(delivered, &Question::one(R1K))
            .expect("a cost")
            .to_string()
    };
    let came = |megapixels: &[u64], completion_tokens| Delivered {
        megapixels: megapixels.to_vec(),
        completion_tokens,
        prompt_tokens: Some(10),
    };
    assert_eq!(
        cost("bytedance-seed/seedream-4.5", &came(&[4, 4], None)),
        "0.08"
    );
    assert_eq!(
        cost("black-forest-labs/flux.2-pro", &came(&[4], None)),
        "0.075"
    );
    assert_eq!(
        cost(
            "google/gemini-3.1-flash-image-preview",
            &came(&[1], Some(1120))
        ),
        "0.067205"
    );
    assert_eq!(
        cost("google/gemini-3.1-flash-image-preview", &came(&[1], None)),
        "0.067205"
    );
}

#[test]
fn high_quality_is_held_at_its_documented_token_count() {
    let high = Question {
        quality: Some(Quality::High),
        ..Question::one(R1K)
    };
    let [_, _, dear] = bounds("openai/gpt-5-image", &high);
    // 6240 tokens × $40/M × 1.3, and 256 prompt tokens × $10/M.
    assert_eq!(dear, "655.08");
}

#[test]
fn a_level_above_those_documented_is_no_cheaper_than_they_and_may_be_dearer() {
    let pricing = synced("openai/gpt-5-image");
    let at = |quality| {
        let asked = Question {
            quality: Some(quality),
            ..Question::one(R1K)
        };
        pricing.estimate(&asked).expect("an estimate").bounds
    };
    let [auto, high, xhigh, max] =
        [Quality::Auto, Quality::High, Quality::Xhigh, Quality::Max].map(at);
    assert!(auto.expected < high.expected);
    for above in [&xhigh, &max] {
        assert_eq!(
            (above.low, above.expected),
            (high.low, high.expected),
            "the dearest that is documented"
        );
    }
    let times = |bounds: &Bounds| bounds.high.hundredths() * 10 / high.high.hundredths();
    assert_eq!((times(&xhigh), times(&max)), (19, 39), "all but the prompt");
}
