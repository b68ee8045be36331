//! Upstream calls: what was noted of each, the questions that are open about them, and what follows
//! from an answer for a generation that has ended (`domain.md` C12, C15).
//!
//! Three tables may know the same of a call, because each is written at another time: `upstream_call`
//! when its answer begins (the id), `call_receipt` when it is over (id, pictures, cost), `question`
//! when it must be asked about (id, and later the cost as told). Where two know it, the receipt goes
//! before the question, and the question before the beginning: a receipt is what the charge was
//! computed from, and a cost that is told later never replaces it but makes a correction. An id
//! that another call had first is not believed and stands in none of them. Where OpenRouter's records
//! say another cost than the answer did (`disagreement`), the records are believed.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::corrections;
use super::odd::odd;
use super::rows::{self, by_id, json, micros};
use crate::domain::books::Stage;
use crate::domain::delivery::absorbed;
use crate::domain::generation::{CallRecord, CostSource, KeyMode};
use crate::domain::ids::{GenerationId, OrganizationId};
use crate::domain::money::UsdCost;
use crate::domain::recovery::{self, CallFacts, Question};
use crate::ports::{Answer, Asking, LedgerError, OwnKey};

/// Characters of an id of OpenRouter's (its schema allows 128).
const UPSTREAM_ID_CHARS_MAX: usize = 128;

/// Notes the name of a call whose answer has begun; false if it has none of its own.
pub(super) fn begun(
    connection: &Connection,
    id: GenerationId,
    call: u32,
    upstream_id: Option<&str>,
) -> Result<bool, LedgerError> {
    let Some(upstream_id) = named(connection, (id, call), upstream_id)? else {
        return Ok(false);
    };
    let sql = "INSERT INTO upstream_call VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![id.uuid().as_bytes().as_slice(), call, upstream_id])?;
    Ok(true)
}

/// Notes what a call brought. The first note of a call stands.
pub(super) fn note(
    connection: &Connection,
    id: GenerationId,
    call: &CallRecord,
) -> Result<(), LedgerError> {
    let sql = "
      INSERT INTO call_receipt VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING";
    let upstream_id = named(connection, (id, call.call), call.upstream_id.as_deref())?;
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        call.call,
        upstream_id,
        json(&call.images)?,
        call.cost.map(|(cost, _)| cost.pico()),
        call.cost.map(|(_, source)| source.as_str()),
        call.prompt_tokens
            .and_then(|tokens| i64::try_from(tokens).ok()),
        call.completion_tokens
            .and_then(|tokens| i64::try_from(tokens).ok()),
        call.text,
        call.unbilled,
    ])?;
    Ok(())
}

/// Notes all calls of a generation that ends or is stored: their receipts, what nobody will pay
/// for, and what must still be asked.
pub(super) fn conclude(
    connection: &Connection,
    id: GenerationId,
    calls: &[CallRecord],
    now: Timestamp,
) -> Result<(), LedgerError> {
    for call in calls {
        note(connection, id, call)?;
        absorb_lost(connection, id, call, now)?;
        if call.is_open_question() {
            ask(connection, id, call, now)?;
        }
    }
    // A call that began, and of which it is not noted what it cost, is asked about as well.
    let sql = "
      INSERT INTO question (generation, call, upstream_id, asked, next_us)
      SELECT u.generation, u.call, u.upstream_id, 0, ?2 FROM upstream_call u
       WHERE u.generation = ?1
         AND NOT EXISTS (
           SELECT 1 FROM call_receipt r
            WHERE r.generation = u.generation AND r.call = u.call AND (r.cost_pd IS NOT NULL OR r.unbilled))
      ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(params![id.uuid().as_bytes().as_slice(), next_time(0, now)])?;
    Ok(())
}

fn ask(
    connection: &Connection,
    id: GenerationId,
    call: &CallRecord,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let upstream_id = named(connection, (id, call.call), call.upstream_id.as_deref())?;
    let Some(upstream_id) = upstream_id else {
        return Ok(());
    };
    let sql = "
      INSERT INTO question (generation, call, upstream_id, asked, next_us) VALUES (?1, ?2, ?3, 0, ?4)
      ON CONFLICT DO NOTHING";
    connection.prepare_cached(sql)?.execute(params![
        id.uuid().as_bytes().as_slice(),
        call.call,
        upstream_id,
        next_time(0, now),
    ])?;
    Ok(())
}

