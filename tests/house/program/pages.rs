//! The pages at the side: health, readiness and metrics of a process that has worked.

use image_gateway::mock::Script;
use image_gateway::proto;

use super::{Served, until};
use crate::helpers::{reason, request};

/// Every metric of the page, as its `# TYPE` lines have it.
const METRICS: [(&str, &str); 22] = [
    ("image_gateway_addresses_held", "gauge"),
    ("image_gateway_calls", "counter"),
    ("image_gateway_calls_shed", "counter"),
    ("image_gateway_connections", "gauge"),
    ("image_gateway_connections_ended", "counter"),
    ("image_gateway_cost_checks", "counter"),
    ("image_gateway_cost_unknown", "counter"),
    ("image_gateway_credits_charged", "counter"),
    ("image_gateway_generations_in_flight", "gauge"),
    ("image_gateway_image_bytes", "counter"),
    ("image_gateway_images", "counter"),
    ("image_gateway_images_free_unexpectedly", "counter"),
    ("image_gateway_models", "gauge"),
    ("image_gateway_models_by_last_good_price", "gauge"),
    ("image_gateway_newcomers_waited", "counter"),
    ("image_gateway_open_holds", "gauge"),
    ("image_gateway_own_seconds", "histogram"),
    ("image_gateway_price_list_read_seconds", "gauge"),
    ("image_gateway_price_syncs", "counter"),
    ("image_gateway_prices_unconfirmed", "gauge"),
    ("image_gateway_upstream_calls", "counter"),
    ("image_gateway_upstream_seconds", "histogram"),
];

#[tokio::test]
async fn an_idle_process_is_alive_ready_and_knows_no_other_page() {
    let served = Served::start(&[]).await;
    assert_eq!(
        served.page("/healthz").await,
        (200, r#"{"status":"ok"}"#.to_owned())
    );
    assert_eq!(
        served.page("/readyz").await,
        (200, r#"{"status":"ready"}"#.to_owned())
    );
    for path in ["/", "/metrics/", "/healthz/x", "/../etc/passwd"] {
        assert_eq!(served.page(path).await.0, 404, "{path}");
    }
    served.close().await;
}

#[tokio::test]
async fn the_metrics_tell_what_was_done_and_what_was_refused() {
    let served = Served::start(&[]).await;
    let house = &served.house;
    let story = house.generate(request("good")).await.expect("a picture");
    // The answer does not say what it cost, so it is looked up.
    house.mock.script(Script::without_usage());
    let silent = house.generate(request("silent")).await;
    let silent = silent.expect("a picture");
    let dear = proto::GenerateImageRequest {
        max_credits: "1.00".to_owned(),
        ..request("dear")
    };
    let refused = house.generate(dear).await.expect_err("too dear");
    let mut strangers = house.images("sq_live_nobody");
    let stranger = strangers.generate_image(request("x")).await;
    assert_eq!(reason(&stranger.expect_err("unknown")), "UNAUTHENTICATED");
    let size_bytes = story.finished[0].size_bytes + silent.finished[0].size_bytes;
    let lines = [
        r#"calls_total{rpc="GenerateImage",reason="OK"} 2"#.to_owned(),
        format!(
            r#"calls_total{{rpc="GenerateImage",reason="{}"}} 1"#,
            reason(&refused)
        ),
        r#"calls_total{rpc="GenerateImage",reason="UNAUTHENTICATED"} 1"#.to_owned(),
        r#"calls_total{rpc="CreateOrganization",reason="OK"} 1"#.to_owned(),
        r#"upstream_calls_total{outcome="OK"} 2"#.to_owned(),
        "generations_in_flight 0".to_owned(),
        "own_seconds_count 2".to_owned(),
        "upstream_seconds_count 2".to_owned(),
        "images_total 2".to_owned(),
        format!("image_bytes_total {size_bytes}"),
        "credits_charged_total 58.0".to_owned(),
        "open_holds 0".to_owned(),
        r#"cost_unknown_total{source="lookup"} 1"#.to_owned(),
    ];
    // A call is counted when its stream is closed, a moment after its last event.
    until("all is counted", async || {
        let page = served.page("/metrics").await.1;
        lines.iter().all(|line| has(&page, line))
    })
    .await;

    let (_, page) = served.page("/metrics").await;
    let mut types: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    types.sort_unstable();
    assert_eq!(types, METRICS, "{page}");
    assert_eq!(page.matches("rpc=\"GenerateImage\"").count(), 3, "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    served.close().await;
}

fn has(page: &str, line: &str) -> bool {
    let line = format!("image_gateway_{line}");
    page.lines().any(|it| it == line)
}

#[tokio::test]
async fn a_process_whose_books_cannot_be_written_is_not_ready_until_they_can() {
    let served = Served::start(&[]).await;
    let other = rusqlite::Connection::open(served.house.database()).expect("the books");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the only writer");
    let status = async |expected| served.page("/readyz").await.0 == expected;
    until("not ready", || status(503)).await;
    other.execute_batch("ROLLBACK").expect("let go");
    until("ready again", || status(200)).await;
    served.close().await;
}
