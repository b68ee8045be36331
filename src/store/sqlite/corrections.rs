//! A charge that is found too high or too low, once every cost of it is told (`domain.md` C15): the
//! customer pays the lower of the two, the platform bears the rest.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::entries::{self, About};
use super::rows::{account, micros};
use crate::domain::delivery::{correction, verdict};
use crate::domain::generation::{CallRecord, Generation};
use crate::domain::ids::GenerationId;
use crate::domain::money::{Credits, UsdCost};
use crate::domain::recovery::{CallFacts, Question};
use crate::ports::LedgerError;

/// Every cost is told now: was the charge too high, or too low? Asked once, when the last question
/// about a charge is closed.
pub(super) fn correct(
    connection: &Connection,
    generation: &Generation,
    calls: Vec<CallFacts>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let (id, draft) = (generation.draft.id, &generation.draft);
    let Some(charge) = &generation.charge else {
        return Ok(());
    };
    if is_closed(connection, id)? {
        return Ok(());
    }
    let brought = calls
        .iter()
        .find(|call| call.question != Question::None && !call.record.images.is_empty());
    let Some(asked) = brought.map(|call| call.record.call) else {
        return Ok(());
    };
    let calls: Vec<CallRecord> = calls.into_iter().map(|call| call.record).collect();
    let told = correction(charge, &verdict(draft, &generation.images, &calls));
    if told.absorbed > UsdCost::ZERO {
        absorb(connection, (id, asked), told.absorbed, "above_charge", now)?;
    }
    if told.cost == charge.cost {
        return Ok(());
    }
    // The correction and its refund have one instant, as a charge and its end have.
    let now = entries::instant(connection, &draft.organization, now)?;
    let sql = "INSERT INTO correction VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        told.cost.pico(),
        told.refund.hundredths(),
        micros(now),
    ])?;
    if told.refund > Credits::ZERO {
        refund(connection, generation, told.refund, now)?;
    }
    Ok(())
}

/// Notes what the platform bears of a call. The first note stands.
pub(super) fn absorb(
    connection: &Connection,
    (id, call): (GenerationId, u32),
    cost: UsdCost,
    why: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = "INSERT INTO absorption VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        call,
        cost.pico(),
        why,
        micros(now),
    ])?;
    Ok(())
}

/// Whether a charge was found too high or too low already, or was not believed: then it stays as it
/// is.
pub(super) fn is_closed(connection: &Connection, id: GenerationId) -> Result<bool, LedgerError> {
    let sql = "
      SELECT 1 FROM generation_state s WHERE s.generation = ?1 AND (s.disputed_pd IS NOT NULL
          OR EXISTS (SELECT 1 FROM correction c WHERE c.generation = s.generation)
          OR EXISTS (SELECT 1 FROM absorption a WHERE a.generation = s.generation AND a.why = 'above_charge'))";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([id.uuid().as_bytes().as_slice()], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// What comes back, as a row of the ledger.
fn refund(
    connection: &Connection,
    generation: &Generation,
    amount: Credits,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let organization = &generation.draft.organization;
    let opening = account(connection, organization)?.ok_or(LedgerError::OrganizationNotFound)?;
    let postings = opening
        .refund(amount)
        .map_err(|_| LedgerError::OutOfRange)?;
    let about = About {
        generation: Some(generation.draft.id),
        reference: None,
        description: "the cost was told later, and is lower",
        now,
    };
    entries::book(
        connection,
        organization,
        (opening, opening),
        &postings,
        &about,
    )?;
    Ok(())
}