fn next_time(asked: u32, now: Timestamp) -> Option<i64> {
    let wait = recovery::wait_before_asking(asked)?;
    now.checked_add(wait).ok().map(micros)
}

/// Notes what the platform was billed for a call that brought nothing.
fn absorb_lost(
    connection: &Connection,
    id: GenerationId,
    call: &CallRecord,
    now: Timestamp,
) -> Result<(), LedgerError> {
    // Whose key paid is looked up only where something was billed, which is rare.
    if absorbed(KeyMode::Platform, call).is_none() {
        return Ok(());
    }
    let sql = "SELECT key_mode FROM generation WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let key_mode = statement.query_row([id.uuid().as_bytes().as_slice()], |row| {
        rows::word(row, 0, KeyMode::parse)
    })?;
    match absorbed(key_mode, call) {
        Some(cost) => corrections::absorb(connection, (id, call.call), cost, "no_image", now),
        None => Ok(()),
    }
}

/// All that is known of the calls of a generation.
pub(super) fn facts(
    connection: &Connection,
    id: GenerationId,
) -> Result<Vec<CallFacts>, rusqlite::Error> {
    let sql = "
      SELECT c.call, coalesce(r.upstream_id, q.upstream_id, u.upstream_id), r.images, r.cost_pd, r.cost_source,
             r.prompt_tokens, r.completion_tokens, r.text, r.unbilled, q.call IS NOT NULL, q.answer,
             coalesce(d.cost_pd, q.cost_pd), d.call IS NOT NULL
        FROM (SELECT call FROM upstream_call WHERE generation = ?1
              UNION SELECT call FROM call_receipt WHERE generation = ?1
              UNION SELECT call FROM question WHERE generation = ?1) c
        LEFT JOIN upstream_call u ON u.generation = ?1 AND u.call = c.call
        LEFT JOIN call_receipt r ON r.generation = ?1 AND r.call = c.call
        LEFT JOIN question q ON q.generation = ?1 AND q.call = c.call
        LEFT JOIN disagreement d ON d.generation = ?1 AND d.call = c.call
       ORDER BY c.call";
    let mut statement = connection.prepare_cached(sql)?;
    let calls = statement.query_map([id.uuid().as_bytes().as_slice()], fact)?;
    calls.collect()
}

fn fact(row: &Row<'_>) -> Result<CallFacts, rusqlite::Error> {
    let images: Option<String> = row.get(2)?;
    let images = images.map(|text| serde_json::from_str(&text)).transpose();
    let answer: Option<String> = row.get(10)?;
    let question = match (row.get(9)?, answer.as_deref()) {
        (false, _) if row.get(12)? => Question::Answered,
        (false, _) => Question::None,
        (true, None) => Question::Open,
        (true, Some("told")) => Question::Answered,
        (true, Some("contradicted")) => Question::Contradicted,
        (true, Some("given_up")) => Question::GivenUp,
        (true, Some(word)) => return Err(odd(word)),
    };
    Ok(CallFacts {
        record: CallRecord {
            call: row.get(0)?,
            upstream_id: row.get(1)?,
            images: images
                .map_err(|_| odd("call_receipt.images"))?
                .unwrap_or_default(),
            cost: cost(row)?,
            prompt_tokens: count(row, 5)?,
            completion_tokens: count(row, 6)?,
            text: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
            unbilled: row.get::<_, Option<bool>>(8)?.unwrap_or(false),
        },
        question,
    })
}

/// What the answer itself told, unless the records tell otherwise; else what we were told when we
/// asked.
fn cost(row: &Row<'_>) -> Result<Option<(UsdCost, CostSource)>, rusqlite::Error> {
    let read = |pico: i64| UsdCost::from_pico(pico).ok_or_else(|| odd("cost_pd"));
    let disagrees: bool = row.get(12)?;
    if let (Some(pico), false) = (row.get::<_, Option<i64>>(3)?, disagrees) {
        return Ok(Some((read(pico)?, rows::word(row, 4, CostSource::parse)?)));
    }
    let asked: Option<i64> = row.get(11)?;
    asked
        .map(|pico| Ok((read(pico)?, CostSource::Lookup)))
        .transpose()
}

