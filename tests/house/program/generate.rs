//! `generate` as its users meet it.

use std::net::SocketAddr;
use std::path::Path;

use image_gateway::mock::{Options, Script};
use image_gateway::proto;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_util::task::TaskTracker;

use super::{Running, Served, finish, program, until};
use crate::helpers::{AGENT, NANO};

/// Stands between a client and the gateway: the first connection breaks after so many bytes of the
/// answer, all later ones are let through.
async fn cutter(gateway: SocketAddr, after: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    TaskTracker::new().spawn(async move {
        let mut first = true;
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(gateway).await.expect("the gateway");
            let most = if std::mem::take(&mut first) {
                after
            } else {
                usize::MAX
            };
            TaskTracker::new().spawn(pass(client, server, most));
        }
    });
    address
}

async fn pass(client: TcpStream, server: TcpStream, most: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async { copy(&mut from_client, &mut to_server).await.map(drop) };
    let down = async {
        let mut left = most;
        let mut piece = vec![0; 16 * 1024];
        while left > 0 {
            let wanted = left.min(piece.len());
            let read = from_server.read(&mut piece[..wanted]).await?;
            if read == 0 {
                break;
            }
            to_client.write_all(&piece[..read]).await?;
            left = left.saturating_sub(read);
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::select! { _ = up => {}, _ = down => {} }
}

/// `generate` in a folder, with the key in the environment.
fn order(agent: &str, gateway: &str, key: &str, folder: &Path) -> Command {
    let mut command = program(&["generate", "x", "--agent", agent, "--address", gateway]);
    command.env("GATEWAY_KEY", key).current_dir(folder);
    command
}

#[tokio::test]
async fn a_picture_is_drawn_kept_and_told_what_it_cost() {
    let served = Served::start(&[]).await;
    let address = served.grpc.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let draw = |arguments: &[&str]| {
        let mut all = vec![
            "generate",
            "A red fox!",
            "--agent",
            AGENT,
            "--address",
            &address,
        ];
        all.extend(arguments);
        let mut command = program(&all);
        command
            .env("GATEWAY_KEY", &served.house.runtime)
            .current_dir(folder.path());
        command
    };
    let first = finish(&mut draw(&[])).await;
    assert_eq!(first.status, Some(0), "{first:#?}");
    first.assert_plain();
    assert!(
        first.stdout.contains("a-red-fox.png (1024 × 1024"),
        "{first:#?}"
    );
    assert!(
        first
            .stdout
            .contains("29.00 credits: 0.014 × 2000 + 1 = 29.00")
    );
    let picture = std::fs::read(folder.path().join("a-red-fox.png")).expect("a picture");
    assert!(picture.starts_with(b"\x89PNG"));

    // Folders on the way are made, as --help says.
    let deep = finish(&mut draw(&["--out", "not/there/fox.png"])).await;
    assert_eq!(deep.status, Some(0), "{deep:#?}");
    assert!(folder.path().join("not/there/fox.png").is_file());

    // Nothing is overwritten, and the same request gives the same bytes for the same charge.
    let named = finish(&mut draw(&["--request-id", "same", "--json"])).await;
    let json: Value = serde_json::from_str(&named.stdout).expect("JSON");
    assert_eq!(json["files"][0], "./a-red-fox-2.png");
    assert_eq!(json["generation"]["charge"]["credits"], "29.00");
    let again = finish(&mut draw(&["--request-id", "same", "--out", "again.png"])).await;
    assert_eq!(again.status, Some(0), "{again:#?}");
    let read = |name: &str| std::fs::read(folder.path().join(name)).expect(name);
    assert_eq!(read("again.png"), read("a-red-fox-2.png"));
    assert_eq!(served.house.balance().await.credits, "9913.00");
    served.house.tool(|tool| tool.model = NANO.to_owned()).await;
    let many = finish(&mut draw(&["--count", "2", "--out", "many"])).await;
    assert_eq!(many.status, Some(0), "{many:#?}");
    for name in ["many/a-red-fox-0.png", "many/a-red-fox-1.png"] {
        assert!(!read(name).is_empty());
    }
    served.close().await;
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_where_it_broke() {
    let options = Options {
        size_bytes: Some(600_000),
        ..Options::default()
    };
    let served = Served::with(options, &[]).await;
    let address = cutter(served.grpc, 250_000).await.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("fox.png");
    let name = out.to_string_lossy().into_owned();
    let draw = [
        "generate",
        "a fox",
        "--agent",
        AGENT,
        "--address",
        &address,
        "--out",
        &name,
        "--json",
    ];
    let mut draw = program(&draw);
    draw.env("GATEWAY_KEY", &served.house.runtime);
    let drawn = finish(&mut draw).await;
    assert_eq!(
        (drawn.status, drawn.stderr.as_str()),
        (Some(0), ""),
        "{drawn:#?}"
    );
    let json: Value = serde_json::from_str(&drawn.stdout).expect("JSON");
    let size = std::fs::metadata(&out).expect("a file").len();
    assert_eq!(
        json["generation"]["images"][0]["sizeBytes"],
        size.to_string()
    );
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 1, "a part was left behind");
    assert_eq!(served.house.sent(), 1);
    assert_eq!(served.house.balance().await.credits, "9971.00");
    served.close().await;
}

#[tokio::test]
async fn what_cannot_be_drawn_is_said_and_leaves_nothing_behind() {
    let served = Served::start(&[]).await;
    let address = served.grpc.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let draw = |agent, key, address| order(agent, address, key, folder.path());
    let key = served.house.runtime.clone();
    served
        .house
        .mock
        .script(Script::sample("err-403-moderation"));
    for (mut command, expected) in [
        (draw(AGENT, &key, &address), "CONTENT_REJECTED"),
        (draw("nobody", &key, &address), "AGENT_NOT_FOUND"),
        (draw(AGENT, "sq_live_wrong", &address), "UNAUTHENTICATED"),
        (draw(AGENT, &key, "127.0.0.1:1"), "is it running there?"),
    ] {
        let failed = finish(&mut command).await;
        failed.assert_failed(1);
        assert!(failed.stderr.contains(expected), "{expected}: {failed:#?}");
        assert!(!failed.stderr.contains("sq_live_"), "{failed:#?}");
    }
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0);
    served.close().await;
}

#[tokio::test]
async fn a_destination_that_cannot_be_written_is_told_before_anything_is_paid_for() {
    let served = Served::start(&[]).await;
    let address = served.grpc.to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keep.png");
    std::fs::write(&file, "mine").expect("a file");
    let (file, under) = (
        file.to_string_lossy().into_owned(),
        file.join("x.png").to_string_lossy().into_owned(),
    );
    let there = folder.path().to_string_lossy().into_owned();
    for (out, count, status) in [
        ("/proc/none/x.png", "1", 1),
        ("/dev/full", "1", 2),
        (under.as_str(), "1", 1),
        (file.as_str(), "2", 2),
        ("new.png", "2", 2),
    ] {
        let mut draw = order(AGENT, &address, &served.house.runtime, folder.path());
        let failed = finish(draw.args(["--out", out, "--count", count])).await;
        failed.assert_failed(status);
        assert!(
            failed.stderr.contains("nothing was asked for"),
            "{failed:#?}"
        );
    }
    for count in ["0", "5"] {
        let mut draw = order(AGENT, &address, &served.house.runtime, folder.path());
        finish(draw.args(["--count", count])).await.assert_failed(2);
    }
    let mut several = order(AGENT, &address, &served.house.runtime, folder.path());
    let several = finish(several.args(["--out", &file, "--count", "2"])).await;
    assert!(several.stderr.contains("need a folder"), "{several:#?}");
    let mut demo = program(&["demo", "--once", "--output", "/proc/none/x.png", "x"]);
    let failed = finish(demo.current_dir(&there)).await;
    failed.assert_failed(1);
    assert!(
        failed.stderr.contains("nothing was asked for"),
        "{failed:#?}"
    );
    let left = std::fs::read_dir(&there).expect("a folder").count();
    assert_eq!(left, 1, "a trace was left");
    assert_eq!(std::fs::read(&file).expect("a file"), b"mine");
    assert!(served.house.mock.requests().is_empty());
    assert_eq!(served.house.balance().await.credits, "10000.00");
    served.close().await;
}

#[tokio::test]
async fn a_gateway_that_gives_no_sign_is_waited_for_as_long_as_patience_lasts() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mut draw = order(AGENT, &address, "any", folder.path());
    draw.args(["--patience", "2s", "--request-id", "mine"]);
    let failed = finish(&mut draw).await;
    failed.assert_failed(1);
    assert!(failed.stderr.contains("if the call arrived"), "{failed:#?}");
    assert!(failed.stderr.contains("--request-id mine"), "{failed:#?}");
}

