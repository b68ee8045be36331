//! The auditor finds what a hand in the database has broken.

use std::collections::BTreeSet;

use super::trail::by;
use super::*;
use crate::ports::{AuditProgress, PictureCheck, Role};
use crate::store::sqlite::Inspector;

mod forged;
mod hashes;
mod sentences;
mod trails;

/// What a hand in the database may do to break one question and no other, and the question. That a
/// row points at nothing then is the schema's own answer to the same, and counts beside.
const EXACTLY: &[(&str, &str)] = &[
    ("I1", "UPDATE ledger SET debit = credit WHERE seq = 1"),
    ("I1", "UPDATE ledger SET debit = 'org_debt' WHERE seq = 1"),
    ("I1", "UPDATE ledger SET debit = credit, credit = debit WHERE kind = 'charge'"),
    ("I2", "UPDATE balance SET posted_cc = posted_cc + 1"),
    ("I2", "UPDATE balance SET debt_cc = 5"),
    ("I3", "UPDATE balance SET held_cc = held_cc - 1"),
    (
        "I4",
        "UPDATE balance SET held_cc = posted_cc + 1;
         UPDATE hold SET amount_cc = (SELECT held_cc FROM balance)
          WHERE generation = (SELECT generation FROM generation_state WHERE state = 'held')",
    ),
    ("I5", "DELETE FROM ledger WHERE seq = 0"),
    (
        "I6",
        "UPDATE ledger SET posted_before_cc = posted_before_cc + 1 WHERE seq = 2",
    ),
    ("I7", "UPDATE ledger SET description = 'x' WHERE seq = 1"),
    ("I7", "UPDATE balance SET seq = seq + 1"),
    (
        "I8",
        "DROP INDEX generation_live; UPDATE generation_state SET request_id = 'a' WHERE state = 'held'",
    ),
    ("I9", "DELETE FROM image"),
    (
        "I9",
        "UPDATE hold_resolution SET outcome = 'voided' WHERE outcome = 'posted'",
    ),
    // A charge that is of the day of its settling no more, though each row agrees with its neighbours.
    (
        "I9",
        "CREATE TEMP TABLE one AS SELECT generation FROM generation_state WHERE state = 'settled' LIMIT 1;
         UPDATE generation_event SET at_us = at_us + 1 WHERE to_state = 'settled' AND generation IN one;
         UPDATE generation_state SET finished_us = finished_us + 1 WHERE generation IN one",
    ),
    (
        "I10",
        "UPDATE hold_resolution SET outcome = 'posted' WHERE outcome = 'voided'",
    ),
    (
        "I11",
        "UPDATE generation SET created_us = created_us - 3600000000, deadline_us = deadline_us - 3600000000
          WHERE id = (SELECT generation FROM generation_state WHERE state = 'held');
         UPDATE generation_event SET at_us = at_us - 3600000000
          WHERE generation = (SELECT generation FROM generation_state WHERE state = 'held')",
    ),
    (
        "I11",
        "UPDATE generation_event SET at_us = at_us + 3600000000 WHERE to_state = 'voided';
         UPDATE generation_state SET finished_us = finished_us + 3600000000 WHERE state = 'voided'",
    ),
    // Two charges that have changed their receipts: the sum of the day is the same.
    (
        "I12",
        "CREATE TEMP TABLE swap AS SELECT generation, (SELECT max(cost_pd) + min(cost_pd) FROM call_receipt WHERE call = 0
            AND images = '[0]') - cost_pd AS cost FROM call_receipt WHERE call = 0 AND images = '[0]';
         UPDATE call_receipt SET cost_pd = (SELECT cost FROM swap WHERE swap.generation = call_receipt.generation)
          WHERE call = 0 AND images = '[0]'",
    ),
    ("I13", "DELETE FROM absorption"),
    ("I13", "UPDATE absorption SET cost_pd = cost_pd * 10"),
    (
        "I13",
        "UPDATE call_receipt SET cost_pd = cost_pd * 2 WHERE images = '[]'",
    ),
    // What days and months are counted by.
    (
        "I14",
        "UPDATE generation_state SET finished_us = finished_us + 1 WHERE state = 'voided'",
    ),
    (
        "I14",
        "UPDATE generation_state SET agent = 'other' WHERE state = 'settled'",
    ),
    (
        "I14",
        "UPDATE generation_event SET at_us = at_us - 86400000000
          WHERE generation = (SELECT generation FROM generation_state WHERE state = 'held')",
    ),
    ("I14", "DELETE FROM transition WHERE from_state = 'review'"),
    ("I14", "INSERT INTO transition VALUES ('voided', 'settled')"),
    (
        "I14",
        "UPDATE transition SET from_state = 'voided' WHERE from_state = 'stored'",
    ),
    (
        "I14",
        "UPDATE generation_event SET at_us = at_us - 3600000000 WHERE to_state IN ('dispatched', 'streaming')",
    ),
    ("R1", "UPDATE hold_resolution SET amount_cc = amount_cc + 1"),
    ("R2", "UPDATE actual SET cost_pd = cost_pd * 2"),
];

