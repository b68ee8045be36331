//! Do the books agree with themselves? Each question is asked of the rows as they are, not of what
//! the program believes (`reliability.md`, invariants I1 to I14).

use rusqlite::{Connection, Row};

use super::chain::{LEDGER, hash};
use super::{rows, trail};
use crate::domain::delivery::due;
use crate::domain::generation::KeyMode;
use crate::domain::money::UsdCost;
use crate::ports::Finding;

/// Questions whose every answer is a break, as `(what is broken, SQL)`. Each row names whose.
const QUESTIONS: &[(&str, &str)] = &[
    (
        "I1: a row of the ledger does not take from one side what it gives to another",
        "SELECT organization || ' ' || seq FROM ledger WHERE seq > 0 AND (debit IS NULL OR credit IS NULL OR debit = credit OR amount_cc <= 0)",
    ),
    (
        "I2: an organization has no balance",
        "SELECT o.id FROM organization o WHERE NOT EXISTS (SELECT 1 FROM balance b WHERE b.organization = o.id)",
    ),
    (
        "I2: the credits owned are not the sum of the ledger",
        "SELECT b.organization FROM balance b WHERE b.posted_cc <> (
           SELECT coalesce(sum(CASE kind WHEN 'purchase' THEN amount_cc WHEN 'refund' THEN amount_cc WHEN 'charge' THEN -amount_cc
                                         WHEN 'debt_repaid' THEN -amount_cc ELSE 0 END), 0)
             FROM ledger l WHERE l.organization = b.organization)",
    ),
    (
        "I2: the debt is not the sum of the ledger",
        "SELECT b.organization FROM balance b WHERE b.debt_cc <> (
           SELECT coalesce(sum(CASE kind WHEN 'charge_debt' THEN amount_cc WHEN 'debt_repaid' THEN -amount_cc ELSE 0 END), 0)
             FROM ledger l WHERE l.organization = b.organization)",
    ),
    (
        "I3: what is held is not the sum of the open holds",
        "SELECT b.organization FROM balance b WHERE b.held_cc <> (
           SELECT coalesce(sum(h.amount_cc), 0) FROM hold h
            WHERE h.organization = b.organization
              AND NOT EXISTS (SELECT 1 FROM hold_resolution r WHERE r.generation = h.generation))",
    ),
    (
        "I4: a hold is not backed, or a balance is negative",
        "SELECT organization FROM balance WHERE held_cc > posted_cc OR held_cc < 0 OR debt_cc < 0",
    ),
    (
        "I5: the ledger has a gap",
        "SELECT organization FROM ledger GROUP BY organization HAVING count(*) <> max(seq) + 1",
    ),
    (
        "I6: a row of the ledger does not begin where the one before has ended",
        "SELECT l.organization || ' ' || l.seq FROM ledger l
           LEFT JOIN ledger p ON p.organization = l.organization AND p.seq = l.seq - 1
          WHERE l.seq > 0 AND (p.seq IS NULL OR l.posted_before_cc <> p.posted_after_cc
            OR l.debt_before_cc <> p.debt_after_cc OR l.prev_hash <> p.hash)",
    ),
    (
        "I6: a row of the ledger is earlier than the one before",
        "SELECT l.organization || ' ' || l.seq FROM ledger l
           JOIN ledger p ON p.organization = l.organization AND p.seq = l.seq - 1 WHERE l.at_us < p.at_us",
    ),
    (
        "I7: the balance does not stand on the last row of the ledger",
        "SELECT b.organization FROM balance b JOIN ledger l ON l.organization = b.organization
          WHERE l.seq = (SELECT max(seq) FROM ledger x WHERE x.organization = b.organization)
            AND (l.hash <> b.head OR l.seq <> b.seq)",
    ),
    (
        "I8: a request has more than one attempt that is not voided",
        "SELECT organization || ' ' || request_id FROM generation_state WHERE state <> 'voided'
          GROUP BY organization, request_id HAVING count(*) > 1",
    ),
    (
        "I9: a settled generation is not charged what it says",
        "SELECT hex(s.generation) FROM generation_state s WHERE s.state = 'settled' AND s.charge_cc <> (
           SELECT coalesce(sum(amount_cc), 0) FROM ledger l
            WHERE l.generation = s.generation AND l.kind IN ('charge', 'charge_debt'))",
    ),
    (
        "I9: a settled generation has no image, or its hold is not posted",
        "SELECT hex(s.generation) FROM generation_state s WHERE s.state = 'settled' AND (
              s.delivered <> (SELECT count(*) FROM image i WHERE i.generation = s.generation) OR s.delivered < 1
           OR NOT EXISTS (SELECT 1 FROM hold_resolution r WHERE r.generation = s.generation AND r.outcome = 'posted'))",
    ),
    (
        "I9: a generation that is not settled is charged",
        "SELECT hex(l.generation) FROM ledger l WHERE l.generation IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM generation_state s WHERE s.generation = l.generation AND s.state = 'settled')",
    ),
    (
        "I10: a voided generation is charged, or its hold is not released",
        "SELECT hex(s.generation) FROM generation_state s WHERE s.state = 'voided' AND (
              EXISTS (SELECT 1 FROM ledger l WHERE l.generation = s.generation)
           OR NOT EXISTS (SELECT 1 FROM hold_resolution r WHERE r.generation = s.generation AND r.outcome = 'voided'))",
    ),
    (
        "I11: a hold is kept beyond its release",
        "SELECT hex(s.generation) FROM generation_state s JOIN generation g ON g.id = s.generation
          WHERE s.state IN ('held', 'in_doubt', 'review')
            AND min(g.deadline_us + 60000000, g.created_us + 900000000) + 60000000
                < (SELECT coalesce(max(at_us), 0) FROM generation_event)",
    ),
    (
        "I12: a refund is not what its correction says",
        "SELECT hex(c.generation) FROM correction c WHERE c.refund_cc <> (
           SELECT coalesce(sum(amount_cc), 0) FROM ledger l WHERE l.generation = c.generation AND l.kind = 'refund')",
    ),
    (
        "I12: a refund without a correction",
        "SELECT hex(generation) FROM ledger l WHERE kind = 'refund'
            AND NOT EXISTS (SELECT 1 FROM correction c WHERE c.generation = l.generation)",
    ),
    (
        "what pictures cost lately is not what was settled",
        "SELECT hex(s.generation) FROM generation_state s JOIN generation g ON g.id = s.generation
           LEFT JOIN actual a ON a.generation = s.generation
          WHERE (a.generation IS NOT NULL) <> (s.state = 'settled' AND g.key_mode = 'platform')
             OR a.cost_pd <> s.cost_pd OR a.images <> s.charged_images OR a.model <> g.model",
    ),
    (
        "I13: nobody has asked what a call cost that did not tell",
        "SELECT hex(u.generation) || ' ' || u.call FROM upstream_call u
           JOIN generation_state s ON s.generation = u.generation
           LEFT JOIN call_receipt r ON r.generation = u.generation AND r.call = u.call
          WHERE s.state IN ('stored', 'in_doubt', 'settled', 'voided') AND r.cost_pd IS NULL AND coalesce(r.unbilled, 0) = 0
            AND NOT EXISTS (SELECT 1 FROM question q WHERE q.generation = u.generation AND q.call = u.call)",
    ),
    (
        "I14: a generation has no state",
        "SELECT hex(g.id) FROM generation g WHERE NOT EXISTS (SELECT 1 FROM generation_state s WHERE s.generation = g.id)",
    ),
    (
        "I14: the state of a generation is not the last of its history",
        "SELECT hex(s.generation) FROM generation_state s WHERE s.version <> (
           SELECT max(version) FROM generation_event e WHERE e.generation = s.generation)",
    ),
    (
        "A2: an organization has no audit trail, or one with a gap",
        "SELECT o.id FROM organization o WHERE NOT EXISTS (SELECT 1 FROM audit_entry a WHERE a.organization = o.id)
         UNION ALL
         SELECT organization FROM audit_entry GROUP BY organization HAVING count(*) <> max(seq) + 1",
    ),
    (
        "A3: the audit trail does not tell who made a key, or tells of one that is not there",
        "SELECT * FROM (SELECT organization || ' ' || lower(hex(id)) FROM api_key
           EXCEPT SELECT organization || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'api_key_created')
         UNION ALL
         SELECT * FROM (SELECT organization || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'api_key_created'
           EXCEPT SELECT organization || ' ' || lower(hex(id)) FROM api_key)",
    ),
    (
        "A4: the audit trail does not tell who revoked a key, or tells it of one that is not",
        "SELECT * FROM (SELECT organization || ' ' || lower(hex(id)) FROM api_key WHERE revoked_us IS NOT NULL
           EXCEPT SELECT organization || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'api_key_revoked')
         UNION ALL
         SELECT * FROM (SELECT organization || ' ' || replace(subject, '-', '') FROM audit_entry WHERE action = 'api_key_revoked'
           EXCEPT SELECT organization || ' ' || lower(hex(id)) FROM api_key WHERE revoked_us IS NOT NULL)",
    ),
    (
        "A5: the audit trail does not tell who gave credits",
        "SELECT organization || ' ' || reference FROM ledger WHERE kind = 'purchase'
         EXCEPT SELECT organization || ' ' || subject FROM audit_entry WHERE action = 'credits_added'",
    ),
    ("a row points at nothing", "SELECT \"table\" || ' ' || coalesce(rowid, '') FROM pragma_foreign_key_check"),
];

