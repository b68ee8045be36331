//! Organizations' own OpenRouter keys: one at a time, nothing left of those before, and what the
//! database refuses whatever the program does.

use super::*;
use crate::domain::ids::OpenRouterKeyId;
use crate::domain::openrouter_key::{KeyStatus, Sealed};
use crate::domain::trail::{Action, Change, Deed};
use crate::ports::{KeyNote, OpenRouterKey, OpenRouterKeys, SettingsError};
use crate::store::sqlite::Replacing;

fn key(organization_id: &str, byte: u8) -> OpenRouterKey {
    OpenRouterKey {
        id: OpenRouterKeyId::from_uuid(uuid::Uuid::from_bytes([byte; 16])),
        organization: organization(organization_id),
        fingerprint: format!("{byte:02x}").repeat(8),
        masked: "sk-or-v1-…c0de".to_owned(),
        sealed: Sealed {
            kek: [1; 8],
            wrapped: vec![byte; 72],
            sealed: vec![byte; 100],
        },
        refusals: 0,
        created: crate::clock::now(),
        checked: crate::clock::now(),
    }
}

#[tokio::test]
async fn an_organization_has_one_key_at_a_time_and_of_those_before_nothing_can_be_opened() {
    let books = Books::open(100).await;
    let (sqlite, acme) = (&books.sqlite, organization("acme"));
    assert_eq!(sqlite.openrouter_key(&acme).await.expect("a look"), None);
    for byte in [1, 2] {
        let key = key("acme", byte);
        sqlite
            .set_openrouter_key(key.clone(), operator())
            .await
            .expect("set");
        let kept = sqlite.openrouter_key(&acme).await.expect("a look");
        assert_eq!(kept, Some(key));
    }
    let left =
        "SELECT count(*) FROM openrouter_key WHERE wrapped IS NOT NULL OR sealed IS NOT NULL";
    let left = |raw: &rusqlite::Connection| -> i64 {
        raw.query_row(left, [], |row| row.get(0)).expect("a count")
    };
    assert_eq!(left(&books.raw()), 1);
    for there in [true, false] {
        let deleted = sqlite.delete_openrouter_key(&acme, operator()).await;
        assert_eq!(deleted.expect("deleted"), there);
        assert_eq!(left(&books.raw()), 0);
    }
    let nobodys = sqlite
        .set_openrouter_key(key("nobody", 3), operator())
        .await;
    assert!(matches!(nobodys, Err(SettingsError::NoOrganization)));
    books.audited().await;
}

#[tokio::test]
async fn refusals_are_counted_until_the_key_is_taken_again_or_gone() {
    let books = Books::open(100).await;
    let (sqlite, key) = (&books.sqlite, key("acme", 1));
    sqlite
        .set_openrouter_key(key.clone(), operator())
        .await
        .expect("set");
    let at = |seconds: i64| key.created + jiff::SignedDuration::from_secs(seconds);
    let taken = |since| KeyNote::Taken { since };
    for (seconds, note, expected) in [
        (10, KeyNote::Refused, KeyStatus::Active),
        // The same moment, however many pictures are asked for in it.
        (14, KeyNote::Refused, KeyStatus::Active),
        (20, taken(at(11)), KeyStatus::Active),
        (30, KeyNote::Refused, KeyStatus::Active),
        (40, KeyNote::Refused, KeyStatus::Invalid),
        (50, KeyNote::Refused, KeyStatus::Invalid),
        // What began before the last refusal says nothing about what came then.
        (60, taken(at(49)), KeyStatus::Invalid),
        (70, taken(at(51)), KeyStatus::Active),
    ] {
        let status = sqlite.note_openrouter_key(key.id, note, at(seconds)).await;
        assert_eq!(status.expect("noted"), Some(expected), "after {seconds} s");
    }
    let trail = books.trail("acme").await;
    let told: Vec<_> = trail[..2]
        .iter()
        .map(|entry| {
            let change = &entry.deed.changes[0];
            assert_eq!(entry.deed.action, Action::OpenrouterKeyStatusChanged);
            assert_eq!(change.field, "openrouter_key_status");
            (
                entry.by.clone(),
                change.old.as_deref(),
                change.new.as_deref(),
            )
        })
        .collect();
    let noted = |seconds| By {
        actor: Actor::Gateway,
        at: at(seconds),
    };
    assert_eq!(
        told,
        [
            (noted(70), Some("invalid"), Some("active")),
            (noted(40), Some("active"), Some("invalid")),
        ]
    );
    assert_eq!(trail[2].deed.action, Action::OpenrouterKeySet);
    let deleted = sqlite
        .delete_openrouter_key(&key.organization, operator())
        .await;
    assert!(deleted.expect("deleted"));
    let late = sqlite
        .note_openrouter_key(key.id, KeyNote::Refused, at(80))
        .await;
    assert_eq!(late.expect("nothing to note"), None);
    books.audited().await;
}

