//! Rows and the domain's values: what is searched is a column, what is only shown is JSON.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Trouble;
use super::odd::odd;
use super::pinned::Pinned;
use crate::domain::books::{Account, Stage};
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{
    Adjustment, Channel, Charge, Context, CostSource, Draft, Generation, KeyMode, MediaType,
    Origin, SourceImage, StoredImage,
};
use crate::domain::ids::{AgentId, GenerationId, OrganizationId, RequestId, Slug};
use crate::domain::money::{Credits, UsdCost};
use crate::domain::pricing::Bounds;
use crate::domain::shape::{AspectRatio, PixelSize, Resolution};

/// What is fixed at the start and only shown.
#[derive(Serialize, Deserialize)]
struct Fixed {
    conversation: String,
    message: String,
    metadata: Vec<(String, String)>,
    model_name: String,
    prompt: String,
    resolution: String,
    aspect_ratio: String,
    adjustments: Vec<Adjusted>,
    sources: Vec<(Uuid, u32)>,
    low_cc: i64,
    expected_cc: i64,
    high_cc: i64,
    price_basis: String,
    prices: Pinned,
}

/// What is known at the end and only shown.
#[derive(Serialize, Deserialize, Default)]
pub(super) struct Ended {
    #[serde(default)]
    pub(super) text: String,
    #[serde(default)]
    adjustments: Option<Vec<Adjusted>>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    metadata: Vec<(String, String)>,
    #[serde(default)]
    violations: Vec<(String, String)>,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Adjusted {
    field: String,
    requested: String,
    used: String,
    reason: String,
}

pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, Trouble> {
    serde_json::to_string(value).map_err(|error| Trouble::Broken(Box::new(error)))
}

/// The account of an organization.
pub(super) fn account(
    connection: &Connection,
    organization: &OrganizationId,
) -> Result<Option<Account>, rusqlite::Error> {
    let sql = "SELECT posted_cc, held_cc, debt_cc FROM balance WHERE organization = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row([organization.as_str()], |row| {
        Ok(Account {
            posted: Credits::from_hundredths(row.get(0)?),
            held: Credits::from_hundredths(row.get(1)?),
            debt: Credits::from_hundredths(row.get(2)?),
        })
    });
    row.optional()
}

pub(super) fn fixed(draft: &Draft) -> Result<String, Trouble> {
    json(&Fixed {
        conversation: draft.context.conversation_id.clone(),
        message: draft.context.message_id.clone(),
        metadata: draft.context.metadata.clone(),
        model_name: draft.model_name.clone(),
        prompt: draft.prompt.clone(),
        resolution: draft.resolution.to_string(),
        aspect_ratio: draft.aspect_ratio.to_string(),
        adjustments: adjusted(&draft.adjustments),
        sources: draft
            .sources
            .iter()
            .map(|source| (source.generation.uuid(), source.index))
            .collect(),
        low_cc: draft.bounds.low.hundredths(),
        expected_cc: draft.bounds.expected.hundredths(),
        high_cc: draft.bounds.high.hundredths(),
        price_basis: draft.price_basis.clone(),
        prices: Pinned::of(draft),
    })
}

pub(super) fn succeeded(text: &str, adjustments: &[Adjustment]) -> Result<String, Trouble> {
    json(&Ended {
        text: text.to_owned(),
        adjustments: Some(adjusted(adjustments)),
        ..Ended::default()
    })
}

pub(super) fn failed(failure: &Failure) -> Result<String, Trouble> {
    json(&Ended {
        message: failure.message.clone(),
        metadata: failure
            .metadata
            .iter()
            .map(|(k, v)| (k.to_string(), v.clone()))
            .collect(),
        violations: failure.violations.clone(),
        retry_after_ms: failure
            .retry_after
            .and_then(|wait| u64::try_from(wait.as_millis()).ok()),
        ..Ended::default()
    })
}

fn adjusted(adjustments: &[Adjustment]) -> Vec<Adjusted> {
    let one = |adjustment: &Adjustment| Adjusted {
        field: adjustment.field.clone(),
        requested: adjustment.requested.clone(),
        used: adjustment.used.clone(),
        reason: adjustment.reason.clone(),
    };
    adjustments.iter().map(one).collect()
}

fn adjustments(kept: Vec<Adjusted>) -> Vec<Adjustment> {
    let one = |kept: Adjusted| Adjustment {
        field: kept.field,
        requested: kept.requested,
        used: kept.used,
        reason: kept.reason,
    };
    kept.into_iter().map(one).collect()
}

