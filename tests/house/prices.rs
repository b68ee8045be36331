//! The live price list: what it shows, what it survives, and what a change means for whoever draws.

use std::time::Duration;

use image_gateway::domain::catalog::Catalog;
use image_gateway::mock::Script;
use image_gateway::proto;
use serde_json::{Value, json};
use tonic::Status;

use crate::helpers::{House, KLEIN, OPERATOR_KEY, Setup, Story, detail, reason, request};

mod ceiling;
mod chat;
mod trust;

/// Klein's prices at OpenRouter.
const KLEIN_ENDPOINTS: &str = "/images/models/black-forest-labs/flux.2-klein-4b/endpoints";

pub(crate) async fn sync(house: &House) -> Result<proto::SyncModelsResponse, Status> {
    let mut models = house.models(OPERATOR_KEY);
    let synced = models.sync_models(proto::SyncModelsRequest {}).await;
    synced.map(tonic::Response::into_inner)
}

async fn list(house: &House) -> proto::ListModelsResponse {
    let mut models = house.models(&house.runtime);
    let all = models.list_models(proto::ListModelsRequest::default());
    all.await.expect("models").into_inner()
}

async fn klein(house: &House) -> proto::Model {
    let asked = proto::GetModelRequest {
        slug: KLEIN.to_owned(),
    };
    let mut models = house.models(&house.runtime);
    models.get_model(asked).await.expect("klein").into_inner()
}

fn high(model: &proto::Model) -> &str {
    &model.estimate.as_ref().expect("an estimate").high
}

/// What the mock answers now, to be told again with a change.
async fn told(house: &House, path: &str) -> Value {
    let url = format!("{}{path}", house.mock.base_url());
    let answer = reqwest::get(url).await.expect("an answer");
    let body = answer.bytes().await.expect("a body");
    serde_json::from_slice(&body).expect("JSON")
}

/// From now on the mock tells this instead.
fn tell(house: &House, path: &str, body: &Value) {
    let script = Script::raw_body("application/json", &body.to_string());
    house.mock.script(script.for_path(path).times(u32::MAX));
}

/// From now on a megapixel of Klein costs so much, as a number or a text.
pub(crate) async fn reprice(house: &House, usd: Value) {
    house.mock.clear_scripts();
    let mut endpoints = told(house, KLEIN_ENDPOINTS).await;
    endpoints["endpoints"][0]["pricing"][0]["cost_usd"] = usd;
    tell(house, KLEIN_ENDPOINTS, &endpoints);
}

/// From now on nobody has heard of Klein.
async fn withdraw(house: &House) {
    house.mock.clear_scripts();
    for path in ["/models", "/images/models"] {
        let query = if path == "/models" {
            "?output_modalities=all&limit=1000"
        } else {
            ""
        };
        let mut body = told(house, &format!("{path}{query}")).await;
        let models = body["data"].as_array_mut().expect("models");
        models.retain(|model| model["id"] != KLEIN);
        let left = models.len();
        // A list that says it has more than it shows is no list.
        if let Some(total) = body.get_mut("total_count") {
            *total = left.into();
        }
        tell(house, path, &body);
    }
}