#[tokio::test]
async fn the_database_keeps_one_key_for_each_and_ends_it_once() {
    let books = Books::open(100).await;
    for id in ["other", "bare"] {
        books.organization(id).await;
    }
    books
        .sqlite
        .set_openrouter_key(key("acme", 1), operator())
        .await
        .expect("set");
    let raw = books.raw();
    let row = |organization: &str, kek: &str, wrapped: &str, ended: &str| {
        format!(
            "INSERT INTO openrouter_key VALUES (randomblob(16), '{organization}', '0123456789abcdef', '…c0de',
               {kek}, {wrapped}, zeroblob(100), 0, 5, 5, {ended})"
        )
    };
    let good = row("other", "zeroblob(8)", "zeroblob(72)", "NULL");
    raw.execute_batch(&good).expect("a good one is taken");
    for sql in [
        good,
        row("acme", "zeroblob(8)", "zeroblob(72)", "NULL"),
        row("nobody", "zeroblob(8)", "zeroblob(72)", "NULL"),
        row("bare", "NULL", "zeroblob(72)", "NULL"),
        row("bare", "zeroblob(8)", "NULL", "NULL"),
        row("bare", "zeroblob(8)", "zeroblob(71)", "NULL"),
        row("bare", "zeroblob(8)", "zeroblob(72)", "6"),
        "UPDATE openrouter_key SET refusals = 3".to_owned(),
        "UPDATE openrouter_key SET fingerprint = 'fedcba9876543210'".to_owned(),
        "UPDATE openrouter_key SET organization = 'bare' WHERE organization = 'other'".to_owned(),
        "UPDATE openrouter_key SET ended_us = 6".to_owned(),
        "UPDATE openrouter_key SET ended_us = 4, kek = NULL, wrapped = NULL, sealed = NULL WHERE organization = 'other'".to_owned(),
        "DELETE FROM openrouter_key".to_owned(),
        "INSERT INTO pepper VALUES (zeroblob(8), zeroblob(8), zeroblob(72), zeroblob(71))".to_owned(),
    ] {
        assert!(raw.execute_batch(&sql).is_err(), "taken: {sql}");
    }
    let end = "UPDATE openrouter_key SET ended_us = 6, kek = NULL, wrapped = NULL, sealed = NULL WHERE organization = 'other'";
    raw.execute_batch(end).expect("it ends once");
    assert!(raw.execute_batch(end).is_err(), "it ends twice");
}

#[tokio::test]
async fn everything_is_sealed_anew_or_nothing() {
    let books = Books::open(100).await;
    books.organization("other").await;
    let sqlite = &books.sqlite;
    for (name, byte) in [("acme", 1), ("other", 2)] {
        let set = sqlite.set_openrouter_key(key(name, byte), operator());
        set.await.expect("set");
    }
    let anew = |sealed: &Sealed| Sealed {
        kek: [9; 8],
        ..sealed.clone()
    };
    let pepper = || {
        let sealed = Sealed {
            kek: [9; 8],
            wrapped: vec![0; 72],
            sealed: vec![0; 72],
        };
        ([7; 8], sealed)
    };
    let replacing = || Replacing {
        old: [1; 8],
        pepper: pepper(),
        by: operator(),
    };
    let mut seen = 0;
    let broken = sqlite
        .hand_over(replacing(), move |_, sealed| {
            seen += 1;
            if seen % 2 == 0 {
                Err(std::io::Error::other("does not open"))
            } else {
                Ok(anew(sealed))
            }
        })
        .await;
    assert!(broken.is_err());
    assert_eq!(sqlite.key_encryption_keys().expect("names"), [[1; 8]]);
    assert!(sqlite.peppers().expect("a look").is_empty());
    let untold = books.platform_trail().await;
    let done = sqlite
        .hand_over(replacing(), move |_, sealed| {
            Ok::<_, std::io::Error>(anew(sealed))
        })
        .await;
    let done = done.expect("all of it");
    assert_eq!((done.openrouter_keys, done.peppers), (2, 1));
    assert_eq!(sqlite.key_encryption_keys().expect("names"), [[9; 8]]);
    assert_eq!(sqlite.peppers().expect("a look"), [pepper()]);
    let told = books.platform_trail().await;
    assert_eq!(told[1..], untold, "what failed is told of nowhere");
    let replaced = Deed {
        action: Action::EncryptionKeyReplaced,
        subject: "key-encryption-key".to_owned(),
        changes: vec![Change {
            field: "key_encryption_key".to_owned(),
            old: Some("01".repeat(8)),
            new: Some("09".repeat(8)),
        }],
    };
    assert_eq!((&told[0].deed, &told[0].by), (&replaced, &operator()));
    books.audited().await;
}
