//! What is not believed of a list, and what happens while one is read.

use tokio_util::task::TaskTracker;

use super::*;

/// Riverflow's prices at OpenRouter.
const RIVERFLOW_ENDPOINTS: &str = "/images/models/sourceful/riverflow-v2-pro/endpoints";

async fn riverflow(house: &House) -> proto::Model {
    let asked = proto::GetModelRequest {
        slug: "sourceful/riverflow-v2-pro".to_owned(),
    };
    let mut models = house.models(&house.runtime);
    models
        .get_model(asked)
        .await
        .expect("riverflow")
        .into_inner()
}

fn at_4k(model: &proto::Model) -> (&str, &str) {
    let estimate = &model.estimates_by_resolution["4K"];
    (&estimate.expected, &estimate.high)
}

#[tokio::test]
async fn a_list_without_image_models_is_refused_though_it_has_all_the_others() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    let good = list(&house).await;
    let whole = told(&house, "/images/models").await;
    let few: Vec<_> = whole["data"].as_array().expect("models")[..6].to_vec();
    let more = json!({"data": whole["data"], "total_count": 13});
    for body in [json!({"data": []}), json!({"data": few}), more] {
        house.mock.clear_scripts();
        tell(&house, "/images/models", &body);
        let status = sync(&house).await.expect_err("no list");
        assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE");
        assert_eq!(list(&house).await.models, good.models);
    }
    house.close().await;
}

#[tokio::test]
async fn endpoints_that_are_gone_leave_their_last_good_prices_and_it_is_said() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    let good = riverflow(&house).await;
    let not_found = json!({"error": {"code": 404, "message": "No image model found"}});
    let empty = json!({"id": "sourceful/riverflow-v2-pro", "endpoints": []});
    let gone = [
        Script::error(404, not_found),
        Script::raw_body("application/json", &empty.to_string()),
    ];
    for gone in gone {
        house.mock.clear_scripts();
        let gone = gone.for_path(RIVERFLOW_ENDPOINTS).times(u32::MAX);
        house.mock.script(gone);
        assert_eq!(sync(&house).await.expect("a list").prices_changed, 0);
        let now = riverflow(&house).await;
        assert_eq!(at_4k(&now), at_4k(&good));
        assert_eq!(now.price_lines.len(), good.price_lines.len());
        for (line, before) in now.price_lines.iter().zip(&good.price_lines) {
            assert_eq!((line.usd.as_str(), &line.usd_in_use), ("", &before.usd));
        }
    }
    house.mock.clear_scripts();
    let all_empty = Script::raw_body("application/json", "{\"endpoints\":[]}");
    for model in &list(&house).await.models {
        let path = format!("/images/models/{}/endpoints", model.slug);
        house
            .mock
            .script(all_empty.clone().for_path(&path).times(u32::MAX));
    }
    let status = sync(&house).await.expect_err("no list");
    assert_eq!(reason(&status), "UPSTREAM_UNAVAILABLE");
    house.close().await;
}

#[tokio::test]
async fn a_leap_of_4k_alone_is_doubted_and_an_absurd_price_is_shown_beside_the_one_in_use() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    let good = riverflow(&house).await;
    let usual = told(&house, RIVERFLOW_ENDPOINTS).await;
    let with = |usd: Value| {
        let mut body = usual.clone();
        let lines = &mut body["endpoints"][0]["pricing"];
        let lines = lines.as_array_mut().expect("lines");
        let line = lines.iter_mut().find(|line| line["variant"] == "4k");
        line.expect("a line for 4K")["cost_usd"] = usd;
        body
    };
    tell(&house, RIVERFLOW_ENDPOINTS, &with(json!(0.01)));
    let synced = sync(&house).await.expect("a list");
    assert_eq!((synced.prices_changed, synced.prices_flagged), (1, 1));
    let doubted = riverflow(&house).await;
    assert_eq!(at_4k(&doubted), ("21.00", at_4k(&good).1));
    let asked = proto::ListPriceChangesRequest::default();
    let mut models = house.models(&house.runtime);
    let changes = models.list_price_changes(asked).await.expect("changes");
    let change = &changes.get_ref().price_changes[0];
    assert_eq!(
        [&change.price, &change.usd_before, &change.usd_after],
        ["4K", "0.33", "0.01"]
    );

    house.mock.clear_scripts();
    sync(&house).await.expect("a list");
    tell(&house, RIVERFLOW_ENDPOINTS, &with(json!(-1)));
    assert_eq!(sync(&house).await.expect("a list").prices_changed, 0);
    let odd = riverflow(&house).await;
    assert_eq!(at_4k(&odd), at_4k(&good));
    let mut lines = odd.price_lines.iter();
    let line = lines.find(|line| line.variant == "4k").expect("4K");
    assert_eq!(
        (line.usd.as_str(), line.usd_in_use.as_str()),
        ("-1", "0.33")
    );
    house.close().await;
}

