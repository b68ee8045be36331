//! The auditor finds what a hand in the database has broken.

use super::trail::by;
use super::*;
use crate::ports::Role;

/// What a hand in the database may do, each with words of the break that must be found.
const BREAKS: &[(&str, &str)] = &[
    ("I2", "UPDATE balance SET posted_cc = posted_cc + 1"),
    ("I2", "UPDATE balance SET debt_cc = 5"),
    ("I3", "UPDATE balance SET held_cc = held_cc - 1"),
    ("I4", "UPDATE balance SET held_cc = posted_cc + 1"),
    ("has no balance", "DELETE FROM balance"),
    ("I5", "DELETE FROM ledger WHERE seq = 1"),
    ("I5", "DELETE FROM ledger WHERE seq = 0"),
    (
        "I6",
        "UPDATE ledger SET prev_hash = zeroblob(32) WHERE seq = 2",
    ),
    (
        "does not stand on the last row",
        "DELETE FROM ledger WHERE seq = 2",
    ),
    (
        "points at nothing",
        "UPDATE ledger SET posted_before_cc = posted_before_cc + 1 WHERE seq = 2",
    ),
    (
        "row 1 of",
        "UPDATE ledger SET at_us = at_us + 1 WHERE seq = 1",
    ),
    (
        "row 0 of",
        "UPDATE ledger SET at_us = at_us + 1 WHERE seq = 0",
    ),
    (
        "row 1 of",
        "UPDATE ledger SET description = 'x' WHERE seq = 1",
    ),
    (
        "row 1 of",
        "UPDATE ledger SET reference = 'x' WHERE seq = 1",
    ),
    (
        "row 2 of",
        "UPDATE ledger SET generation = (SELECT generation FROM generation_state WHERE state = 'held') WHERE seq = 2",
    ),
    (
        "not settled is charged",
        "UPDATE ledger SET generation = (SELECT generation FROM generation_state WHERE state = 'held') WHERE seq = 2",
    ),
    (
        "I8",
        "DROP INDEX generation_live;
             UPDATE generation_state SET request_id = 'a' WHERE state = 'held'",
    ),
    (
        "I10: a voided",
        "UPDATE ledger SET generation = (SELECT generation FROM generation_state WHERE state = 'voided') WHERE seq = 2",
    ),
    (
        "has no state",
        "DELETE FROM generation_state WHERE state = 'held'",
    ),
    (
        "points at nothing",
        "UPDATE generation_state SET state = 'streaming' WHERE state = 'held'",
    ),
    (
        "points at nothing",
        "UPDATE hold_resolution SET amount_cc = amount_cc + 1",
    ),
    (
        "I7",
        "UPDATE ledger SET amount_cc = amount_cc + 1 WHERE seq = 1",
    ),
    ("I7", "UPDATE ledger SET hash = zeroblob(32) WHERE seq = 2"),
    ("I7", "UPDATE balance SET seq = seq + 1"),
    (
        "I9",
        "UPDATE generation_state SET charge_cc = charge_cc + 1 WHERE state = 'settled'",
    ),
    ("I9", "DELETE FROM image"),
    ("I9", "DELETE FROM hold_resolution WHERE outcome = 'posted'"),
    (
        "I10",
        "DELETE FROM hold_resolution WHERE outcome = 'voided'",
    ),
    (
        "I12",
        "UPDATE generation_state SET cost_pd = cost_pd * 10 WHERE state = 'settled'",
    ),
    (
        "I14",
        "UPDATE generation_state SET version = 0 WHERE state = 'settled'",
    ),
    ("nothing", "DELETE FROM organization"),
    (
        "A1: entry 1 of",
        "UPDATE audit_entry SET at_us = at_us + 1 WHERE seq = 1",
    ),
    (
        "A1: entry 2 of",
        "UPDATE audit_entry SET changes = '[]' WHERE seq = 2",
    ),
    (
        "A1: entry 2 of",
        "UPDATE audit_entry SET subject = 'x' WHERE seq = 2",
    ),
    (
        "A1: entry 3 of",
        "UPDATE audit_entry SET actor = NULL, actor_prefix = NULL WHERE seq = 3",
    ),
    (
        "A1: entry 0 of",
        "UPDATE audit_entry SET action = 'tool_created' WHERE seq = 0",
    ),
    (
        "A1: entry 2 of",
        "UPDATE audit_entry SET hash = zeroblob(32) WHERE seq = 2",
    ),
    ("A2", "DELETE FROM audit_entry WHERE seq = 1"),
    ("A2", "DELETE FROM audit_entry"),
    ("A3", "DELETE FROM audit_entry WHERE seq = 2"),
    ("A3", "DELETE FROM api_key"),
    ("A4", "DELETE FROM audit_entry WHERE seq = 3"),
    ("A4", "UPDATE api_key SET revoked_us = NULL"),
    ("A5", "DELETE FROM audit_entry WHERE seq = 1"),
    (
        "points at nothing",
        "UPDATE audit_entry SET actor_prefix = 'sq_live_x' WHERE seq = 3",
    ),
];

/// Breaks the books behind their back, and says what the auditor finds.
async fn found(sql: &str) -> Vec<String> {
    let books = Books::open(100).await;
    let id = books.held(&draft("a", 500)).await;
    settled(&books, id, "0.001").await;
    let lost = books.held(&draft("b", 500)).await;
    books
        .sqlite
        .void(lost, voiding(Reason::Internal))
        .await
        .expect("voided");
    books.held(&draft("c", 500)).await;
    // The trail: 0 the organization, 1 its credits, 2 a key, 3 its end by itself.
    let key = books.key("acme", Role::Admin).await;
    let acme = organization("acme");
    let ended = books
        .sqlite
        .revoke_api_key(&acme, key.id, Role::Admin, by(&key));
    ended.await.expect("revoked");
    assert_eq!(
        books.sqlite.audit().await.expect("an audit"),
        Vec::<String>::new()
    );
    let raw = books.raw();
    raw.pragma_update(None, "foreign_keys", "OFF")
        .expect("a pragma");
    raw.pragma_update(None, "ignore_check_constraints", "ON")
        .expect("a pragma");
    let triggers: Vec<String> = raw
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .expect("triggers");
    for trigger in triggers {
        raw.execute_batch(&format!("DROP TRIGGER {trigger}"))
            .expect("dropped");
    }
    raw.execute_batch(sql).expect(sql);
    books.sqlite.audit().await.expect("an audit")
}

#[tokio::test]
async fn every_kind_of_break_is_found() {
    for (expected, sql) in BREAKS {
        let breaks = found(sql).await;
        assert!(
            breaks.iter().any(|text| text.contains(*expected)),
            "{sql}: {breaks:?}"
        );
    }
}
