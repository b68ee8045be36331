//! An answer before it is sent, the recorded answers, and OpenRouter's error shapes.

use std::collections::{BTreeMap, HashMap};

use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ledger::Delivery;
use super::script::{ErrorAnswer, RawAnswer};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An answer before it is sent. The body is in parts, so that pictures are never copied.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<Bytes>,
    /// The bill entry to file when the body has been written.
    pub(crate) delivery: Option<Delivery>,
}

/// Why a call is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// OpenRouter's plain error shape: `error.code` and `error.message`.
    #[error("{status}: {message}")]
    Plain { status: u16, message: String },
    /// A slug that no model has, in the shape that chat gives it.
    #[error("{0} is not a valid model ID")]
    NoSuchModel(String),
    /// The recorded answer to a call without a key.
    #[error("the key is missing")]
    NoKey,
}

/// Recorded answers by name.
#[derive(Debug)]
pub(crate) struct Samples {
    by_name: HashMap<String, Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Box<RawValue>,
}

impl Answer {
    /// Status 200 with this JSON.
    pub(crate) fn json(body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(text) => Self::of(StatusCode::OK, JSON, text.into()),
            Err(error) => Self::refusal(500, &error.to_string()),
        }
    }

    /// OpenRouter's plain error shape: `error.code` and `error.message`.
    pub(crate) fn refusal(status: u16, message: &str) -> Self {
        let body = json!({ "error": { "code": status, "message": message } });
        Self::of(status_of(status), JSON, body.to_string().into())
    }

    /// OpenRouter's second error shape, which has no `code`.
    fn no_such_model(slug: &str) -> Self {
        let body = json!({ "error": {
            "message": format!("{slug} is not a valid model ID"),
            "error_type": "invalid_request",
            "http_status": 400,
            "availability": {
                "code": "model_not_found",
                "retryable": false,
                "requested_models": [slug],
                "docs_url": "https://openrouter.ai/docs/errors#model_not_found",
            },
        } });
        Self::of(StatusCode::BAD_REQUEST, JSON, body.to_string().into())
    }

    /// An error made up by a script.
    pub(crate) fn scripted(error: &ErrorAnswer) -> Self {
        let (content_type, body) = match &error.body {
            Value::Null => (TEXT, Bytes::new()),
            Value::String(text) => (TEXT, text.clone().into()),
            json => (JSON, json.to_string().into()),
        };
        let mut answer = Self::of(status_of(error.status), content_type, body);
        answer.add_headers(&error.headers);
        answer
    }

    /// A body made up by a script.
    pub(crate) fn raw(raw: &RawAnswer) -> Self {
        let content_type = HeaderValue::from_str(&raw.content_type).unwrap_or(TEXT);
        Self::of(StatusCode::OK, content_type, raw.body.clone().into())
    }

    /// Stands where a script's answer will.
    pub(crate) fn nothing() -> Self {
        Self::of(StatusCode::OK, TEXT, Bytes::new())
    }

    pub(crate) fn of(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
        Self {
            status,
            headers,
            body: vec![body],
            delivery: None,
        }
    }

    fn add_headers(&mut self, headers: &BTreeMap<String, String>) {
        for (name, value) in headers {
            let name = HeaderName::try_from(name.as_str());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                self.headers.insert(name, value);
            }
        }
    }
}

impl Refusal {
    pub(crate) fn plain(status: u16, message: impl Into<String>) -> Self {
        Self::Plain {
            status,
            message: message.into(),
        }
    }

    /// Something in the mock itself went wrong.
    pub(crate) fn broken(error: &impl ToString) -> Self {
        Self::plain(500, error.to_string())
    }

    pub(crate) fn answer(&self, samples: &Samples) -> Answer {
        match self {
            Self::Plain { status, message } => Answer::refusal(*status, message),
            Self::NoSuchModel(slug) => Answer::no_such_model(slug),
            Self::NoKey => samples.answer("err-401-missing-key"),
        }
    }
}

impl Samples {
    /// Reads the embedded samples.
    pub(crate) fn load() -> serde_json::Result<Self> {
        let mut by_name: HashMap<String, Sample> =
            serde_json::from_str(include_str!("data/errors.json"))?;
        let answers: HashMap<String, Sample> =
            serde_json::from_str(include_str!("data/answers.json"))?;
        by_name.extend(answers);
        Ok(Self { by_name })
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The recorded answer of this name; a name that does not exist answers status 500 saying so.
    pub(crate) fn answer(&self, name: &str) -> Answer {
        let Some(sample) = self.by_name.get(name) else {
            return Answer::refusal(500, &format!("the mock has no sample named {name}"));
        };
        // A body that is a JSON string is the raw text of a body that is not JSON.
        let body = match serde_json::from_str::<String>(sample.body.get()) {
            Ok(text) => Bytes::from(text),
            Err(_) => Bytes::from(sample.body.get().to_owned()),
        };
        let mut answer = Answer::of(status_of(sample.status), JSON, body);
        answer.add_headers(&sample.headers);
        answer
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
