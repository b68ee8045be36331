//! Every price is watched, not only the cheapest picture's, and a good one is never forgotten.

use jiff::ToSpan;

use super::reading::listed;
use super::renewal::{a, four, held, now, one};
use super::*;
use crate::domain::catalog::{page, reading::read};
use crate::domain::listing::{Listed, ListedPrices};

/// A change of one of the lines of "a", the word for what has moved, and a question whose hold must
/// cover what stood before.
type Leap = (&'static str, &'static str, &'static str, Question);

/// Four models; the lines of "a" as they are, but for one.
fn four_with(changed: &str, usd: &'static str) -> Vec<Listed> {
    let mut all = four("0.04");
    let of = |provider: &str, billable, unit, variant: &str, before| {
        let name = format!("{provider}{billable}{variant}");
        let usd = if name == changed { usd } else { before };
        let mut line = listed("somebody/a", &[(billable, unit, "", usd)]);
        let mut line = line.offer.take().expect("an offer").lines.remove(0);
        line.variant = variant.to_owned();
        line.provider = provider.to_owned();
        line
    };
    let offer = all[0].offer.as_mut().expect("an offer");
    offer.lines = vec![
        of("", "output_image", "image", "", "0.04"),
        of("", "output_image", "image", "2k", "0.06"),
        of("", "output_image", "image", "4k", "0.08"),
        of("", "input_image", "image", "", "0.01"),
        of("", "input_text", "token", "", "0.00001"),
        of("dear", "output_image", "image", "", "0.09"),
    ];
    offer.resolutions = ["1K", "2K", "4K"].map(str::to_owned).to_vec();
    all
}

fn begun() -> Vec<Kept> {
    renew(&[], four_with("", ""), now()).expect("a list").kept
}

/// "a" as callers see it.
fn shown(kept: &[Kept]) -> Arc<Model> {
    let catalog = Catalog::synced(kept, now(), now());
    let slug = Slug::parse("somebody/a").expect("a slug");
    Arc::clone(catalog.find(&slug).expect("listed"))
}

fn expected(kept: &[Kept], size: Resolution) -> String {
    let estimate = shown(kept).estimate_for(&Question::one(size));
    estimate.expect("priced").bounds.expected.to_string()
}

#[test]
fn a_leap_of_any_price_is_noted_under_its_name_and_doubted() {
    let at = Question::one;
    let with_references = Question {
        references: 9,
        reference_megapixels: 9,
        ..at(Resolution::R1K)
    };
    let with_words = Question {
        prompt_bytes: 30_000,
        ..at(Resolution::R1K)
    };
    let leaps: [Leap; 6] = [
        ("output_image", "0.003", "1K", at(Resolution::R1K)),
        ("output_image2k", "0.005", "2K", at(Resolution::R2K)),
        ("output_image4k", "0", "4K", at(Resolution::R4K)),
        ("input_image", "0.0009", "reference", with_references),
        ("input_text", "0.0000009", "prompt", with_words),
        (
            "dearoutput_image",
            "0.95",
            "1K at most",
            at(Resolution::R1K),
        ),
    ];
    let begun = begun();
    let high = |kept: &[Kept], question: &Question| {
        let estimate = shown(kept).estimate_for(question);
        estimate.expect("priced").bounds.high
    };
    for (line, usd, word, question) in leaps {
        let leapt = renew(&begun, four_with(line, usd), now()).expect("a list");
        let flagged = leapt.prices.iter().filter(|change| change.flagged);
        let flagged: Vec<_> = flagged.map(|change| change.part.to_string()).collect();
        assert!(flagged.iter().any(|flagged| flagged == word), "{flagged:?}");
        assert!(a(&leapt.kept).caution.is_some(), "{line}");
        let (before, after) = (high(&begun, &question), high(&leapt.kept, &question));
        assert!(after >= before, "{line}: {after} is below {before}");
        for part in leapt.prices.iter().map(|change| change.part) {
            assert_eq!(PricePart::parse(&part.to_string()), Some(part));
        }
    }
}

#[test]
fn a_small_move_of_any_price_is_noted_and_believed() {
    for (line, usd, word) in [
        ("output_image4k", "0.07", "4K"),
        ("input_image", "0.02", "reference"),
        ("input_text", "0.00002", "prompt"),
    ] {
        let moved = renew(&begun(), four_with(line, usd), now()).expect("a list");
        let said = moved.prices.iter();
        let said: Vec<_> = said
            .map(|one| (one.part.to_string(), one.flagged))
            .collect();
        assert_eq!(said, [(word.to_owned(), false)]);
        assert_eq!(a(&moved.kept).caution, None);
    }
}

#[test]
fn a_doubt_lasts_a_day_whatever_else_moves_a_little_meanwhile() {
    let leapt = renew(&begun(), four_with("output_image4k", "0"), now()).expect("a list");
    let mut other = four_with("output_image4k", "0");
    other[0].offer.as_mut().expect("an offer").lines[3].usd = "0.02".to_owned();
    let moved = renew(&leapt.kept, other, now() + 5.hours()).expect("a list");
    assert_eq!(moved.prices.len(), 1, "{:?}", moved.prices);
    let caution = a(&moved.kept).caution.as_ref().expect("still doubted");
    assert_eq!(caution.since, now());
}

#[test]
fn a_variant_that_cannot_be_read_keeps_its_last_good_price_beside_what_is_listed() {
    for usd in ["-1", "soon", ""] {
        let odd = renew(&begun(), four_with("output_image4k", usd), now()).expect("a list");
        assert_eq!((odd.prices.len(), odd.by_last_good.len()), (0, 1), "{usd}");
        let again = renew(&odd.kept, four_with("output_image4k", usd), now()).expect("a list");
        assert_eq!(again.by_last_good.len(), 0, "it is said once");
        assert_eq!(expected(&again.kept, Resolution::R4K), "161.00");
        let line = &shown(&again.kept).price_lines[2];
        assert_eq!((line.usd.as_str(), line.last_good.as_str()), (usd, "0.08"));
        let well = renew(&again.kept, four_with("", ""), now()).expect("a list");
        assert!(!a(&well.kept).listed.goes_by_last_good());
    }
}

#[test]
fn a_model_whose_endpoints_are_gone_keeps_their_last_good_prices() {
    let mut gone = four_with("", "");
    gone[0].offer.as_mut().expect("an offer").lines.clear();
    gone[0].prices.image_output = "0.00003".to_owned();
    let mut kept = begun();
    for round in 0..2 {
        let renewed = renew(&kept, gone.clone(), now()).expect("a list");
        assert_eq!(renewed.prices, []);
        assert_eq!(renewed.by_last_good.len(), usize::from(round == 0));
        kept = renewed.kept;
    }
    assert_eq!(expected(&kept, Resolution::R2K), "121.00");
    let all_kept = |line: &PriceLine| line.usd.is_empty() && !line.last_good.is_empty();
    assert!(shown(&kept).price_lines.iter().all(all_kept));
}

#[test]
fn what_is_kept_of_lines_that_change_and_change_is_bounded() {
    let mut kept = begun();
    for round in 0..9 {
        let mut odd = four_with("", "");
        let offer = odd[0].offer.as_mut().expect("an offer");
        let line = offer.lines.remove(0);
        let others = (0..20).map(|number| PriceLine {
            unit: format!("unit {round} {number}"),
            ..line.clone()
        });
        offer.lines = others.collect();
        kept = renew(&kept, odd, now()).expect("a list").kept;
        assert_eq!(expected(&kept, Resolution::R4K), "161.00");
        assert!(shown(&kept).price_lines.len() <= 64);
    }
}

#[test]
fn while_a_price_is_doubted_the_hold_covers_the_dearest_one_before_it_too() {
    let begun = begun();
    let dearest = held(&begun, now());
    let leapt = renew(&begun, four("0.003"), now()).expect("a list");
    assert!(a(&leapt.kept).caution.is_some());
    assert_eq!(held(&leapt.kept, now()), dearest, "the dear provider's");
}

#[test]
fn text_prices_are_noted_and_never_doubted_where_no_pictures_are_made() {
    let with_text = |usd: &str| {
        let mut all = four("0.04");
        all.push(Listed {
            outputs: vec!["text".to_owned()],
            offer: None,
            prices: ListedPrices {
                prompt: "0.00001".to_owned(),
                completion: usd.to_owned(),
                image_output: String::new(),
            },
            ..listed("somebody/writer", &[])
        });
        all
    };
    let begun = renew(&[], with_text("0.00001"), now())
        .expect("a list")
        .kept;
    let moved = renew(&begun, with_text("0"), now()).expect("a list");
    let said = moved.prices.iter().map(|one| (one.part, one.flagged));
    assert_eq!(said.collect::<Vec<_>>(), [(PricePart::Text, false)]);
}

#[test]
fn the_first_list_is_compared_with_the_published_page() {
    let riverflow = |base: &'static str, large: &'static str| {
        let lines = [
            ("output_image", "image", "", base),
            ("output_image", "image", "2k", large),
            ("input_reference", "image", "", "0.2"),
        ];
        let mut listed = listed("sourceful/riverflow-v2-fast", &lines);
        let offer = listed.offer.as_mut().expect("an offer");
        offer.resolutions = ["1K", "2K"].map(str::to_owned).to_vec();
        listed
    };
    let first = |listed: Listed| renew(&[], vec![listed, one("somebody/new", "9")], now());
    let usual = first(riverflow("0.02", "0.04")).expect("a list");
    assert_eq!((usual.prices.len(), usual.added), (0, 2));
    assert_eq!(usual.changed.len(), 2);
    let leapt = first(riverflow("0.02", "0.003")).expect("a list");
    let flagged = leapt.prices.iter().filter(|change| change.flagged);
    let flagged: Vec<_> = flagged.map(|change| change.part).collect();
    assert_eq!(flagged, [PricePart::Picture(Resolution::R2K)]);
    let free = vec![riverflow("0", "0"), one("somebody/new", "9")];
    let refused = renew(&[], free, now()).expect_err("absurd");
    assert_eq!(refused, Absurd::HalfUnpriced { odd: 1, known: 1 });
    let all_free = vec![one("somebody/new", "0"), one("somebody/other", "0")];
    let refused = renew(&[], all_free, now()).expect_err("absurd");
    assert_eq!(refused, Absurd::Free);
    let others = renew(&[], vec![one("somebody/new", "9")], now()).expect("a list");
    assert_eq!(others.prices, []);
}

#[test]
fn the_published_page_as_a_list_costs_what_its_models_are_billed() {
    let (page, built_in) = (page::listed(), Catalog::built_in());
    assert_eq!(page.len(), 12);
    for listed in page {
        let model = read(&listed);
        let billed = built_in.find(&listed.slug).expect("listed");
        for size in billed.resolutions() {
            let usd = |model: &Model| model.pricing.as_ref().expect("priced").billed_at(size);
            assert_eq!(usd(&model), usd(billed), "{} {size}", listed.slug);
        }
        let beside = |model: &Model| {
            let pricing = model.pricing.as_ref().expect("priced");
            [pricing.prompt, pricing.billed_per_reference()].map(|usd| usd.normalize())
        };
        assert_eq!(beside(&model), beside(billed), "{}", listed.slug);
    }
}
