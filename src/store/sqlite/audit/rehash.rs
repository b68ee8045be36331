//! The chains of hashes, computed again.

use rusqlite::Row;

use super::{Breaks, Look};
use crate::store::sqlite::chain::{LEDGER, hash};
use crate::store::sqlite::{rows, trail};

/// I7: every row of the ledger carries the hash of its content and of the row before, as it names
/// that row itself.
pub(super) fn ledger(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    let sql = "
      SELECT organization, seq, kind, id, amount_cc, posted_after_cc, debt_after_cc, generation, reference, hash,
             description, at_us, prev_hash
        FROM ledger ORDER BY organization, seq";
    let mut statement = look.connection.prepare(sql)?;
    let mut entries = statement.query([])?;
    let mut passed = 0;
    while let Some(row) = entries.next()? {
        let (whose, seq): (String, i64) = (row.get(0)?, row.get(1)?);
        if !carries_its_hash(row).unwrap_or(false) {
            breaks.add(|| format!("row {seq} of the ledger does not carry its hash: {whose}"));
        }
        look.passed(&mut passed);
    }
    Ok(())
}

/// A1: every entry of an audit trail carries the hash of its content and of the entry before.
pub(super) fn trails(look: &mut Look<'_>, breaks: &mut Breaks) -> Result<(), rusqlite::Error> {
    trail::chain(look.connection, |whose, seq| {
        let whose = trail::name(whose);
        breaks.add(|| format!("entry {seq} of the audit trail does not carry its hash: {whose}"));
    })
}

fn carries_its_hash(row: &Row<'_>) -> Result<bool, rusqlite::Error> {
    let organization: String = row.get(0)?;
    let seq: i64 = row.get(1)?;
    let kind: String = row.get(2)?;
    let kept: [u8; 32] = row.get(9)?;
    let number = |column: usize| row.get::<_, i64>(column).map(|number| number.to_string());
    if seq == 0 {
        let at = number(11)?;
        return Ok(hash(LEDGER, &[0; 32], &[&organization, "0", &kind, &at]) == kept);
    }
    let before: [u8; 32] = row.get(12)?;
    let generation: Option<[u8; 16]> = row.get(7)?;
    let generation = generation.map(|id| uuid::Uuid::from_bytes(id).to_string());
    let reference: Option<String> = row.get(8)?;
    let description: String = row.get(10)?;
    let parts = [
        organization.as_str(),
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
    ];
    Ok(hash(LEDGER, &before, &parts) == kept)
}
