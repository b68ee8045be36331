//! The steps of a generation after its hold, each written as history, pointer and, at the end,
//! resolution and charge (`reliability.md` §2.1, commits C2 to C5).

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::calls;
use super::entries::{self, About};
use super::prices;
use super::rows::{self, account, by_id, micros};
use crate::domain::books::{Account, Stage};
use crate::domain::generation::{CallRecord, Generation, StoredImage};
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::domain::money::{Credits, UsdCost};
use crate::ports::{Delivery, LedgerError, Settlement, Voiding};

/// Where a generation stands, as far as a step needs it.
struct Standing {
    organization: OrganizationId,
    version: i64,
    stage: Stage,
    /// Since when, as the history has it.
    since: Timestamp,
    hold: Credits,
}

/// A step that was just added to the history.
struct Step {
    version: i64,
    stage: Stage,
    /// When it was taken, as the history has it.
    at: Timestamp,
}

/// One step without an end.
pub(super) fn advance(
    connection: &Connection,
    id: GenerationId,
    to: Stage,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let standing = standing(connection, id, to)?;
    let step = event(connection, id, &standing, to, now)?;
    point(connection, id, &step)
}

/// The first answer moves to `streaming`; each answer leaves its id.
pub(super) fn stream(
    connection: &Connection,
    id: GenerationId,
    (call, upstream_id): (u32, Option<&str>),
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let found = find(connection, id)?;
    let streams = |standing: &Standing| standing.stage == Stage::Streaming;
    if !found.as_ref().is_some_and(streams) {
        advance(connection, id, Stage::Streaming, now)?;
    }
    calls::begun(connection, id, call, upstream_id)
}

/// Keeps what one call brought while others run.
pub(super) fn note(
    connection: &Connection,
    id: GenerationId,
    call: &CallRecord,
) -> Result<(), LedgerError> {
    // The same stages from which its pictures may be stored.
    standing(connection, id, Stage::Stored)?;
    calls::note(connection, id, call)
}

/// `stored` alone: the cost is still asked for.
pub(super) fn store(
    connection: &Connection,
    id: GenerationId,
    delivery: &Delivery,
) -> Result<Generation, LedgerError> {
    let before = standing(connection, id, Stage::Stored)?;
    stored(connection, id, before, delivery)?;
    read_back(connection, id)
}

/// `stored` and `settled` at once if the cost is known, or `settled` once it is.
pub(super) fn settle(
    connection: &Connection,
    id: GenerationId,
    settlement: &Settlement,
) -> Result<Generation, LedgerError> {
    let delivery = &settlement.delivery;
    let found = find(connection, id)?;
    let already = |standing: &Standing| standing.stage == Stage::Stored;
    let stored = match found.filter(already) {
        Some(standing) => {
            calls::conclude(connection, id, &delivery.calls, delivery.now)?;
            standing
        }
        None => {
            let before = standing(connection, id, Stage::Stored)?;
            stored(connection, id, before, delivery)?
        }
    };
    // The step, the end and the charge have one instant, wherever the clock was set: what is counted
    // by the end is of the same day as what is counted by the ledger.
    let now = entries::instant(connection, &stored.organization, delivery.now)?;
    let step = event(connection, id, &stored, Stage::Settled, now)?;
    resolve(connection, id, &stored, "posted", &step)?;
    let after = charge(connection, id, &stored, (settlement, step.at))?;
    let charge = &settlement.charge;
    connection
        .prepare_cached(
            "UPDATE generation_state SET version = ?2, state = 'settled', charged_images = ?3, cost_pd = ?4,
               cost_source = ?5, charge_cc = ?6, balance_after_cc = ?7, disputed_pd = ?8, finished_us = ?9
             WHERE generation = ?1",
        )?
        .execute(params![
            id.uuid().as_bytes().as_slice(),
            step.version,
            charge.images,
            charge.cost.pico(),
            charge.cost_source.as_str(),
            charge.credits.hundredths(),
            after.balance().hundredths(),
            settlement.disputed.map(UsdCost::pico),
            micros(step.at),
        ])?;
    prices::note_actual(connection, id)?;
    // What was told after the charge had been computed, and before it was booked.
    calls::follow(connection, id, delivery.now)?;
    read_back(connection, id)
}

/// Names the pictures, and whatever is known of the calls.
fn stored(
    connection: &Connection,
    id: GenerationId,
    before: Standing,
    delivery: &Delivery,
) -> Result<Standing, LedgerError> {
    let step = event(connection, id, &before, Stage::Stored, delivery.now)?;
    images(connection, id, &delivery.images)?;
    calls::conclude(connection, id, &delivery.calls, delivery.now)?;
    let delivered = i64::try_from(delivery.images.len()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "UPDATE generation_state SET version = ?2, state = 'stored', delivered = ?3, reason = NULL, details = ?4
             WHERE generation = ?1",
        )?
        .execute(params![
            id.uuid().as_bytes().as_slice(),
            step.version,
            delivered,
            rows::succeeded(&delivery.text, &delivery.adjustments)?,
        ])?;
    Ok(Standing {
        version: step.version,
        stage: step.stage,
        since: step.at,
        ..before
    })
}

