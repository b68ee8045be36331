//! From what OpenRouter answered to what it means here (`api.md`, Errors). Types come before
//! statuses and statuses before words, because words change.

use std::time::Duration;

use super::error_body::{AvailabilityCode, ErrorBody, ErrorType};
use super::presentable::presentable;
use crate::ports::{Billed, DrawCause, DrawError};

#[cfg(test)]
mod tests;

/// The longest wait that is believed; after a day everything may be different.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(24 * 60 * 60);

/// So much of a refusal that is a mere text is told to the log.
const WORDS_CAP_CHARS: usize = 200;

/// How refusals for the prompt's content are worded, by OpenRouter and by the providers it relays.
const MODERATION_WORDS: [&str; 12] = [
    "content moderation",
    "requires moderation",
    "moderation_blocked",
    "was flagged",
    "content management policy",
    "content policy",
    "content_policy",
    "content_filter",
    "prohibited content",
    "prohibited_content",
    "safety system",
    "data_inspection_failed",
];

/// OpenRouter's own cap on money in flight: over as soon as other calls end.
const IN_FLIGHT_WORDS: [&str; 1] = ["in_flight_budget"];

/// How the limit of a key is worded, which comes with 403 though it is documented as 402.
const KEY_LIMIT_WORDS: [&str; 3] = ["key limit exceeded", "budget limit", "key_limit"];

/// A refusal that came instead of an answer.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// `Retry-After`, as far as it could be read.
    pub(super) retry_after: Option<Duration>,
    /// OpenRouter's id of the call.
    pub(super) upstream_id: Option<String>,
    /// What the body says.
    pub(super) body: RefusalBody,
}

/// The body of a refusal.
#[derive(Debug)]
pub(super) enum RefusalBody {
    /// An error object.
    Error(Box<ErrorBody>),
    /// A page of whoever stands before OpenRouter.
    Html,
    /// Words of whoever stands before OpenRouter: the first of them.
    Words(String),
    /// Empty, cut off or something else.
    Unreadable,
}

// === impl RefusalBody ===

impl RefusalBody {
    pub(super) fn read(body: &[u8]) -> Self {
        if let Some(error) = ErrorBody::of_body(body) {
            Self::Error(Box::new(error))
        } else if body.trim_ascii_start().starts_with(b"<") {
            Self::Html
        } else {
            words(body).map_or(Self::Unreadable, Self::Words)
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Whether the same request may be sent again: it was refused for want of room, before any
    /// work (`domain.md` C24).
    pub(super) fn is_retryable(&self, error: &DrawError) -> bool {
        let is_for_room = matches!(
            error.cause,
            DrawCause::RateLimited | DrawCause::KeyRateLimited
        );
        error.billed == Billed::No && (is_for_room || self.status == 503)
    }

    /// What it means.
    pub(super) fn to_error(&self) -> DrawError {
        let nothing = ErrorBody::default();
        let (cause, said, availability) = match &self.body {
            RefusalBody::Error(error) => (
                cause_of(self.status, error),
                error.summary(),
                error.availability.as_ref(),
            ),
            RefusalBody::Html => (cause_of_page(self.status), "an HTML page".to_owned(), None),
            RefusalBody::Words(words) => (cause_of(self.status, &nothing), words.clone(), None),
            RefusalBody::Unreadable => (
                cause_of(self.status, &nothing),
                "no readable body".to_owned(),
                None,
            ),
        };
        let advised = availability
            .and_then(|availability| availability.retry_after)
            .map(Duration::from_secs);
        DrawError {
            cause,
            cost: None,
            detail: presentable(&format!("HTTP {}: {said}", self.status)),
            retry_after: self
                .retry_after
                .or(advised)
                .map(|wait| wait.min(RETRY_AFTER_CAP)),
            billed: billed(self.status, cause),
            upstream_id: self.upstream_id.clone(),
        }
    }
}

/// The first words of a text; none of what is empty, no text, or some JSON, of which nobody knows whose
/// words stand in it.
fn words(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_json = text.starts_with(['{', '[', '"']);
    let words: String = text.chars().take(WORDS_CAP_CHARS).collect();
    (!is_json && !words.is_empty()).then_some(words)
}

/// What an error within an answer that began well means. It is documented as not billed, and has
/// been seen billed.
pub(super) fn error_in_answer(error: &ErrorBody) -> DrawError {
    let status = error.status().unwrap_or(502);
    let availability = error.availability.as_ref();
    DrawError {
        cause: cause_of(status, error),
        detail: presentable(&format!(
            "error {status} in the answer: {}",
            error.summary()
        )),
        retry_after: availability
            .and_then(|availability| availability.retry_after)
            .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_CAP)),
        billed: Billed::Perhaps,
        upstream_id: None,
        cost: None,
    }
}

/// `Retry-After` in either form (RFC 9110, section 10.2.3).
pub(super) fn retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(value)
        .ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn cause_of(status: u16, error: &ErrorBody) -> DrawCause {
    if is_moderation(status, error) {
        return DrawCause::PromptRejected;
    }
    if status == 429 && error.is_openrouters_limit() {
        return DrawCause::KeyRateLimited;
    }
    if status == 429 || (status == 402 && error.mentions(&IN_FLIGHT_WORDS)) {
        return DrawCause::RateLimited;
    }
    let by_availability = error.availability.as_ref().and_then(|availability| {
        let retryable = availability.retryable == Some(true);
        Some(cause_of_availability(availability.code?, retryable))
    });
    by_availability
        .or_else(|| cause_of_type(error.kind()?, error.is_relayed()))
        .unwrap_or_else(|| cause_of_status(status, error))
}