/// The columns that [`generation`] reads, in its order.
const GENERATION: &str = "
  SELECT g.id, g.organization, g.request_id, g.attempt, g.fingerprint, g.agent, g.model, g.channel, g.origin,
         g.user, g.key_mode, g.requested, g.created_us, g.deadline_us, g.details, h.amount_cc, s.state,
         s.charged_images, s.cost_pd, s.cost_source, s.charge_cc, s.balance_after_cc, s.reason, s.finished_us, s.details,
         g.upstream_key, coalesce(c.refund_cc, 0), c.cost_pd
    FROM generation g
    JOIN generation_state s ON s.generation = g.id
    JOIN hold h ON h.generation = g.id
    LEFT JOIN correction c ON c.generation = g.id ";

/// The generation with this id, of whatever organization.
pub(super) fn by_id(
    connection: &Connection,
    id: GenerationId,
) -> Result<Option<Generation>, rusqlite::Error> {
    let sql = format!("{GENERATION} WHERE g.id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement
        .query_row([id.uuid().as_bytes().as_slice()], generation)
        .optional()?;
    found.map(|found| with_parts(connection, found)).transpose()
}

/// The same, if it is this organization's. What is another's is not read: nothing, not even the time
/// it takes, tells it from what is nobody's.
pub(super) fn own_by_id(
    connection: &Connection,
    organization: &OrganizationId,
    id: GenerationId,
) -> Result<Option<Generation>, rusqlite::Error> {
    let sql = format!("{GENERATION} WHERE g.id = ?1 AND g.organization = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let id = id.uuid();
    let row = statement.query_row(
        params![id.as_bytes().as_slice(), organization.as_str()],
        generation,
    );
    row.optional()?
        .map(|found| with_parts(connection, found))
        .transpose()
}

/// The newest attempt under a request id.
pub(super) fn by_request(
    connection: &Connection,
    organization: &OrganizationId,
    request: &RequestId,
) -> Result<Option<Generation>, rusqlite::Error> {
    let sql = format!(
        "{GENERATION} WHERE g.organization = ?1 AND g.request_id = ?2 ORDER BY g.attempt DESC LIMIT 1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let row = statement.query_row([organization.as_str(), request.as_str()], generation);
    row.optional()?
        .map(|found| with_parts(connection, found))
        .transpose()
}

fn generation(row: &Row<'_>) -> Result<Generation, rusqlite::Error> {
    let fixed: String = row.get(14)?;
    let fixed: Fixed = serde_json::from_str(&fixed).map_err(|_| odd("generation.details"))?;
    let ended: Option<String> = row.get(24)?;
    let ended = ended
        .map(|text| serde_json::from_str::<Ended>(&text))
        .transpose();
    let ended = ended
        .map_err(|_| odd("generation_state.details"))?
        .unwrap_or_default();
    let draft = draft(row, fixed)?;
    let charge = charge(row, draft.key_mode)?;
    let failure = failure(row, &ended)?;
    let finished: Option<i64> = row.get(23)?;
    let balance_after: Option<i64> = row.get(21)?;
    Ok(Generation {
        attempt: row.get(3)?,
        stage: word(row, 16, Stage::parse)?,
        images: Vec::new(),
        text: ended.text,
        adjustments: ended
            .adjustments
            .map_or_else(|| draft.adjustments.clone(), adjustments),
        charge,
        balance_after: balance_after.map(Credits::from_hundredths),
        failure,
        upstream_ids: Vec::new(),
        finished: finished.map(time),
        draft,
    })
}

fn draft(row: &Row<'_>, fixed: Fixed) -> Result<Draft, rusqlite::Error> {
    let context = Context {
        conversation_id: fixed.conversation,
        message_id: fixed.message,
        user_id: row.get(9)?,
        channel: word(row, 7, Channel::parse)?,
        origin: word(row, 8, Origin::parse)?,
        metadata: fixed.metadata,
    };
    let resolution = Resolution::parse(&fixed.resolution).ok_or_else(|| odd("resolution"))?;
    let requested = row.get(11)?;
    let prices = fixed.prices.read(resolution, requested)?;
    let source = |(id, index)| SourceImage {
        generation: GenerationId::from_uuid(id),
        index,
    };
    Ok(Draft {
        id: GenerationId::from_uuid(uuid(row, 0)?),
        organization: word(row, 1, |text| OrganizationId::parse(text).ok())?,
        request_id: word(row, 2, |text| RequestId::parse(text).ok())?,
        fingerprint: row.get(4)?,
        agent: word(row, 5, |text| AgentId::parse(text).ok())?,
        context,
        model: word(row, 6, |text| Slug::parse(text).ok())?,
        model_name: fixed.model_name,
        prompt: fixed.prompt,
        resolution,
        aspect_ratio: AspectRatio::parse(&fixed.aspect_ratio).ok_or_else(|| odd("aspect_ratio"))?,
        requested,
        adjustments: adjustments(fixed.adjustments),
        sources: fixed.sources.into_iter().map(source).collect(),
        key_mode: word(row, 10, KeyMode::parse)?,
        bounds: Bounds {
            low: Credits::from_hundredths(fixed.low_cc),
            expected: Credits::from_hundredths(fixed.expected_cc),
            high: Credits::from_hundredths(fixed.high_cc),
        },
        hold: Credits::from_hundredths(row.get(15)?),
        price_basis: fixed.price_basis,
        pricing: prices.pricing,
        question: prices.question,
        sent: prices.sent,
        upstream_key: row.get(25)?,
        created: time(row.get(12)?),
        deadline: time(row.get(13)?),
    })
}

fn charge(row: &Row<'_>, key_mode: KeyMode) -> Result<Option<Charge>, rusqlite::Error> {
    let Some(credits) = row.get::<_, Option<i64>>(20)? else {
        return Ok(None);
    };
    let pico: i64 = row.get(18)?;
    let corrected = match row.get(27)? {
        Some(pico) => Some(UsdCost::from_pico(pico).ok_or_else(|| odd("cost_pd"))?),
        None => None,
    };
    Ok(Some(Charge {
        credits: Credits::from_hundredths(credits),
        images: row.get(17)?,
        key_mode,
        cost: UsdCost::from_pico(pico).ok_or_else(|| odd("cost_pd"))?,
        cost_source: word(row, 19, CostSource::parse)?,
        refunded: Credits::from_hundredths(row.get(26)?),
        corrected,
    }))
}

fn failure(row: &Row<'_>, ended: &Ended) -> Result<Option<Failure>, rusqlite::Error> {
    let Some(reason) = row.get::<_, Option<String>>(22)? else {
        return Ok(None);
    };
    let reason = Reason::parse(&reason).ok_or_else(|| odd("reason"))?;
    let mut failure = Failure::new(reason, ended.message.clone());
    failure.metadata = ended
        .metadata
        .iter()
        .map(|(k, v)| (k.clone().into(), v.clone()))
        .collect();
    failure.violations.clone_from(&ended.violations);
    failure.retry_after = ended.retry_after_ms.map(std::time::Duration::from_millis);
    Ok(Some(failure))
}

/// Adds the images and the upstream ids.
fn with_parts(
    connection: &Connection,
    mut found: Generation,
) -> Result<Generation, rusqlite::Error> {
    let id = found.draft.id.uuid();
    let sql = "SELECT idx, sha256, media_type, width, height, size_bytes, object_name FROM image WHERE generation = ?1 ORDER BY idx";
    let mut statement = connection.prepare_cached(sql)?;
    let images = statement.query_map([id.as_bytes().as_slice()], image)?;
    found.images = images.collect::<Result<_, _>>()?;
    let sql = "
      SELECT upstream_id FROM (SELECT call, upstream_id FROM upstream_call WHERE generation = ?1
        UNION SELECT call, upstream_id FROM call_receipt WHERE generation = ?1 AND upstream_id IS NOT NULL)
       ORDER BY call";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map([id.as_bytes().as_slice()], |row| row.get(0))?;
    found.upstream_ids = ids.collect::<Result<_, _>>()?;
    Ok(found)
}

fn image(row: &Row<'_>) -> Result<StoredImage, rusqlite::Error> {
    let size: i64 = row.get(5)?;
    Ok(StoredImage {
        index: row.get(0)?,
        sha256: row.get(1)?,
        size_bytes: u64::try_from(size).map_err(|_| odd("size_bytes"))?,
        pixels: PixelSize {
            width: row.get(3)?,
            height: row.get(4)?,
        },
        media_type: word(row, 2, MediaType::parse)?,
        object_name: row.get(6)?,
    })
}

/// A column with a value of a closed set, or a name.
pub(super) fn word<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, rusqlite::Error> {
    let text = row.get_ref(column)?.as_str()?;
    parse(text).ok_or_else(|| odd(text))
}

pub(super) fn uuid(row: &Row<'_>, column: usize) -> Result<Uuid, rusqlite::Error> {
    Ok(Uuid::from_bytes(row.get(column)?))
}