/// The questions that are asked of the rows one by one.
const FORMULA: &str = "I12: a charge, or what is left of it, is not what the formula gives";
const TRAIL: &str = "A1: an entry of an audit trail does not carry its hash";
const CHAIN: &str = "I7: a row of the ledger does not carry its hash";

/// One sentence per break; none is good.
pub(super) fn audit(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut breaks = Vec::new();
    report(connection, |finding| breaks.extend(finding.breaks))?;
    Ok(breaks)
}

/// Asks every question, and tells each answer as soon as it is there.
pub(super) fn report(
    connection: &Connection,
    mut tell: impl FnMut(Finding),
) -> Result<(), rusqlite::Error> {
    for (what, sql) in QUESTIONS {
        let mut statement = connection.prepare(sql)?;
        let whose = statement.query_map([], |row| row.get::<_, String>(0))?;
        let breaks = whose.map(|whose| Ok(format!("{what}: {}", whose?)));
        let breaks = breaks.collect::<Result<_, rusqlite::Error>>()?;
        tell(Finding { what, breaks });
    }
    let mut breaks = Vec::new();
    formula(connection, &mut breaks)?;
    tell(Finding {
        what: FORMULA,
        breaks,
    });
    let mut breaks = Vec::new();
    chain(connection, &mut breaks)?;
    tell(Finding {
        what: CHAIN,
        breaks,
    });
    let mut breaks = Vec::new();
    trail::chain(connection, &mut breaks)?;
    tell(Finding {
        what: TRAIL,
        breaks,
    });
    Ok(())
}

