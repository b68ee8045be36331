use super::*;

fn charged(usd: &str, images: u32) -> String {
    platform_charge(UsdCost::from_json(usd).expect(usd), images).to_string()
}

#[test]
fn every_published_vector_is_charged_exactly() {
    // domain.md, Appendix 3.
    for (usd, images, credits) in [
        ("0", 1, "1.00"),
        ("0.0000001", 1, "1.01"),
        ("1E-7", 1, "1.01"),
        ("0.000005", 1, "1.01"),
        ("0.0000051", 1, "1.02"),
        ("0.000045", 1, "1.09"),
        ("0.00005", 1, "1.10"),
        ("0.00034", 1, "1.68"),
        ("0.00258", 1, "6.16"),
        ("0.00387", 1, "8.74"),
        ("0.0129", 1, "26.80"),
        ("0.01548", 1, "31.96"),
        ("0.01935", 1, "39.70"),
        ("0.014", 1, "29.00"),
        ("0.02", 1, "41.00"),
        ("0.03", 1, "61.00"),
        ("0.04", 1, "81.00"),
        ("0.06", 1, "121.00"),
        ("0.07", 1, "141.00"),
        ("0.15", 1, "301.00"),
        ("0.001234567", 1, "3.47"),
        ("0.0672", 1, "135.40"),
        ("0.134", 1, "269.00"),
        ("0.24", 1, "481.00"),
        ("0.33", 1, "661.00"),
        ("0.16", 4, "324.00"),
        ("0.0154801", 3, "33.97"),
        ("123.45", 0, "0.00"),
    ] {
        assert_eq!(charged(usd, images), credits, "{usd} USD, {images} images");
    }
    assert_eq!(own_key_charge(3).to_string(), "3.00");
    assert_eq!(own_key_charge(0).to_string(), "0.00");
}

#[test]
fn a_cost_is_read_from_its_text_whatever_form_the_number_has() {
    for (text, pico) in [
        ("0.04", 40_000_000_000),
        (" 4e-2 ", 40_000_000_000),
        ("4.0E-02", 40_000_000_000),
        ("0.4e-1", 40_000_000_000),
        ("\"0.04\"", 40_000_000_000),
        ("7e-09", 7_000),
        ("2.1e-06", 2_100_000),
        ("1e0", 1_000_000_000_000),
        ("1E+2", 100_000_000_000_000),
        ("0", 0),
        ("-0", 0),
        ("-0.0", 0),
        ("0e999", 0),
        ("1e-12", 1),
        ("1e-13", 1),
        ("1e-400", 1),
        ("0.0000000000011", 2),
        ("0.040000000000000000000000000000000000001", 40_000_000_001),
    ] {
        let cost = UsdCost::from_json(text).map(UsdCost::pico);
        assert_eq!(cost, Some(pico), "{text}");
    }
}

#[test]
fn what_is_not_a_believable_cost_is_missing_and_never_zero() {
    for text in [
        "",
        "null",
        "NaN",
        "Infinity",
        "-0.01",
        "-1e-30",
        "1e400",
        "1000001",
        "1e7",
        "abc",
        "0.04x",
        "0..4",
        ".5",
        "5.",
        "+1",
        "1_000",
        "1e",
        "1e1.5",
        "0x10",
        "\"\"",
        "[0.04]",
        "{}",
        "true",
        "1e99999999999",
        "0.00000000000000000000000000000000000000000000000000000000000000001",
    ] {
        assert_eq!(UsdCost::from_json(text), None, "{text}");
    }
}

#[test]
fn credits_are_shown_and_read_with_two_decimals() {
    for (text, hundredths) in [("61", 6100), ("61.5", 6150), ("0.01", 1), ("61.00", 6100)] {
        assert_eq!(
            Credits::parse(text),
            Ok(Credits::from_hundredths(hundredths))
        );
    }
    assert_eq!(Credits::from_hundredths(-5).to_string(), "-0.05");
    assert_eq!(Credits::from_hundredths(-12_345).to_string(), "-123.45");
    assert_eq!(format!("{:>9}", Credits::from_whole(61)), "    61.00");
}

#[test]
fn credits_that_are_not_a_plain_amount_are_refused() {
    use CreditsError::{Malformed, TooLarge, TooPrecise};
    for (text, error) in [
        ("", Malformed),
        ("-1", Malformed),
        ("+1", Malformed),
        ("1e3", Malformed),
        ("1.", Malformed),
        (".5", Malformed),
        ("1,5", Malformed),
        ("1.2.3", Malformed),
        ("1.234", TooPrecise),
        ("90000000000000.01", TooLarge),
        ("99999999999999999999", TooLarge),
    ] {
        assert_eq!(Credits::parse(text), Err(error), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn the_charge_equals_exact_rational_arithmetic(pico in 0i64..2_000_000_000_000, n in 1u32..11) {
        let charge = platform_charge(UsdCost::from_pico(pico).expect("in range"), n);
        // credits × 100 = usd × 200000 + 100n, compared without division.
        let exact = i128::from(pico) + i128::from(n) * 100 * PICO_PER_HUNDREDTH;
        let charged = i128::from(charge.hundredths()) * PICO_PER_HUNDREDTH;
        proptest::prop_assert!(charged >= exact && charged - exact < PICO_PER_HUNDREDTH);
    }

    #[test]
    fn a_cost_reads_the_same_from_every_notation(digits in 0i64..1_000_000_000, scale in 0u32..13) {
        let plain = Decimal::new(digits, scale);
        let from_plain = UsdCost::from_decimal(plain);
        let from_exponent = UsdCost::from_json(&format!("{digits}e-{scale}"));
        proptest::prop_assert_eq!(from_plain, from_exponent);
        if let Some(cost) = from_plain {
            proptest::prop_assert_eq!(cost.to_decimal(), plain);
            proptest::prop_assert_eq!(UsdCost::from_json(&cost.to_string()), Some(cost));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in ".{0,80}") {
        let _ = UsdCost::from_json(&text);
        let _ = Credits::parse(&text);
    }
}
