//! OpenRouter's error objects, in both of their shapes: with a `code` that is a number or a word,
//! or with `error_type`, `http_status` and `availability`. Errors of a provider come wrapped, their
//! reason as text or as JSON within a string in `metadata.raw`.

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::lenient::{Object, lenient, lenient_object};
use super::presentable::presentable;

/// How OpenRouter's own limits are worded, before the name of the limit.
const LIMIT_NAMED: &str = "Rate limit exceeded: ";

/// `error` of an answer or of a choice.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default, deserialize_with = "lenient")]
    code: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) message: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    error_type: Option<ErrorType>,
    #[serde(default, deserialize_with = "lenient")]
    http_status: Option<u16>,
    #[serde(default, deserialize_with = "lenient_object")]
    pub(super) availability: Option<Availability>,
    #[serde(default, deserialize_with = "lenient_object")]
    metadata: Option<Metadata>,
}

/// `error.availability`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Availability {
    #[serde(default, deserialize_with = "lenient")]
    pub(super) code: Option<AvailabilityCode>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) retryable: Option<bool>,
    /// Seconds.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) retry_after: Option<u64>,
}

/// `error.availability.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AvailabilityCode {
    ModelNotFound,
    WrongEndpoint,
    NoEndpoints,
    ModelDeprecated,
    ModelUnavailableUpstream,
    CapacityExhausted,
    TemporarilyUnavailable,
    RegionRestricted,
    PrivacyRestricted,
    ConstraintFiltered,
    FreeVariantEnded,
}

/// `error.error_type` or `error.metadata.error_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ErrorType {
    ContextLengthExceeded,
    MaxTokensExceeded,
    TokenLimitExceeded,
    StringTooLong,
    Authentication,
    PermissionDenied,
    PaymentRequired,
    RateLimitExceeded,
    ProviderOverloaded,
    ProviderUnavailable,
    InvalidRequest,
    InvalidPrompt,
    NotFound,
    PreconditionFailed,
    PayloadTooLarge,
    Unprocessable,
    ContentPolicyViolation,
    Refusal,
    InvalidImage,
    ImageTooLarge,
    ImageTooSmall,
    UnsupportedImageFormat,
    ImageNotFound,
    ImageDownloadFailed,
    Server,
    Timeout,
    Unmapped,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "lenient")]
    provider_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    raw: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    error_type: Option<ErrorType>,
    #[serde(default, deserialize_with = "lenient")]
    reasons: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient")]
    flagged_input: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    patterns: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient")]
    limit_source: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    provider_code: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    headers: Option<serde_json::Map<String, Value>>,
}

/// Reads an error that may also be a bare text.
pub(super) fn lenient_error<'de, D>(deserializer: D) -> Result<Option<ErrorBody>, D::Error>
where
    D: Deserializer<'de>,
{
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    Ok(raw.map(|raw| match serde_json::from_str(raw.get()) {
        Ok(Object(error)) => error,
        Err(_) => ErrorBody {
            message: Some(text_of(raw.get())),
            ..ErrorBody::default()
        },
    }))
}

