//! The files of TLS change while the gateway serves.

use std::fs;

use super::encrypted::{greet, served};
use super::{Served, until};
use crate::certificates::{Authority, Files};
use crate::helpers::{Story, request};
use image_gateway::mock::Script;

async fn has(served: &Served, line: &str) -> bool {
    let page = served.page("/metrics").await.1;
    page.lines().any(|it| it == line)
}

#[tokio::test]
async fn a_new_certificate_is_used_at_once_and_a_running_stream_goes_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::new(folder.path(), &old.sign());
    let served = served(&old, &files).await;
    let house = &served.house;
    house.mock.script(Script::gated("slow"));
    let events = house
        .images(&house.runtime)
        .generate_image(request("long"))
        .await
        .expect("taken")
        .into_inner();
    house.mock.wait_at_gate("slow").await;

    files.put(&new.sign());
    until("the new certificate", async || {
        greet(&served, new.trusted()).await.is_ok()
    })
    .await;
    greet(&served, old.trusted())
        .await
        .expect_err("not the old one");
    house.mock.open_gate("slow");
    let story = Story::read(events).await.expect("the whole picture");
    assert_eq!(story.charge().credits, "29.00");
    house.balance().await;
    served.close().await;
}

#[tokio::test]
async fn a_broken_file_keeps_the_old_certificate_and_is_told_once() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let pair = authority.sign();
    let files = Files::new(folder.path(), &pair);
    let served = served(&authority, &files).await;
    assert!(has(&served, "image_gateway_tls_files_refused 0").await);

    fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\nhalf a k").expect("a file");
    let refused = "image_gateway_tls_files_refused 1";
    until(refused, async || has(&served, refused).await).await;
    greet(&served, authority.trusted())
        .await
        .expect("the old one");

    let next = Authority::new();
    files.put(&next.sign());
    let mended = "image_gateway_tls_files_refused 0";
    until(mended, async || has(&served, mended).await).await;
    greet(&served, next.trusted()).await.expect("the new one");
    let ended = served.close().await;
    let told = ended.stderr.matches("the old TLS certificate stays in use");
    assert_eq!(told.count(), 1, "{ended:#?}");
    assert!(!ended.stderr.contains("half a k"), "{ended:#?}");
}
