//! What an organization's own key has paid, asked for a second time: with that key or not at all.

use super::*;
use crate::faults::checks::{asked, charge, checked, recorded, soon, words};

/// What OpenRouter billed the organization itself, as its usage tells it.
async fn own_usd(house: &House) -> String {
    let query = proto::QueryUsageRequest::default();
    let usage = house.billing(&house.admin).query_usage(query).await;
    let total = usage.expect("sums").into_inner().total;
    total.expect("a total").own_usd_cost
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
    }
    assert_eq!(house.balance().await.credits, "9998.00");
    house.close().await;
}

#[tokio::test]
async fn no_other_key_asks_what_an_own_key_has_paid() {
    let never = Setup {
        cost_check_after: Some("0s"),
        ..Setup::default()
    };
    let mut house = House::with(never).await;
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
    let never = Setup {
        cost_check_after: Some("0s"),
        ..Setup::default()
    };
    let mut house = House::with(never).await;
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
