//! Opening a generation: is it a repeat, do the limits allow it, does the account cover it?
//! (`reliability.md` §2.4 and commit C1)

use rusqlite::{Connection, params};

use super::rows::{self, account, by_request, micros};
use crate::domain::books::{Account, Refusal, Stage};
use crate::domain::generation::{Draft, Generation};
use crate::domain::money::Credits;
use crate::domain::quota::Quota;
use crate::ports::{HoldOutcome, LedgerError, Opening};

/// Attempts under one request id (`reliability.md` §2.4).
const ATTEMPTS_MAX: u32 = 5;

/// Decides, and if there is nothing against it, holds.
pub(super) fn open(connection: &Connection, opening: &Opening) -> Result<HoldOutcome, LedgerError> {
    let draft = &opening.draft;
    let Some(account) = account(connection, &draft.organization)? else {
        return Err(LedgerError::OrganizationNotFound);
    };
    let earlier = by_request(connection, &draft.organization, &draft.request_id)?;
    let attempt = match earlier.map(|earlier| repeat(earlier, draft)) {
        None => 1,
        Some(Repeat::Again(attempt)) => attempt,
        Some(Repeat::Answer(outcome)) => return Ok(outcome),
    };
    if let Some(refused) = beyond_limits(connection, opening)? {
        return Ok(refused);
    }
    match account.hold(draft.hold) {
        Ok(after) => {
            write(connection, draft, attempt, after)?;
            Ok(HoldOutcome::Held(after))
        }
        Err(Refusal::Insufficient { needed, available }) => {
            Ok(HoldOutcome::Insufficient { needed, available })
        }
        Err(Refusal::OutOfRange | Refusal::NotHeld) => Err(LedgerError::OutOfRange),
    }
}

/// What an earlier attempt means for this one.
enum Repeat {
    /// Try once more, with this number.
    Again(u32),
    /// It is answered by the earlier one.
    Answer(HoldOutcome),
}

fn repeat(earlier: Generation, draft: &Draft) -> Repeat {
    if earlier.draft.fingerprint != draft.fingerprint {
        return Repeat::Answer(HoldOutcome::Conflict(earlier.draft.id));
    }
    match earlier.stage {
        Stage::Held | Stage::Dispatched | Stage::Streaming | Stage::InDoubt | Stage::Review => {
            Repeat::Answer(HoldOutcome::Running(earlier.draft.id))
        }
        Stage::Stored | Stage::Settled => Repeat::Answer(HoldOutcome::Done(Box::new(earlier))),
        Stage::Voided => {
            let transient = earlier
                .failure
                .as_ref()
                .is_none_or(|failure| failure.reason.is_transient());
            if !transient {
                Repeat::Answer(HoldOutcome::Done(Box::new(earlier)))
            } else if earlier.attempt >= ATTEMPTS_MAX {
                Repeat::Answer(HoldOutcome::Exhausted(Box::new(earlier)))
            } else {
                Repeat::Again(earlier.attempt + 1)
            }
        }
    }
}

fn beyond_limits(
    connection: &Connection,
    opening: &Opening,
) -> Result<Option<HoldOutcome>, LedgerError> {
    let draft = &opening.draft;
    if let Some(limit) = opening.limits.daily_images {
        let used = images_since(connection, draft, micros(opening.day_start))?;
        if used.saturating_add(draft.requested) > limit {
            return Ok(Some(HoldOutcome::DailyLimit(Quota {
                used,
                limit,
                needed: draft.requested,
            })));
        }
    }
    if let Some(limit) = opening.limits.monthly_credits {
        let used = credits_since(connection, draft, micros(opening.month_start))?;
        let with_this = used
            .checked_add(draft.hold)
            .ok_or(LedgerError::OutOfRange)?;
        if with_this > limit {
            return Ok(Some(HoldOutcome::MonthlyLimit(Quota {
                used,
                limit,
                needed: draft.hold,
            })));
        }
    }
    Ok(None)
}

