//! The unpaid routes of OpenRouter: catalogs, the key and the generation record.

use std::collections::{BTreeMap, HashMap};

use axum::body::Body;
use axum::extract::Query;
use axum::http::{Response, StatusCode, Uri};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use rust_decimal::Decimal;

use super::answer::{Answer, Refusal};
use super::call::Call;
use super::catalog::Model;
use super::ledger::Filed;
use super::script::GenerationLookup;
use super::usage::exact;

/// The most that one page of models holds (OpenRouter's schema).
const MODELS_PER_PAGE_MOST: usize = 1000;
/// What every key may spend, in USD: large enough to never matter.
const KEY_LIMIT_USD: u32 = 1_000_000;

/// A JSON object whose numbers keep their digits.
type Fields = BTreeMap<String, Box<RawValue>>;

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

#[derive(Serialize)]
struct Page<'a> {
    data: Vec<&'a RawValue>,
    links: Links,
    total_count: usize,
}

#[derive(Serialize)]
struct Links {
    next: Option<String>,
}

/// `GET /api/v1/images/models`.
pub(crate) async fn image_models(call: Call) -> Response<Body> {
    let answer = Answer::json(&Data {
        data: &call.stage.catalog.image_listing,
    });
    call.respond(answer).await
}

/// `GET /api/v1/images/models/{author}/{slug}/endpoints`.
pub(crate) async fn image_model_endpoints(call: Call) -> Response<Body> {
    let slug = call.path.strip_prefix("/api/v1/images/models/");
    let slug = slug
        .and_then(|rest| rest.strip_suffix("/endpoints"))
        .unwrap_or_default();
    let api = call
        .stage
        .catalog
        .model(slug)
        .and_then(|model| model.image_api.as_ref());
    let answer = match api {
        Some(api) => Answer::json(&api.endpoints),
        None => Answer::refusal(404, &format!("No image model found for \"{slug}\"")),
    };
    call.respond(answer).await
}

/// `GET /api/v1/models`: text models unless `output_modalities` says otherwise.
pub(crate) async fn models(call: Call) -> Response<Body> {
    let page = page(&call, &parameters(&call.query));
    let answer = page.map(|page| Answer::json(&page));
    let answer = answer.unwrap_or_else(|refusal| refusal.answer(&call.stage.samples));
    call.respond(answer).await
}

/// `GET /api/v1/key`.
pub(crate) async fn key(call: Call) -> Response<Body> {
    let record = call
        .check_key()
        .and_then(|()| key_record(&call).map_err(|e| Refusal::broken(&e)));
    let answer = record.map(|data| Answer::json(&Data { data }));
    let answer = answer.unwrap_or_else(|refusal| refusal.answer(&call.stage.samples));
    call.respond(answer).await
}

/// `GET /api/v1/generation`.
pub(crate) async fn generation(call: Call) -> Response<Body> {
    let record = call.check_key().and_then(|()| filed_record(&call));
    let answer = match record {
        Ok(Some(data)) => Answer::json(&Data { data }),
        Ok(None) => call.stage.samples.answer("generation-404-not-yet"),
        Err(refusal) => refusal.answer(&call.stage.samples),
    };
    call.respond(answer).await
}

/// Every other path.
pub(crate) async fn unknown(call: Call) -> Response<Body> {
    call.respond(Answer::refusal(404, "Not Found")).await
}

/// A known path with a method it does not have.
pub(crate) async fn wrong_method(call: Call) -> Response<Body> {
    let answer = Answer::refusal(405, "Method Not Allowed");
    call.respond(Answer {
        status: StatusCode::METHOD_NOT_ALLOWED,
        ..answer
    })
    .await
}

fn page<'a>(call: &'a Call, query: &HashMap<String, String>) -> Result<Page<'a>, Refusal> {
    let wanted = query
        .get("output_modalities")
        .map_or("text", String::as_str);
    let wanted: Vec<&str> = wanted.split(',').map(str::trim).collect();
    let listed = |model: &&Model| {
        let offers = |name: &&str| *name == "all" || model.outputs.iter().any(|out| out == name);
        wanted.iter().all(offers)
    };
    let found: Vec<&RawValue> = call
        .stage
        .catalog
        .models
        .iter()
        .filter(listed)
        .map(|model| &*model.record)
        .collect();
    let offset = number(query, "offset", 0)?;
    let limit = number(query, "limit", MODELS_PER_PAGE_MOST)?.min(MODELS_PER_PAGE_MOST);
    let data: Vec<&RawValue> = found.iter().skip(offset).take(limit).copied().collect();
    let end = offset.saturating_add(data.len());
    let more = end < found.len() && !data.is_empty();
    let modalities = wanted.join(",");
    let next = more.then(|| {
        format!("/api/v1/models?output_modalities={modalities}&offset={end}&limit={limit}")
    });
    Ok(Page {
        data,
        links: Links { next },
        total_count: found.len(),
    })
}

