//! Costs that answers told, asked for a second time (`reliability.md` row 58): where the walk has
//! come to, and what follows where OpenRouter's records say something else. Nothing is written when
//! a generation settles, and one transaction passes many generations: a walk that finds nothing
//! hardly costs the writer anything.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::calls;
use super::corrections::is_closed;
use super::odd::odd;
use super::rows::{self, micros};
use crate::domain::ids::GenerationId;
use crate::domain::money::UsdCost;
use crate::ports::{Disagreement, LedgerError, ToldCall, Unchecked};

/// A page of the walk. It has no index of its own, which every end of a generation would have to
/// write: ids are made in the order of time, and there are few that have not ended.
pub(super) const PAGE: &str = "
  SELECT generation, finished_us > ?2 AND finished_us <= ?3 FROM generation_state
   WHERE generation > ?1 AND generation < coalesce(
     (SELECT min(generation) FROM generation_state WHERE state NOT IN ('settled', 'voided')),
     x'ffffffffffffffffffffffffffffffffff')
   ORDER BY generation LIMIT ?4";

/// The generations that come next, in the order of their ids, and of those that were charged by what
/// their answers told the calls that brought pictures. What has not ended stops the walk, and so does
/// what ended only just now; a clock that was set back does not.
pub(super) fn unchecked(
    connection: &Connection,
    (before, now): (Timestamp, Timestamp),
    limit: u32,
) -> Result<Option<Unchecked>, LedgerError> {
    let after = through(connection)?;
    let mut statement = connection.prepare_cached(PAGE)?;
    let bounds = params![after.as_slice(), micros(before), micros(now), limit];
    let mut rows = statement.query(bounds)?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let is_fresh: bool = row.get(1)?;
        if is_fresh {
            break;
        }
        last = Some(rows::uuid(row, 0)?);
    }
    let Some(last) = last else {
        return Ok(None);
    };
    Ok(Some(Unchecked {
        calls: told(connection, after, *last.as_bytes())?,
        through: GenerationId::from_uuid(last),
    }))
}

/// The calls that brought pictures and told their cost, of what was charged by it and may still be
/// corrected; where an organization's own key paid, of what was told to it.
fn told(
    connection: &Connection,
    after: [u8; 16],
    last: [u8; 16],
) -> Result<Vec<ToldCall>, LedgerError> {
    let sql = "
      SELECT r.generation, r.call, r.upstream_id, r.cost_pd, g.key_mode, g.organization, g.upstream_key
        FROM generation_state s JOIN generation g ON g.id = s.generation
        JOIN call_receipt r ON r.generation = s.generation
       WHERE s.generation > ?1 AND s.generation <= ?2 AND s.state = 'settled' AND s.disputed_pd IS NULL
         AND r.cost_source = 'usage' AND r.images <> '[]' AND r.upstream_id IS NOT NULL
       ORDER BY r.generation, r.call";
    let mut statement = connection.prepare_cached(sql)?;
    let calls = statement.query_map(params![after.as_slice(), last.as_slice()], |row| {
        Ok(ToldCall {
            generation: GenerationId::from_uuid(rows::uuid(row, 0)?),
            call: row.get(1)?,
            upstream_id: row.get(2)?,
            cost: UsdCost::from_pico(row.get(3)?).ok_or_else(|| odd("cost_pd"))?,
            own_key: calls::own_key(row, 4)?,
        })
    })?;
    Ok(calls.collect::<Result<_, _>>()?)
}

/// Notes how far the walk has come, what the records said otherwise, and what follows from it.
pub(super) fn checked(
    connection: &Connection,
    through: GenerationId,
    found: &[Disagreement],
    now: Timestamp,
) -> Result<(), LedgerError> {
    for of_one in found.chunk_by(|one, next| one.generation == next.generation) {
        let Some(id) = of_one.first().map(|one| one.generation) else {
            continue;
        };
        if is_closed(connection, id)? {
            continue;
        }
        for one in of_one {
            disagree(connection, one, now)?;
        }
        calls::follow(connection, id, now)?;
    }
    let sql = "
      INSERT INTO cost_check VALUES (1, ?1)
      ON CONFLICT (one) DO UPDATE SET through = max(through, excluded.through)";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute([through.uuid().as_bytes().as_slice()])?;
    Ok(())
}

fn disagree(
    connection: &Connection,
    one: &Disagreement,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO disagreement VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![
        one.generation.uuid().as_bytes().as_slice(),
        one.call,
        one.cost.pico(),
        micros(now),
    ])?;
    Ok(())
}

/// The last generation that was passed; before the first there is none with this id.
fn through(connection: &Connection) -> Result<[u8; 16], LedgerError> {
    let mut statement = connection.prepare_cached("SELECT through FROM cost_check")?;
    let found = statement.query_row([], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_default())
}
