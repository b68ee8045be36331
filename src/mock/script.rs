//! What a test asks the mock to do differently, and to which call.
//!
//! A [`Script`] is plain data, so that the same text works in process and over `POST /mock/script`.
//! Scripts are tried in the order they were given; the first one that fits a call is used, once
//! unless `times` says otherwise. Every part that is left out keeps the normal behaviour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fingerprint::fingerprint;

/// One deviation from the normal answer, and the calls it is meant for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Only calls for this model slug.
    pub model: Option<String>,
    /// Only calls whose prompt contains this text.
    pub prompt_contains: Option<String>,
    /// Only this path, with or without `/api/v1`; a trailing `*` stands for any rest.
    /// Absent: only the two paid calls, so that catalog polling does not use scripts up.
    pub path: Option<String>,
    /// Only calls with the API key of this fingerprint, see [`Script::for_key`].
    pub key_fingerprint: Option<String>,
    /// How often the script applies; absent: once.
    pub times: Option<u32>,
    /// Milliseconds to wait before the headers are sent.
    pub latency_ms: Option<u64>,
    /// Milliseconds to wait between the headers and the body.
    #[serde(alias = "header_delay_ms")]
    pub body_delay_ms: Option<u64>,
    /// Sends the body slowly.
    pub drip: Option<Drip>,
    /// Answers this instead of doing the work.
    pub error: Option<ErrorAnswer>,
    /// Answers a recorded sample instead of doing the work, for example `err-429-platform`.
    pub sample: Option<String>,
    /// Answers status 200 with exactly this body.
    pub data_override: Option<RawAnswer>,
    /// Closes the connection after this many bytes of the body, without ending the body.
    pub cut_at_byte: Option<usize>,
    /// Stops sending after this many bytes of the body and keeps the connection open.
    pub stall_at_byte: Option<usize>,
    /// Closes the connection without any answer.
    pub hang_up: bool,
    /// Holds the answer at the gate of this name until the test opens it.
    pub gate: Option<String>,
    /// Where the gate stands, in bytes of the body; absent: before the headers.
    pub gate_at_byte: Option<usize>,
    /// What the answer says about usage.
    pub usage: Option<UsageScript>,
    /// How many images come back, instead of the number asked for.
    pub images: Option<usize>,
    /// What stands in place of each drawn image.
    pub image: Option<ImageScript>,
    /// What the answer says about the media type.
    pub media_type: Option<MediaType>,
    /// The least size of each drawn PNG in bytes.
    pub size_bytes: Option<usize>,
    /// Leaves the `X-Generation-Id` header out.
    pub omit_generation_id: bool,
    /// When `GET /generation` starts to know this call, or what it says instead.
    pub generation_lookup: Option<GenerationLookup>,
    /// When the call is billed; absent: [`Billing::Documented`].
    pub billing: Option<Billing>,
}

/// How a body is spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Drip {
    /// A fixed number of bytes per interval.
    Chunks {
        /// Bytes per step; zero counts as one.
        chunk_bytes: usize,
        /// Milliseconds between steps.
        interval_ms: u64,
    },
    /// The whole body evenly over this time.
    Total {
        /// Milliseconds from the first to the last byte.
        total_ms: u64,
    },
}

/// An answer given instead of the work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorAnswer {
    /// The HTTP status, 200 to 599.
    pub status: u16,
    /// Headers beside `content-type`, which follows from the body unless given here.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON string is sent as raw text, anything else as JSON.
    #[serde(default)]
    pub body: Value,
}

/// A body sent as it is, with status 200.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAnswer {
    /// The `content-type` header.
    pub content_type: String,
    /// The body.
    pub body: String,
}

/// What the answer says about usage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageScript {
    /// No usage at all.
    Omit,
    /// The normal usage with this text as `cost`, for example `1e-7`, or what is no JSON, such as
    /// `NaN`. It is billed too; if nobody could pay it, the real price is.
    Cost(String),
    /// This JSON in place of the usage object; its `cost`, if there is one, is billed.
    Raw(Value),
}

/// What stands in place of each drawn image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageScript {
    /// The drawn picture.
    Drawn,
    /// This base64 text.
    Base64(String),
    /// Text that no base64 decoder takes.
    NotBase64,
}

/// What the answer says about the media type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaType {
    /// Nothing: the reader has to look at the bytes.
    Omit,
    /// This text, right or wrong.
    Override(String),
}

/// What `GET /generation` knows of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationLookup {
    /// The first look-ups answer 404.
    MissingFirst(u32),
    /// Every look-up answers 404.
    Never,
    /// Every look-up answers 500.
    Broken,
    /// The record says this cost, whatever the answer says; and the bill goes by the record.
    Cost(String),
}

/// When a call is billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// As documented: an image call when its whole body was written, a chat call when it was
    /// generated, an error never.
    #[default]
    Documented,
    /// In every case, also when the caller is gone or gets an error.
    Always,
    /// In no case.
    Never,
}