fn is_moderation(status: u16, error: &ErrorBody) -> bool {
    let typed = matches!(
        error.kind(),
        Some(ErrorType::ContentPolicyViolation | ErrorType::Refusal)
    );
    // Other statuses have been seen with such words in the names of parameters and limits.
    let worded = matches!(status, 400 | 403 | 422)
        && (error.names_flagged_input() || error.mentions(&MODERATION_WORDS));
    typed || worded
}

const fn cause_of_availability(code: AvailabilityCode, retryable: bool) -> DrawCause {
    match code {
        AvailabilityCode::CapacityExhausted => DrawCause::RateLimited,
        AvailabilityCode::TemporarilyUnavailable => DrawCause::Unavailable,
        AvailabilityCode::ModelUnavailableUpstream if retryable => DrawCause::Unavailable,
        AvailabilityCode::ModelNotFound
        | AvailabilityCode::WrongEndpoint
        | AvailabilityCode::NoEndpoints
        | AvailabilityCode::ModelDeprecated
        | AvailabilityCode::ModelUnavailableUpstream
        | AvailabilityCode::RegionRestricted
        | AvailabilityCode::PrivacyRestricted
        | AvailabilityCode::ConstraintFiltered
        | AvailabilityCode::FreeVariantEnded => DrawCause::ModelUnavailable,
    }
}

const fn cause_of_type(kind: ErrorType, relayed: bool) -> Option<DrawCause> {
    Some(match kind {
        ErrorType::ContentPolicyViolation | ErrorType::Refusal => DrawCause::PromptRejected,
        ErrorType::InvalidImage
        | ErrorType::ImageTooSmall
        | ErrorType::UnsupportedImageFormat
        | ErrorType::ImageNotFound
        | ErrorType::ImageDownloadFailed => DrawCause::ReferenceInvalid,
        ErrorType::ImageTooLarge | ErrorType::PayloadTooLarge => DrawCause::ReferenceTooLarge,
        ErrorType::RateLimitExceeded => DrawCause::RateLimited,
        ErrorType::Timeout => DrawCause::Timeout,
        ErrorType::NotFound => DrawCause::ModelUnavailable,
        ErrorType::ContextLengthExceeded
        | ErrorType::MaxTokensExceeded
        | ErrorType::TokenLimitExceeded
        | ErrorType::StringTooLong
        | ErrorType::InvalidPrompt
        | ErrorType::Unprocessable => DrawCause::InvalidRequest,
        ErrorType::ProviderOverloaded | ErrorType::ProviderUnavailable | ErrorType::Server => {
            DrawCause::Unavailable
        }
        // The provider refuses OpenRouter's key, not ours.
        ErrorType::Authentication | ErrorType::PermissionDenied | ErrorType::PaymentRequired
            if relayed =>
        {
            DrawCause::Unavailable
        }
        ErrorType::Authentication => DrawCause::KeyRefused,
        ErrorType::PaymentRequired => DrawCause::KeyOutOfCredit,
        // Too general: the status knows more.
        ErrorType::InvalidRequest
        | ErrorType::PreconditionFailed
        | ErrorType::PermissionDenied
        | ErrorType::Unmapped => {
            return None;
        }
    })
}

fn cause_of_status(status: u16, error: &ErrorBody) -> DrawCause {
    match status {
        400 if error.mentions(&["not a valid model id"]) => DrawCause::ModelUnavailable,
        400 | 422 => DrawCause::InvalidRequest,
        401..=403 if error.is_relayed() => DrawCause::Unavailable,
        402 => DrawCause::KeyOutOfCredit,
        403 if error.mentions(&KEY_LIMIT_WORDS) => DrawCause::KeyOutOfCredit,
        401 | 403 => DrawCause::KeyRefused,
        404 | 410 => DrawCause::ModelUnavailable,
        408 | 504 | 524 => DrawCause::Timeout,
        413 => DrawCause::ReferenceTooLarge,
        429 => DrawCause::RateLimited,
        409 | 412 | 425 | 499 => DrawCause::Unavailable,
        // Our address, our headers: nobody else can mend them.
        300..=499 => DrawCause::OursToMend,
        _ => DrawCause::Unavailable,
    }
}

/// A page was not made by OpenRouter's API, so a status speaks for the way there only.
const fn cause_of_page(status: u16) -> DrawCause {
    match status {
        300..=399 => DrawCause::OursToMend,
        408 | 504 | 524 => DrawCause::Timeout,
        413 => DrawCause::ReferenceTooLarge,
        429 => DrawCause::RateLimited,
        _ => DrawCause::Unavailable,
    }
}

/// Refused before any work, or perhaps after it.
const fn billed(status: u16, cause: DrawCause) -> Billed {
    match cause {
        DrawCause::Timeout
        | DrawCause::OutputRejected
        | DrawCause::NoImage
        | DrawCause::ImageInvalid => Billed::Perhaps,
        DrawCause::InvalidRequest
        | DrawCause::PromptRejected
        | DrawCause::ModelUnavailable
        | DrawCause::ReferenceInvalid
        | DrawCause::ReferenceTooLarge
        | DrawCause::RateLimited
        | DrawCause::KeyRateLimited
        | DrawCause::Unavailable
        | DrawCause::KeyRefused
        | DrawCause::KeyOutOfCredit
        | DrawCause::OursToMend => {
            if status < 500 || status == 503 {
                Billed::No
            } else {
                Billed::Perhaps
            }
        }
    }
}