/// The text of a JSON string, or whatever it is instead.
fn text_of(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

// === impl ErrorBody ===

impl ErrorBody {
    /// The error in the body of a refusal, if it has one.
    pub(super) fn of_body(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(default, deserialize_with = "lenient_error")]
            error: Option<ErrorBody>,
        }
        let Object(Envelope { error }) = serde_json::from_slice(body).ok()?;
        error
    }

    /// The HTTP status it names, in whichever way.
    pub(super) fn status(&self) -> Option<u16> {
        if self.http_status.is_some() {
            return self.http_status;
        }
        let code = text_of(self.code.as_ref()?.get());
        match code.as_str() {
            "server_error" => Some(500),
            "rate_limit_exceeded" | "rate_limited" => Some(429),
            "invalid_request_error" | "invalid_request" => Some(400),
            number => number.parse().ok(),
        }
    }

    /// Its type, from either place.
    pub(super) fn kind(&self) -> Option<ErrorType> {
        let metadata = self.metadata.as_ref();
        self.error_type.or_else(|| metadata?.error_type)
    }

    /// Whether a provider said it and OpenRouter only passes it on.
    pub(super) fn is_relayed(&self) -> bool {
        let provider = self
            .metadata
            .as_ref()
            .and_then(|m| m.provider_name.as_ref());
        provider.is_some_and(|name| !name.is_empty())
            || self.message.as_deref() == Some("Provider returned error")
    }

    /// Whether it says of itself that it is a limit of OpenRouter's, on the key or its account, and not
    /// that of a provider (`openrouter/README.md`, 429).
    pub(super) fn is_openrouters_limit(&self) -> bool {
        let metadata = self.metadata.as_ref();
        if self.is_relayed() || metadata.is_some_and(|m| m.provider_code.is_some()) {
            return false;
        }
        if let Some(source) = metadata.and_then(|m| m.limit_source.as_deref()) {
            return source.starts_with("openrouter");
        }
        let headers = metadata.and_then(|m| m.headers.as_ref());
        let is_counted = headers.is_some_and(|headers| {
            let mut names = headers.keys().map(|name| name.to_ascii_lowercase());
            names.any(|name| name.starts_with("x-ratelimit-"))
        });
        let message = self.message.as_deref().unwrap_or_default();
        is_counted || message.starts_with(LIMIT_NAMED)
    }

    /// Whether its metadata are those of moderation or of a guardrail.
    pub(super) fn names_flagged_input(&self) -> bool {
        let listed = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
        self.metadata.as_ref().is_some_and(|metadata| {
            listed(&metadata.reasons)
                || listed(&metadata.patterns)
                || metadata.flagged_input.is_some()
        })
    }

    /// Whether the words occur in the code, the message, the limit's name or the provider's words;
    /// given and compared in lower case.
    pub(super) fn mentions(&self, words: &[&str]) -> bool {
        let metadata = self.metadata.as_ref();
        let said = [
            self.code.as_ref().map(|code| code.get().to_owned()),
            self.message.clone(),
            metadata.and_then(|m| m.limit_source.clone()),
            metadata.and_then(|m| m.raw.as_ref()).map(raw_text),
        ];
        said.into_iter().flatten().any(|text| {
            let text = text.to_lowercase();
            words.iter().any(|word| text.contains(word))
        })
    }

    /// What it says, for the log: the message, who said it and in which words. What the user wrote
    /// (`flagged_input`) is left out.
    pub(super) fn summary(&self) -> String {
        let mut summary = self.message.clone().unwrap_or_default();
        let metadata = self.metadata.as_ref();
        if let Some(provider) = metadata.and_then(|m| m.provider_name.as_deref()) {
            summary = format!("{summary}; provider {provider}");
        }
        if let Some(reasons) = metadata.and_then(|m| m.reasons.as_deref()) {
            summary = format!("{summary}; reasons {}", reasons.join(", "));
        }
        if let Some(source) = metadata.and_then(|m| m.limit_source.as_deref()) {
            summary = format!("{summary}; limit {source}");
        }
        if let Some(raw) = metadata.and_then(|m| m.raw.as_ref()) {
            summary = format!("{summary}; it said: {}", raw_text(raw));
        }
        presentable(&summary)
    }
}

/// What a provider said: the message within it if it is JSON, or the text as it is.
fn raw_text(raw: &Value) -> String {
    let parsed;
    let value = match raw {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => {
                parsed = value;
                &parsed
            }
            Ok(_) | Err(_) => return text.trim().to_owned(),
        },
        other => other,
    };
    let error = value.get("error").unwrap_or(value);
    let words = ["code", "type", "status", "message"];
    let found: Vec<_> = words
        .iter()
        .filter_map(|word| error.get(word)?.as_str())
        .collect();
    if found.is_empty() {
        value.to_string()
    } else {
        found.join(" ")
    }
}
