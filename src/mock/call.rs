//! One call under way: what came in, which script it takes, how the answer goes out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::Value;

use super::answer::{Answer, Refusal, Samples};
use super::catalog::{Catalog, Model};
use super::draw::Motif;
use super::fingerprint::fingerprint;
use super::ledger::{BillEntry, Delivery, Filed, Ledger};
use super::line::Line;
use super::pace::Pacer;
use super::price::Charge;
use super::record::{RecordedRequest, Recorder, headers_of, shortened};
use super::render::Easel;
use super::script::{Billing, CallFacts, GenerationLookup, ImageScript, Script};
use super::size::Pixels;

/// Larger request bodies are refused with status 413.
pub(crate) const REQUEST_BYTES_MOST: usize = 64 * 1024 * 1024;
/// Keeps the scripts of a runaway client bounded; later ones are dropped.
pub(crate) const SCRIPTS_MOST: usize = 10_000;

const GENERATION_ID: HeaderName = HeaderName::from_static("x-generation-id");
const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Scripts cannot ask for more images than this in one answer.
const IMAGES_MOST: usize = 64;
const NOT_BASE64: Bytes = Bytes::from_static(b"%% this is not base64 %%");

/// Everything the routes share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) catalog: Catalog,
    pub(crate) samples: Samples,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) recorder: Recorder,
    pub(crate) scripts: Scripts,
    pub(crate) pacer: Pacer,
    pub(crate) size_bytes: Option<usize>,
}

/// The scripts that have not been used up.
#[derive(Debug, Default)]
pub(crate) struct Scripts(Mutex<VecDeque<Script>>);

/// One call under way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) stage: Arc<Stage>,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    /// The JSON body; null if there is none.
    pub(crate) body: Value,
    pub(crate) key_fingerprint: Option<String>,
    pub(crate) script: Script,
    pub(crate) generation_id: String,
    line: Option<Line>,
    paid: bool,
}

/// What a bill entry says about the work of a call.
#[derive(Debug)]
pub(crate) struct Ordered<'a> {
    pub(crate) model: &'a Model,
    pub(crate) images: usize,
    pub(crate) references: usize,
    pub(crate) charge: Charge,
    /// What is charged: the charge's cost unless a script says otherwise.
    pub(crate) cost: Decimal,
    pub(crate) streamed: bool,
    pub(crate) billed_if_cancelled: bool,
}

