//! Lists of models: what is listed is what is told, in bounded texts, whoever reads it; and the
//! domain can take it over, however odd its prices are.

use jiff::Timestamp;

use super::json::{Node, read, unescaped};
use crate::domain::catalog::{Catalog, renew};
use crate::domain::ids::Slug;
use crate::domain::listing::{Listed, Offer};
use crate::openrouter::probe;

/// The most characters of a name, of a price, and of all other texts.
const NAME_MAX_CHARS: usize = 200;
const TEXT_MAX_CHARS: usize = 64;

/// The most models of a list; more are none.
const MODELS_MAX: usize = 5_000;

/// The most entries of every list within a model.
const ENTRIES_MAX: usize = 64;

/// Some moment.
const NOW_SECOND: i64 = 1_795_392_000;

/// A model for whose endpoints an input stands.
const IMAGE_MODELS: &[u8] = br#"{"data":[{"id":"a/b","architecture":{
    "input_modalities":["image","text"],"output_modalities":["image"]}}]}"#;

/// The prices of a model.
const PRICES: [&str; 3] = ["prompt", "completion", "image_output"];

/// A price line without its provider.
type Line = [String; 4];

pub(super) fn check(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let image_models = probe::image_models(IMAGE_MODELS).unwrap_or_default();
    let list = match kind {
        b'm' => {
            let models = probe::models(body);
            assert_eq!(models, probe::models(body), "read twice, and differently");
            compare_models(models.as_deref(), body, true);
            probe::whole(&models.unwrap_or_default(), &image_models, b"")
        }
        b'i' => {
            let models = probe::image_models(body);
            assert_eq!(
                models,
                probe::image_models(body),
                "read twice, and differently"
            );
            compare_models(models.as_deref(), body, false);
            probe::whole(&[], &models.unwrap_or_default(), b"")
        }
        _ => {
            let offer = probe::endpoints(body);
            assert_eq!(offer, probe::endpoints(body), "read twice, and differently");
            compare_lines(offer.as_ref(), body);
            probe::whole(&[], &image_models, body)
        }
    };
    let in_order = |pair: &[Listed]| pair[0].slug < pair[1].slug;
    assert!(list.windows(2).all(in_order), "a slug is there twice");
    list.iter().for_each(check_bounds);
    take_over(list);
}

fn check_bounds(listed: &Listed) {
    check_text(&listed.name, NAME_MAX_CHARS);
    check_texts(&listed.inputs);
    check_texts(&listed.outputs);
    let prices = &listed.prices;
    for price in [&prices.prompt, &prices.completion, &prices.image_output] {
        check_text(price, TEXT_MAX_CHARS);
    }
    let Some(offer) = &listed.offer else {
        return;
    };
    check_texts(&offer.aspect_ratios);
    check_texts(&offer.resolutions);
    check_texts(&offer.qualities);
    check_texts(&offer.output_formats);
    check_texts(&offer.backgrounds);
    assert!(offer.lines.len() <= ENTRIES_MAX, "too many lines");
    for line in &offer.lines {
        for text in [
            &line.provider,
            &line.billable,
            &line.unit,
            &line.variant,
            &line.usd,
        ] {
            check_text(text, TEXT_MAX_CHARS);
        }
    }
}

fn check_texts(texts: &[String]) {
    assert!(texts.len() <= ENTRIES_MAX, "too many entries");
    texts
        .iter()
        .for_each(|text| check_text(text, TEXT_MAX_CHARS));
}

fn check_text(text: &str, chars_max: usize) {
    assert!(text.chars().count() <= chars_max, "too long: {text}");
    assert!(
        !text.contains(char::is_control),
        "more than a line: {text:?}"
    );
}

/// Nothing here may panic, and a list that is told again is no news.
fn take_over(list: Vec<Listed>) {
    let now = Timestamp::from_second(NOW_SECOND).unwrap_or_default();
    let Ok(first) = renew(&[], list, now) else {
        return;
    };
    let catalog = Catalog::synced(&first.kept, now, now);
    for model in catalog.models() {
        let _ = (model.estimate(), model.tier(), model.resolutions());
    }
    let again = first.kept.iter().map(|kept| kept.listed.clone()).collect();
    if let Ok(second) = renew(&first.kept, again, now) {
        assert!(second.changed.is_empty(), "{:?} changed", second.changed);
    }
}