#[tokio::test]
async fn the_first_list_is_not_believed_where_it_leaps_away_from_the_published_page() {
    let house = House::open().await;
    let before = klein(&house).await;
    reprice(&house, json!("0.0001")).await;
    let synced = sync(&house).await.expect("a list");
    assert!(synced.prices_flagged > 0);
    let doubted = klein(&house).await;
    assert!(doubted.price_unconfirmed_since.is_some());
    assert_eq!(high(&doubted), high(&before));
    house.close().await;
}

#[tokio::test]
async fn whoever_asks_for_a_sync_that_runs_gets_its_result_and_nobody_waits_to_confirm() {
    let house = House::open().await;
    sync(&house).await.expect("a list");
    reprice(&house, json!("1.4e-4")).await;
    sync(&house).await.expect("a list");
    house.mock.clear_scripts();
    house
        .mock
        .script(Script::gated("list").for_path("/images/models"));
    let mut operator = house.models(OPERATOR_KEY);
    let tasks = TaskTracker::new();
    let ask = || {
        let mut models = house.models(OPERATOR_KEY);
        tasks.spawn(async move { models.sync_models(proto::SyncModelsRequest {}).await })
    };
    let abandoned = ask();
    house.mock.wait_at_gate("list").await;
    abandoned.abort();
    let waiting: Vec<_> = (0..5).map(|_| ask()).collect();
    // The list is still on its way.
    let confirm = proto::ConfirmPriceRequest {
        slug: KLEIN.to_owned(),
    };
    let confirmed = operator.confirm_price(confirm);
    let confirmed = tokio::time::timeout(Duration::from_secs(20), confirmed).await;
    let confirmed = confirmed.expect("nothing to wait for").expect("klein");
    assert_eq!(confirmed.get_ref().price_unconfirmed_since, None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    house.mock.open_gate("list");
    let mut times = Vec::new();
    for waiting in waiting {
        let synced = waiting.await.expect("a task").expect("a list");
        times.push(synced.into_inner().last_sync);
    }
    times.dedup();
    assert_eq!(times.len(), 1, "all of them had the same list");
    house.close().await;
}

#[tokio::test]
async fn a_tool_at_1k_of_a_model_that_begins_at_2k_says_so_and_is_listed_among_those_in_need() {
    let house = House::open().await;
    let mut body = told(&house, "/images/models").await;
    let models = body["data"].as_array_mut().expect("models");
    let found = models
        .iter_mut()
        .find(|model| model["id"] == "bytedance-seed/seedream-4.5");
    let seedream = found.expect("seedream");
    seedream["supported_parameters"]["resolution"]["values"] = json!(["2K", "4K"]);
    tell(&house, "/images/models", &body);
    sync(&house).await.expect("a list");
    house
        .tool(|tool| tool.model = "bytedance-seed/seedream-4.5".to_owned())
        .await;
    let listed = |status: proto::ToolStatus| {
        let mut tools = house.tools(&house.runtime);
        async move {
            let asked = proto::ListGenerateImageToolsRequest {
                status: status.into(),
                ..proto::ListGenerateImageToolsRequest::default()
            };
            let found = tools.list_generate_image_tools(asked).await;
            found.expect("tools").into_inner().generate_image_tools
        }
    };
    let in_need = listed(proto::ToolStatus::NeedsConfiguration).await;
    assert_eq!(in_need.len(), 1);
    let why = &in_need[0].status_reason;
    assert!(why.contains("1K") && why.contains("2K, 4K"), "{why}");
    assert!(listed(proto::ToolStatus::Ready).await.is_empty());
    let mut models = house.models(&house.runtime);
    let asked = proto::GetModelRequest {
        slug: "bytedance-seed/seedream-4.5".to_owned(),
    };
    let model = models
        .get_model(asked)
        .await
        .expect("seedream")
        .into_inner();
    assert_eq!(model.estimate_resolution, "2K");
    house
        .tool(|tool| {
            tool.model = "bytedance-seed/seedream-4.5".to_owned();
            tool.default_resolution = "2K".to_owned();
            tool.max_resolution = "2K".to_owned();
        })
        .await;
    assert_eq!(listed(proto::ToolStatus::Ready).await.len(), 1);
    house.generate(request("r")).await.expect("a picture");
    house.close().await;
}