/// What else it may do, each with words of one of the breaks that must be found.
const BREAKS: &[(&str, &str)] = &[
    ("I2", "UPDATE balance SET posted_cc = posted_cc + 1"),
    ("I2", "UPDATE balance SET debt_cc = 5"),
    ("I3", "UPDATE balance SET held_cc = held_cc - 1"),
    ("I4", "UPDATE balance SET held_cc = posted_cc + 1"),
    ("has no balance", "DELETE FROM balance"),
    ("I5", "DELETE FROM ledger WHERE seq = 1"),
    ("I5", "DELETE FROM ledger WHERE seq = 0"),
    (
        "the calls cost",
        "UPDATE call_receipt SET cost_pd = cost_pd * 2",
    ),
    (
        "this cannot be computed",
        "UPDATE generation_state SET state = 'settled' WHERE state = 'voided'",
    ),
    (
        "I14: the state of",
        "UPDATE generation_state SET state = 'settled' WHERE state = 'voided'",
    ),
    (
        "this cannot be computed",
        "UPDATE absorption SET cost_pd = 9223372036854775807; UPDATE call_receipt SET cost_pd = 9223372036854775807",
    ),
    (
        "I6",
        "UPDATE ledger SET prev_hash = zeroblob(32) WHERE seq = 2",
    ),
    (
        "does not stand on the last row",
        "DELETE FROM ledger WHERE seq = (SELECT max(seq) FROM ledger)",
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
    (
        "I14: a generation has not ended when",
        "UPDATE generation_state SET finished_us = finished_us + 3456000000000 WHERE state = 'settled'",
    ),
    (
        "I9: a generation is charged at another moment",
        "UPDATE generation_event SET at_us = at_us + 86400000000 WHERE generation IN
           (SELECT generation FROM generation_state WHERE state = 'settled')",
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
        "UPDATE audit_entry SET actor_kind = 'operator', actor = NULL, actor_prefix = NULL WHERE seq = 3",
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

/// Takes a held generation to a charge of `usd`, by a call of this name.
async fn charged(books: &Books, request_id: &str, usd: &str) {
    let id = books.held(&draft(request_id, 500)).await;
    let now = Timestamp::UNIX_EPOCH;
    books.sqlite.dispatch(id, now).await.expect("dispatched");
    let name = Some(format!("gen-{request_id}"));
    let streaming = books.sqlite.stream(id, 0, name, now).await;
    streaming.expect("streaming");
    let settled = books.sqlite.settle(id, settlement(id, usd)).await;
    settled.expect("settled");
}

/// Breaks the books behind their back, and says what the auditor finds.
async fn found(sql: &str) -> Vec<String> {
    doctored(|raw| raw.execute_batch(sql).expect(sql)).await
}

/// The same, with whatever a hand does that nothing in the schema holds back.
async fn doctored(hand: impl FnOnce(&rusqlite::Connection)) -> Vec<String> {
    let books = Books::open(100).await;
    charged(&books, "a", "0.001").await;
    charged(&books, "d", "0.002").await;
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
    trails::furnish(&books).await;
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
    hand(&raw);
    books.sqlite.audit().await.expect("an audit")
}

/// Whether this breaks one question and no other; R1 counts beside.
fn breaks_only(breaks: &[String], expected: &str) -> bool {
    let names: BTreeSet<&str> = breaks
        .iter()
        .filter_map(|sentence| Some(sentence.split_once(": ")?.0))
        .filter(|name| *name != "R1" || expected == "R1")
        .collect();
    names == BTreeSet::from([expected])
}

/// Whether each finds what breaks its question and nothing else.
async fn exactly(doctored: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (expected, sql) in doctored {
        let breaks = found(sql).await;
        if !breaks_only(&breaks, expected) {
            wrong.push((expected, sql, breaks));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn each_question_finds_what_breaks_it_and_nothing_else() {
    exactly(EXACTLY).await;
    let tried: BTreeSet<&str> = EXACTLY.iter().map(|(name, _)| *name).collect();
    for number in 1..=14 {
        let name = format!("I{number}");
        assert!(tried.contains(name.as_str()), "{name} is not tried");
    }
}

#[tokio::test]
async fn however_much_is_broken_only_the_first_breaks_are_kept() {
    let books = Books::open(1_000).await;
    for n in 0..101 {
        books.held(&draft(&format!("r{n}"), 100)).await;
    }
    let raw = books.raw();
    raw.execute_batch(
        "PRAGMA foreign_keys = OFF; DROP TRIGGER state_kept; DELETE FROM generation_state",
    )
    .expect("deleted");
    let mut answers = Vec::new();
    let inspector = Inspector::of_folder(books.dir.path()).expect("the books");
    let audited = inspector.audit(PictureCheck::Size, |progress| {
        if let AuditProgress::Answer(finding) = progress {
            answers.push(finding);
        }
    });
    audited.expect("an audit");
    let names: Vec<&str> = answers.iter().map(|finding| finding.name).collect();
    let invariants: Vec<String> = (1..=14).map(|n| format!("I{n}")).collect();
    assert_eq!(names[..14], invariants);
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len(), "one row per question");
    let stateless = &answers[13];
    assert_eq!((stateless.breaks, stateless.shown.len()), (101, 100));
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
