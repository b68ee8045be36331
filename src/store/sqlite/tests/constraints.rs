//! The second lock: what the database refuses whatever the program does.

use super::*;
use crate::ports::Role;

/// Ready-made ids for the writes below.
fn names(books: &Books, settled: GenerationId, held: GenerationId) -> rusqlite::Connection {
    let raw = books.raw();
    raw.execute_batch(&format!(
        "CREATE TEMP TABLE name (settled BLOB, held BLOB); INSERT INTO name VALUES (x'{}', x'{}');",
        settled.uuid().simple(),
        held.uuid().simple()
    ))
    .expect("names");
    raw
}

/// One ledger row behind the last, with a part of it replaced.
fn ledger_row(replaced: &[(&str, &str)]) -> String {
    let mut columns = vec![
        ("organization", "l.organization"),
        ("seq", "l.seq + 1"),
        ("prev_seq", "l.seq"),
        ("id", "randomblob(16)"),
        ("kind", "'purchase'"),
        ("debit", "'issued'"),
        ("credit", "'org_credits'"),
        ("amount_cc", "100"),
        ("generation", "NULL"),
        ("reference", "'new'"),
        ("description", "''"),
        ("at_us", "0"),
        ("posted_before_cc", "l.posted_after_cc"),
        ("posted_after_cc", "l.posted_after_cc + 100"),
        ("debt_before_cc", "l.debt_after_cc"),
        ("debt_after_cc", "l.debt_after_cc"),
        ("prev_hash", "l.hash"),
        ("hash", "randomblob(32)"),
    ];
    for (name, value) in replaced {
        let column = columns
            .iter_mut()
            .find(|(column, _)| column == name)
            .expect("a column");
        column.1 = value;
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let values: Vec<&str> = columns.iter().map(|(_, value)| *value).collect();
    format!(
        "INSERT INTO ledger ({}) SELECT {} FROM ledger l WHERE l.organization = 'acme' ORDER BY seq DESC LIMIT 1",
        names.join(", "),
        values.join(", ")
    )
}

/// What makes a good row behind the last of the ledger an illegal one.
const ROWS: &[&[(&str, &str)]] = &[
    &[("seq", "l.seq + 2")],
    &[("seq", "l.seq")],
    &[("prev_seq", "l.seq - 1")],
    &[("prev_seq", "NULL")],
    &[("prev_hash", "zeroblob(32)")],
    &[("prev_hash", "NULL")],
    &[("hash", "zeroblob(31)")],
    &[("id", "NULL")],
    &[("id", "randomblob(15)")],
    &[("amount_cc", "0")],
    &[("amount_cc", "-100")],
    &[("posted_before_cc", "l.posted_after_cc - 1")],
    &[("posted_after_cc", "l.posted_after_cc + 101")],
    &[("posted_after_cc", "l.posted_after_cc")],
    &[("debt_after_cc", "l.debt_after_cc + 1")],
    &[("debit", "'org_credits'")],
    &[("debit", "'revenue'")],
    &[("debit", "'org_debt'")],
    &[("credit", "'org_debt'")],
    &[("credit", "'revenue'")],
    &[("credit", "NULL")],
    &[("kind", "'gift'")],
    &[("kind", "'genesis'")],
    &[("reference", "NULL")],
    &[("reference", "'first'")],
    &[("organization", "'nobody'")],
    &[("organization", "'other'")],
    &[("generation", "(SELECT settled FROM name)")],
    &[
        ("kind", "'charge'"),
        ("posted_after_cc", "l.posted_after_cc - 100"),
    ],
    &[
        ("kind", "'charge'"),
        ("posted_after_cc", "l.posted_after_cc - 100"),
        ("generation", "(SELECT settled FROM name)"),
        ("debit", "'org_credits'"),
        ("credit", "'revenue'"),
    ],
    // A generation that is not settled, and one of another organization.
    &[
        ("kind", "'charge'"),
        ("posted_after_cc", "l.posted_after_cc - 100"),
        ("generation", "(SELECT held FROM name)"),
        ("reference", "NULL"),
        ("debit", "'org_credits'"),
        ("credit", "'revenue'"),
    ],
    &[
        ("kind", "'charge_debt'"),
        ("organization", "'other'"),
        ("seq", "1"),
        ("prev_seq", "0"),
        (
            "prev_hash",
            "(SELECT hash FROM ledger WHERE organization = 'other')",
        ),
        ("posted_before_cc", "0"),
        ("posted_after_cc", "0"),
        ("debt_after_cc", "l.debt_after_cc + 100"),
        ("generation", "(SELECT settled FROM name)"),
        ("reference", "NULL"),
        ("debit", "'org_debt'"),
        ("credit", "'revenue'"),
    ],
    &[
        ("kind", "'charge'"),
        ("amount_cc", "l.posted_after_cc + 1"),
        ("posted_after_cc", "-1"),
        ("generation", "(SELECT held FROM name)"),
        ("debit", "'org_credits'"),
        ("credit", "'revenue'"),
    ],
    &[
        ("kind", "'debt_repaid'"),
        ("posted_after_cc", "l.posted_after_cc - 100"),
        ("debt_after_cc", "l.debt_after_cc - 100"),
        ("debit", "'org_credits'"),
        ("credit", "'org_debt'"),
    ],
];

/// Whether the database takes a write, and the commit behind it. What it takes is taken back.
fn takes(raw: &rusqlite::Connection, sql: &str) -> bool {
    raw.execute_batch("BEGIN").expect("a transaction");
    // The books of `acme` follow the ledger, so that nothing but the write itself can be refused.
    let moved = "UPDATE balance SET (posted_cc, debt_cc, seq, head) = (SELECT posted_after_cc, debt_after_cc, seq, hash FROM ledger l WHERE l.organization = balance.organization ORDER BY seq DESC LIMIT 1)";
    let taken = raw.execute_batch(sql).is_ok()
        && raw.execute_batch(moved).is_ok()
        && raw.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
            row.get::<_, i64>(0)
        }) == Ok(0);
    raw.execute_batch("ROLLBACK").expect("taken back");
    taken
}