/// Ends the hold with a charge.
fn charge(
    connection: &Connection,
    id: GenerationId,
    stored: &Standing,
    (settlement, at): (&Settlement, Timestamp),
) -> Result<Account, LedgerError> {
    let organization = &stored.organization;
    let opening = account(connection, organization)?.ok_or(LedgerError::OrganizationNotFound)?;
    let postings = opening
        .settle(stored.hold, settlement.charge.credits)
        .map_err(|_| LedgerError::OutOfRange)?;
    let released = opening
        .void(stored.hold)
        .map_err(|_| LedgerError::OutOfRange)?;
    let about = About {
        generation: Some(id),
        reference: None,
        description: "",
        now: at,
    };
    let opened = (opening, released);
    entries::book(connection, organization, opened, &postings, &about)
}

/// The hold is released; nothing is charged.
pub(super) fn void(
    connection: &Connection,
    id: GenerationId,
    ending: &Voiding,
) -> Result<Generation, LedgerError> {
    let before = standing(connection, id, Stage::Voided)?;
    let step = event(connection, id, &before, Stage::Voided, ending.now)?;
    calls::conclude(connection, id, &ending.calls, ending.now)?;
    resolve(connection, id, &before, "voided", &step)?;
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
    without_pictures(connection, id, &step, ending)
}

/// Nothing came, and nobody knows yet whether it was billed. The hold stays.
pub(super) fn doubt(
    connection: &Connection,
    id: GenerationId,
    ending: &Voiding,
) -> Result<Generation, LedgerError> {
    let before = standing(connection, id, Stage::InDoubt)?;
    let step = event(connection, id, &before, Stage::InDoubt, ending.now)?;
    calls::conclude(connection, id, &ending.calls, ending.now)?;
    without_pictures(connection, id, &step, ending)
}

/// The hold is released if nothing was dispatched; otherwise nothing changes.
pub(super) fn cancel(
    connection: &Connection,
    id: GenerationId,
    ending: &Voiding,
) -> Result<Generation, LedgerError> {
    match find(connection, id)? {
        Some(standing) if standing.stage == Stage::Held => void(connection, id, ending),
        _ => read_back(connection, id),
    }
}

/// Points to a step after which there will be no picture, with the reason.
fn without_pictures(
    connection: &Connection,
    id: GenerationId,
    step: &Step,
    ending: &Voiding,
) -> Result<Generation, LedgerError> {
    connection
        .prepare_cached(
            "UPDATE generation_state SET version = ?2, state = ?3, reason = ?4, finished_us = ?5, details = ?6
             WHERE generation = ?1",
        )?
        .execute(params![
            id.uuid().as_bytes().as_slice(),
            step.version,
            step.stage.as_str(),
            ending.failure.reason.as_str(),
            step.stage.is_final().then(|| micros(step.at)),
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
      SELECT s.organization, s.version, s.state, e.at_us, h.amount_cc FROM generation_state s
        JOIN generation_event e ON e.generation = s.generation AND e.version = s.version
        JOIN hold h ON h.generation = s.generation WHERE s.generation = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([id.uuid().as_bytes().as_slice()], |row| {
        Ok(Standing {
            organization: rows::word(row, 0, |text| OrganizationId::parse(text).ok())?,
            version: row.get(1)?,
            stage: rows::word(row, 2, Stage::parse)?,
            since: rows::time(row.get(3)?),
            hold: Credits::from_hundredths(row.get(4)?),
        })
    });
    Ok(row.optional()?)
}

/// Adds to the history.
fn event(
    connection: &Connection,
    id: GenerationId,
    from: &Standing,
    to: Stage,
    now: Timestamp,
) -> Result<Step, LedgerError> {
    let step = Step {
        version: from.version + 1,
        stage: to,
        // No step is earlier than the one before, wherever the clock was set.
        at: now.max(from.since),
    };
    let sql = "INSERT INTO generation_event VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        step.version,
        from.version,
        from.stage.as_str(),
        to.as_str(),
        micros(step.at),
    ])?;
    Ok(step)
}

fn point(connection: &Connection, id: GenerationId, step: &Step) -> Result<(), LedgerError> {
    let sql = "UPDATE generation_state SET version = ?2, state = ?3 WHERE generation = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![
        id.uuid().as_bytes().as_slice(),
        step.version,
        step.stage.as_str()
    ])?;
    Ok(())
}

fn resolve(
    connection: &Connection,
    id: GenerationId,
    standing: &Standing,
    outcome: &str,
    step: &Step,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO hold_resolution VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        standing.organization.as_str(),
        standing.hold.hundredths(),
        outcome,
        step.version,
        step.stage.as_str(),
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