#[tokio::test]
async fn a_sync_shows_the_true_figures_of_every_model() {
    let house = House::open().await;
    let before = list(&house).await;
    assert_eq!((before.last_sync, before.stale), (None, false));
    let synced = sync(&house).await.expect("a list");
    assert_eq!(synced.models_withdrawn, 0);
    let after = list(&house).await;
    assert_eq!(after.last_sync, synced.last_sync);
    let shown: Vec<(&str, &str)> = after
        .models
        .iter()
        .map(|model| {
            let display = model
                .estimate
                .as_ref()
                .map(|estimate| estimate.display.as_str());
            (
                model.slug.as_str(),
                display.unwrap_or(&model.credits_per_1k_output_tokens),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("openai/gpt-5-image-mini", "~22"),
            (KLEIN, "29"),
            ("sourceful/riverflow-v2-fast", "41"),
            ("black-forest-labs/flux.2-pro", "61"),
            ("example/chat-only-image", "~78"),
            ("openai/gpt-5.4-image-2", "~78"),
            ("bytedance-seed/seedream-4.5", "81"),
            ("example/chat-only-picture", "101"),
            ("openai/gpt-5-image", "~104"),
            ("black-forest-labs/flux.2-flex", "121"),
            ("google/gemini-3.1-flash-image-preview", "~135"),
            ("black-forest-labs/flux.2-max", "141"),
            ("google/gemini-3-pro-image-preview", "~270"),
            ("sourceful/riverflow-v2-pro", "301"),
            ("example/text-mini", "1.20"),
            ("openai/gpt-4", "120.00"),
        ]
    );
    let text = after.models.last().expect("a text model");
    let draws = i32::from(proto::Capability::GeneratesImages);
    assert!(!text.capabilities.contains(&draws));
    assert_eq!(text.credits_per_1k_input_tokens, "60.00");
    let again = sync(&house).await.expect("a list");
    assert_eq!((again.models_added, again.prices_changed), (0, 0));
    house.close().await;
}

#[tokio::test]
async fn prices_are_read_at_the_start_and_kept_over_a_restart() {
    let mut house = House::with(Setup {
        sync_interval: Some("1s"),
        ..Setup::default()
    })
    .await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while list(&house).await.last_sync.is_none() {
        assert!(tokio::time::Instant::now() < deadline, "nothing was read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    house.mock.script(
        Script::error(500, json!({}))
            .for_path("/models")
            .times(u32::MAX),
    );
    house.restart(Catalog::built_in()).await;
    let kept = list(&house).await;
    assert!(kept.last_sync.is_some());
    assert_eq!(kept.models.len(), 16);
    house.close().await;
}

#[tokio::test]
async fn a_list_that_cannot_be_had_or_cannot_be_true_leaves_the_last_good_one() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    let good = list(&house).await;
    let page = "<!DOCTYPE html><html><title>502</title></html>";
    let faults = [
        Script::error(503, json!({"error": {"code": 503, "message": "down"}})),
        Script::raw_body("text/html", page),
        Script::raw_body("application/json", "{\"data\":[{\"id\":\"a/b\""),
        Script::raw_body("application/json", "{\"data\":[]}"),
        Script::cut_at(300),
    ];
    for fault in faults {
        house.mock.clear_scripts();
        house
            .mock
            .script(fault.clone().for_path("/images/models").times(u32::MAX));
        house
            .mock
            .script(fault.clone().for_path("/models").times(u32::MAX));
        let status = sync(&house).await.expect_err("no list");
        assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE", "{fault:?}");
        let now = list(&house).await;
        assert!(now.stale && !now.sync_error.is_empty(), "{fault:?}");
        assert_eq!((&now.models, now.last_sync), (&good.models, good.last_sync));
    }
    house.mock.clear_scripts();
    sync(&house).await.expect("a list");
    let well = list(&house).await;
    assert_eq!((well.stale, well.sync_error.as_str()), (false, ""));
    house.close().await;
}

#[tokio::test]
async fn a_model_that_is_withdrawn_stops_the_next_call_and_not_the_running_one() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    house.mock.script(Script::gated("slow"));
    let mut images = house.images(&house.runtime);
    let running = images.generate_image(request("running")).await;
    let running = running.expect("taken").into_inner();
    house.mock.wait_at_gate("slow").await;
    withdraw(&house).await;
    assert_eq!(sync(&house).await.expect("a list").models_withdrawn, 1);
    assert!(klein(&house).await.withdrawn);
    let status = house
        .generate(request("next"))
        .await
        .expect_err("withdrawn");
    assert_eq!(reason(&status), "MODEL_UNAVAILABLE");
    assert_eq!(detail(&status, "cause"), "withdrawn");
    let asked = proto::GetGenerateImageToolRequest {
        agent_id: "painter".to_owned(),
    };
    let mut tools = house.tools(&house.runtime);
    let tool = tools.get_generate_image_tool(asked).await.expect("a tool");
    let tool = tool.into_inner();
    assert_eq!(tool.status(), proto::ToolStatus::NeedsConfiguration);
    assert!(
        tool.status_reason.contains("no longer offered"),
        "{}",
        tool.status_reason
    );
    house.mock.open_gate("slow");
    let story = Story::read(running).await.expect("a picture");
    assert_eq!(story.charge().credits, "29.00");
    house.mock.clear_scripts();
    assert_eq!(sync(&house).await.expect("a list").models_added, 1);
    house.generate(request("next")).await.expect("a picture");
    house.close().await;
}