fn number(query: &HashMap<String, String>, name: &str, usual: usize) -> Result<usize, Refusal> {
    let Some(text) = query.get(name) else {
        return Ok(usual);
    };
    let message = format!("Invalid request parameters: {name}: Expected a number");
    text.parse().map_err(|_| Refusal::plain(400, message))
}

fn key_record(call: &Call) -> serde_json::Result<Fields> {
    let mut fields: Fields = serde_json::from_str(include_str!("data/key.json"))?;
    let key = call.key_fingerprint.as_deref().unwrap_or_default();
    let spent = call.stage.ledger.spent_by(key);
    let limit = Decimal::from(KEY_LIMIT_USD);
    for name in ["usage", "usage_daily", "usage_weekly", "usage_monthly"] {
        fields.insert(name.to_owned(), exact(spent)?);
    }
    for name in [
        "byok_usage",
        "byok_usage_daily",
        "byok_usage_weekly",
        "byok_usage_monthly",
    ] {
        fields.insert(name.to_owned(), exact(Decimal::ZERO)?);
    }
    set(&mut fields, "label", &format!("mock-key-{key}"))?;
    set(&mut fields, "budgets", &Vec::<Value>::new())?;
    set(&mut fields, "effective_budget", &Value::Null)?;
    set(&mut fields, "expires_at", &Value::Null)?;
    fields.insert("limit".to_owned(), exact(limit)?);
    fields.insert("limit_remaining".to_owned(), exact(limit - spent)?);
    Ok(fields)
}

fn filed_record(call: &Call) -> Result<Option<Fields>, Refusal> {
    let query = parameters(&call.query);
    let filed = query.get("id").and_then(|id| call.stage.ledger.look_up(id));
    let lookup = filed.as_ref().and_then(|filed| filed.lookup.as_ref());
    if lookup == Some(&GenerationLookup::Broken) {
        return Err(Refusal::plain(500, "Internal Server Error".to_owned()));
    }
    let record = filed.map(|filed| generation_record(&filed)).transpose();
    record.map_err(|error| Refusal::broken(&error))
}

fn generation_record(filed: &Filed) -> serde_json::Result<Fields> {
    let mut fields: Fields = serde_json::from_str(include_str!("data/generation.json"))?;
    let Filed { entry, charge, .. } = filed;
    let billed = if entry.billed {
        entry.cost
    } else {
        Decimal::ZERO
    };
    for name in ["total_cost", "usage"] {
        fields.insert(name.to_owned(), exact(billed)?);
    }
    set(&mut fields, "id", &entry.generation_id)?;
    set(
        &mut fields,
        "request_id",
        &entry.generation_id.replacen("gen-", "req-", 1),
    )?;
    set(&mut fields, "api_type", &filed.api)?;
    set(&mut fields, "model", &entry.model)?;
    set(&mut fields, "provider_name", &filed.provider)?;
    set(&mut fields, "created_at", &filed.created_at)?;
    set(&mut fields, "cancelled", &entry.cancelled)?;
    set(&mut fields, "streamed", &filed.streamed)?;
    set(&mut fields, "session_id", &entry.session_id)?;
    set(&mut fields, "external_user", &entry.user)?;
    set(&mut fields, "tokens_prompt", &charge.prompt_tokens)?;
    set(&mut fields, "tokens_completion", &charge.text_tokens)?;
    set(&mut fields, "native_tokens_prompt", &charge.prompt_tokens)?;
    set(
        &mut fields,
        "native_tokens_completion",
        &charge.completion_tokens(),
    )?;
    set(
        &mut fields,
        "native_tokens_completion_images",
        &charge.image_tokens,
    )?;
    set(&mut fields, "num_media_prompt", &filed.references)?;
    set(&mut fields, "num_media_completion", &entry.images)?;
    Ok(fields)
}

fn set(fields: &mut Fields, name: &str, value: &impl Serialize) -> serde_json::Result<()> {
    fields.insert(name.to_owned(), to_raw_value(value)?);
    Ok(())
}

/// The query as pairs; a query that cannot be read counts as empty.
fn parameters(query: &str) -> HashMap<String, String> {
    let uri: Result<Uri, _> = format!("/?{query}").parse();
    let parsed = uri.ok().and_then(|uri| Query::try_from_uri(&uri).ok());
    parsed.map(|Query(pairs)| pairs).unwrap_or_default()
}