#[tokio::test]
async fn who_interrupts_is_told_whether_anything_is_charged() {
    let served = Served::start(&[]).await;
    served.house.mock.script(Script::gated("slow"));
    let folder = tempfile::tempdir().expect("a folder");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let nobody = silent.local_addr().expect("an address").to_string();
    let gateway = served.grpc.to_string();
    let draw = |address: &str| {
        let mut draw = order(AGENT, address, &served.house.runtime, folder.path());
        Running::start(draw.args(["--request-id", "mine"]))
    };
    let asking = draw(&nobody);
    // Its first bytes are there: it has sent what it had to send.
    let (mut heard, _) = silent.accept().await.expect("a call");
    heard.read_u8().await.expect("a byte");
    asking.signal("INT").await;
    let unknown = asking.ended().await;
    unknown.assert_failed(1);
    assert!(
        !unknown.stderr.contains("the generation goes on"),
        "{unknown:#?}"
    );

    let drawing = draw(&gateway);
    served.house.mock.wait_at_gate("slow").await;
    drawing.signal("INT").await;
    let accepted = drawing.ended().await;
    accepted.assert_failed(1);
    assert!(
        accepted.stderr.contains("--request-id mine"),
        "{accepted:#?}"
    );
    served.house.mock.open_gate("slow");

    let mut again = order(AGENT, &gateway, &served.house.runtime, folder.path());
    let again = finish(again.args(["--request-id", "mine", "--out", "fox.png"])).await;
    assert_eq!(again.status, Some(0), "{again:#?}");
    assert_eq!(served.house.sent(), 1);
    assert_eq!(served.house.balance().await.credits, "9971.00");
    served.close().await;
}

