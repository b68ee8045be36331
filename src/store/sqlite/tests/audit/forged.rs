//! Entries that a hand adds to a trail, each with the right hash: what cannot be true is found.

use rusqlite::params;

use super::*;
use crate::store::sqlite::chain::{TRAIL, hash};

/// Entries that a hand adds at the end of a trail, with right hashes, and moves the row after them: the
/// question, the trail, the deed, its subject, its changes, and what is done to the row. `$key` is the
/// only API key.
const IMPOSSIBLE: &[[&str; 6]] = &[
    [
        "A3",
        "acme",
        "api_key_created",
        "$key",
        r#"[{"field":"name","new":"key"},{"field":"role","old":"admin","new":"owner"}]"#,
        "UPDATE api_key SET role = 'owner'",
    ],
    [
        "A4",
        "acme",
        "api_key_revoked",
        "$key",
        r#"[{"field":"revoke_time","old":"1970-01-02T00:00:00Z"}]"#,
        "UPDATE api_key SET revoked_us = NULL",
    ],
    [
        "A4",
        "acme",
        "api_key_revoked",
        "$key",
        r#"[{"field":"revoke_time","old":"1970-01-02T00:00:00Z","new":"1970-01-03T00:00:00Z"}]"#,
        "UPDATE api_key SET revoked_us = revoked_us + 86400000000",
    ],
    ["A5", "acme", "credits_added", "gift", "[]", ""],
    [
        "A6",
        "",
        "organization_created",
        "acme",
        r#"[{"field":"name","old":"acme","new":"Acne"}]"#,
        "",
    ],
];

/// Adds an entry to the end of a trail, as the program would: of the key with this id and prefix, or of
/// the operator.
fn forge(
    raw: &rusqlite::Connection,
    whose: &str,
    by: Option<(Uuid, &str)>,
    [action, subject, changes]: [&str; 3],
) {
    let last = "SELECT seq, hash FROM audit_entry WHERE trail = ?1 ORDER BY seq DESC LIMIT 1";
    let last = raw.query_row(last, [whose], |row| Ok((row.get(0)?, row.get(1)?)));
    let (before, head): (i64, [u8; 32]) = last.expect("a head");
    let seq = before + 1;
    let (kind, prefix) = by.map_or(("operator", None), |(_, prefix)| ("key", Some(prefix)));
    let id = by.map(|(id, _)| id);
    let parts = [
        whose,
        &seq.to_string(),
        action,
        kind,
        &id.map(|id| id.to_string()).unwrap_or_default(),
        prefix.unwrap_or_default(),
        subject,
        changes,
        "0",
    ];
    let hash = hash(TRAIL, &head, &parts);
    let id = id.map(Uuid::into_bytes);
    let values = params![
        whose, seq, before, action, kind, id, prefix, subject, changes, head, hash
    ];
    let sql = "
      INSERT INTO audit_entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?11)";
    raw.execute(sql, values).expect("forged");
}

/// The only API key: its id and its prefix.
fn key(raw: &rusqlite::Connection) -> (Uuid, String) {
    let key = "SELECT id, prefix FROM api_key";
    let key = raw.query_row(key, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (id, prefix) = key.expect("a key");
    (Uuid::from_bytes(id), prefix)
}

#[tokio::test]
async fn a_story_that_cannot_be_true_is_found_though_every_hash_is_right() {
    let mut missed = Vec::new();
    for [expected, whose, action, subject, changes, sql] in IMPOSSIBLE {
        let breaks = doctored(|raw| {
            let subject = subject.replace("$key", &key(raw).0.to_string());
            forge(raw, whose, None, [action, &subject, changes]);
            raw.execute_batch(sql).expect(sql);
        });
        let breaks = breaks.await;
        let told = breaks.iter().any(|one| one.contains("tells a second time"));
        if !told || !breaks_only(&breaks, expected) {
            missed.push((expected, action, changes, breaks));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[tokio::test]
async fn what_a_key_does_after_its_end_is_found_though_every_hash_is_right() {
    let breaks = doctored(|raw| {
        let (id, prefix) = key(raw);
        let changes = r#"[{"field":"available","old":"true","new":"false"}]"#;
        let deed = ["model_availability_changed", "acme/other", changes];
        forge(raw, "acme", Some((id, &prefix)), deed);
        raw.execute_batch("INSERT INTO model_off VALUES ('acme', 'acme/other')")
            .expect("switched off");
    });
    let breaks = breaks.await;
    assert!(breaks_only(&breaks, "A4"), "{breaks:#?}");
}

#[tokio::test]
async fn an_entry_that_is_left_out_is_missed_though_every_hash_is_right() {
    let books = Books::open(100).await;
    let raw = books.raw();
    raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
        .expect("pragmas");
    let last = "SELECT hash FROM audit_entry WHERE trail = '' ORDER BY seq DESC LIMIT 1";
    let last: [u8; 32] = raw.query_row(last, [], |row| row.get(0)).expect("a head");
    let parts = [
        "",
        "2",
        "price_confirmed",
        "operator",
        "",
        "",
        "acme/a",
        "[]",
        "0",
    ];
    let sql = "
      INSERT INTO audit_entry VALUES ('', 2, 1, 'price_confirmed', 'operator', NULL, NULL, 'acme/a', '[]', 0, ?1, ?2)";
    raw.execute(sql, params![last, hash(TRAIL, &last, &parts)])
        .expect("forged");
    let breaks = books.sqlite.audit().await.expect("an audit");
    let expected = "A2: there is no audit trail, or one with a gap: the platform";
    let beside = breaks.iter().filter(|text| !text.starts_with("R1"));
    assert_eq!(beside.collect::<Vec<_>>(), [expected]);
}
