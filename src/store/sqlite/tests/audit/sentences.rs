//! Each sentence of the audit is said of what it is about, whatever else is broken with it.

use super::*;

/// The beginning of a sentence, and what a hand does so that it must be said.
const SENTENCES: &[(&str, &str)] = &[
    ("I1: a row of the ledger does not take", "UPDATE ledger SET debit = NULL WHERE seq = 1"),
    ("I1: a row of the ledger does not take", "UPDATE ledger SET credit = NULL WHERE seq = 1"),
    ("I1: a row of the ledger does not take", "UPDATE ledger SET debit = credit WHERE seq = 1"),
    ("I1: a row of the ledger does not take", "UPDATE ledger SET amount_cc = 0 WHERE seq = 1"),
    ("I1: a row of the ledger has not the two sides", "UPDATE ledger SET credit = 'org_debt' WHERE seq = 1"),
    ("I4: a hold is not backed", "UPDATE balance SET held_cc = -1"),
    ("I4: a hold is not backed", "UPDATE balance SET debt_cc = -1"),
    ("I6: a row of the ledger does not begin", "UPDATE ledger SET debt_before_cc = debt_before_cc + 1 WHERE seq = 2"),
    ("I6: a row of the ledger is earlier", "UPDATE ledger SET at_us = -1 WHERE seq = 2"),
    ("I7: the balance does not stand", "UPDATE balance SET head = zeroblob(32)"),
    (
        "I8: a generation is charged twice",
        "DROP INDEX ledger_once; UPDATE ledger SET generation = (SELECT generation FROM generation_state WHERE
           state = 'settled' LIMIT 1) WHERE kind = 'charge'",
    ),
    (
        "I9: a settled generation has no image",
        "UPDATE generation_state SET delivered = 0 WHERE state = 'settled'; DELETE FROM image",
    ),
    (
        "I11: a hold is kept beyond its release",
        "UPDATE generation SET deadline_us = deadline_us - 3600000000 WHERE id = (SELECT generation FROM
           generation_state WHERE state = 'held')",
    ),
    (
        "I11: a hold is kept beyond its release",
        "UPDATE generation SET created_us = created_us - 3600000000 WHERE id = (SELECT generation FROM
           generation_state WHERE state = 'held')",
    ),
    ("I12: a refund without a correction", "UPDATE ledger SET kind = 'refund' WHERE kind = 'charge'"),
    (
        "I12: a refund is not what its correction says",
        "INSERT INTO correction SELECT generation, cost_pd, 1, 0 FROM generation_state WHERE state = 'settled'",
    ),
    (
        "I12: a refund is of another moment",
        "INSERT INTO correction SELECT generation, 0, amount_cc, at_us + 1 FROM ledger WHERE kind = 'charge';
           UPDATE ledger SET kind = 'refund' WHERE kind = 'charge'",
    ),
    ("I13: what the calls of a day cost", "DELETE FROM absorption"),
    ("I13: what the calls of a day cost", "UPDATE absorption SET cost_pd = cost_pd * 10"),
    (
        "I13: what the calls of a day cost",
        "CREATE TEMP TABLE swap AS SELECT generation, (SELECT max(cost_pd) + min(cost_pd) FROM call_receipt
           WHERE call = 0 AND images = '[0]') - cost_pd AS cost FROM call_receipt WHERE call = 0 AND images =
           '[0]'; UPDATE call_receipt SET cost_pd = (SELECT cost FROM swap WHERE swap.generation =
           call_receipt.generation) WHERE call = 0 AND images = '[0]'; UPDATE generation_state SET finished_us =
           finished_us + 86400000000 WHERE generation = (SELECT generation FROM generation_state WHERE state =
           'settled' LIMIT 1)",
    ),
    (
        "I13: what the calls of a day cost",
        "CREATE TEMP TABLE swap AS SELECT generation, (SELECT max(cost_pd) + min(cost_pd) FROM call_receipt
           WHERE call = 0 AND images = '[0]') - cost_pd AS cost FROM call_receipt WHERE call = 0 AND images =
           '[0]'; UPDATE call_receipt SET cost_pd = (SELECT cost FROM swap WHERE swap.generation =
           call_receipt.generation) WHERE call = 0 AND images = '[0]'; UPDATE generation SET upstream_key =
           'another' WHERE id = (SELECT generation FROM generation_state WHERE state = 'settled' LIMIT 1)",
    ),
    ("I13: an absorption is not what its call cost", "UPDATE absorption SET cost_pd = cost_pd * 10"),
    (
        "I14: the state of a generation is not the last",
        "INSERT INTO generation_event SELECT generation, version + 1, version, 'settled', 'settled',
           finished_us FROM generation_state WHERE state = 'settled'",
    ),
    (
        "I14: the state of a generation is of another",
        "UPDATE generation_state SET organization = 'other' WHERE state = 'settled'",
    ),
    (
        "I14: a step does not begin where",
        "UPDATE generation_event SET from_state = 'review' WHERE to_state = 'settled'",
    ),
    (
        "I14: a step does not begin where",
        "UPDATE generation_event SET version = 5 WHERE generation = (SELECT generation FROM generation_state
           WHERE state = 'held')",
    ),
    (
        "I14: nobody has asked what a call cost",
        "UPDATE call_receipt SET cost_pd = NULL WHERE generation IN (SELECT generation FROM generation_state
           WHERE state = 'settled')",
    ),
    ("A2: there is no audit trail, or one with a gap: acme", "DELETE FROM audit_entry WHERE trail = 'acme'"),
    (
        "A4: an entry is by a key that had been revoked: acme 4",
        "UPDATE audit_entry SET actor_kind = 'key', actor = (SELECT id FROM api_key), actor_prefix =
           'sq_live_x' WHERE trail = 'acme' AND seq = 4",
    ),
    ("A10: a price is doubted", "UPDATE price_change SET flagged = 0"),
    ("R2: what pictures cost lately", "DELETE FROM actual"),
    ("R2: what pictures cost lately", "UPDATE actual SET images = images + 1"),
    ("R2: what pictures cost lately", "UPDATE actual SET model = 'acme/other'"),
];

#[tokio::test]
async fn each_sentence_of_the_audit_is_said_of_what_it_is_about() {
    let mut missed = Vec::new();
    for (expected, sql) in SENTENCES {
        let told = found(sql).await;
        if !told.iter().any(|text| text.starts_with(expected)) {
            missed.push((expected, sql, told));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
