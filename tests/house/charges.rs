//! Costs as upstream tells them, and as it does not.

use image_gateway::domain::money::{UsdCost, platform_charge};
use image_gateway::mock::Script;
use image_gateway::proto::CostSource;
use rust_decimal::Decimal;

use crate::helpers::{House, Setup, reason, request};

/// Makes a picture whose usage is scripted; the mock's own bill is then beside the point.
async fn charged(house: &mut House, id: &str, script: Script) -> (String, CostSource, String) {
    let before = house.mock.total_billed();
    house.mock.script(script);
    let story = house.generate(request(id)).await.expect("a picture");
    let charge = story.charge().clone();
    let told: Decimal = charge.usd_cost.parse().expect("a cost");
    house.absorbed += house.mock.total_billed() - before - told;
    (
        charge.credits.clone(),
        charge.cost_source(),
        charge.usd_cost,
    )
}

#[tokio::test]
async fn the_cost_is_taken_from_its_text_to_the_last_digit() {
    let mut house = House::open().await;
    for (text, credits) in [
        ("0.014", "29.00"),
        ("1.4e-2", "29.00"),
        ("1E-7", "1.01"),
        ("0.00034", "1.68"),
        ("0", "1.00"),
        ("-0", "1.00"),
        ("0.0154801", "31.97"),
    ] {
        let (charged, source, _) = charged(&mut house, text, Script::usage_cost(text)).await;
        assert_eq!(
            (charged.as_str(), source),
            (credits, CostSource::Usage),
            "{text}"
        );
        let cost = UsdCost::from_json(text).expect("a cost");
        assert_eq!(platform_charge(cost, 1).to_string(), credits);
    }
    house.close().await;
}

#[tokio::test]
async fn a_cost_that_makes_no_sense_is_looked_up() {
    let mut house = House::open().await;
    for text in ["-0.014", "null", "\"free\"", "1e400", "true"] {
        let (charged, source, _) = charged(&mut house, text, Script::usage_cost(text)).await;
        assert_eq!(
            (charged.as_str(), source),
            ("29.00", CostSource::Lookup),
            "{text}"
        );
    }
    house.close().await;
}

#[tokio::test]
async fn a_missing_usage_never_loses_a_picture() {
    let mut house = House::open().await;
    let (credits, source, _) = charged(&mut house, "looked-up", Script::without_usage()).await;
    assert_eq!((credits.as_str(), source), ("29.00", CostSource::Lookup));
    let nameless = Script {
        omit_generation_id: true,
        ..Script::without_usage()
    };
    let (credits, source, _) = charged(&mut house, "computed", nameless).await;
    assert_eq!((credits.as_str(), source), ("29.00", CostSource::Computed));
    house.close().await;
}

#[tokio::test]
async fn an_unbelievable_cost_is_settled_at_the_hold() {
    let mut house = House::open().await;
    let (credits, source, usd) = charged(&mut house, "absurd", Script::usage_cost("14000")).await;
    assert_eq!(
        (credits.as_str(), source, usd.as_str()),
        ("29.00", CostSource::Estimate, "0.014")
    );
    house.close().await;
}

#[tokio::test]
async fn an_overrun_becomes_debt_that_stops_new_holds_until_it_is_repaid() {
    let mut house = House::with(Setup {
        credits: "30",
        ..Setup::default()
    })
    .await;
    let (credits, _, _) = charged(&mut house, "dear", Script::usage_cost("0.05")).await;
    assert_eq!(credits, "101.00");
    let balance = house.balance().await;
    let shown = [
        balance.credits.as_str(),
        &balance.held,
        &balance.available,
        &balance.debt,
    ];
    assert_eq!(shown, ["-71.00", "0.00", "0.00", "71.00"]);
    let status = house.generate(request("next")).await.expect_err("in debt");
    assert_eq!(reason(&status), "INSUFFICIENT_CREDITS");
    house.top_up("acme", "100", "repay").await;
    let balance = house.balance().await;
    assert_eq!(
        (balance.credits.as_str(), balance.debt.as_str()),
        ("29.00", "0.00")
    );
    house.generate(request("next")).await.expect("repaid");
    house.close().await;
}

#[tokio::test]
async fn callers_that_race_for_the_last_credits_never_overdraw() {
    // Credit for five pictures, forty callers.
    let house = House::with(Setup {
        credits: "145",
        ..Setup::default()
    })
    .await;
    let calls = (0..40).map(|n| house.generate(request(&format!("race-{n}"))));
    let outcomes = futures_util::future::join_all(calls).await;
    let (drawn, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(drawn.len(), 5);
    for status in refused.into_iter().filter_map(Result::err) {
        assert_eq!(reason(&status), "INSUFFICIENT_CREDITS");
    }
    assert_eq!(house.balance().await.credits, "0.00");
    house.close().await;
}
