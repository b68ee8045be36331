//! An upstream that is busy, down, or refuses the platform; and a gateway that is asked for more
//! than it can do.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use image_gateway::mock::{ErrorAnswer, Script};
use image_gateway::proto;
use serde_json::json;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{close, fails, is_charged, page};
use crate::helpers::{House, Setup, Story, reason, request};

/// Refusals for want of room: their name, their status, what they are to the caller.
const BUSY: [(&str, u16, &str); 3] = [
    ("money in flight", 402, "UPSTREAM_RATE_LIMITED"),
    ("too many calls", 429, "UPSTREAM_RATE_LIMITED"),
    ("overloaded", 503, "UPSTREAM_UNAVAILABLE"),
];

/// Such a refusal, with `Retry-After` in seconds.
fn busy(status: u16, seconds: u32) -> Script {
    // Of a 402, only this one passes by itself.
    let metadata = json!({"limit_source": "openrouter_in_flight_budget"});
    let error = ErrorAnswer {
        status,
        headers: BTreeMap::from([("retry-after".to_owned(), seconds.to_string())]),
        body: json!({"error": {"code": status, "message": "Busy", "metadata": metadata}}),
    };
    Script {
        error: Some(error),
        ..Script::default()
    }
}

fn wait_told(status: &Status) -> Option<Duration> {
    let details = status.get_error_details();
    details.retry_info().and_then(|info| info.retry_delay)
}

#[tokio::test]
async fn a_wait_that_upstream_asks_for_is_kept_and_so_is_the_hold() {
    let house = House::open().await;
    let mut waiting = Vec::new();
    for (name, status, _) in BUSY {
        house.mock.script(busy(status, 1).for_prompt(name));
        house.mock.script(Script::gated("again").for_prompt(name));
        let asked = proto::GenerateImageRequest {
            prompt: name.to_owned(),
            ..request(name)
        };
        let begun = Instant::now();
        let mut images = house.images(&house.runtime);
        let events = images.generate_image(asked).await.expect("taken");
        waiting.push((name, begun, events.into_inner()));
    }
    house.mock.wait_for_requests(BUSY.len()).await;
    assert_eq!(house.balance().await.held, "87.00", "three holds");
    house.mock.open_gate("again");
    for (name, begun, events) in waiting {
        Story::read(events).await.expect("a picture");
        assert!(begun.elapsed() >= Duration::from_secs(1), "{name}");
    }
    assert_eq!(house.sent(), 2 * BUSY.len());
    close(house, 3).await;
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_left_to_the_caller() {
    let house = House::open().await;
    for (name, status, expected) in BUSY {
        house.mock.script(busy(status, 60));
        let told = fails(&house, name, Code::Unavailable, expected).await;
        assert_eq!(wait_told(&told), Some(Duration::from_secs(60)), "{name}");
        is_released_at_once(&house, name).await;
    }
    // Nine seconds are not too long, but this caller leaves before.
    house.mock.script(busy(429, 9));
    let mut hasty = tonic::Request::new(request("hasty"));
    hasty.set_timeout(Duration::from_secs(8));
    let mut images = house.images(&house.runtime);
    let events = images.generate_image(hasty).await.expect("taken");
    let told = Story::read(events.into_inner()).await.expect_err("busy");
    assert_eq!(reason(&told), "UPSTREAM_RATE_LIMITED");
    assert_eq!(wait_told(&told), Some(Duration::from_secs(9)));
    is_released_at_once(&house, "hasty").await;
    assert_eq!(house.sent(), BUSY.len() + 1);
    close(house, 0).await;
}

#[tokio::test]
async fn after_two_more_tries_a_call_is_given_up_and_its_hold_released() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-503").times(10));
    fails(&house, "thrice", Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
    assert_eq!(house.sent(), 3);
    is_released_at_once(&house, "thrice").await;
    house.mock.clear_scripts();
    close(house, 0).await;
}

async fn is_released_at_once(house: &House, id: &str) {
    let generation = house.generation(id).await;
    assert_eq!(generation.stage(), proto::Stage::Voided, "{id}");
    is_charged(house, 0).await;
}

#[tokio::test]
async fn tries_again_are_few_when_upstream_is_down_for_everybody() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-503").times(u32::MAX));
    // One more failure, and further calls might be refused.
    let calls = (0..9).map(|n| house.generate(request(&format!("down-{n}"))));
    for outcome in join_all(calls).await {
        let status = outcome.expect_err("it is down");
        assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE");
    }
    // Ten tries are saved up, and each call pays 0.15 of one in.
    let sent = house.sent();
    assert!((9..=9 + 10 + 1).contains(&sent), "{sent} were sent");
    let (_, metrics) = page(&house, "/metrics").await;
    assert!(metrics.contains(r#"upstream_calls_total{outcome="unavailable"} 9"#));
    house.mock.clear_scripts();
    house.generate(request("up")).await.expect("a picture");
    close(house, 1).await;
}

#[tokio::test]
async fn a_key_that_openrouter_refuses_is_nothing_to_the_caller_and_counted_for_the_operator() {
    let house = House::open().await;
    for sample in [
        "err-401-no-credentials",
        "err-402-can-only-afford",
        "err-403-key-limit",
    ] {
        house.mock.script(Script::sample(sample));
        let told = fails(&house, sample, Code::Unavailable, "UPSTREAM_UNAVAILABLE").await;
        let shown = format!("{} {:?}", told.message(), told.get_error_details());
        for word in ["401", "402", "403", "credit", "key", "limit"] {
            assert!(!shown.contains(word), "{sample}: {shown}");
        }
        is_released_at_once(&house, sample).await;
    }
    let (_, metrics) = page(&house, "/metrics").await;
    assert!(metrics.contains(r#"upstream_calls_total{outcome="ours_to_mend"} 3"#));
    close(house, 0).await;
}

#[tokio::test]
async fn ten_times_too_many_calls_are_turned_away_before_any_hold_and_those_inside_finish() {
    let house = House::with(Setup {
        max_concurrent: 4,
        max_concurrent_each: Some("100"),
        ..Setup::default()
    })
    .await;
    house.mock.script(Script::gated("slow").times(4));
    let mut inside = Vec::new();
    for n in 0..4 {
        let mut images = house.images(&house.runtime);
        let events = images.generate_image(request(&format!("inside-{n}")));
        inside.push(events.await.expect("taken").into_inner());
    }
    let calls = (0..36).map(|n| house.generate(request(&format!("outside-{n}"))));
    for outcome in join_all(calls).await {
        let status = outcome.expect_err("too many");
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::ResourceExhausted, "OVERLOADED")
        );
        assert!(wait_told(&status).is_some());
    }
    assert_eq!(house.balance().await.held, "116.00", "four holds");
    let (_, metrics) = page(&house, "/metrics").await;
    let shed = r#"calls_total{rpc="GenerateImage",reason="OVERLOADED"} 36"#;
    assert!(metrics.contains(shed), "{metrics}");
    house.mock.open_gate("slow");
    for events in inside {
        Story::read(events).await.expect("a picture");
    }
    close(house, 4).await;
}
