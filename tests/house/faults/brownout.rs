//! An upstream that fails again and again: its callers are told at once, nothing is held for them,
//! and it is asked again as soon as it works.

use std::time::Duration;

use futures_util::future::join_all;
use image_gateway::domain::throttle::{PROBE_EVERY, ROW};
use image_gateway::mock::Script;
use image_gateway::proto;
use image_gateway::proto::generation_event::Event;
use serde_json::json;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::page;
use crate::calendar::away_from_midnight;
use crate::helpers::{AGENT, GPT, House, KLEIN, NANO, SEEDREAM, Story, detail, reason, request};
use crate::openrouter_keys::OWN;

const RIVERFLOW: &str = "sourceful/riverflow-v2-pro";
const FLEX: &str = "black-forest-labs/flux.2-flex";

/// So many failures prove something (`domain::throttle`).
const TRIPS: usize = 10;

/// Far above what a refusal takes, and below what anything else does.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A request of an agent whose tool has another model.
fn request_of(agent: &str, id: &str) -> proto::GenerateImageRequest {
    proto::GenerateImageRequest {
        agent_id: agent.to_owned(),
        ..request(id)
    }
}

/// Gives each model an agent of its own, named after it.
async fn staff(house: &House, models: &[&str]) {
    for model in models {
        house
            .tool(|tool| {
                tool.agent_id = (*model).to_owned();
                tool.model = (*model).to_owned();
            })
            .await;
    }
}

/// So many calls side by side, which all fail.
pub(crate) async fn fail(house: &House, agent: &str, what: &str, calls: usize) -> Vec<Status> {
    let calls = (0..calls).map(|n| house.generate(request_of(agent, &format!("{what}-{n}"))));
    let outcomes = join_all(calls).await.into_iter();
    outcomes.map(|outcome| outcome.expect_err(what)).collect()
}

/// Whether a call was refused without being sent, and if so, for what scope.
pub(crate) fn spared(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    details.error_info()?.metadata.get("spared").cloned()
}

/// Asks until a call is refused without being sent; the others fail upstream.
pub(crate) async fn until_spared(house: &House, agent: &str, what: &str) -> Status {
    for n in 0..200 {
        let outcome = house.generate(request_of(agent, &format!("{what}-{n}")));
        let status = outcome.await.expect_err(what);
        if spared(&status).is_some() {
            return status;
        }
    }
    panic!("{what}: all were sent")
}

