//! `demo`: everything at once, in a folder of its own.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use image_gateway::mock::{Mock, Script};
use image_gateway::proto::GenerateImageRequest;
use image_gateway::proto::image_service_client::ImageServiceClient;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::transport::Endpoint;

use super::{FREE, OPENROUTER_KEY, Running, finish, program};
use crate::helpers::{KLEIN, Story, bearer};

const PROMPT: &str = "a red fox in the snow";

/// What `demo --once --json` prints, and nothing else.
const RECEIPT: [&str; 11] = [
    "balance",
    "credits",
    "endpoint",
    "file",
    "height",
    "media_type",
    "model",
    "sha256",
    "size_bytes",
    "usd_cost",
    "width",
];

fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program(&["demo"]);
    command
        .args(arguments)
        .env("LISTEN_ADDR", FREE)
        .current_dir(folder);
    command
}

/// The same, with pictures from a mock of the test's.
fn demo_with(mock: &Mock, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = demo(folder, arguments);
    command
        .env("OPENROUTER_BASE_URL", mock.base_url())
        .env("OPENROUTER_API_KEY", OPENROUTER_KEY);
    command
}

async fn mock() -> Mock {
    let listen = FREE.parse().expect("an address");
    let mock = Mock::start(listen, image_gateway::mock::Options::default()).await;
    mock.expect("a mock")
}

fn empty_folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn it_prints_its_receipt_writes_the_picture_and_charges_each_time() {
    let folder = empty_folder();
    for balance in ["9971.00", "9942.00"] {
        let ended = finish(&mut demo(folder.path(), &["--once", "--json", PROMPT])).await;
        assert_eq!(ended.status, Some(0), "{ended:#?}");
        ended.assert_plain();
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:#?}");
        let receipt: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        let mut keys: Vec<_> = receipt.as_object().expect("an object").keys().collect();
        keys.sort();
        assert_eq!(keys, RECEIPT);
        assert_eq!(receipt["model"], KLEIN);
        assert_eq!(receipt["usd_cost"], "0.014");
        assert_eq!(receipt["credits"], "29.00");
        assert_eq!(receipt["balance"], balance);
        let endpoint: std::net::SocketAddr = receipt["endpoint"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("an address");
        assert_ne!(endpoint.port(), 0);

        let file = folder
            .path()
            .join(receipt["file"].as_str().expect("a name"));
        let bytes = fs::read(file).expect("the picture");
        assert_eq!(receipt["size_bytes"], bytes.len());
        let digest = Sha256::digest(&bytes);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(receipt["sha256"], digest);
        assert_eq!(receipt["media_type"], "image/png");
        let size = imagesize::blob_size(&bytes).expect("a picture");
        assert_eq!(receipt["width"], size.width);
        assert_eq!(receipt["height"], size.height);
    }
    assert_eq!(
        names(folder.path()),
        ["a-red-fox-in-the-snow.png", "data"],
        "nothing else is left behind"
    );
}

#[tokio::test]
async fn it_serves_on_until_ctrl_c_and_its_grpcurl_line_makes_another_picture() {
    let (mock, folder) = (mock().await, empty_folder());
    let prompt = "it's a \"fox\" & $HOME";
    let arguments = ["--output", "fox.png", prompt];
    let mut running = Running::start(&mut demo_with(&mock, folder.path(), &arguments));
    let line = loop {
        let line = running.line().await.expect("a grpcurl line");
        assert!(!line.contains('\x1b'), "{line:?}");
        if line.starts_with("grpcurl ") {
            break line;
        }
    };
    let words = words_of(&line);
    let [plaintext, h, header, d, body, address, method] = &words[..] else {
        panic!("{words:?}");
    };
    assert_eq!(
        [plaintext, h, d].map(String::as_str),
        ["-plaintext", "-H", "-d"]
    );
    assert_eq!(method, "squados.images.v1.ImageService/GenerateImage");
    let key = header
        .strip_prefix("authorization: Bearer ")
        .expect("a key");
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["prompt"], prompt);

    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("it still serves");
    let mut images = ImageServiceClient::with_interceptor(channel, bearer(key));
    let request = GenerateImageRequest {
        agent_id: body["agent_id"].as_str().expect("an id").to_owned(),
        prompt: prompt.to_owned(),
        ..GenerateImageRequest::default()
    };
    let events = images.generate_image(request).await.expect("taken");
    let story = Story::read(events.into_inner()).await.expect("a picture");
    assert_eq!(story.charge().balance_after, "9942.00");
    let saved = fs::read(folder.path().join("fox.png")).expect("the picture");
    assert_eq!(saved, story.images[&0], "the mock draws the same again");

    running.signal("INT").await;
    let ended = running.ended().await;
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(0), ""),
        "{ended:#?}"
    );
    assert!(ended.stderr.contains("Serving until Ctrl-C"), "{ended:#?}");
    ended.assert_plain();
}

/// What a shell makes of a command line, without its first word.
fn words_of(line: &str) -> Vec<String> {
    let script = format!("grpcurl() {{ printf '%s\\n' \"$@\"; }}; {line}");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output();
    let text = String::from_utf8(output.expect("a shell").stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_that_helps_and_nothing_is_written() {
    let taken = TcpListener::bind(FREE).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--listen-addr", "--http-addr"] {
        let folder = empty_folder();
        let ended = finish(&mut demo(
            folder.path(),
            &["--once", flag, &address, PROMPT],
        ))
        .await;
        ended.assert_failed(1);
        assert!(ended.stderr.contains(&address), "{ended:#?}");
        assert!(
            ended.stderr.contains(&format!("{flag} 127.0.0.1:0")),
            "{ended:#?}"
        );
        assert!(names(folder.path()).is_empty());
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_is_told_with_the_settings_to_check() {
    let (mock, folder) = (mock().await, empty_folder());
    mock.script(Script::bad_key(OPENROUTER_KEY));
    let arguments = ["--once", "--json", PROMPT];
    let ended = finish(&mut demo_with(&mock, folder.path(), &arguments)).await;
    ended.assert_failed(1);
    assert!(ended.stderr.contains("UPSTREAM_UNAVAILABLE"), "{ended:#?}");
    assert!(ended.stderr.contains("OPENROUTER_API_KEY"), "{ended:#?}");
    assert_eq!(names(folder.path()), ["data"], "no picture is written");
}

#[tokio::test]
async fn an_interrupted_demo_lets_its_picture_finish_and_fails() {
    let (mock, folder) = (mock().await, empty_folder());
    mock.script(Script::gated("slow"));
    let running = Running::start(&mut demo_with(&mock, folder.path(), &["--once", PROMPT]));
    mock.wait_at_gate("slow").await;
    running.signal("INT").await;
    mock.open_gate("slow");
    let ended = running.ended().await;
    ended.assert_failed(1);
    assert!(
        ended.stderr.contains("before the picture was there"),
        "{ended:#?}"
    );
    assert_eq!(mock.bill().len(), 1);
    assert_eq!(names(folder.path()), ["data"], "no picture is written");
}
