//! The key-encryption key and what it leaves on the disk: other books than its own are not served,
//! and what has ended is in no file.

use std::fs;
use std::path::{Path, PathBuf};

use image_gateway::proto;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::{Ended, Served, finish, program, serve};
use crate::helpers::{House, OPERATOR_KEY, request};

pub(super) const OWN_KEY: &str = "sk-or-v1-0123456789abcdef0123456789abcdef-c0de";
pub(super) const OTHER_KEY: &str = "sk-or-v1-fedcba9876543210fedcba9876543210-beef";

pub(super) fn key_file(house: &House) -> PathBuf {
    house.dir.path().join("key-encryption-key")
}

/// The files in the data folder that are named like a key.
fn key_files(house: &House) -> Vec<String> {
    let folder = fs::read_dir(house.dir.path()).expect("a folder");
    let names = folder.map(|entry| entry.expect("an entry").file_name().into_string());
    let names = names.map(|name| name.expect("a name"));
    names
        .filter(|name| name.starts_with("key-encryption-key"))
        .collect()
}

pub(super) async fn replace(house: &House, arguments: &[&str]) -> Ended {
    let folder = house.dir.path().to_str().expect("a path");
    let mut all = vec!["keys", "replace-encryption", "--data-dir", folder];
    all.extend(arguments);
    finish(&mut program(&all)).await
}

/// What is sealed in the books, each value by itself.
pub(super) fn sealed(house: &House) -> Vec<Vec<u8>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let books = Connection::open_with_flags(house.database(), flags).expect("the books");
    let sql = "
      SELECT wrapped FROM openrouter_key WHERE ended_us IS NULL
       UNION ALL SELECT sealed FROM openrouter_key WHERE ended_us IS NULL
       UNION ALL SELECT wrapped FROM pepper";
    let mut statement = books.prepare(sql).expect("a statement");
    let values = statement.query_map([], |row| row.get(0)).expect("rows");
    values.collect::<Result<_, _>>().expect("values")
}

/// The files of the books that hold these bytes.
fn files_with(house: &House, bytes: &[u8]) -> Vec<PathBuf> {
    let holds = |path: &Path| {
        let text = fs::read(path).expect("a file");
        text.windows(bytes.len()).any(|window| window == bytes)
    };
    let folder = fs::read_dir(house.dir.path()).expect("a folder");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file() && holds(path)).collect()
}

#[tokio::test]
async fn books_are_served_with_no_other_key_than_theirs_and_none_is_made_for_them() {
    // Nothing is sealed: only the hashes of API keys tell whose the books are.
    let (house, _) = Served::start(&[]).await.stop().await;
    let file = key_file(&house);
    let key = fs::read_to_string(&file).expect("a key");
    let other = "5e".repeat(32);
    let wrong = finish(&mut serve(&house, &[("KEY_ENCRYPTION_KEY", &other)])).await;
    wrong.assert_failed(1);
    assert!(wrong.stderr.contains("another key"), "{wrong:#?}");
    fs::write(&file, &other).expect("another key");
    let wrong = finish(&mut serve(&house, &[])).await;
    wrong.assert_failed(1);
    assert!(wrong.stderr.contains("another key"), "{wrong:#?}");

    fs::remove_file(&file).expect("gone");
    let missing = finish(&mut serve(&house, &[])).await;
    missing.assert_failed(1);
    assert!(missing.stderr.contains("restore it"), "{missing:#?}");
    let missing = replace(&house, &[]).await;
    missing.assert_failed(1);
    assert!(missing.stderr.contains("restore it"), "{missing:#?}");
    assert!(key_files(&house).is_empty(), "{:?}", key_files(&house));

    let given = [("KEY_ENCRYPTION_KEY", key.trim())];
    let served = Served::again(house, &given).await;
    let story = served.house.generate(request("given")).await;
    story.expect("a picture");
    let (house, _) = served.stop().await;
    assert!(key_files(&house).is_empty(), "{:?}", key_files(&house));
    fs::write(&file, &key).expect("restored");
    let served = Served::again(house, &[]).await;
    let story = served.house.generate(request("restored")).await;
    story.expect("a picture");
    served.close().await;
}

#[tokio::test]
async fn of_a_replaced_key_no_file_keeps_what_it_sealed() {
    let served = Served::start(&[]).await;
    let set = served.house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    let (house, _) = served.stop().await;
    // The second replacement seals a pepper anew, too.
    for _ in 0..2 {
        let before = sealed(&house);
        for value in &before {
            assert_eq!(files_with(&house, value), [house.database()]);
        }
        let done = replace(&house, &[]).await;
        assert_eq!(done.status, Some(0), "{done:#?}");
        let after = sealed(&house);
        for old in before.iter().filter(|value| !after.contains(value)) {
            assert!(files_with(&house, old).is_empty(), "{before:?} {after:?}");
        }
        let kept = before.iter().filter(|value| after.contains(value)).count();
        assert_eq!(kept, 1, "the data key is wrapped anew, what it seals stays");
    }
    house.mock.stop().await;
}