async fn furnished() -> (Books, rusqlite::Connection) {
    let books = Books::open(100).await;
    books.organization("other").await;
    let done = books.held(&draft("done", 500)).await;
    settled(&books, done, "0.001").await;
    let held = books.held(&draft("held", 500)).await;
    let raw = names(&books, done, held);
    raw.execute_batch(
        "INSERT INTO organization VALUES ('bare', 'bare', 0);
         INSERT INTO generation SELECT randomblob(16), organization, 'bare', 1, fingerprint, agent, model, channel, origin, user, key_mode, requested, upstream_key, created_us, deadline_us, details FROM generation LIMIT 1;",
    )
    .expect("an organization without books, a generation without a hold");
    raw.execute_batch(
        "INSERT INTO question SELECT settled, 5, 'gen-5', 3, NULL, 'told', 7 FROM name",
    )
    .expect("an answered question");
    (books, raw)
}

#[tokio::test]
async fn a_correct_row_is_taken_so_that_the_refusals_below_mean_something() {
    let (_books, raw) = furnished().await;
    let moved = "UPDATE balance SET (posted_cc, seq, head) = (SELECT posted_after_cc, seq, hash FROM ledger WHERE organization = 'acme' ORDER BY seq DESC LIMIT 1) WHERE organization = 'acme'";
    raw.execute_batch(&format!("BEGIN; {}; {moved}; COMMIT;", ledger_row(&[])))
        .expect("taken");
    raw.execute_batch(
        "INSERT INTO generation_event SELECT held, 1, 0, 'held', 'dispatched', 0 FROM name",
    )
    .expect("taken");
}

#[tokio::test]
async fn no_illegal_ledger_row_is_taken() {
    let (_books, raw) = furnished().await;
    let taken = ROWS.iter().filter(|row| takes(&raw, &ledger_row(row)));
    assert_eq!(taken.collect::<Vec<_>>(), Vec::<&&[_]>::new());
}

