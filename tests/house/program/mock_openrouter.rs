//! `mock-openrouter`: the stand-in as a process.

use super::{FREE, Running, finish, page, program};

#[tokio::test]
async fn it_prints_where_it_is_and_answers_there() {
    let mut running = Running::start(&mut program(&[
        "mock-openrouter",
        "--listen",
        FREE,
        "--json",
    ]));
    let line = running.line().await.expect("a line");
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line.as_object().expect("an object").len(), 1);
    let base = line["base_url"].as_str().expect("a text");
    let (status, models) = page(&format!("{base}/models?output_modalities=image")).await;
    assert_eq!(status, 200);
    let models: serde_json::Value = serde_json::from_str(&models).expect("JSON");
    let models = models["data"].as_array().expect("a list");
    let slug = crate::helpers::KLEIN;
    assert!(models.iter().any(|model| model["id"] == slug), "no {slug}");
    running.signal("TERM").await;
    let ended = running.ended().await;
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(0), ""),
        "{ended:#?}"
    );
    ended.assert_plain();
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_that_helps() {
    let taken = std::net::TcpListener::bind(FREE).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ended = finish(&mut program(&["mock-openrouter", "--listen", &address])).await;
    ended.assert_failed(1);
    assert!(
        ended.stderr.contains(&address) && ended.stderr.contains("--listen"),
        "{ended:#?}"
    );
}