#[tokio::test]
async fn of_a_key_that_has_ended_no_file_keeps_anything_after_a_clean_stop() {
    let served = Served::start(&[]).await;
    let house = &served.house;
    let mut seen = Vec::new();
    for key in [OWN_KEY, OTHER_KEY] {
        let set = house.set_openrouter_key(OPERATOR_KEY, key).await;
        set.expect("set");
        seen.extend(sealed(house));
    }
    assert_eq!(seen.len(), 4);
    for value in &seen {
        assert!(!files_with(house, value).is_empty(), "it is looked for");
    }
    let request = proto::DeleteOpenRouterKeyRequest {
        organization_id: "acme".to_owned(),
    };
    let mut organizations = house.organizations(OPERATOR_KEY);
    let deleted = organizations.delete_open_router_key(request).await;
    deleted.expect("deleted");
    let (house, ended) = served.stop().await;
    assert_eq!(ended.status, Some(0), "{ended:#?}");
    for value in &seen {
        let files = files_with(&house, value);
        assert!(files.is_empty(), "{files:?}");
    }
    house.mock.stop().await;
}

#[tokio::test]
async fn a_key_that_was_in_use_before_may_come_back_and_the_one_in_use_may_not() {
    let (house, _) = Served::start(&[]).await.stop().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let [one, two] = ["0a", "0b"].map(|byte| {
        let path = elsewhere.path().join(byte);
        fs::write(&path, byte.repeat(32)).expect("a key");
        path.to_string_lossy().into_owned()
    });
    let first = replace(&house, &["--new-key-file", &one]).await;
    assert_eq!(first.status, Some(0), "{first:#?}");
    let to = async |from: &str, to: &str| {
        let files = ["--key-encryption-key-file", from, "--new-key-file", to];
        replace(&house, &[&files[..], &["--json"]].concat()).await
    };
    let same = to(&one, &one).await;
    same.assert_failed(1);
    assert!(same.stderr.contains("the one in use"), "{same:#?}");
    // The pepper of the folder's key, and those of the two: each once.
    for (from, next, peppers) in [(&one, &two, 2), (&two, &one, 3), (&one, &two, 3)] {
        let done = to(from, next).await;
        assert_eq!(done.status, Some(0), "{done:#?}");
        let told: Value = serde_json::from_str(&done.stdout).expect("JSON");
        assert_eq!(told["peppers"], peppers, "{told}");
    }
    let served = Served::again(house, &[("KEY_ENCRYPTION_KEY_FILE", &two)]).await;
    let story = served.house.generate(request("after")).await;
    story.expect("a picture");
    // Each replacement is told to all, once, by the names of the keys; the one that failed is not.
    let trail = served.house.platform_trail().await;
    let replaced: Vec<_> = trail
        .iter()
        .filter(|entry| entry.action() == proto::AuditAction::EncryptionKeyReplaced)
        .map(|entry| {
            assert_eq!(entry.actor, "operator");
            let change = &entry.changes[0];
            (change.old_value().to_owned(), change.new_value().to_owned())
        })
        .collect();
    let [first, second, third, fourth] = &replaced[..] else {
        panic!("{trail:#?}");
    };
    assert_eq!(
        [&first.1, &second.1, &third.1],
        [&second.0, &third.0, &fourth.0]
    );
    assert_eq!((&second.0, &fourth.1), (&third.1, &second.1));
    // The operator's key is still the same, though what it is named by is not.
    let operators = trail
        .iter()
        .filter(|entry| entry.action() == proto::AuditAction::OperatorKeyChanged);
    assert_eq!(operators.count(), 1, "{trail:#?}");
    let shown = format!("{trail:?}");
    assert!(!shown.contains(&"0a".repeat(8)) && !shown.contains(&"0b".repeat(8)));
    served.close().await;
}

#[tokio::test]
async fn a_replacement_that_fails_leaves_the_key_of_before_and_no_other() {
    let served = Served::start(&[]).await;
    let set = served.house.set_openrouter_key(OPERATOR_KEY, OWN_KEY).await;
    set.expect("set");
    let (house, _) = served.stop().await;
    let before = fs::read_to_string(key_file(&house)).expect("a key");
    let hand = Connection::open(house.database()).expect("the books");
    let damage = "UPDATE openrouter_key SET wrapped = zeroblob(72)";
    assert_eq!(hand.execute(damage, []).expect("damaged"), 1);
    drop(hand);
    let failed = replace(&house, &[]).await;
    failed.assert_failed(1);
    assert_eq!(key_files(&house), ["key-encryption-key"]);
    let after = fs::read_to_string(key_file(&house)).expect("a key");
    assert_eq!(after, before);
    let served = Served::again(house, &[]).await;
    let asked = served.house.ask(&served.house.runtime).await;
    asked.expect("API keys go on");
    served.close().await;
}

#[tokio::test]
async fn a_key_that_waits_for_a_replacement_that_never_was_is_gone_with_the_next_start() {
    let (mut house, _) = Served::start(&[]).await.stop().await;
    let before = fs::read_to_string(key_file(&house)).expect("a key");
    let waiting = house.dir.path().join("key-encryption-key.next");
    // Killed after the new key was written, or while it was.
    for left in ["5e".repeat(32), "5e".repeat(7), String::new()] {
        fs::write(&waiting, left).expect("a key that waits");
        let served = Served::again(house, &[]).await;
        assert_eq!(key_files(&served.house), ["key-encryption-key"]);
        let asked = served.house.ask(&served.house.runtime).await;
        asked.expect("API keys go on");
        house = served.stop().await.0;
    }
    let after = fs::read_to_string(key_file(&house)).expect("a key");
    assert_eq!(after, before);
    // A start that fails removes nothing: the key that waits may be the one that is looked for.
    fs::write(&waiting, "5e".repeat(32)).expect("a key that waits");
    let other = "0a".repeat(32);
    let wrong = finish(&mut serve(&house, &[("KEY_ENCRYPTION_KEY", &other)])).await;
    wrong.assert_failed(1);
    assert_eq!(key_files(&house).len(), 2);
    house.mock.stop().await;
}
