//! Settings: whole and right, or refused together; secrets are taken and never given back.

use std::fs;

use super::{FREE, OPENROUTER_KEY, Running, Served, address, finish, page, program, serve};
use crate::helpers::{OPERATOR_KEY, request};

#[tokio::test]
async fn everything_wrong_is_reported_at_once_and_no_secret_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = [
        ("LISTEN_ADDR", "localhost"),
        ("HTTP_ADDR", "8080"),
        ("OPENROUTER_BASE_URL", "https://user:canary-1@example.com"),
        ("OPENROUTER_API_KEY", "canary 2"),
        ("OPERATOR_KEY", "canary-3"),
        // A key where the name of its file belongs.
        ("KEY_ENCRYPTION_KEY_FILE", "canary-4"),
        ("UPSTREAM_TIMEOUT", "5"),
        ("DRAIN_TIMEOUT", "2h"),
        ("MAX_CONCURRENT_GENERATIONS", "0"),
        ("IMAGE_STORE_QUOTA", "-1"),
        ("RUST_LOG", "image_gateway=loud"),
        ("LOG_FORMAT", "xml"),
    ];
    let data = folder.path().join("data");
    let mut command = program(&["serve"]);
    command.envs(wrong).env("DATA_DIR", &data);
    let ended = finish(&mut command).await;
    ended.assert_failed(2);
    for (variable, _) in wrong {
        let lines = ended.stderr.lines();
        let named = lines.filter(|line| line.trim_start().starts_with(variable));
        assert_eq!(named.count(), 1, "{variable} in\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
    assert!(!data.exists(), "nothing is made before all is right");
}

#[tokio::test]
async fn the_missing_key_of_the_platform_is_named() {
    for value in [None, Some("")] {
        let mut command = program(&["serve"]);
        command.envs(value.map(|value| ("OPENROUTER_API_KEY", value)));
        let ended = finish(&mut command).await;
        ended.assert_failed(2);
        assert!(
            ended.stderr.contains("OPENROUTER_API_KEY must be set"),
            "{ended:#?}"
        );
    }
}

#[tokio::test]
async fn a_flag_overrides_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program(&["serve", "--listen-addr", FREE, "--http-addr", FREE]);
    command
        .current_dir(folder.path())
        .env("LISTEN_ADDR", "nowhere")
        .env("HTTP_ADDR", "nowhere")
        .env("OPENROUTER_API_KEY", OPENROUTER_KEY);
    let mut running = Running::start(&mut command);
    let lines = (running.line().await, running.line().await);
    let (Some(_), Some(http)) = lines else {
        panic!("{:#?}", running.ended().await);
    };
    let http = address(&http, "HTTP");
    assert_eq!(page(&format!("http://{http}/readyz")).await.0, 200);
    running.signal("TERM").await;
    assert_eq!(running.ended().await.status, Some(0));
    assert!(folder.path().join("data/gateway.sqlite3").exists());
}

#[tokio::test]
async fn secrets_from_files_are_used_as_if_they_were_given() {
    let (house, _) = Served::start(&[]).await.stop().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, secret: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("{secret}\n")).expect("a file");
        path
    };
    let mut command = serve(&house, &[]);
    command
        .env_remove("OPENROUTER_API_KEY")
        .env("OPENROUTER_API_KEY_FILE", file("api", OPENROUTER_KEY))
        .env_remove("OPERATOR_KEY")
        .env("OPERATOR_KEY_FILE", file("operator", OPERATOR_KEY));
    let served = Served::on(house, command).await;
    // The operator's key works, and the mock gets the platform's.
    served.house.top_up("acme", "1", "from a file").await;
    let story = served.house.generate(request("file")).await;
    assert_eq!(story.expect("a picture").charge().balance_after, "9972.00");
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    let sent = house.mock.requests()[0].headers["authorization"].clone();
    let house = Served::again(house, &[]).await;
    house.house.generate(request("given")).await.expect("drawn");
    assert_eq!(
        house.house.mock.requests()[1].headers["authorization"],
        sent
    );
    house.close().await;
}
