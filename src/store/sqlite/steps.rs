//! The steps of a generation after its hold, each written as history, pointer and, at the end,
//! resolution and charge (`reliability.md` §2.1, commits C2 to C5).

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::entries::{self, About};
use super::rows::{self, account, by_id, micros};
use crate::domain::books::Stage;
use crate::domain::generation::{Generation, StoredImage};
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::domain::money::{Credits, UsdCost};
use crate::ports::{LedgerError, Settlement, Voiding};

/// Characters of an id of OpenRouter's (its schema allows 128).
const UPSTREAM_ID_CHARS_MAX: usize = 128;

/// Where a generation stands, as far as a step needs it.
struct Standing {
    organization: OrganizationId,
    version: i64,
    stage: Stage,
    hold: Credits,
}

/// One step without an end.
pub(super) fn advance(
    connection: &Connection,
    id: GenerationId,
    to: Stage,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let standing = standing(connection, id, to)?;
    let version = event(connection, id, &standing, to, now)?;
    point(connection, id, version, to)
}

/// The first answer moves to `streaming`; each answer leaves its id.
pub(super) fn stream(
    connection: &Connection,
    id: GenerationId,
    upstream_id: Option<&str>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let found = find(connection, id)?;
    if found
        .as_ref()
        .is_none_or(|standing| standing.stage != Stage::Streaming)
    {
        advance(connection, id, Stage::Streaming, now)?;
    }
    // An id that cannot be one must never stand in the way of a picture.
    let believable = |id: &&str| {
        // SQLite's length() ends at a NUL, so one in front would break the table's own check.
        (1..=UPSTREAM_ID_CHARS_MAX).contains(&id.chars().count()) && !id.contains(char::is_control)
    };
    if let Some(upstream_id) = upstream_id.filter(believable) {
        let sql = "
          INSERT INTO upstream_call
          SELECT ?1, (SELECT count(*) FROM upstream_call WHERE generation = ?1), ?2";
        let mut statement = connection.prepare_cached(sql)?;
        statement.execute(params![id.uuid().as_bytes().as_slice(), upstream_id])?;
    }
    Ok(())
}

/// `stored` and `settled` at once: the cost is known.
pub(super) fn settle(
    connection: &Connection,
    id: GenerationId,
    settlement: &Settlement,
) -> Result<Generation, LedgerError> {
    let before = standing(connection, id, Stage::Stored)?;
    let stored = Standing {
        version: event(connection, id, &before, Stage::Stored, settlement.now)?,
        stage: Stage::Stored,
        ..before
    };
    let version = event(connection, id, &stored, Stage::Settled, settlement.now)?;
    images(connection, id, &settlement.images)?;
    resolve(connection, id, &stored, "posted", (version, Stage::Settled))?;
    let opening =
        account(connection, &stored.organization)?.ok_or(LedgerError::OrganizationNotFound)?;
    let charge = &settlement.charge;
    let postings = opening
        .settle(stored.hold, charge.credits)
        .map_err(|_| LedgerError::OutOfRange)?;
    let released = opening
        .void(stored.hold)
        .map_err(|_| LedgerError::OutOfRange)?;
    let about = About {
        generation: Some(id),
        reference: None,
        description: "",
        now: settlement.now,
    };
    let after = entries::book(
        connection,
        &stored.organization,
        (opening, released),
        &postings,
        &about,
    )?;
    let delivered = i64::try_from(settlement.images.len()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "UPDATE generation_state SET version = ?2, state = 'settled', delivered = ?3, charged_images = ?4, cost_pd = ?5,
               cost_source = ?6, charge_cc = ?7, balance_after_cc = ?8, disputed_pd = ?9, absorbed_pd = ?10, finished_us = ?11, details = ?12
             WHERE generation = ?1",
        )?
        .execute(params![
            id.uuid().as_bytes().as_slice(),
            version,
            delivered,
            charge.images,
            charge.cost.pico(),
            charge.cost_source.as_str(),
            charge.credits.hundredths(),
            after.balance().hundredths(),
            settlement.disputed.map(UsdCost::pico),
            settlement.absorbed.map(UsdCost::pico),
            micros(settlement.now),
            rows::succeeded(&settlement.text, &settlement.adjustments)?,
        ])?;
    read_back(connection, id)
}