/// Images of an agent since an instant, as [`usage`](super::usage) counts them, and those that are being
/// made, whenever they were begun: they may come now.
pub(super) const IMAGES_USED: &str = "
  SELECT coalesce(sum(images), 0) FROM (
    SELECT s.delivered AS images FROM generation_state s
     WHERE s.organization = ?1 AND s.agent = ?2 AND s.finished_us >= ?3 AND s.state = 'settled'
    UNION ALL
    SELECT coalesce(s.delivered, g.requested)
      FROM generation_state s JOIN generation g ON g.id = s.generation
     WHERE s.organization = ?1 AND s.agent = ?2 AND s.finished_us IS NULL)";

/// Credits of an agent since an instant, as [`usage`](super::usage) counts them: those charged, minus
/// those that came back; and those that are held, whenever that was: they may be charged now.
pub(super) const CREDITS_USED: &str = "
  SELECT coalesce(sum(credits), 0) FROM (
    SELECT s.charge_cc AS credits FROM generation_state s
     WHERE s.organization = ?1 AND s.agent = ?2 AND s.finished_us >= ?3 AND s.state = 'settled'
    UNION ALL
    SELECT -l.amount_cc FROM ledger l JOIN generation g ON g.id = l.generation
     WHERE l.organization = ?1 AND g.agent = ?2 AND l.at_us >= ?3 AND l.kind = 'refund'
    UNION ALL
    SELECT h.amount_cc FROM generation_state s JOIN hold h ON h.generation = s.generation
     WHERE s.organization = ?1 AND s.agent = ?2 AND s.finished_us IS NULL)";

fn images_since(connection: &Connection, draft: &Draft, since: i64) -> Result<u32, LedgerError> {
    let mut statement = connection.prepare_cached(IMAGES_USED)?;
    let key = params![draft.organization.as_str(), draft.agent.as_str(), since];
    Ok(statement.query_row(key, |row| row.get(0))?)
}

fn credits_since(
    connection: &Connection,
    draft: &Draft,
    since: i64,
) -> Result<Credits, LedgerError> {
    let mut statement = connection.prepare_cached(CREDITS_USED)?;
    let key = params![draft.organization.as_str(), draft.agent.as_str(), since];
    Ok(Credits::from_hundredths(
        statement.query_row(key, |row| row.get(0))?,
    ))
}

fn write(
    connection: &Connection,
    draft: &Draft,
    attempt: u32,
    after: Account,
) -> Result<(), LedgerError> {
    let id = draft.id.uuid();
    let id = id.as_bytes().as_slice();
    let organization = draft.organization.as_str();
    connection
        .prepare_cached(
            "INSERT INTO generation (id, organization, request_id, attempt, fingerprint, agent, model, channel, origin,
               user, key_mode, requested, upstream_key, created_us, deadline_us, details)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            id,
            organization,
            draft.request_id.as_str(),
            attempt,
            draft.fingerprint.as_slice(),
            draft.agent.as_str(),
            draft.model.as_str(),
            draft.context.channel.as_str(),
            draft.context.origin.as_str(),
            draft.context.user_id,
            draft.key_mode.as_str(),
            draft.requested,
            draft.upstream_key,
            micros(draft.created),
            micros(draft.deadline),
            rows::fixed(draft)?,
        ])?;
    connection
        .prepare_cached("INSERT INTO generation_event VALUES (?1, 0, NULL, 'none', 'held', ?2)")?
        .execute(params![id, micros(draft.created)])?;
    connection
        .prepare_cached(
            "INSERT INTO generation_state (generation, organization, request_id, agent, version, state)
             VALUES (?1, ?2, ?3, ?4, 0, 'held')",
        )?
        .execute(params![
            id,
            organization,
            draft.request_id.as_str(),
            draft.agent.as_str()
        ])?;
    connection
        .prepare_cached("INSERT INTO hold VALUES (?1, ?2, ?3)")?
        .execute(params![id, organization, draft.hold.hundredths()])?;
    connection
        .prepare_cached("UPDATE balance SET held_cc = ?2 WHERE organization = ?1")?
        .execute(params![organization, after.held.hundredths()])?;
    Ok(())
}
