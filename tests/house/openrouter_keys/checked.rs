//! What an organization's own key has paid, asked for a second time: with that key or not at all.

use image_gateway::domain::openrouter_key::REFUSALS_APART;
use image_gateway::mock::GenerationLookup;
use serde_json::json;

use super::*;
use crate::faults::checks::{asked, charge, checked, looked_up, recorded, soon, words};

/// What OpenRouter billed the organization itself, as its usage tells it.
async fn own_usd(house: &House) -> String {
    let query = proto::QueryUsageRequest::default();
    let usage = house.billing(&house.admin).query_usage(query).await;
    let total = usage.expect("sums").into_inner().total;
    total.expect("a total").own_usd_cost
}

/// Costs are not asked for again.
fn never() -> Setup {
    Setup {
        cost_check_after: Some("0s"),
        ..Setup::default()
    }
}

async fn set(house: &House, key: &str) {
    let set = house.set_openrouter_key(&house.admin, key).await;
    set.expect("OpenRouter takes it");
}

#[tokio::test]
async fn the_usd_of_an_own_key_become_what_the_records_say_and_the_credits_stay() {
    let house = House::with(soon()).await;
    set(&house, OWN).await;
    for (id, cost, outcome, usd) in [
        ("less", "0.01", "lower", "0.01"),
        ("more", "0.5", "higher", "0.51"),
    ] {
        house.mock.script(recorded(cost));
        let story = house.generate(request(id)).await.expect("a picture");
        assert_eq!(story.charge().credits, "1.00");
        checked(&house, outcome, 1).await;
        assert_eq!(charge(&house, id).await, words("1.00", ""));
        assert_eq!(own_usd(&house).await, usd);
        let shown = house.generation(id).await.charge.expect("a charge");
        assert_eq!(shown.corrected_usd_cost(), cost);
        assert_ne!(shown.usd_cost, cost, "what was known then stays");
    }
    assert_eq!(house.balance().await.credits, "9998.00");
    house.close().await;
}

#[tokio::test]
async fn no_other_key_asks_what_an_own_key_has_paid() {
    let mut house = House::with(never()).await;
    set(&house, OWN).await;
    house.generate(request("own")).await.expect("a picture");
    set(&house, OTHER).await;
    let before = own_usd(&house).await;
    house.restart_with(&soon()).await;
    checked(&house, "unanswered", 1).await;
    assert_eq!(asked(&house), 0, "with the new key or the platform's");
    assert_eq!(own_usd(&house).await, before);
    house.close().await;
}

#[tokio::test]
async fn an_own_key_that_openrouter_takes_no_more_keeps_nobody_elses_calls_waiting() {
    let mut house = House::with(never()).await;
    set(&house, OWN).await;
    // More than are asked about side by side.
    let many: Vec<String> = (0..9).map(|n| format!("own-{n}")).collect();
    for id in &many {
        house.generate(request(id)).await.expect("a picture");
    }
    let gone = house.delete_openrouter_key(&house.admin).await;
    gone.expect("gone");
    house.mock.script(recorded("0.01"));
    house
        .generate(request("platform"))
        .await
        .expect("a picture");
    set(&house, OWN).await;
    house.mock.script(Script::bad_key(OWN));
    house.restart_with(&soon()).await;
    checked(&house, "unanswered", 9).await;
    checked(&house, "lower", 1).await;
    assert_eq!(charge(&house, "platform").await, words("29.00", "8.00"));
    house.close().await;
}