#[tokio::test]
async fn a_model_that_browns_out_is_refused_before_any_hold_and_others_go_on() {
    let house = House::open().await;
    staff(&house, &[SEEDREAM]).await;
    house.generate(request("before")).await.expect("a picture");
    // One that is under way when the trouble begins.
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let running = images.generate_image(request("running")).await;
    let running = running.expect("taken").into_inner();
    house.mock.wait_at_gate("slow").await;
    let down = Script::sample("err-503").for_model(KLEIN).times(u32::MAX);
    house.mock.script(down);
    fail(&house, AGENT, "down", TRIPS + 2).await;
    let refused = until_spared(&house, AGENT, "more").await;
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    assert_eq!(detail(&refused, "spared"), "organization");
    assert_eq!(detail(&refused, "model"), KLEIN);
    let wait = refused.get_error_details().retry_info().cloned();
    let wait = wait.and_then(|info| info.retry_delay);
    assert_eq!(wait, Some(PROBE_EVERY));

    // Most of further calls are refused; nothing but what runs is held. Chance refuses three of four
    // or more, and so fewer than half of a hundred in less than one run of a hundred million.
    let sent = house.sent();
    let told = fail(&house, AGENT, "many", 100).await;
    let refused = told.iter().filter_map(spared).count();
    assert!(refused >= 50, "{refused} of 100 were refused");
    let more = house.sent() - sent;
    assert!(more <= 3 * (100 - refused), "{more} were sent");
    let quickest = quickest_refusal(&house).await;
    assert!(quickest < AT_ONCE, "{quickest:?}");
    assert_eq!(house.balance().await.held, "29.00", "the one that runs");
    let (_, metrics) = page(&house, "/metrics").await;
    assert!(metrics.contains(r#"upstream_spared_total{scope="organization"}"#));

    // What was asked before is no new call.
    let again = house.generate(request("before")).await.expect("replayed");
    assert!(again.completed.replayed);
    let again = images.generate_image(request("running")).await;
    let mut again = again.expect("joined").into_inner();
    let first = again.message().await.expect("an event").expect("more");
    assert!(matches!(first.event, Some(Event::Accepted(_))), "{first:?}");
    house.mock.open_gate("slow");
    Story::read(running).await.expect("a picture");

    let other = house.generate(request_of(SEEDREAM, "other")).await;
    other.expect("a picture of another model");
    house.close().await;
}

/// How long the quickest of some refusals takes: the others share the machine with whatever else
/// runs there.
async fn quickest_refusal(house: &House) -> Duration {
    let mut quickest = Duration::MAX;
    for n in 0..20 {
        let begun = Instant::now();
        let outcome = house.generate(request(&format!("quick-{n}"))).await;
        if spared(&outcome.expect_err("down")).is_some() {
            quickest = quickest.min(begun.elapsed());
        }
    }
    quickest
}

#[tokio::test]
async fn an_upstream_that_works_again_is_asked_by_everybody_within_half_a_minute() {
    let house = House::open().await;
    house.mock.script(Script::sample("err-503").times(u32::MAX));
    fail(&house, AGENT, "down", 4 * TRIPS).await;
    until_spared(&house, AGENT, "more").await;
    house.mock.clear_scripts();
    // One call in five seconds is sent, and five that bring their pictures are enough.
    for row in 0..ROW {
        let waited = until_drawn(&house, row).await;
        assert!(waited < 2 * PROBE_EVERY, "{waited:?} after {row} in a row");
    }
    all_go_through(&house, AGENT, "up").await;
    all_go_through(&house, AGENT, "further up").await;
    house.close().await;
}

/// Asks until a call is sent, which brings its picture; how long the others were refused.
async fn until_drawn(house: &House, row: u32) -> Duration {
    let begun = Instant::now();
    for n in 0.. {
        let waited = begun.elapsed();
        let Err(status) = house.generate(request(&format!("up-{row}-{n}"))).await else {
            return waited;
        };
        assert_eq!(spared(&status).as_deref(), Some("organization"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    unreachable!("there are numbers without end")
}

/// Another organization with a tool of the same model and name; the house asks with its key from
/// now on.
pub(crate) async fn move_in(house: &mut House, name: &str) {
    house.add_organization(name).await;
    house.top_up(name, "10000", "first").await;
    house.runtime = house.key(name, proto::Role::Runtime).await;
    house.admin = house.key(name, proto::Role::Admin).await;
    house.tool(|_| {}).await;
}

#[tokio::test]
async fn an_organization_whose_calls_all_fail_keeps_no_other_from_the_model() {
    let mut house = House::open().await;
    let down = || Script::sample("err-503").for_model(KLEIN).times(u32::MAX);
    house.mock.script(down());
    fail(&house, AGENT, "down", 3 * TRIPS).await;
    until_spared(&house, AGENT, "more").await;
    house.mock.clear_scripts();
    move_in(&mut house, "other").await;
    for n in 0..3 {
        let story = house.generate(request(&format!("good-{n}"))).await;
        story.expect("a picture");
    }
    // Where the calls of others fail as well, it is the model.
    house.mock.script(down());
    fail(&house, AGENT, "down", TRIPS).await;
    move_in(&mut house, "third").await;
    let refused = until_spared(&house, AGENT, "third").await;
    assert_eq!(detail(&refused, "spared"), "model");
    house.mock.clear_scripts();
    house.close().await;
}

/// So many calls, each of which is sent and brings its picture.
async fn all_go_through(house: &House, agent: &str, what: &str) {
    for n in 0..TRIPS {
        let asked = request_of(agent, &format!("{what}-{n}"));
        house.generate(asked).await.expect(what);
    }
}

#[tokio::test]
async fn an_own_key_and_the_platforms_key_fail_each_for_itself() {
    let house = House::open().await;
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    set.expect("OpenRouter takes it");
    let down = Script::sample("err-503").for_model(KLEIN);
    house.mock.script(down.times(u32::MAX));
    fail(&house, AGENT, "own", 2 * TRIPS).await;
    let refused = until_spared(&house, AGENT, "more of the own").await;
    assert_eq!(detail(&refused, "spared"), "organization");
    house.mock.clear_scripts();
    let deleted = house.delete_openrouter_key(&house.admin).await;
    deleted.expect("gone");
    all_go_through(&house, AGENT, "platforms").await;

    // Another model, for this one still fails with the own key as far as anybody knows.
    staff(&house, &[SEEDREAM]).await;
    let busy = json!({"error": {"code": 429, "message": "Busy"}});
    house.mock.script(Script::error(429, busy).times(u32::MAX));
    fail(&house, SEEDREAM, "platform", 2 * TRIPS).await;
    until_spared(&house, SEEDREAM, "more of the platform").await;
    house.mock.clear_scripts();
    let set = house.set_openrouter_key(&house.admin, OWN).await;
    set.expect("OpenRouter takes it");
    all_go_through(&house, SEEDREAM, "owns").await;
    house.close().await;
}

#[tokio::test]
async fn several_models_that_are_down_speak_for_openrouter() {
    let house = House::open().await;
    let models = [KLEIN, SEEDREAM, NANO, GPT, RIVERFLOW];
    staff(&house, &models).await;
    staff(&house, &[FLEX]).await;
    house.mock.script(Script::sample("err-503").times(u32::MAX));
    for model in models {
        fail(&house, model, model, TRIPS).await;
        until_spared(&house, model, &format!("more of {model}")).await;
    }
    let sent = house.sent();
    let refused = until_spared(&house, FLEX, "another").await;
    assert_eq!(detail(&refused, "spared"), "openrouter");
    let more = house.sent() - sent;
    assert!(more < TRIPS, "{more} calls of a model nobody asked for yet");
    house.close().await;
}

#[tokio::test]
async fn refusals_that_are_not_upstreams_fault_never_keep_a_call_from_it() {
    let house = House::open().await;
    let asked = |n: usize| format!("refused-{n}");
    for (place, (sample, expected)) in [
        ("err-403-moderation", "CONTENT_REJECTED"),
        ("err-400-invalid-request", "INVALID_REQUEST"),
        ("images-200-empty-data", "NO_IMAGE_RETURNED"),
        ("err-402-insufficient-credits", "UPSTREAM_UNAVAILABLE"),
    ]
    .into_iter()
    .enumerate()
    {
        house.mock.script(Script::sample(sample).times(u32::MAX));
        for n in 0..TRIPS {
            let id = asked(place * TRIPS + n);
            let status = house.generate(request(&id)).await.expect_err(sample);
            assert_eq!(reason(&status), expected, "{sample}");
            assert_eq!(spared(&status), None, "{sample}");
        }
        house.mock.clear_scripts();
    }
    assert_eq!(house.sent(), 4 * TRIPS, "all were sent");
    house.generate(request("good")).await.expect("a picture");
    house.close().await;
}

#[tokio::test]
async fn an_upstream_that_fails_every_other_time_is_always_asked() {
    let house = House::open().await;
    let busy = json!({"error": {"code": 429, "message": "Busy"}});
    for n in 0..3 * TRIPS {
        let story = house.generate(request(&format!("good-{n}"))).await;
        story.expect("a picture");
        house.mock.script(Script::error(429, busy.clone()).times(3));
        let status = house.generate(request(&format!("busy-{n}"))).await;
        assert_eq!(spared(&status.expect_err("busy")), None, "{n}");
        house.mock.clear_scripts();
    }
    house.close().await;
}

#[tokio::test]
async fn an_agent_at_its_limit_leaves_its_turn_to_others_of_its_organization() {
    away_from_midnight().await;
    let house = House::open().await;
    house
        .tool(|tool| {
            tool.agent_id = "limited".to_owned();
            tool.daily_image_limit = 1;
        })
        .await;
    let limited = |id: &str| request_of("limited", id);
    house.generate(limited("one")).await.expect("a picture");
    house.mock.script(Script::sample("err-503").times(u32::MAX));
    fail(&house, AGENT, "down", 5 * TRIPS).await;
    until_spared(&house, AGENT, "more").await;
    tokio::time::sleep(PROBE_EVERY).await;
    let refused = house.generate(limited("two")).await.expect_err("enough");
    assert_eq!(reason(&refused), "LIMIT_REACHED", "it was its turn");
    // Each further one but those that are let through by chance.
    let again = until_spared(&house, "limited", "again").await;
    assert_eq!(detail(&again, "spared"), "organization");
    let probe = house.generate(request("probe")).await.expect_err("down");
    assert_eq!(spared(&probe), None, "another agent of it has the turn");
    house.close().await;
}