#[tokio::test]
async fn a_price_that_leaps_is_doubted_until_the_operator_confirms_it() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    let usual = high(&klein(&house).await).to_owned();
    reprice(&house, json!("1.4e-4")).await;
    let synced = sync(&house).await.expect("a list");
    // At 1K, 2K and 4K, which no longer differ as they did.
    assert_eq!((synced.prices_changed, synced.prices_flagged), (3, 3));
    let doubted = klein(&house).await;
    assert!(doubted.price_unconfirmed_since.is_some());
    assert_eq!(high(&doubted), usual, "the dearer of the two");
    assert_eq!(
        doubted.estimate.as_ref().expect("an estimate").expected,
        "1.28"
    );
    // The hold is the old price, the charge is the real cost.
    let story = house.generate(request("r")).await.expect("a picture");
    assert_eq!(story.accepted.hold, usual);
    assert_eq!(story.charge().credits, "29.00");
    let slug = || KLEIN.to_owned();
    let confirm = || proto::ConfirmPriceRequest { slug: slug() };
    let refused = house.models(&house.owner).confirm_price(confirm()).await;
    assert_eq!(
        reason(&refused.expect_err("not theirs")),
        "PERMISSION_DENIED"
    );
    let mut operator = house.models(OPERATOR_KEY);
    let confirmed = operator.confirm_price(confirm()).await.expect("klein");
    assert_eq!(confirmed.get_ref().price_unconfirmed_since, None);
    let asked = proto::ListPriceChangesRequest {
        slug: slug(),
        ..proto::ListPriceChangesRequest::default()
    };
    let mut models = house.models(&house.runtime);
    let changes = models
        .list_price_changes(asked)
        .await
        .expect("changes")
        .into_inner();
    let told = changes.price_changes.iter();
    let told: Vec<_> = told
        .map(|change| [&change.price, &change.usd_before, &change.usd_after])
        .collect();
    assert_eq!(
        told,
        [
            ["4K", "0.029", "0.00224"],
            ["2K", "0.017", "0.00056"],
            ["1K", "0.014", "0.00014"]
        ]
    );
    let change = &changes.price_changes[0];
    assert!(change.flagged);
    assert_eq!(klein(&house).await.price_change_time, change.change_time);
    for unknown in ["nobody/nothing", "not a slug"] {
        let asked = proto::ConfirmPriceRequest {
            slug: unknown.to_owned(),
        };
        let status = operator.confirm_price(asked).await.expect_err("unknown");
        assert!(["MODEL_NOT_FOUND", "INVALID_REQUEST"].contains(&reason(&status).as_str()));
    }
    house.close().await;
}

#[tokio::test]
async fn what_nobody_understands_is_shown_as_it_is_listed() {
    let house = House::open().await;
    let mut endpoints = told(&house, KLEIN_ENDPOINTS).await;
    let lines = endpoints["endpoints"][0]["pricing"]
        .as_array_mut()
        .expect("lines");
    lines.push(json!({"billable": "output_image", "unit": "furlong", "cost_usd": "1e-2"}));
    lines.push(
        json!({"billable": "output_smell", "unit": "image", "cost_usd": 3.5, "variant": "rose"}),
    );
    tell(&house, KLEIN_ENDPOINTS, &endpoints);
    sync(&house).await.expect("a list");
    let klein = klein(&house).await;
    assert_eq!(
        klein.estimate.as_ref().expect("an estimate").expected,
        "29.00"
    );
    let shown: Vec<_> = klein
        .price_lines
        .iter()
        .map(|line| [line.billable.as_str(), &line.unit, &line.variant, &line.usd])
        .collect();
    assert_eq!(
        shown,
        [
            ["output_image", "megapixel", "", "0.014"],
            ["output_image", "furlong", "", "0.01"],
            ["output_smell", "image", "rose", "3.5"],
        ]
    );
    house.close().await;
}

#[tokio::test]
async fn only_the_operator_syncs() {
    let house = House::open().await;
    for key in [&house.runtime, &house.admin, &house.owner] {
        let mut models = house.models(key);
        let refused = models.sync_models(proto::SyncModelsRequest {}).await;
        assert_eq!(
            reason(&refused.expect_err("not theirs")),
            "PERMISSION_DENIED"
        );
    }
    assert_eq!(list(&house).await.last_sync, None);
    house.close().await;
}

#[tokio::test]
async fn what_pictures_cost_lately_stands_beside_the_estimate_and_under_the_hold() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    // Klein's estimate is 29.00; lately it was billed 0.05 USD, which makes 101.00.
    for number in 0..19 {
        house.mock.script(Script::usage_cost("0.05"));
        let asked = request(&format!("dear-{number}"));
        house.generate(asked).await.expect("a picture");
    }
    sync(&house).await.expect("a list");
    assert_eq!(high(&klein(&house).await), "29.00", "too few to be a rule");
    house.mock.script(Script::usage_cost("0.05"));
    house.generate(request("dear")).await.expect("a picture");
    sync(&house).await.expect("a list");
    let estimate = klein(&house).await.estimate.expect("an estimate");
    assert_eq!(
        (estimate.expected.as_str(), estimate.high.as_str()),
        ("29.00", "101.00")
    );
    assert_eq!(
        (estimate.recent_average.as_str(), estimate.recent_count),
        ("101.00", 20)
    );
    assert!(estimate.departs);
    let story = house.generate(request("next")).await.expect("a picture");
    assert_eq!(story.accepted.hold, "101.00");
    assert_eq!(story.charge().credits, "29.00");
    house.close().await;
}
