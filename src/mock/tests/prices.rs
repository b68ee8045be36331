//! The price table against figures that OpenRouter billed.

use rust_decimal::Decimal;

use crate::mock::price::{Charge, Order, PRICES};
use crate::mock::size::Pixels;

fn dec(text: &str) -> Decimal {
    text.parse().expect("a decimal")
}

fn order(tier: u32) -> Order<'static> {
    let pixels = Pixels {
        width: tier,
        height: tier,
    };
    let (references, fonts) = (&[][..], 0);
    Order {
        images: 1,
        pixels,
        tier,
        quality: "auto",
        references,
        fonts,
        prompt_characters: 0,
        text_tokens: 0,
    }
}

fn charge(model: &str, order: &Order<'_>) -> Charge {
    PRICES
        .iter()
        .find(|row| row.model == model)
        .expect("a price")
        .charge(order)
}

fn cost(model: &str, order: &Order<'_>) -> Decimal {
    charge(model, order).cost()
}

#[test]
fn the_twelve_models_cost_at_1k_what_openrouter_bills() {
    let real = [
        ("openai/gpt-5-image-mini", "0.01032"),
        ("google/gemini-3.1-flash-image-preview", "0.0672"),
        ("openai/gpt-5-image", "0.0516"),
        ("black-forest-labs/flux.2-klein-4b", "0.014"),
        ("google/gemini-3-pro-image-preview", "0.1344"),
        ("openai/gpt-5.4-image-2", "0.0387"),
        ("sourceful/riverflow-v2-fast", "0.02"),
        ("black-forest-labs/flux.2-pro", "0.03"),
        ("bytedance-seed/seedream-4.5", "0.04"),
        ("black-forest-labs/flux.2-flex", "0.06"),
        ("black-forest-labs/flux.2-max", "0.07"),
        ("sourceful/riverflow-v2-pro", "0.15"),
    ];
    for (model, usd) in real {
        assert_eq!(cost(model, &order(1024)), dec(usd), "{model}");
    }
}

#[test]
fn larger_pictures_cost_what_their_billing_type_says() {
    // USD at 2K and 4K, from (credits - 1) / 2000 of domain.md B4.
    let real = [
        ("bytedance-seed/seedream-4.5", "0.04", "0.04"),
        ("sourceful/riverflow-v2-fast", "0.04", "0.04"),
        ("sourceful/riverflow-v2-pro", "0.15", "0.33"),
        ("black-forest-labs/flux.2-klein-4b", "0.017", "0.029"),
        ("black-forest-labs/flux.2-pro", "0.075", "0.255"),
        ("black-forest-labs/flux.2-flex", "0.24", "0.96"),
        ("black-forest-labs/flux.2-max", "0.16", "0.52"),
        ("google/gemini-3-pro-image-preview", "0.1344", "0.24"),
        ("google/gemini-3.1-flash-image-preview", "0.1008", "0.1512"),
    ];
    for (model, at_2k, at_4k) in real {
        assert_eq!(cost(model, &order(2048)), dec(at_2k), "{model} at 2K");
        assert_eq!(cost(model, &order(4096)), dec(at_4k), "{model} at 4K");
    }
}

#[test]
fn a_begun_megapixel_counts_whole_and_is_binary() {
    let full_hd = Order {
        pixels: Pixels {
            width: 1920,
            height: 1080,
        },
        ..order(1024)
    };
    assert_eq!(cost("black-forest-labs/flux.2-pro", &full_hd), dec("0.045"));
    let one_more = Order {
        pixels: Pixels {
            width: 1024,
            height: 1025,
        },
        ..order(1024)
    };
    assert_eq!(
        cost("black-forest-labs/flux.2-pro", &one_more),
        dec("0.045")
    );
}

#[test]
fn references_and_fonts_are_charged_where_the_model_charges_them() {
    let sent = Order {
        references: &[1_048_576, 1_048_577],
        fonts: 1,
        ..order(1024)
    };
    assert_eq!(cost("sourceful/riverflow-v2-fast", &sent), dec("0.45"));
    assert_eq!(cost("black-forest-labs/flux.2-flex", &sent), dec("0.24"));
    assert_eq!(cost("bytedance-seed/seedream-4.5", &sent), dec("0.04"));
    let tokens = charge("google/gemini-3-pro-image-preview", &sent);
    assert_eq!(
        tokens.prompt_cost,
        dec("0.000002") * Decimal::from(tokens.prompt_tokens)
    );
    assert_eq!(tokens.prompt_tokens, 516);
}

#[test]
fn a_prompt_and_a_text_are_charged_at_their_own_prices() {
    let written = Order {
        prompt_characters: 41,
        text_tokens: 10,
        ..order(1024)
    };
    let charged = charge("openai/gpt-5-image-mini", &written);
    assert_eq!(charged.prompt_tokens, 11);
    assert_eq!(charged.prompt_cost, dec("0.0000275"));
    assert_eq!(charged.completion_cost, dec("0.01034"));
    assert_eq!(charged.completion_tokens(), 1300);
}

#[test]
fn pseudo_tokens_follow_images_and_megapixels() {
    let two = Order {
        images: 2,
        ..order(2048)
    };
    assert_eq!(
        charge("bytedance-seed/seedream-4.5", &two).image_tokens,
        8350
    );
    assert_eq!(
        charge("black-forest-labs/flux.2-max", &two).image_tokens,
        2 * 4 * 4096
    );
}

#[test]
fn quality_sets_the_tokens_of_the_gpt_models() {
    let low = Order {
        quality: "low",
        ..order(1024)
    };
    assert_eq!(charge("openai/gpt-5-image", &low).image_tokens, 272);
    let wide = Pixels {
        width: 1248,
        height: 832,
    };
    let high = Order {
        quality: "high",
        pixels: wide,
        ..order(1024)
    };
    assert_eq!(charge("openai/gpt-5-image", &high).image_tokens, 6208);
}
