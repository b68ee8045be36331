//! The promises against recorded answers changed at random, and the readers they are compared with
//! against what is known.

use super::amounts::{Amount, amount};
use super::answers::{assembled, compare};
use super::dose::dose;
use super::reading::{Reading, record_cost};
use super::seeds::seeds;
use super::*;
use crate::openrouter::probe;

/// Inputs of each entry point in every `cargo test`: a few seconds.
const INPUTS: u64 = 6_000;

/// The seed of another dose, and its size; for this test alone.
const SEED_VARIABLE: &str = "IMAGE_GATEWAY_FUZZ_SEED";
const INPUTS_VARIABLE: &str = "IMAGE_GATEWAY_FUZZ_INPUTS";

#[expect(
    clippy::disallowed_methods,
    reason = "no setting: which dose a test gives"
)]
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn changed_answers_break_no_promise() {
    let seeds = seeds().expect("the samples");
    let seed = number(SEED_VARIABLE, 20_261_123);
    if let Err(finding) = dose(&seeds, seed, number(INPUTS_VARIABLE, INPUTS)) {
        panic!("{SEED_VARIABLE}={seed} shows it again: {finding}");
    }
}

#[test]
fn recorded_answers_break_no_promise() {
    for seed in seeds().expect("the samples") {
        let target = TARGETS.iter().find(|target| target.name == seed.target);
        let check = target.expect("a target of this name").check;
        check(&seed.bytes);
    }
}

#[test]
fn every_entry_point_has_seeds_and_a_binary() {
    let seeds = seeds().expect("the samples");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).expect("the fuzzers' manifest");
    for Target { name, .. } in TARGETS {
        let count = seeds.iter().filter(|seed| seed.target == name).count();
        assert!(count >= 4, "{name} has {count} seeds");
        let path = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&path), "{name}");
    }
}

#[test]
#[ignore = "writes fuzz/corpus, for whoever fuzzes"]
fn seeds_are_written_for_the_fuzzers() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for seed in seeds().expect("the samples") {
        let folder = corpus.join(seed.target);
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(&seed.name), &seed.bytes).expect("a seed");
    }
}

#[test]
fn the_reader_of_amounts_knows_what_is_known() {
    for (text, expected) in [
        ("0.04", Amount::Pico(40_000_000_000)),
        ("\"4e-2\"", Amount::Pico(40_000_000_000)),
        (" -0.0 ", Amount::Pico(0)),
        ("1e-13", Amount::Pico(1)),
        ("1e-400", Amount::Pico(1)),
        ("1000000", Amount::Pico(1_000_000_000_000_000_000)),
        ("0.0000000000011", Amount::Pico(2)),
        ("1000000.0000000000001", Amount::Missing),
        ("-1e-400", Amount::Missing),
        ("1e400", Amount::Missing),
        (".5", Amount::Missing),
        ("5.", Amount::Missing),
        ("1e", Amount::Missing),
        ("NaN", Amount::Missing),
        ("\"", Amount::Missing),
        ("0e2147483647", Amount::Perhaps(0)),
    ] {
        assert_eq!(amount(text), expected, "{text}");
    }
}

#[test]
fn the_reader_of_answers_knows_what_is_known() {
    let own_key = br#"{"data":[{"b64_json":"QQ=="},{"b64_json":"QR=="}],"usage":{"cost":0.001,
        "is_byok":true,"cost_details":{"upstream_inference_cost":2e-2}}}"#;
    let reading = Reading::of_document(own_key);
    assert_eq!(reading.cost(), Some(21_000_000_000));
    assert_eq!(reading.pictures, [Some(b"A".to_vec()), None]);
    assert!(reading.certain && !reading.clean);
    let stream = b"data: {\"type\":\"x\",\"b64_json\":\"QQ==\"}\n\n\
        event: image_generation.completed\ndata: {\"b64_json\":\"Qg==\",\ndata: \"usage\":\
        {\"cost\":1}}\n\n: pause\n\ndata: {\"usage\":{}}\n\ndata: [DONE]\n\n";
    let reading = Reading::of_stream(stream);
    assert_eq!(reading.pictures, [Some(b"B".to_vec())]);
    let dollar = Some(1_000_000_000_000);
    assert_eq!(reading.costs, [None, None, dollar, dollar]);
    assert!(reading.clean);
    let record = br#"{"data":{"total_cost":0.5}}"#;
    assert_eq!(record_cost(record), Some(Some(500_000_000_000)));
    assert_eq!(record_cost(br#"{"data":[0.5]}"#), Some(None));
    let twice = br#"{"usage":{"cost":1,"cost":2}}"#;
    assert!(!Reading::of_document(twice).certain);
}

/// What comes of an answer, and its reading.
fn both(body: &str) -> (answers::Result, Reading) {
    let bytes = body.as_bytes();
    let decoded = probe::decode("application/json", 1000, &[bytes]);
    (assembled(decoded, bytes), Reading::of_document(bytes))
}

const GOOD: &str = r#"{"data":[{"b64_json":"QQ=="}],"usage":{"cost":0.04}}"#;

#[test]
#[should_panic(expected = "the cost")]
fn a_cost_that_is_off_by_one_is_noticed() {
    let (mut result, reading) = both(GOOD);
    result.cost = result.cost.map(|pico| pico + 1);
    compare(&result, &reading, 1000, GOOD.as_bytes());
}

#[test]
#[should_panic(expected = "pictures differ")]
fn a_picture_that_is_changed_is_noticed() {
    let (mut result, reading) = both(GOOD);
    result.pictures[0].push(0);
    compare(&result, &reading, 1000, GOOD.as_bytes());
}

#[test]
#[should_panic(expected = "a picture is lost")]
fn a_picture_that_is_lost_is_noticed() {
    let (mut result, reading) = both(GOOD);
    result.pictures.clear();
    compare(&result, &reading, 1000, GOOD.as_bytes());
}

const MODELS: &str = r#"{"data":[{"id":"a/b","pricing":{"prompt":2.50e-6}}]}"#;

const ENDPOINTS: &str = r#"{"endpoints":[{"pricing":[{"unit":"image","cost_usd":0.04}]}]}"#;

#[test]
fn lists_as_they_are_told_are_not_found_fault_with() {
    let models = probe::models(MODELS.as_bytes());
    lists::compare_models(models.as_deref(), MODELS.as_bytes(), true);
    let offer = probe::endpoints(ENDPOINTS.as_bytes());
    lists::compare_lines(offer.as_ref(), ENDPOINTS.as_bytes());
}

#[test]
#[should_panic(expected = "prices of a/b")]
fn a_price_that_is_written_otherwise_is_noticed() {
    let mut models = probe::models(MODELS.as_bytes()).expect("a list");
    models[0].prices.prompt = "0.0000025".to_owned();
    lists::compare_models(Some(&models), MODELS.as_bytes(), true);
}

#[test]
#[should_panic(expected = "left == right")]
fn a_model_that_is_lost_is_noticed() {
    lists::compare_models(Some(&[]), MODELS.as_bytes(), true);
}

#[test]
#[should_panic(expected = "left == right")]
fn a_line_that_is_lost_is_noticed() {
    let mut offer = probe::endpoints(ENDPOINTS.as_bytes()).expect("endpoints");
    offer.lines.clear();
    lists::compare_lines(Some(&offer), ENDPOINTS.as_bytes());
}