/// How many questions there are.
pub(super) const fn questions() -> usize {
    QUESTIONS.len() + 3
}

/// I12: every charge is what the formula gives for its stored inputs.
fn formula(connection: &Connection, breaks: &mut Vec<String>) -> Result<(), rusqlite::Error> {
    let sql = "
      SELECT hex(s.generation), g.key_mode, s.cost_pd, s.charged_images, s.charge_cc
        FROM generation_state s JOIN generation g ON g.id = s.generation WHERE s.state = 'settled'
      UNION ALL
      SELECT hex(s.generation), g.key_mode, c.cost_pd, s.charged_images, s.charge_cc - c.refund_cc
        FROM generation_state s JOIN generation g ON g.id = s.generation
        JOIN correction c ON c.generation = s.generation WHERE s.state = 'settled'";
    let mut statement = connection.prepare(sql)?;
    let mut settled = statement.query([])?;
    while let Some(row) = settled.next()? {
        let (charged, due) = charged_and_due(row)?;
        if charged != due {
            let whose: String = row.get(0)?;
            breaks.push(format!(
                "I12: {charged} hundredths were charged, the formula gives {due}: {whose}"
            ));
        }
    }
    Ok(())
}

fn charged_and_due(row: &Row<'_>) -> Result<(i64, i64), rusqlite::Error> {
    let cost = UsdCost::from_pico(row.get(2)?).ok_or_else(|| rows::odd("cost_pd"))?;
    let images = row.get(3)?;
    let due = due(rows::word(row, 1, KeyMode::parse)?, cost, images);
    Ok((row.get(4)?, due.hundredths()))
}

/// I6 and I7: every row carries the hash of its content and of the row before.
fn chain(connection: &Connection, breaks: &mut Vec<String>) -> Result<(), rusqlite::Error> {
    let sql = "
      SELECT organization, seq, kind, id, amount_cc, posted_after_cc, debt_after_cc, generation, reference, hash,
             description, at_us
        FROM ledger ORDER BY organization, seq";
    let mut statement = connection.prepare(sql)?;
    let mut entries = statement.query([])?;
    let mut before = [0; 32];
    while let Some(row) = entries.next()? {
        let (computed, kept) = computed_and_kept(row, &before)?;
        if computed != kept {
            let (whose, seq): (String, i64) = (row.get(0)?, row.get(1)?);
            breaks.push(format!(
                "I7: row {seq} of the ledger does not carry its hash: {whose}"
            ));
        }
        before = kept;
    }
    Ok(())
}

fn computed_and_kept(
    row: &Row<'_>,
    before: &[u8; 32],
) -> Result<([u8; 32], [u8; 32]), rusqlite::Error> {
    let organization: String = row.get(0)?;
    let seq: i64 = row.get(1)?;
    let kind: String = row.get(2)?;
    let kept = row.get(9)?;
    let number = |column: usize| row.get::<_, i64>(column).map(|number| number.to_string());
    if seq == 0 {
        let at = number(11)?;
        return Ok((
            hash(LEDGER, &[0; 32], &[&organization, "0", &kind, &at]),
            kept,
        ));
    }
    let generation: Option<[u8; 16]> = row.get(7)?;
    let generation = generation.map(|id| uuid::Uuid::from_bytes(id).to_string());
    let reference: Option<String> = row.get(8)?;
    let description: String = row.get(10)?;
    let computed = hash(
        LEDGER,
        before,
        &[
            &organization,
            &seq.to_string(),
            &kind,
            &rows::uuid(row, 3)?.to_string(),
            &number(4)?,
            &number(5)?,
            &number(6)?,
            &generation.unwrap_or_default(),
            &reference.unwrap_or_default(),
            &description,
            &number(11)?,
        ],
    );
    Ok((computed, kept))
}
