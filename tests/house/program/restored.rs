//! An older copy of the data is put back: who kept the heads of the books is told, and nobody is
//! charged for what the books have forgotten.

use std::fs;
use std::path::Path;

use image_gateway::crash;
use rusqlite::Connection;
use serde_json::Value;

use super::{Ended, Served, finish, program, reconciled};
use crate::calendar::away_from_midnight;
use crate::helpers::{House, request};
use crate::prices::sync;

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy");
        }
    }
}

/// Puts a copy in the place of what is there.
fn put_back(kept: &Path, folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            fs::remove_dir_all(&path).expect("gone");
        } else {
            fs::remove_file(&path).expect("gone");
        }
    }
    copy(kept, folder);
}

async fn heads(house: &House, arguments: &[&str]) -> Ended {
    let folder = house.dir.path().to_string_lossy().into_owned();
    let mut all = vec!["audit", "--data-dir", folder.as_str()];
    all.extend(arguments);
    finish(&mut program(&all)).await
}

/// What is not as the heads say: chain, place, last row, in what way.
async fn broken(house: &House, file: &str) -> Vec<(String, u64, Option<u64>, String)> {
    let told = heads(house, &["--check-heads", file, "--json"]).await;
    assert_eq!(told.status, Some(1), "{told:#?}");
    assert!(
        told.stderr.contains("have not all that they had"),
        "{told:#?}"
    );
    let report: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(report["organizations"], 1);
    let broken = report["broken"].as_array().expect("a list").iter();
    broken
        .map(|one| {
            assert_eq!(one["organization"], "acme");
            let text = |name: &str| one[name].as_str().expect("a text").to_owned();
            let kept = one["kept"].as_u64().expect("a place");
            (text("chain"), kept, one["last"].as_u64(), text("what"))
        })
        .collect()
}

/// A gateway that made one picture and died with the hold of another; no first byte had left.
async fn left_with_a_hold() -> House {
    let served = Served::start(&[]).await;
    let made = served.house.generate(request("before")).await;
    made.expect("a picture");
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    let served = Served::again(house, &[(crash::VARIABLE, "after:hold")]).await;
    let lost = served.house.generate(request("lost")).await;
    lost.expect_err("it died");
    let Served { house, running, .. } = served;
    assert_eq!(running.ended().await.status, None, "killed");
    house
}

#[tokio::test]
async fn an_older_copy_that_is_put_back_is_told_by_heads_that_were_kept() {
    away_from_midnight().await;
    let house = left_with_a_hold().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (kept, file) = (
        elsewhere.path().join("kept"),
        elsewhere.path().join("heads"),
    );
    let file = file.to_string_lossy().into_owned();
    copy(house.dir.path(), &kept);

    let served = Served::again(house, &[]).await;
    let after = served.house.generate(request("after")).await;
    let after = after.expect("a picture");
    // Also from under a gateway that runs.
    let written = heads(&served.house, &["--write-heads", &file]).await;
    assert_eq!((written.status, written.stdout.as_str()), (Some(0), ""));
    let (house, _) = served.stop().await;
    let whole = heads(&house, &["--check-heads", &file]).await;
    assert_eq!((whole.status, whole.stderr.as_str()), (Some(0), ""));
    assert!(whole.stdout.contains("all that was there"), "{whole:#?}");

    put_back(&kept, house.dir.path());
    // Genesis, the credits, and one charge of two.
    let rolled_back = ("ledger".to_owned(), 3, Some(2), "rolled back".to_owned());
    assert_eq!(broken(&house, &file).await, [rolled_back]);

    let served = Served::again(house, &[]).await;
    let lost = served.house.ended("lost").await;
    assert_eq!(lost.error.expect("an error").reason, "INTERNAL");
    assert_eq!(served.house.balance().await.credits, "9971.00");
    let again = served.house.generate(request("after")).await;
    let again = again.expect("another picture");
    assert!(!again.completed.replayed, "it was forgotten");
    assert_ne!(again.completed.id, after.completed.id);
    let before = served.house.generate(request("before")).await;
    assert!(before.expect("the picture").completed.replayed);
    let balance = served.house.balance().await;
    assert_eq!(
        (balance.credits, balance.held),
        ("9942.00".to_owned(), "0.00".to_owned())
    );
    assert_eq!(served.house.sent(), 3, "sent upstream");
    // The books are as long as they were, and go on from elsewhere.
    let rewritten = ("ledger".to_owned(), 3, None, "rewritten".to_owned());
    assert_eq!(broken(&served.house, &file).await, [rewritten]);
    itemised(&served.house, &after.completed.id).await;
    served.close().await;
}

/// What was billed for the forgotten picture is told, with the generation it was made for.
async fn itemised(house: &House, generation: &str) {
    let (status, report) = reconciled(house).await;
    assert_eq!(status, Some(1), "{report}");
    assert_eq!(report["periods"][3]["difference"], "0.014", "{report}");
    let calls = report["calls"].as_array().expect("a list");
    assert_eq!(calls.len(), 1, "{report}");
    assert_eq!(
        (
            &calls[0]["generation"],
            &calls[0]["ours"],
            &calls[0]["theirs"]
        ),
        (&generation.into(), &Value::Null, &"0.014".into())
    );
}