#[tokio::test]
async fn no_illegal_history_is_taken() {
    let (_books, raw) = furnished().await;
    let writes = [
        // Illegal, skipped, forked, lying and terminal steps.
        "INSERT INTO generation_event SELECT held, 1, 0, 'held', 'settled', 0 FROM name",
        "INSERT INTO generation_event SELECT held, 1, 0, 'held', 'streaming', 0 FROM name",
        "INSERT INTO generation_event SELECT held, 2, 1, 'dispatched', 'streaming', 0 FROM name",
        "INSERT INTO generation_event SELECT held, 2, 0, 'held', 'dispatched', 0 FROM name",
        "INSERT INTO generation_event SELECT held, 1, 0, 'dispatched', 'streaming', 0 FROM name",
        "INSERT INTO generation_event SELECT held, 0, NULL, 'none', 'held', 0 FROM name",
        "INSERT INTO generation_event SELECT held, 1, NULL, 'none', 'held', 0 FROM name",
        "INSERT INTO generation_event SELECT settled, 5, 4, 'settled', 'voided', 0 FROM name",
        "INSERT INTO generation_event SELECT settled, 2, 1, 'dispatched', 'voided', 0 FROM name",
        "INSERT INTO generation_event SELECT randomblob(16), 0, NULL, 'none', 'held', 0",
        "INSERT INTO generation_event SELECT held, 1, 0, 'held', 'lost', 0 FROM name",
        // The pointer.
        "UPDATE generation_state SET state = 'dispatched' WHERE state = 'held'",
        "UPDATE generation_state SET version = 7 WHERE state = 'held'",
        "UPDATE generation_state SET organization = 'other' WHERE state = 'held'",
        "UPDATE generation_state SET request_id = 'done' WHERE state = 'held'",
        "UPDATE generation_state SET charge_cc = 1 WHERE state = 'settled'",
        "UPDATE generation_state SET cost_pd = 5 WHERE state = 'held'",
        "UPDATE generation_state SET finished_us = 5 WHERE state = 'held'",
        "UPDATE generation_state SET reason = 'INTERNAL' WHERE state = 'held'",
        "UPDATE generation_state SET details = 'no json' WHERE state = 'held'",
        "UPDATE generation_state SET charge_cc = 5 WHERE state = 'held'",
        // Holds and their ends.
        "INSERT INTO hold SELECT id, 'other', 5 FROM generation WHERE request_id = 'bare'",
        "INSERT INTO hold SELECT id, 'acme', 0 FROM generation WHERE request_id = 'bare'",
        "INSERT INTO hold SELECT held, 'acme', 1 FROM name",
        "INSERT INTO hold SELECT randomblob(16), 'acme', 1",
        "INSERT INTO hold_resolution SELECT held, 'acme', 500, 'posted', 0, 'held' FROM name",
        "INSERT INTO hold_resolution SELECT held, 'acme', 500, 'posted', 0, 'settled' FROM name",
        "INSERT INTO hold_resolution SELECT held, 'acme', 499, 'voided', 0, 'voided' FROM name",
        "INSERT INTO hold_resolution SELECT settled, 'acme', 500, 'posted', 4, 'settled' FROM name",
        "INSERT INTO hold_resolution SELECT settled, 'other', 500, 'posted', 4, 'settled' FROM name",
        // What is history stays.
        "UPDATE generation SET model = 'other'",
        "DELETE FROM generation",
        "UPDATE generation_event SET at_us = 1",
        "DELETE FROM generation_event",
        "UPDATE hold SET amount_cc = 1",
        "DELETE FROM hold",
        "UPDATE hold_resolution SET outcome = 'voided'",
        "DELETE FROM hold_resolution",
        "UPDATE ledger SET description = 'x'",
        "DELETE FROM ledger",
        "DELETE FROM generation_state",
        "DELETE FROM generation_state WHERE state = 'held'",
        "DELETE FROM balance",
        "UPDATE balance SET organization = 'bare' WHERE organization = 'other'",
        "UPDATE image SET sha256 = zeroblob(32)",
        "DELETE FROM image",
        "UPDATE upstream_call SET upstream_id = 'x'",
        "DELETE FROM upstream_call",
        "UPDATE call_receipt SET cost_pd = 1, cost_source = 'usage'",
        "DELETE FROM call_receipt",
        "DELETE FROM question",
        "UPDATE question SET answer = 'given_up'",
        "UPDATE absorption SET cost_pd = 1",
        "DELETE FROM absorption",
        "UPDATE transition SET to_state = 'review' WHERE to_state = 'settled'",
        "INSERT INTO transition VALUES ('held', 'settled')",
        "DELETE FROM transition WHERE from_state = 'review'",
        // An organization that begins with credits nobody bought, or with debt.
        "INSERT INTO ledger (organization, seq, kind, amount_cc, description, at_us, posted_after_cc, debt_after_cc, hash) VALUES ('bare', 0, 'genesis', 0, '', 0, 5, 0, zeroblob(32))",
        "INSERT INTO ledger (organization, seq, kind, amount_cc, description, at_us, posted_after_cc, debt_after_cc, hash) VALUES ('bare', 0, 'genesis', 0, '', 0, 0, 5, zeroblob(32))",
        "INSERT INTO ledger (organization, seq, kind, amount_cc, description, at_us, posted_after_cc, debt_after_cc, hash) VALUES ('bare', 0, 'genesis', 5, '', 0, 0, 0, zeroblob(32))",
    ];
    let taken = writes.iter().filter(|sql| takes(&raw, sql));
    assert_eq!(taken.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[tokio::test]
async fn no_impossible_value_is_taken() {
    let (_books, raw) = furnished().await;
    let image = |index: &str, kind: &str, width: &str, size: &str, name: &str| {
        format!(
            "INSERT INTO image SELECT held, {index}, zeroblob(32), '{kind}', {width}, 10, {size}, '{name}' FROM name"
        )
    };
    raw.execute_batch(&image("0", "image/png", "10", "10", "ok"))
        .expect("a good one is taken");
    let key = |id: &str, organization: &str, prefix: &str, mac: &str, role: &str| {
        format!(
            "INSERT INTO api_key VALUES
               ({id}, '{organization}', 'n', '{prefix}', {mac}, zeroblob(8), '{role}', 0, NULL, NULL, NULL)"
        )
    };
    raw.execute_batch(&key(
        "randomblob(16)",
        "acme",
        "sq_live_1",
        "zeroblob(32)",
        "admin",
    ))
    .expect("a good one is taken");
    for sql in [
        image("40", "image/png", "10", "10", "a"),
        image("0", "image/png", "10", "10", "b"),
        image("1", "image/svg+xml", "10", "10", "c"),
        image("1", "image/gif", "10", "10", "d"),
        image("1", "image/png", "60000", "10", "e"),
        image("1", "image/png", "0", "10", "f"),
        image("1", "image/png", "10", "0", "g"),
        image("1", "image/png", "10", "67108865", "h"),
        image("1", "image/png", "10", "10", "ok"),
        key("randomblob(15)", "acme", "sq_live_2", "zeroblob(32)", "admin"),
        key("randomblob(16)", "nobody", "sq_live_2", "zeroblob(32)", "admin"),
        key("randomblob(16)", "acme", "sq_live_1", "zeroblob(32)", "admin"),
        key("randomblob(16)", "acme", "short", "zeroblob(32)", "admin"),
        key("randomblob(16)", "acme", "sq_live_2", "zeroblob(31)", "admin"),
        key("randomblob(16)", "acme", "sq_live_2", "zeroblob(32)", "king"),
        "UPDATE balance SET held_cc = posted_cc + 1".to_owned(),
        "UPDATE balance SET held_cc = -1".to_owned(),
        "UPDATE balance SET debt_cc = -1".to_owned(),
        "UPDATE balance SET posted_cc = posted_cc + 1 WHERE organization = 'acme'".to_owned(),
        "UPDATE balance SET seq = seq + 1".to_owned(),
        "UPDATE balance SET head = zeroblob(32)".to_owned(),
        "INSERT INTO balance VALUES ('nobody', 0, 0, 0, 0, zeroblob(32))".to_owned(),
        "INSERT INTO generation SELECT randomblob(16), organization, request_id, attempt, fingerprint, agent, model, channel, origin, user, key_mode, requested, upstream_key, created_us, deadline_us, details FROM generation LIMIT 1".to_owned(),
        "INSERT INTO generation SELECT randomblob(16), organization, request_id, 6, fingerprint, agent, model, channel, origin, user, key_mode, requested, upstream_key, created_us, deadline_us, details FROM generation LIMIT 1".to_owned(),
        "INSERT INTO generation SELECT randomblob(16), organization, 'x', 1, fingerprint, agent, model, channel, origin, user, key_mode, 11, upstream_key, created_us, deadline_us, details FROM generation LIMIT 1".to_owned(),
        "INSERT INTO generation SELECT randomblob(16), organization, 'x', 1, fingerprint, agent, model, channel, origin, user, key_mode, 1, upstream_key, created_us, created_us, details FROM generation LIMIT 1".to_owned(),
        "INSERT INTO upstream_call SELECT held, 0, '' FROM name".to_owned(),
        "INSERT INTO tool SELECT 'nobody', 'a', 1, NULL, '1:1', '1K', '1K', '', NULL, 1, 0, NULL, 0, '', 0, 0".to_owned(),
        "INSERT INTO tool SELECT 'acme', 'a', 1, NULL, '1:1', '1K', '1K', '', NULL, 5, 0, NULL, 0, '', 0, 0".to_owned(),
        "INSERT INTO organization VALUES ('', 'x', 0)".to_owned(),
        "UPDATE api_key SET pepper = zeroblob(7)".to_owned(),
        "UPDATE api_key SET role = 'owner'".to_owned(),
        "DELETE FROM api_key".to_owned(),
    ] {
        assert!(raw.execute_batch(&sql).is_err(), "taken: {sql}");
    }
}

#[tokio::test]
async fn a_second_live_attempt_under_a_request_is_refused() {
    let (_books, raw) = furnished().await;
    raw.execute_batch(
        "INSERT INTO generation SELECT zeroblob(16), organization, request_id, 2, fingerprint, agent, model, channel, origin, user, key_mode, requested, upstream_key, created_us, deadline_us, details FROM generation WHERE request_id = 'held';
         INSERT INTO generation_event VALUES (zeroblob(16), 0, NULL, 'none', 'held', 0);",
    )
    .expect("an attempt by itself is fine");
    let second = "INSERT INTO generation_state (generation, organization, request_id, agent, version, state) VALUES (zeroblob(16), 'acme', 'held', 'painter', 0, 'held')";
    assert!(raw.execute_batch(second).is_err());
}

#[tokio::test]
async fn the_writer_cannot_put_another_row_in_the_place_of_history() {
    let (books, _raw) = furnished().await;
    books.key("acme", Role::Admin).await;
    let before = books.sqlite.audit().await.expect("an audit");
    for table in [
        "api_key",
        "audit_entry",
        "balance",
        "generation",
        "generation_event",
        "generation_state",
        "hold",
        "hold_resolution",
        "image",
        "ledger",
        "upstream_call",
    ] {
        let sql = format!("REPLACE INTO {table} SELECT * FROM {table}");
        let replaced = books
            .sqlite
            .write(move |connection| Ok::<_, LedgerError>(connection.execute(&sql, [])?))
            .await;
        assert!(replaced.is_err(), "{table}: {replaced:?}");
    }
    assert_eq!(books.sqlite.audit().await.expect("an audit"), before);
}