#[tokio::test]
async fn a_named_file_of_a_key_goes_before_the_environment_and_a_web_page_is_no_gateway() {
    let served = Served::start(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), &served.house.runtime).expect("a file");
    let draw = |address: String, key| order(AGENT, &address, key, folder.path());
    let mut named = draw(served.grpc.to_string(), "sq_live_another");
    let named = finish(named.args(["--key-file", "key"])).await;
    assert_eq!(named.status, Some(0), "{named:#?}");

    let empty = finish(&mut draw(served.grpc.to_string(), "")).await;
    empty.assert_failed(2);
    assert!(empty.stderr.contains("no key was given"), "{empty:#?}");

    let mut page = draw(served.http.to_string(), &served.house.runtime);
    let page = finish(page.args(["--patience", "5s"])).await;
    page.assert_failed(1);
    assert!(page.stderr.contains("gRPC door"), "{page:#?}");
    served.close().await;
}

#[tokio::test]
async fn who_is_told_of_a_gateway_that_was_killed_is_told_what_the_books_say() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let settings = [("LISTEN_ADDR", address.as_str())];
    let served = Served::start(&settings).await;
    // After the headers, so that the next process knows whom to ask for.
    served.house.mock.script(Script::gated_at("slow", 10));
    let folder = tempfile::tempdir().expect("a folder");
    let mut draw = order(AGENT, &address, &served.house.runtime, folder.path());
    let drawing = Running::start(draw.args(["--request-id", "mine"]));
    served.house.mock.wait_at_gate("slow").await;
    until("streaming", async || {
        served.house.generation("mine").await.stage() == proto::Stage::Streaming
    })
    .await;
    let Served { house, running, .. } = served;
    running.signal("KILL").await;
    running.ended().await;
    house.mock.open_gate("slow");
    let served = Served::again(house, &settings).await;

    let told = drawing.ended().await;
    told.assert_failed(1);
    assert!(told.stderr.contains("nothing was charged"), "{told:#?}");
    assert!(told.stderr.contains("have ended it"), "{told:#?}");
    assert!(!told.stderr.contains("goes on"), "{told:#?}");
    assert_eq!(served.house.balance().await.credits, "10000.00");
    served.close().await;
}
