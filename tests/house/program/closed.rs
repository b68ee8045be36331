//! Closed to others: what is kept on the disk, and what a client command sends.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::{Served, finish, program};
use crate::helpers::request;

#[tokio::test]
async fn nobody_else_on_the_machine_can_read_books_and_pictures() {
    let served = Served::start(&[]).await;
    let drawn = served.house.generate(request("kept")).await;
    drawn.expect("a picture");
    let folder = served.house.dir.path().to_owned();
    for name in ["gateway.sqlite3", "gateway.sqlite3-wal", "images"] {
        let path = folder.join(name);
        let mode = fs::metadata(&path).expect(name).permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
    }
    let (house, _) = served.stop().await;
    house.mock.stop().await;
}

#[tokio::test]
async fn a_client_sends_its_key_to_another_machine_encrypted_or_not_at_all() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // By a name that nobody has to resolve to this machine.
    let elsewhere = format!("gateway.invalid:{port}");
    for command in [&["keys", "list"][..], &["usage"], &["models"]] {
        let arguments = [command, &["--address", &elsewhere, "--json"]].concat();
        let mut client = program(&arguments);
        client.env("GATEWAY_KEY", "sq_live_of_nobody");
        let ended = finish(&mut client).await;
        ended.assert_failed(2);
        assert!(ended.stderr.contains("is not encrypted"), "{ended:#?}");
        assert!(ended.stderr.contains("--allow-plaintext"), "{ended:#?}");
    }
    // Who says so is believed, and fails only because nobody answers there.
    let mut client = program(&["keys", "list", "--address", &elsewhere, "--allow-plaintext"]);
    client.env("GATEWAY_KEY", "sq_live_of_nobody");
    let ended = finish(&mut client).await;
    ended.assert_failed(1);
    // Within this machine nothing has to be said.
    let mut client = program(&["keys", "list", "--address", &format!("localhost:{port}")]);
    client.env("GATEWAY_KEY", "sq_live_of_nobody");
    let asked = async {
        let (mut socket, _) = listener.accept().await.expect("a client");
        let mut preface = [0; 3];
        socket.read_exact(&mut preface).await.expect("HTTP/2");
        preface
    };
    let (preface, ended) = tokio::join!(asked, finish(&mut client));
    assert_eq!(&preface, b"PRI");
    ended.assert_failed(1);
}