#[tokio::test]
async fn the_platforms_trail_is_among_the_heads() {
    let served = Served::start(&[]).await;
    let (house, _) = served.stop().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (kept, file) = (
        elsewhere.path().join("kept"),
        elsewhere.path().join("heads"),
    );
    let file = file.to_string_lossy().into_owned();
    copy(house.dir.path(), &kept);
    let served = Served::again(house, &[]).await;
    sync(&served.house).await.expect("a list");
    let (house, _) = served.stop().await;
    let written = heads(&house, &["--write-heads", &file]).await;
    assert!(
        written.stderr.contains("heads of 1 organization"),
        "{written:#?}"
    );
    let whole = heads(&house, &["--check-heads", &file]).await;
    assert_eq!(whole.status, Some(0), "{whole:#?}");
    assert!(whole.stdout.starts_with("1 organization"), "{whole:#?}");

    put_back(&kept, house.dir.path());
    let told = heads(&house, &["--check-heads", &file]).await;
    assert_eq!(told.status, Some(1), "{told:#?}");
    let expected = "the platform: audit trail rolled back, from row 2 to row 1";
    assert!(told.stdout.contains(expected), "{told:#?}");
    let told = heads(&house, &["--check-heads", &file, "--json"]).await;
    let report: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let expected = serde_json::json!([{
        "organization": null, "chain": "audit trail", "kept": 2, "last": 1, "what": "rolled back"
    }]);
    assert_eq!(report["broken"], expected, "{report}");
    house.mock.stop().await;
}

#[tokio::test]
async fn heads_that_cannot_be_read_or_are_of_nobody_prove_nothing() {
    let served = Served::start(&[]).await;
    let (house, _) = served.stop().await;
    let file = house.dir.path().join("heads");
    let name = file.to_string_lossy().into_owned();
    let half = r#"{"organization":"acme","trail":{"sequence":7,"hash":"00"}}"#;
    for text in ["", "no heads\n", "{}\n", half] {
        fs::write(&file, text).expect("a file");
        let told = heads(&house, &["--check-heads", &name]).await;
        told.assert_failed(1);
        assert!(told.stderr.contains("--write-heads"), "{text:?}: {told:#?}");
    }
    let head = r#"{"sequence":7,"hash":"00"}"#;
    let stranger = format!(r#"{{"organization":"stranger","ledger":{head},"trail":{head}}}"#);
    fs::write(&file, stranger).expect("a file");
    let told = heads(&house, &["--check-heads", &name]).await;
    assert_eq!(told.status, Some(1));
    assert_eq!(told.stdout.matches("not there").count(), 2, "{told:#?}");
    let nowhere = heads(&house, &["--write-heads", "/nowhere/at/all"]).await;
    nowhere.assert_failed(1);
    house.mock.stop().await;
}

#[tokio::test]
async fn heads_without_an_organization_or_its_chains_are_not_taken_for_whole() {
    let (house, _) = Served::start(&[]).await.stop().await;
    let file = house.dir.path().join("heads");
    let name = file.to_string_lossy().into_owned();
    let written = heads(&house, &["--write-heads", &name]).await;
    assert_eq!(written.status, Some(0), "{written:#?}");
    let whole = fs::read_to_string(&file).expect("heads");
    let platform = whole.lines().next().expect("the platform's");
    fs::write(&file, format!("{platform}\n")).expect("a file");
    let told = heads(&house, &["--check-heads", &name]).await;
    assert_eq!(told.status, Some(0), "{told:#?}");
    let expected = "the platform alone: the books have all that was there";
    assert_eq!(told.stdout.trim(), expected);

    let hand = Connection::open(house.database()).expect("the books");
    let free = "PRAGMA foreign_keys = OFF; DROP TRIGGER audit_kept";
    hand.execute_batch(free).expect("nothing holds it back");
    let of_acme = "
      CREATE TABLE kept AS SELECT * FROM audit_entry WHERE trail = 'acme'; DELETE FROM audit_entry WHERE trail = 'acme'";
    // The organization's is back, and the platform's is gone.
    let of_all = "
      INSERT INTO audit_entry SELECT trail, seq, prev_seq, action, actor_kind, actor, actor_prefix, subject, changes,
        at_us, prev_hash, hash FROM kept; DELETE FROM audit_entry WHERE trail = ''";
    for (gone, named) in [
        (of_acme, "there is no audit trail of acme"),
        (of_all, "there is no audit trail of the platform"),
    ] {
        hand.execute_batch(gone).expect(gone);
        let refused = heads(&house, &["--write-heads", &name]).await;
        refused.assert_failed(1);
        assert!(refused.stderr.contains(named), "{refused:#?}");
        let kept = fs::read_to_string(&file).expect("heads");
        assert_eq!(kept.lines().count(), 1, "what was kept stays");
    }
    house.mock.stop().await;
}