/// More calls with an own key than are asked about side by side, each with this trouble, and one of the
/// platform's behind them.
async fn keep_nobody_waiting(trouble: Script, outcome: &str) {
    let mut house = House::with(never()).await;
    set(&house, OWN).await;
    for n in 0..9 {
        let id = format!("own-{n}");
        house.generate(request(&id)).await.expect("a picture");
    }
    let gone = house.delete_openrouter_key(&house.admin).await;
    gone.expect("gone");
    house.mock.script(recorded("0.01"));
    let story = house.generate(request("platform")).await;
    assert_eq!(story.expect("a picture").charge().credits, "29.00");
    set(&house, OWN).await;
    let trouble = trouble.for_path("/generation").for_key(OWN);
    house.mock.script(trouble.times(u32::MAX));
    house.restart_with(&soon()).await;
    checked(&house, outcome, 9).await;
    checked(&house, "lower", 1).await;
    assert_eq!(charge(&house, "platform").await, words("29.00", "8.00"));
    house.close().await;
}

#[tokio::test]
async fn what_nobody_can_tell_of_an_own_keys_calls_keeps_nobody_elses_waiting() {
    let refused = |status| Script::error(status, json!({"error": {"code": status}}));
    for (trouble, outcome) in [
        (refused(500), "unanswered"),
        (refused(400), "unanswered"),
        (
            Script::sample("err-401-relayed-from-provider"),
            "unanswered",
        ),
        (
            Script::raw_body("application/json", r#"{"data":{}}"#),
            "missing",
        ),
    ] {
        keep_nobody_waiting(trouble, outcome).await;
    }
}

#[tokio::test]
async fn nobody_else_has_to_be_answered_about_for_an_own_keys_call_to_be_passed() {
    let house = House::with(soon()).await;
    set(&house, OWN).await;
    house.mock.script(looked_up(GenerationLookup::Broken));
    house.generate(request("own")).await.expect("a picture");
    checked(&house, "unanswered", 1).await;
    house.close().await;
}

#[tokio::test]
async fn an_own_key_that_is_limited_for_a_moment_is_asked_with_again() {
    let house = House::with(soon()).await;
    set(&house, OWN).await;
    let limited = Script::error(429, json!({"error": {"code": 429, "message": "slow down"}}));
    house.mock.script(limited.for_path("/generation").times(1));
    house.mock.script(recorded("0.01"));
    house.generate(request("own")).await.expect("a picture");
    checked(&house, "lower", 1).await;
    checked(&house, "unanswered", 0).await;
    assert_eq!(own_usd(&house).await, "0.01");
    house.close().await;
}

#[tokio::test]
async fn a_database_that_fails_is_not_taken_for_a_key_that_is_gone() {
    let house = House::with(soon()).await;
    set(&house, OWN).await;
    house.mock.script(recorded("0.01"));
    house.generate(request("own")).await.expect("a picture");
    let books = rusqlite::Connection::open(house.database()).expect("the books");
    let hidden = "ALTER TABLE openrouter_key RENAME TO hidden";
    books.execute_batch(hidden).expect("hidden");
    // Longer than one round.
    tokio::time::sleep(Duration::from_secs(6)).await;
    checked(&house, "unanswered", 0).await;
    assert_eq!(asked(&house), 0);
    let found = "ALTER TABLE hidden RENAME TO openrouter_key";
    books.execute_batch(found).expect("back");
    checked(&house, "lower", 1).await;
    assert_eq!(own_usd(&house).await, "0.01");
    house.close().await;
}

#[tokio::test]
async fn a_key_that_is_known_to_be_refused_asks_for_nothing_any_more() {
    let mut house = House::with(never()).await;
    set(&house, OWN).await;
    house.generate(request("own")).await.expect("a picture");
    house.mock.script(Script::bad_key(OWN));
    house.generate(request("one")).await.expect_err("refused");
    let apart = Duration::try_from(REFUSALS_APART).expect("a while");
    tokio::time::sleep(apart).await;
    house.generate(request("two")).await.expect_err("refused");
    house.key_becomes(proto::OpenRouterKeyStatus::Invalid).await;
    house.restart_with(&soon()).await;
    checked(&house, "unanswered", 1).await;
    assert_eq!(asked(&house), 0);
    house.close().await;
}
