//! What the recovery looks at: generations that have not ended, and pictures whose time is up.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::calls;
use super::rows::{self, by_id, micros, time};
use crate::domain::ids::GenerationId;
use crate::ports::{Case, Expired, LedgerError};

/// Generations that have not ended, in the order of their ids.
pub(super) fn open(
    connection: &Connection,
    after: Option<GenerationId>,
    limit: u32,
) -> Result<Vec<GenerationId>, LedgerError> {
    let sql = "
      SELECT generation FROM generation_state WHERE state NOT IN ('settled', 'voided') AND generation > ?1
       ORDER BY generation LIMIT ?2";
    let after = after.map_or([0; 16], |id| id.uuid().into_bytes());
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map(params![after.as_slice(), limit], |row| rows::uuid(row, 0))?;
    let ids: Result<Vec<_>, _> = ids.map(|id| id.map(GenerationId::from_uuid)).collect();
    Ok(ids?)
}

/// One generation with all that is known of its calls.
pub(super) fn case(connection: &Connection, id: GenerationId) -> Result<Option<Case>, LedgerError> {
    let Some(generation) = by_id(connection, id)? else {
        return Ok(None);
    };
    let sql =
        "SELECT at_us FROM generation_event WHERE generation = ?1 ORDER BY version DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let since = statement.query_row([id.uuid().as_bytes().as_slice()], |row| row.get(0));
    let since: Option<i64> = since.optional()?;
    Ok(Some(Case {
        since: since.map_or(generation.draft.created, time),
        calls: calls::facts(connection, id)?,
        generation,
    }))
}

/// Generations that ended before `before` and whose pictures are still kept.
pub(super) fn expired(
    connection: &Connection,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<Expired>, LedgerError> {
    let sql = "
      SELECT s.generation FROM generation_state s
       WHERE s.state = 'settled' AND s.finished_us < ?1
         AND NOT EXISTS (SELECT 1 FROM expiry e WHERE e.generation = s.generation)
       ORDER BY s.finished_us LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map(params![micros(before), limit], |row| rows::uuid(row, 0))?;
    let ids: Vec<_> = ids.collect::<Result<_, _>>()?;
    let mut expired = Vec::with_capacity(ids.len());
    for id in ids {
        let sql = "SELECT object_name FROM image WHERE generation = ?1 ORDER BY idx";
        let mut statement = connection.prepare_cached(sql)?;
        let names = statement.query_map([id.as_bytes().as_slice()], |row| row.get(0))?;
        expired.push(Expired {
            id: GenerationId::from_uuid(id),
            object_names: names.collect::<Result<_, _>>()?,
        });
    }
    Ok(expired)
}

/// Notes that the pictures are no longer kept.
pub(super) fn expire(
    connection: &Connection,
    id: GenerationId,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO expiry VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![id.uuid().as_bytes().as_slice(), micros(now)])?;
    Ok(())
}