/// Slugs and prices against a reader that holds the document whole.
pub(super) fn compare_models(told: Option<&[Listed]>, body: &[u8], with_prices: bool) {
    let Some(document) = document(body) else {
        return;
    };
    let Some(Node::Items(records)) = document.get("data") else {
        assert!(told.is_none(), "a list out of nothing");
        return;
    };
    let Some(told) = told else {
        let count = records.len();
        assert!(count > MODELS_MAX, "a list of {count} models is not read");
        return;
    };
    let Some(expected) = records.iter().map(slug).collect::<Option<Vec<_>>>() else {
        return;
    };
    let slugs: Vec<_> = told.iter().map(|listed| &listed.slug).collect();
    assert_eq!(slugs, expected.iter().flatten().collect::<Vec<_>>());
    let known = records
        .iter()
        .zip(&expected)
        .filter(|(_, slug)| slug.is_some());
    for (listed, (record, _)) in told.iter().zip(known) {
        let pricing = record.get("pricing").filter(|_| with_prices);
        if pricing.is_some_and(|pricing| !pricing.is_plain()) {
            continue;
        }
        let expected = PRICES.map(|name| price(pricing.and_then(|pricing| pricing.get(name))));
        let prices = &listed.prices;
        let told = [&prices.prompt, &prices.completion, &prices.image_output];
        assert_eq!(told, expected.each_ref(), "prices of {}", listed.slug);
    }
}

/// Lines of endpoints against the same.
pub(super) fn compare_lines(told: Option<&Offer>, body: &[u8]) {
    let Some(document) = document(body) else {
        return;
    };
    let Some(Node::Items(records)) = document.get("endpoints") else {
        assert!(told.is_none(), "endpoints out of nothing");
        return;
    };
    assert!(told.is_some(), "{} endpoints are not read", records.len());
    let mut expected: Vec<Line> = Vec::new();
    for record in records.iter().take(ENTRIES_MAX) {
        let Some(Node::Items(lines)) = record.get("pricing") else {
            continue;
        };
        if !record.is_plain() || lines.iter().any(|line| !line.is_plain()) {
            return;
        }
        let lines = lines.iter().filter(|line| line.fields().is_some());
        expected.extend(lines.map(|line| {
            let word = |name| word(line.get(name));
            let usd = price(line.get("cost_usd"));
            [word("billable"), word("unit"), word("variant"), usd]
        }));
    }
    expected.truncate(ENTRIES_MAX);
    let told = told.iter().flat_map(|told| &told.lines);
    let told = told.map(|line| {
        let words = [&line.billable, &line.unit, &line.variant, &line.usd];
        words.map(String::clone)
    });
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// An object that can be read in one way only, and is no error.
fn document(body: &[u8]) -> Option<Node<'_>> {
    let document = read(std::str::from_utf8(body).ok()?)?;
    let fields = document.fields()?;
    let is_error = |(key, node): &(_, Node<'_>)| {
        key == &Some("error".to_owned()) && node.leaf() != Some("null")
    };
    let clear = document.is_plain() && !fields.iter().any(is_error);
    clear.then_some(document)
}

/// The slug of a record, if it has one; `None` if the record can be read in two ways.
fn slug(record: &Node<'_>) -> Option<Option<Slug>> {
    if !record.is_plain() {
        return None;
    }
    let id = record.get("id").and_then(Node::leaf).and_then(unescaped);
    Some(id.and_then(|id| Slug::parse(&id).ok()))
}

fn word(node: Option<&Node<'_>>) -> String {
    let text = node.and_then(Node::leaf).and_then(unescaped);
    let cut = text
        .iter()
        .flat_map(|text| text.chars())
        .take(TEXT_MAX_CHARS);
    cut.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn price(node: Option<&Node<'_>>) -> String {
    let Some(written) = node.and_then(Node::leaf) else {
        return String::new();
    };
    let text = match written {
        "true" | "false" | "null" => None,
        text if text.starts_with('"') => unescaped(text),
        number => Some(number.to_owned()),
    };
    let short =
        |text: &String| text.chars().count() <= TEXT_MAX_CHARS && !text.contains(char::is_control);
    text.filter(short).unwrap_or_default()
}