impl Script {
    /// Answers the recorded sample of this name, for example `err-429-platform`.
    #[must_use]
    pub fn sample(name: &str) -> Self {
        Self {
            sample: Some(name.to_owned()),
            ..Self::default()
        }
    }

    /// Answers this status with this body; a JSON string is sent as raw text.
    #[must_use]
    pub fn error(status: u16, body: Value) -> Self {
        let error = ErrorAnswer {
            status,
            headers: BTreeMap::new(),
            body,
        };
        Self {
            error: Some(error),
            ..Self::default()
        }
    }

    /// Answers status 200 with exactly this body.
    #[must_use]
    pub fn raw_body(content_type: &str, body: &str) -> Self {
        let raw = RawAnswer {
            content_type: content_type.to_owned(),
            body: body.to_owned(),
        };
        Self {
            data_override: Some(raw),
            ..Self::default()
        }
    }

    /// Waits this many milliseconds before the headers.
    #[must_use]
    pub fn latency(latency_ms: u64) -> Self {
        Self {
            latency_ms: Some(latency_ms),
            ..Self::default()
        }
    }

    /// Closes the connection after this many bytes of the body.
    #[must_use]
    pub fn cut_at(byte: usize) -> Self {
        Self {
            cut_at_byte: Some(byte),
            ..Self::default()
        }
    }

    /// Sends this many bytes of the body and then nothing more.
    #[must_use]
    pub fn stall_at(byte: usize) -> Self {
        Self {
            stall_at_byte: Some(byte),
            ..Self::default()
        }
    }

    /// Closes the connection without any answer.
    #[must_use]
    pub fn hang_up() -> Self {
        Self {
            hang_up: true,
            ..Self::default()
        }
    }

    /// Holds the answer before its headers until the gate is opened.
    #[must_use]
    pub fn gated(name: &str) -> Self {
        Self {
            gate: Some(name.to_owned()),
            ..Self::default()
        }
    }

    /// Holds the answer after this many bytes of the body until the gate is opened.
    #[must_use]
    pub fn gated_at(name: &str, byte: usize) -> Self {
        Self {
            gate_at_byte: Some(byte),
            ..Self::gated(name)
        }
    }

    /// Says this cost, as this very text, and bills it.
    #[must_use]
    pub fn usage_cost(text: &str) -> Self {
        Self {
            usage: Some(UsageScript::Cost(text.to_owned())),
            ..Self::default()
        }
    }

    /// Leaves usage out.
    #[must_use]
    pub fn without_usage() -> Self {
        Self {
            usage: Some(UsageScript::Omit),
            ..Self::default()
        }
    }

    /// Returns this many images, whatever was asked for.
    #[must_use]
    pub fn images(count: usize) -> Self {
        Self {
            images: Some(count),
            ..Self::default()
        }
    }

    /// Refuses this API key from now on.
    #[must_use]
    pub fn bad_key(key: &str) -> Self {
        let script = Self {
            path: Some("*".to_owned()),
            ..Self::sample("err-401-no-credentials")
        };
        script.for_key(key).times(u32::MAX)
    }

    /// Narrows the script to this model slug.
    #[must_use]
    pub fn for_model(self, model: &str) -> Self {
        Self {
            model: Some(model.to_owned()),
            ..self
        }
    }

    /// Narrows the script to prompts that contain this text.
    #[must_use]
    pub fn for_prompt(self, part: &str) -> Self {
        Self {
            prompt_contains: Some(part.to_owned()),
            ..self
        }
    }

    /// Narrows (or, for unpaid calls, opens) the script to this path.
    #[must_use]
    pub fn for_path(self, path: &str) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..self
        }
    }

    /// Narrows the script to this API key; only the key's fingerprint is kept.
    #[must_use]
    pub fn for_key(self, key: &str) -> Self {
        Self {
            key_fingerprint: Some(fingerprint(key)),
            ..self
        }
    }

    /// Applies the script this often instead of once.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self {
            times: Some(times),
            ..self
        }
    }

    pub(crate) fn fits(&self, call: &CallFacts<'_>) -> bool {
        self.fits_path(call)
            && self
                .model
                .as_deref()
                .is_none_or(|model| call.model == Some(model))
            && self
                .prompt_contains
                .as_deref()
                .is_none_or(|part| call.prompt.contains(part))
            && self
                .key_fingerprint
                .as_deref()
                .is_none_or(|key| call.key_fingerprint == Some(key))
    }

    fn fits_path(&self, call: &CallFacts<'_>) -> bool {
        let Some(wanted) = self.path.as_deref() else {
            return call.paid;
        };
        let short = call.path.strip_prefix("/api/v1").unwrap_or(call.path);
        match wanted.strip_suffix('*') {
            Some(start) => call.path.starts_with(start) || short.starts_with(start),
            None => call.path == wanted || short == wanted,
        }
    }
}

/// What a script is matched against.
#[derive(Debug)]
pub(crate) struct CallFacts<'a> {
    pub(crate) path: &'a str,
    pub(crate) paid: bool,
    pub(crate) model: Option<&'a str>,
    pub(crate) prompt: &'a str,
    pub(crate) key_fingerprint: Option<&'a str>,
}