fn count(row: &Row<'_>, column: usize) -> Result<Option<u64>, rusqlite::Error> {
    let count: Option<i64> = row.get(column)?;
    Ok(count.and_then(|count| u64::try_from(count).ok()))
}

/// Questions whose time has come.
pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Asking>, LedgerError> {
    let sql = "
      SELECT q.generation, q.call, q.upstream_id, q.asked, g.key_mode, g.organization, g.upstream_key
        FROM question q JOIN generation g ON g.id = q.generation
       WHERE q.next_us <= ?1 ORDER BY q.next_us LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let due = statement.query_map(params![micros(now), limit], |row| {
        Ok(Asking {
            generation: GenerationId::from_uuid(rows::uuid(row, 0)?),
            call: row.get(1)?,
            upstream_id: row.get(2)?,
            asked: row.get(3)?,
            own_key: own_key(row, 4)?,
        })
    })?;
    Ok(due.collect::<Result<_, _>>()?)
}

/// Whose key a call was made with: its kind in this column, the organization and the name of the key
/// in the next two.
pub(super) fn own_key(row: &Row<'_>, kind: usize) -> Result<Option<OwnKey>, rusqlite::Error> {
    Ok(match rows::word(row, kind, KeyMode::parse)? {
        KeyMode::Platform => None,
        KeyMode::Organization => Some(OwnKey {
            organization: rows::word(row, kind + 1, |text| OrganizationId::parse(text).ok())?,
            fingerprint: row.get(kind + 2)?,
        }),
    })
}

/// Notes an answer, and what follows from it.
pub(super) fn answer(
    connection: &Connection,
    asking: &Asking,
    answer: Answer,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let asked = asking.asked + 1;
    let next = next_time(asked, now);
    let (word, cost, next) = match answer {
        Answer::Told(cost) => (Some("told"), Some(cost.pico()), None),
        Answer::Contradiction => (Some("contradicted"), None, None),
        Answer::Nothing if next.is_none() => (Some("given_up"), None, None),
        Answer::Nothing => (None, None, next),
    };
    let sql = "
      UPDATE question SET asked = ?4, next_us = ?5, answer = ?6, cost_pd = ?7
       WHERE generation = ?1 AND call = ?2 AND asked = ?3 AND next_us IS NOT NULL";
    let noted = connection.prepare_cached(sql)?.execute(params![
        asking.generation.uuid().as_bytes().as_slice(),
        asking.call,
        asking.asked,
        asked,
        next,
        word,
        cost,
    ])?;
    if noted == 1 && word.is_some() {
        follow(connection, asking.generation, now)?;
    }
    Ok(())
}

/// What follows from an answer for a generation that has ended. One that is still open is for the
/// recovery to decide.
pub(super) fn follow(
    connection: &Connection,
    id: GenerationId,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let Some(generation) = by_id(connection, id)? else {
        return Ok(());
    };
    if !generation.stage.is_final() {
        return Ok(());
    }
    let calls = facts(connection, id)?;
    for call in &calls {
        absorb_lost(connection, id, &call.record, now)?;
    }
    let closed = calls.iter().all(|call| call.question != Question::Open);
    if generation.stage == Stage::Settled && closed {
        corrections::correct(connection, &generation, calls, now)?;
    }
    Ok(())
}

/// The id, if it can be one and no other call had it before.
fn named<'a>(
    connection: &Connection,
    (id, call): (GenerationId, u32),
    upstream_id: Option<&'a str>,
) -> Result<Option<&'a str>, LedgerError> {
    let Some(upstream_id) = upstream_id.filter(|id| believable(id)) else {
        return Ok(None);
    };
    let sql = "SELECT generation, call FROM upstream_call WHERE upstream_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let taken = statement.query_row([upstream_id], |row| Ok((rows::uuid(row, 0)?, row.get(1)?)));
    let mine = (id.uuid(), call);
    let by_another = taken.optional()?.is_some_and(|other| other != mine);
    if by_another {
        tracing::error!(generation = %id, "upstream has given an id twice; it is not believed");
    }
    Ok(Some(upstream_id).filter(|_| !by_another))
}

/// An id that cannot be one must never stand in the way of a picture.
fn believable(id: &str) -> bool {
    // SQLite's length() ends at a NUL, so one in front would break the table's own check.
    (1..=UPSTREAM_ID_CHARS_MAX).contains(&id.chars().count()) && !id.contains(char::is_control)
}
