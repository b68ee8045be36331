//! Costs that are asked for a second time, and records that say something else than the answers did.

use std::time::Duration;

use image_gateway::domain::catalog::Catalog;
use image_gateway::mock::{GenerationLookup, Script};
use image_gateway::proto::CostSource;
use rust_decimal::Decimal;
use serde_json::json;
use tokio::time::Instant;

use super::{close, page};
use crate::helpers::{House, NANO, Setup, request};

/// How long a check may take: a second until it is time, and some for what is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

/// Costs are checked a second after the end.
pub(crate) fn soon() -> Setup {
    Setup {
        cost_check_after: Some("1s"),
        ..Setup::default()
    }
}

/// A call whose record says this cost; its answer says the usual one.
pub(crate) fn recorded(cost: &str) -> Script {
    looked_up(GenerationLookup::Cost(cost.to_owned()))
}

pub(crate) fn looked_up(lookup: GenerationLookup) -> Script {
    Script {
        generation_lookup: Some(lookup),
        ..Script::default()
    }
}

/// How often costs were asked for.
pub(crate) fn asked(house: &House) -> usize {
    let requests = house.mock.requests();
    let lookups = requests.iter();
    lookups
        .filter(|request| request.path.ends_with("/generation"))
        .count()
}

/// So many calls have been checked with this outcome since the gateway was started.
pub(crate) async fn checked(house: &House, outcome: &str, count: u32) {
    let line = format!("image_gateway_cost_checks_total{{outcome=\"{outcome}\"}} {count}");
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, metrics) = page(house, "/metrics").await;
        if metrics.lines().any(|found| found == line) {
            return;
        }
        assert!(Instant::now() < end, "no {line} in\n{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The charge and what came back of it.
pub(crate) async fn charge(house: &House, id: &str) -> (String, String) {
    let charge = house.generation(id).await.charge.expect("a charge");
    (charge.credits, charge.refunded)
}

pub(crate) fn words(credits: &str, refunded: &str) -> (String, String) {
    (credits.to_owned(), refunded.to_owned())
}

#[tokio::test]
async fn what_the_records_say_less_comes_back_once_whenever_the_gateway_is_started_again() {
    let mut house = House::with(soon()).await;
    house.mock.script(recorded("0.01"));
    let story = house.generate(request("less")).await.expect("a picture");
    assert_eq!(story.charge().credits, "29.00");
    assert_eq!(story.charge().cost_source(), CostSource::Usage);
    checked(&house, "lower", 1).await;
    // 0.01 USD are 20 credits, and one for the picture.
    assert_eq!(charge(&house, "less").await, words("29.00", "8.00"));
    assert_eq!(house.balance().await.credits, "9979.00");
    house.restart_with(&soon()).await;
    let next = house.generate(request("next")).await.expect("a picture");
    assert_eq!(next.charge().credits, "29.00");
    checked(&house, "same", 1).await;
    checked(&house, "lower", 0).await;
    assert_eq!(asked(&house), 2, "each is asked about once");
    assert_eq!(house.balance().await.credits, "9950.00");
    house.close().await;
}

#[tokio::test]
async fn what_the_records_say_more_is_the_platforms_loss() {
    let house = House::with(soon()).await;
    house.mock.script(recorded("0.0201"));
    house.generate(request("more")).await.expect("a picture");
    checked(&house, "higher", 1).await;
    assert_eq!(charge(&house, "more").await, words("29.00", ""));
    // The close compares the bill, which goes by the records, with what is charged and absorbed.
    close(house, 1).await;
}

#[tokio::test]
async fn calls_side_by_side_are_set_off_against_each_other() {
    let house = House::with(soon()).await;
    house.tool(|tool| tool.model = NANO.to_owned()).await;
    for cost in ["0.05", "0.0696", "0.0673"] {
        house.mock.script(recorded(cost));
    }
    let mut three = request("three");
    three.count = 3;
    let story = house.generate(three).await.expect("pictures");
    let before: Decimal = story.charge().credits.parse().expect("credits");
    for (outcome, count) in [("lower", 1), ("higher", 2)] {
        checked(&house, outcome, count).await;
    }
    let (_, refunded) = charge(&house, "three").await;
    // 0.1869 USD are 373.80 credits, and one for each picture.
    let after: Decimal = "376.80".parse().expect("credits");
    assert_eq!(
        refunded.parse::<Decimal>().expect("credits"),
        before - after
    );
    house.close().await;
}

#[tokio::test]
async fn a_call_without_a_record_is_passed_and_those_after_it_are_checked() {
    let house = House::with(soon()).await;
    house.mock.script(looked_up(GenerationLookup::Never));
    house.generate(request("never")).await.expect("a picture");
    house.mock.script(looked_up(GenerationLookup::Broken));
    house.generate(request("broken")).await.expect("a picture");
    house.mock.script(recorded("0.01"));
    house.generate(request("less")).await.expect("a picture");
    checked(&house, "missing", 1).await;
    checked(&house, "unanswered", 1).await;
    checked(&house, "lower", 1).await;
    assert_eq!(charge(&house, "never").await, words("29.00", ""));
    assert_eq!(charge(&house, "broken").await, words("29.00", ""));
    assert_eq!(charge(&house, "less").await, words("29.00", "8.00"));
    house.close().await;
}

/// Checks while the records are as the script says, and once more when they are as ever.
async fn leaves_nothing_unchecked(outage: Script) {
    let mut house = House::with(soon()).await;
    house
        .mock
        .script(outage.for_path("/generation").times(u32::MAX));
    for id in ["a", "b", "c"] {
        house.mock.script(recorded("0.01"));
        house.generate(request(id)).await.expect("a picture");
    }
    let end = Instant::now() + PATIENCE;
    // More often than one that is alone in it would be waited for.
    while asked(&house) < 15 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for outcome in ["same", "lower", "higher", "missing", "unanswered"] {
        checked(&house, outcome, 0).await;
    }
    house.restart_with(&soon()).await;
    house.mock.clear_scripts();
    checked(&house, "lower", 3).await;
    for id in ["a", "b", "c"] {
        assert_eq!(charge(&house, id).await, words("29.00", "8.00"));
    }
    assert_eq!(house.balance().await.credits, "9937.00");
    house.close().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_for_a_while_leaves_nothing_unchecked() {
    let down = json!({"error": {"code": 503, "message": "down"}});
    leaves_nothing_unchecked(Script::error(503, down)).await;
}

#[tokio::test]
async fn records_that_are_gone_for_a_while_leave_nothing_unchecked() {
    let gone = json!({"error": {"code": 404, "message": "not found"}});
    leaves_nothing_unchecked(Script::error(404, gone)).await;
}

#[tokio::test]
async fn books_that_cannot_be_written_are_told_again() {
    let house = House::with(soon()).await;
    let books = rusqlite::Connection::open(house.database()).expect("the books");
    let sabotage = "CREATE TRIGGER sabotage BEFORE INSERT ON cost_check BEGIN SELECT RAISE(ABORT, 'sabotage'); END";
    books.execute_batch(sabotage).expect("sabotaged");
    house.mock.script(recorded("0.01"));
    house.generate(request("less")).await.expect("a picture");
    let end = Instant::now() + PATIENCE;
    while asked(&house) < 2 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    checked(&house, "lower", 0).await;
    assert_eq!(charge(&house, "less").await, words("29.00", ""));
    books
        .execute_batch("DROP TRIGGER sabotage")
        .expect("mended");
    checked(&house, "lower", 1).await;
    assert_eq!(charge(&house, "less").await, words("29.00", "8.00"));
    house.close().await;
}

#[tokio::test]
async fn a_gateway_that_is_told_so_never_asks_twice() {
    let mut house = House::with(Setup {
        cost_check_after: Some("0s"),
        ..Setup::default()
    })
    .await;
    house.mock.script(recorded("0.01"));
    house.generate(request("less")).await.expect("a picture");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(asked(&house), 0);
    assert_eq!(charge(&house, "less").await, words("29.00", ""));
    // Once it is told to, nothing is too old.
    house.restart_with(&soon()).await;
    checked(&house, "lower", 1).await;
    house.restart(Catalog::built_in()).await;
    assert_eq!(charge(&house, "less").await, words("29.00", "8.00"));
    house.close().await;
}