impl Scripts {
    pub(crate) fn add(&self, script: Script) {
        let mut scripts = self.lock();
        if scripts.len() < SCRIPTS_MOST {
            scripts.push_back(script);
        }
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn left(&self) -> Vec<Script> {
        self.lock().iter().cloned().collect()
    }

    /// Takes the first script that fits.
    fn take(&self, facts: &CallFacts<'_>) -> Option<Script> {
        let mut scripts = self.lock();
        scripts.retain(|script| script.times != Some(0));
        let index = scripts.iter().position(|script| script.fits(facts))?;
        let found = scripts.get_mut(index)?;
        match found.times {
            Some(times @ 2..) => {
                found.times = Some(times - 1);
                Some(found.clone())
            }
            Some(_) | None => scripts.remove(index),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Script>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromRequest<Arc<Stage>> for Call {
    type Rejection = Response<Body>;

    async fn from_request(request: Request, stage: &Arc<Stage>) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, REQUEST_BYTES_MOST).await;
        let parsed = bytes.as_ref().map(|bytes| match bytes.len() {
            0 => Ok(Value::Null),
            _ => serde_json::from_slice(bytes),
        });
        let refusal = match &parsed {
            Err(_) => Some(stage.samples.answer("err-413-payload")),
            Ok(Err(error)) => Some(Answer::refusal(400, &format!("Invalid JSON: {error}"))),
            Ok(Ok(_)) => None,
        };
        let body = parsed.ok().and_then(Result::ok).unwrap_or_default();
        let call = Self::begin(stage, parts, body);
        match refusal {
            Some(answer) => Err(call.respond(answer).await),
            None => Ok(call),
        }
    }
}

impl Call {
    fn begin(stage: &Arc<Stage>, parts: Parts, body: Value) -> Self {
        let path = parts.uri.path().to_owned();
        let key_fingerprint = key_of(&parts.headers).map(fingerprint);
        let paid = parts.method == Method::POST
            && matches!(path.as_str(), "/api/v1/images" | "/api/v1/chat/completions");
        let prompt = prompt_of(&body);
        let facts = CallFacts {
            path: &path,
            paid,
            model: body.get("model").and_then(Value::as_str),
            prompt: &prompt,
            key_fingerprint: key_fingerprint.as_deref(),
        };
        let script = stage.scripts.take(&facts).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let recorded = RecordedRequest {
            method: parts.method.to_string(),
            path: path.clone(),
            query: query.clone(),
            headers: headers_of(&parts.headers, key_fingerprint.as_deref()),
            body: shortened(&body),
        };
        stage.recorder.record(recorded, paid);
        let line = parts
            .extensions
            .get::<ConnectInfo<Line>>()
            .map(|info| info.0.clone());
        Self {
            stage: Arc::clone(stage),
            path,
            query,
            headers: parts.headers,
            body,
            key_fingerprint,
            script,
            generation_id: new_generation_id(),
            line,
            paid,
        }
    }

    /// The answer that the script puts in place of the work, if it does.
    pub(crate) fn instead(&self) -> Option<Answer> {
        let script = &self.script;
        let sample = script
            .sample
            .as_deref()
            .map(|name| self.stage.samples.answer(name));
        let error = || script.error.as_ref().map(Answer::scripted);
        sample
            .or_else(error)
            .or_else(|| script.data_override.as_ref().map(Answer::raw))
    }

    /// Whether nothing of the work is needed: the script answers, and nothing is billed for it.
    pub(crate) fn work_is_replaced(&self) -> bool {
        self.script.billing != Some(Billing::Always) && self.instead().is_some()
    }

    /// What the record of this call says it cost, if that is not what the answer says.
    fn recorded(&self) -> Option<Decimal> {
        match &self.script.generation_lookup {
            Some(GenerationLookup::Cost(text)) => text.parse().ok(),
            _ => None,
        }
    }

    /// Starts the bill entry of this call.
    pub(crate) fn delivery(&self, order: Ordered<'_>) -> Delivery {
        let text = |name: &str| {
            self.body
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let session = self
            .headers
            .get("x-session-id")
            .and_then(|value| value.to_str().ok());
        let entry = BillEntry {
            generation_id: self.generation_id.clone(),
            model: order.model.id.clone(),
            images: order.images,
            cost: self.recorded().unwrap_or(order.cost),
            // The body wins over the header.
            session_id: text("session_id").or_else(|| session.map(str::to_owned)),
            user: text("user"),
            key_fingerprint: self.key_fingerprint.clone().unwrap_or_default(),
            billed: order.billed_if_cancelled,
            cancelled: false,
        };
        let filed = Filed {
            entry,
            api: if self.path.ends_with("/images") {
                "image"
            } else {
                "completions"
            },
            provider: order.model.provider.clone(),
            created_at: crate::clock::now().to_string(),
            references: order.references,
            charge: order.charge,
            streamed: order.streamed,
            lookup: self.script.generation_lookup.clone(),
        };
        let billing = self.script.billing.unwrap_or_default();
        Delivery::begin(&self.stage.ledger, filed, billing)
    }

    /// Draws the pictures, or takes what the script puts in their place.
    pub(crate) async fn pictures(
        &self,
        model: &Model,
        pixels: Pixels,
        count: usize,
    ) -> Result<Vec<Bytes>, Refusal> {
        let size_bytes = self
            .script
            .size_bytes
            .or(self.stage.size_bytes)
            .unwrap_or_default();
        let prompt = prompt_of(&self.body);
        let mut pictures = Vec::with_capacity(count.min(IMAGES_MOST));
        for variation in 0..count.min(IMAGES_MOST) {
            pictures.push(match &self.script.image {
                Some(ImageScript::Base64(text)) => text.clone().into(),
                Some(ImageScript::NotBase64) => NOT_BASE64,
                Some(ImageScript::Drawn) | None => {
                    let motif = Motif::new(&model.id, &prompt, pixels, variation);
                    let drawn = Easel::shared().base64(motif, size_bytes).await;
                    drawn.map_err(|error| Refusal::broken(&error))?
                }
            });
        }
        Ok(pictures)
    }

    /// Any key will do, but there has to be one.
    pub(crate) fn check_key(&self) -> Result<(), Refusal> {
        self.key_fingerprint
            .as_ref()
            .map(|_| ())
            .ok_or(Refusal::NoKey)
    }

    /// Sends the answer, or what the script says in its place.
    pub(crate) async fn respond(self, mut answer: Answer) -> Response<Body> {
        if let Some(instead) = self.instead() {
            answer = Answer {
                delivery: answer.delivery.take(),
                ..instead
            };
        }
        if self.paid && !self.script.omit_generation_id {
            // An identifier is letters, digits and hyphens: always a header value.
            if let Ok(value) = HeaderValue::from_str(&self.generation_id) {
                answer.headers.insert(GENERATION_ID, value);
            }
        }
        let response = self.stage.pacer.send(answer, &self.script, self.paid).await;
        if let (true, Some(line)) = (self.script.hang_up, &self.line) {
            line.hang_up();
        }
        response
    }
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn key_of(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let key = value.strip_prefix("Bearer ")?.trim();
    (!key.is_empty()).then_some(key)
}

/// `prompt`, or all texts of the last message.
pub(crate) fn prompt_of(body: &Value) -> String {
    if let Some(prompt) = body.get("prompt").and_then(Value::as_str) {
        return prompt.to_owned();
    }
    let messages = body.get("messages").and_then(Value::as_array);
    let content = messages
        .and_then(|all| all.last())
        .and_then(|last| last.get("content"));
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts
                .iter()
                .filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// The form that is seen live: `gen-`, seconds, 20 letters or digits.
fn new_generation_id() -> String {
    let mut noise = [0_u8; 20];
    // Without random bytes identifiers would only be less unique, which a mock survives.
    let _ = getrandom::fill(&mut noise);
    let letters = noise
        .iter()
        .filter_map(|byte| ALPHANUMERIC.get(usize::from(byte % 62)));
    let tail: String = letters.map(|letter| char::from(*letter)).collect();
    format!("gen-{}-{tail}", unix_seconds())
}
