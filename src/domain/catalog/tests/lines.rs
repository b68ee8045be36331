//! Price lines of every kind, and what they are worth.

use super::reading::{by_chat, expected, highest, listed, sized};
use super::*;
use crate::domain::catalog::reading::read;
use crate::domain::listing::Listed;
use crate::domain::pricing::{BillingType, ReferencePrice};
use Resolution::{R1K, R4K};

#[test]
fn lines_of_tokens_that_go_in_count_and_win_over_the_other_list() {
    let output = ("output_image", "token", "", "3e-05");
    let text = ("input_text", "token", "", "0.00001");
    let image = ("input_image", "token", "", "0.00002");
    let mut both = listed("somebody/tokens", &[output, text, image]);
    both.prices.prompt = "0.000001".to_owned();
    let asked = |references, prompt_bytes| Question {
        references,
        prompt_bytes,
        ..Question::one(R1K)
    };
    let rise = |listed: &Listed, question| {
        let pricing = read(listed).pricing.expect("priced");
        let usd = |question| {
            let estimate = pricing.estimate(&question).expect("an estimate");
            estimate.bounds.high.hundredths()
        };
        usd(question) - usd(asked(0, 0))
    };
    // 1000 tokens of a prompt beyond the 256 that are allowed anyway, and 6200 of a picture.
    for prompt in ["0.000001", ""] {
        both.prices.prompt = prompt.to_owned();
        assert_eq!(rise(&both, asked(0, 1256)), 2_000);
        assert_eq!(rise(&both, asked(1, 0)), 24_800);
    }
    let by_text = listed("somebody/tokens", &[output, text]);
    assert_eq!(rise(&by_text, asked(1, 0)), 12_400, "as any other token");
    let lines = [("output_image", "image", "", "0.02"), text, image];
    let fixed = listed("somebody/fixed", &lines);
    assert_eq!(rise(&fixed, asked(0, 1256)), 2_000);
    assert_eq!(rise(&fixed, asked(1, 0)), 24_800);
}

#[test]
fn a_request_is_a_picture_and_a_second_is_nothing_that_is_known() {
    let lines = [
        ("output_image", "request", "", "0.01"),
        ("output_image", "image", "4k", "0.02"),
        ("input_image", "request", "", "0.03"),
    ];
    let request = sized(listed("somebody/requests", &lines), &["1K", "4K"]);
    let billing_type = request.estimate().expect("priced").billing_type;
    assert_eq!(billing_type, BillingType::PerImage);
    assert_eq!(
        [R1K, R4K].map(|at| expected(&request, at)),
        ["21.00", "41.00"]
    );
    let reference = request.pricing.expect("priced").reference;
    assert_eq!(reference, ReferencePrice::PerImage(Decimal::new(3, 2)));

    // What the other list says would contradict the line that is shown.
    let mut seconds = listed(
        "somebody/seconds",
        &[("output_image", "second", "", "0.01")],
    );
    seconds.prices.image_output = "0.00003".to_owned();
    let model = read(&seconds);
    assert_eq!(
        (model.usability(true), model.price_lines.len()),
        (Usability::Unpriced, 1)
    );
}

#[test]
fn a_model_without_lines_shows_the_price_it_goes_by() {
    let model = read(&by_chat("somebody/by-chat", "0.000002", "0.00003"));
    let shown = model.price_lines.iter();
    let shown: Vec<_> = shown
        .map(|line| [line.billable.as_str(), &line.usd])
        .collect();
    assert_eq!(
        shown,
        [
            ["prompt", "0.000001"],
            ["completion", "0.000002"],
            ["image_output", "0.00003"]
        ]
    );
}

#[test]
fn a_price_of_one_size_that_is_not_by_the_picture_raises_the_hold() {
    let lines = [
        ("output_image", "megapixel", "", "0.01"),
        ("output_image", "megapixel", "4k", "0.05"),
    ];
    let model = sized(listed("somebody/mixed", &lines), &["1K", "4K"]);
    assert_eq!(expected(&model, R4K), "321.00");
    assert_eq!(highest(&model, &Question::one(R4K)), "1601.00");
}

#[test]
fn levels_of_work_count_where_a_model_takes_them_and_nobody_documents_what_they_make() {
    let mut able = listed("somebody/able", &[("output_image", "token", "", "4e-05")]);
    let qualities = ["auto", "high", "xhigh"].map(str::to_owned);
    able.offer.as_mut().expect("an offer").qualities = qualities.to_vec();
    let model = read(&able);
    let at = |quality| {
        let asked = Question {
            quality: Some(quality),
            ..Question::one(R1K)
        };
        model.estimate_for(&asked).expect("priced").bounds
    };
    let [auto, high, xhigh] = [Quality::Auto, Quality::High, Quality::Xhigh].map(at);
    assert!(auto.expected < high.expected && high.expected <= xhigh.expected);
    assert!(high.high < xhigh.high);
}

#[test]
fn a_cheap_line_of_a_unit_that_nobody_knows_is_not_the_price() {
    let lines = [
        ("output_image", "furlong", "", "0.0001"),
        ("output_image", "image", "", "0.01"),
        ("output_image", "image", "", "0.02"),
    ];
    let model = read(&listed("somebody/cheap", &lines));
    assert_eq!(expected(&model, R1K), "21.00");
    assert_eq!(highest(&model, &Question::one(R1K)), "41.00");
}
