//! Whatever is changed in a row of a chain, its hash tells.

use super::*;

/// What a hand does to one field of one row, and the row that does not carry its hash then.
const FIELDS: &[(&str, &str)] = &[
    ("I7: row 1 of: acme", "UPDATE ledger SET id = randomblob(16) WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET kind = 'refund' WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET amount_cc = amount_cc + 1 WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET posted_after_cc = posted_after_cc + 1 WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET debt_after_cc = debt_after_cc + 1 WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET generation = randomblob(16) WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET reference = 'x' WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET description = 'x' WHERE seq = 1"),
    ("I7: row 1 of: acme", "UPDATE ledger SET at_us = at_us + 1 WHERE seq = 1"),
    ("I7: row 77 of: acme", "UPDATE ledger SET seq = 77 WHERE seq = 1"),
    ("I7: row 1 of: ghost", "UPDATE ledger SET organization = 'ghost' WHERE seq = 1"),
    // Nothing is another, and one field ends where the next begins.
    (
        "I7: row 1 of: acme",
        "UPDATE ledger SET reference = reference || substr(description, 1, 1), description = substr(description, 2)
          WHERE seq = 1",
    ),
    ("A1: entry 3 of: acme", "UPDATE audit_entry SET action = 'tool_created' WHERE trail = 'acme' AND seq = 3"),
    ("A1: entry 3 of: acme", "UPDATE audit_entry SET actor_kind = 'operator' WHERE trail = 'acme' AND seq = 3"),
    ("A1: entry 3 of: acme", "UPDATE audit_entry SET actor = randomblob(16) WHERE trail = 'acme' AND seq = 3"),
    ("A1: entry 3 of: acme", "UPDATE audit_entry SET actor_prefix = 'sq_live_x' WHERE trail = 'acme' AND seq = 3"),
    ("A1: entry 3 of: acme", "UPDATE audit_entry SET subject = 'x' WHERE trail = 'acme' AND seq = 3"),
    ("A1: entry 3 of: acme", "UPDATE audit_entry SET changes = '[]' WHERE trail = 'acme' AND seq = 3"),
    ("A1: entry 3 of: acme", "UPDATE audit_entry SET at_us = at_us + 1 WHERE trail = 'acme' AND seq = 3"),
    ("A1: entry 77 of: acme", "UPDATE audit_entry SET seq = 77 WHERE trail = 'acme' AND seq = 9"),
    ("A1: entry 9 of: ghost", "UPDATE audit_entry SET trail = 'ghost' WHERE trail = 'acme' AND seq = 9"),
];

#[tokio::test]
async fn every_field_of_a_row_is_in_its_hash() {
    let mut missed = Vec::new();
    for (expected, sql) in FIELDS {
        let told = found(sql).await;
        let chains = [
            " the ledger does not carry its hash",
            " the audit trail does not carry its hash",
        ];
        let short = |text: &String| {
            chains
                .iter()
                .fold(text.clone(), |text, words| text.replace(words, ""))
        };
        if !told.iter().map(short).any(|text| text == *expected) {
            missed.push((expected, sql, told));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