/// The hold is released; nothing is charged.
pub(super) fn void(
    connection: &Connection,
    id: GenerationId,
    ending: &Voiding,
) -> Result<Generation, LedgerError> {
    let before = standing(connection, id, Stage::Voided)?;
    let version = event(connection, id, &before, Stage::Voided, ending.now)?;
    resolve(connection, id, &before, "voided", (version, Stage::Voided))?;
    let opening =
        account(connection, &before.organization)?.ok_or(LedgerError::OrganizationNotFound)?;
    let after = opening
        .void(before.hold)
        .map_err(|_| LedgerError::OutOfRange)?;
    connection
        .prepare_cached("UPDATE balance SET held_cc = ?2 WHERE organization = ?1")?
        .execute(params![
            before.organization.as_str(),
            after.held.hundredths()
        ])?;
    connection
        .prepare_cached(
            "UPDATE generation_state SET version = ?2, state = 'voided', reason = ?3, absorbed_pd = ?4, finished_us = ?5, details = ?6
             WHERE generation = ?1",
        )?
        .execute(params![
            id.uuid().as_bytes().as_slice(),
            version,
            ending.failure.reason.as_str(),
            ending.absorbed.map(UsdCost::pico),
            micros(ending.now),
            rows::failed(&ending.failure)?,
        ])?;
    read_back(connection, id)
}

/// Where it stands, if the rules let it go on to `to`.
fn standing(connection: &Connection, id: GenerationId, to: Stage) -> Result<Standing, LedgerError> {
    let found = find(connection, id)?;
    let from = found.as_ref().map(|standing| standing.stage);
    found
        .filter(|standing| standing.stage.may_become(to))
        .ok_or(LedgerError::IllegalStep { from, to })
}

fn find(connection: &Connection, id: GenerationId) -> Result<Option<Standing>, LedgerError> {
    let sql = "
      SELECT s.organization, s.version, s.state, h.amount_cc
        FROM generation_state s JOIN hold h ON h.generation = s.generation WHERE s.generation = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([id.uuid().as_bytes().as_slice()], |row| {
        Ok(Standing {
            organization: rows::word(row, 0, |text| OrganizationId::parse(text).ok())?,
            version: row.get(1)?,
            stage: rows::word(row, 2, Stage::parse)?,
            hold: Credits::from_hundredths(row.get(3)?),
        })
    });
    Ok(row.optional()?)
}

/// Adds to the history, and returns the new version.
fn event(
    connection: &Connection,
    id: GenerationId,
    from: &Standing,
    to: Stage,
    now: Timestamp,
) -> Result<i64, LedgerError> {
    let version = from.version + 1;
    let sql = "INSERT INTO generation_event VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        version,
        from.version,
        from.stage.as_str(),
        to.as_str(),
        micros(now),
    ])?;
    Ok(version)
}

fn point(
    connection: &Connection,
    id: GenerationId,
    version: i64,
    to: Stage,
) -> Result<(), LedgerError> {
    let sql = "UPDATE generation_state SET version = ?2, state = ?3 WHERE generation = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![
        id.uuid().as_bytes().as_slice(),
        version,
        to.as_str()
    ])?;
    Ok(())
}

fn resolve(
    connection: &Connection,
    id: GenerationId,
    standing: &Standing,
    outcome: &str,
    (version, stage): (i64, Stage),
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO hold_resolution VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        standing.organization.as_str(),
        standing.hold.hundredths(),
        outcome,
        version,
        stage.as_str(),
    ])?;
    Ok(())
}

fn images(
    connection: &Connection,
    id: GenerationId,
    images: &[StoredImage],
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO image VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut statement = connection.prepare_cached(sql)?;
    for image in images {
        statement.execute(params![
            id.uuid().as_bytes().as_slice(),
            image.index,
            image.sha256.as_slice(),
            image.media_type.as_str(),
            image.pixels.width,
            image.pixels.height,
            i64::try_from(image.size_bytes).unwrap_or(i64::MAX),
            image.object_name,
        ])?;
    }
    Ok(())
}

fn read_back(connection: &Connection, id: GenerationId) -> Result<Generation, LedgerError> {
    let found = by_id(connection, id)?;
    found.ok_or(LedgerError::IllegalStep {
        from: None,
        to: Stage::Settled,
    })
}
