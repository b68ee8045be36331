//! The one table from reasons to gRPC codes, and failures as statuses with their details
//! (AIP-193): `ErrorInfo` always, `BadRequest`, `QuotaFailure` and `RetryInfo` where they apply.

use std::borrow::Cow;
use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::domain::failure::{Failure, Reason};

/// The domain of our reasons.
const DOMAIN: &str = "images.squados.io";

/// Bytes of a message. It travels twice, and once more in a `QuotaFailure`: percent-encoded, which may
/// triple it, and in base64. With [`VALUES_MAX_BYTES`] that stays below the 8 KiB of trailers that
/// clients take (gRPC over HTTP/2, Responses), whatever a caller sent that is said back to it.
const MESSAGE_MAX_BYTES: usize = 700;

/// Bytes of one value of the details.
const VALUE_MAX_BYTES: usize = 400;

/// Bytes of all of them.
const VALUES_MAX_BYTES: usize = 1600;

/// What stands for the rest of a text that was cut off.
const CUT_OFF: &str = "…";

/// What is left of [`VALUES_MAX_BYTES`] for the values to come.
struct Room(usize);

/// A failure as callers see it.
pub(super) fn of(failure: &Failure) -> Status {
    let message = cut(&failure.message, MESSAGE_MAX_BYTES);
    let mut room = Room(VALUES_MAX_BYTES);
    let metadata: HashMap<String, String> = failure
        .metadata
        .iter()
        .map(|(name, value)| (name.clone().into_owned(), room.take(value).into_owned()))
        .collect();
    let mut details = ErrorDetails::with_error_info(failure.reason.as_str(), DOMAIN, metadata);
    for (field, what) in &failure.violations {
        details.add_bad_request_violation(room.take(field), room.take(what));
    }
    if matches!(failure.reason, Reason::LimitReached | Reason::Overloaded) {
        let limit = failure.metadata.iter().find(|(name, _)| name == "limit");
        // What is full without a name is the gateway itself.
        let subject = limit.map_or("gateway", |(_, limit)| limit.as_str());
        details.add_quota_failure_violation(room.take(subject), &*message);
    }
    if let Some(wait) = failure.retry_after {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(code(failure.reason), message, details)
}

/// A text of at most so many bytes, cut where a character ends.
pub(super) fn cut(text: &str, most_bytes: usize) -> Cow<'_, str> {
    if text.len() <= most_bytes {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(most_bytes.saturating_sub(CUT_OFF.len()));
    Cow::Owned(format!("{}{CUT_OFF}", &text[..end]))
}

// === impl Room ===

impl Room {
    fn take<'a>(&mut self, text: &'a str) -> Cow<'a, str> {
        let taken = cut(text, VALUE_MAX_BYTES.min(self.0));
        self.0 = self.0.saturating_sub(taken.len());
        taken
    }
}

/// The code of a reason (`api.md`, Errors). Every reason has its line; a new one does not compile
/// without.
const fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidRequest | Reason::ReferenceImageInvalid | Reason::ReferenceImageTooLarge => {
            Code::InvalidArgument
        }
        Reason::Unauthenticated => Code::Unauthenticated,
        Reason::PermissionDenied => Code::PermissionDenied,
        Reason::AgentNotFound
        | Reason::GenerationNotFound
        | Reason::ModelNotFound
        | Reason::OrganizationNotFound
        | Reason::ApiKeyNotFound => Code::NotFound,
        Reason::OrganizationExists | Reason::IdempotencyConflict => Code::AlreadyExists,
        Reason::ToolNotEnabled
        | Reason::ToolNeedsConfiguration
        | Reason::ModelUnavailable
        | Reason::InsufficientCredits
        | Reason::ResultExpired
        | Reason::ContentRejected
        | Reason::MaxCreditsExceeded
        | Reason::OpenrouterKeyInvalid
        | Reason::OpenrouterKeyOutOfCredit => Code::FailedPrecondition,
        Reason::LimitReached | Reason::Overloaded | Reason::StorageFull => Code::ResourceExhausted,
        // Not UNAVAILABLE: that code invites blind repeats of paid work (AIP-194).
        Reason::GenerationInProgress | Reason::NoImageReturned | Reason::ImageInvalid => {
            Code::Aborted
        }
        Reason::GenerationCancelled => Code::Cancelled,
        Reason::UpstreamRateLimited
        | Reason::UpstreamUnavailable
        | Reason::StorageUnavailable
        | Reason::ShuttingDown => Code::Unavailable,
        Reason::UpstreamTimeout | Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::Unimplemented => Code::Unimplemented,
        Reason::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ErrorReason;

    #[test]
    fn the_contract_and_the_domain_list_the_same_reasons() {
        for reason in Reason::ALL {
            let name = format!("ERROR_REASON_{reason}");
            assert!(ErrorReason::from_str_name(&name).is_some(), "{name}");
        }
        let last = i32::try_from(Reason::ALL.len()).expect("few");
        assert!(ErrorReason::try_from(last).is_ok());
        assert!(ErrorReason::try_from(last + 1).is_err());
    }

    /// What a client counts of a status: names and values, and 32 bytes for each pair (RFC 9113
    /// section 6.5.2).
    fn trailers_bytes(status: &Status) -> usize {
        let response = status.clone().into_http::<()>();
        let pairs = response.headers().iter();
        pairs
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum()
    }

    #[test]
    fn trailers_stay_small_whatever_is_said_back() {
        for letter in ["x", "%", "é", "€", "🦊", "\n"] {
            let long = letter.repeat(20_000);
            let mut failure = Failure::new(Reason::LimitReached, &long).with("limit", &long);
            for name in ["model", "agent_id", "field", "cause", "model_said"] {
                failure = failure.with(name, &long);
            }
            failure.violations = vec![(long.clone(), long.clone()); 3];
            let status = of(&failure.retry_after(std::time::Duration::from_secs(3)));
            let bytes = trailers_bytes(&status);
            assert!(bytes < 8 * 1024, "{bytes} bytes of {letter:?}");
            assert!(status.message().ends_with('…'));
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            assert!(info.metadata["limit"].ends_with('…'));
            assert_eq!(info.reason, "LIMIT_REACHED");
        }
    }

    #[test]
    fn a_text_is_cut_where_a_character_ends_and_only_if_it_is_too_long() {
        assert_eq!(cut("a fox", 5), "a fox");
        assert_eq!(cut("a fox in", 7), "a fo…");
        assert_eq!(cut("🦊🦊", 7), "🦊…");
        assert_eq!(cut("🦊🦊", 6), "…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn what_is_exhausted_says_what_of() {
        let limited = Failure::new(Reason::LimitReached, "Enough.").with("limit", "calls");
        let overloaded = Failure::new(Reason::Overloaded, "Busy.");
        for (failure, subject, what) in [
            (limited, "calls", "Enough."),
            (overloaded, "gateway", "Busy."),
        ] {
            let details = of(&failure).get_error_details();
            let violations = &details.quota_failure().expect("a quota").violations;
            assert_eq!(violations.len(), 1);
            assert_eq!(violations[0].subject, subject);
            assert_eq!(violations[0].description, what);
        }
    }

    #[test]
    fn a_failure_keeps_its_reason_values_and_advice() {
        let failure = Failure::invalid("prompt", "must not be empty")
            .retry_after(std::time::Duration::from_secs(3));
        let status = of(&failure);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "prompt must not be empty.");
        let details = status.get_error_details();
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("INVALID_REQUEST", DOMAIN)
        );
        assert_eq!(info.metadata["field"], "prompt");
        let violation = &details.bad_request().expect("violations").field_violations[0];
        assert_eq!(violation.field, "prompt");
        assert_eq!(
            details.retry_info().and_then(|r| r.retry_delay),
            failure.retry_after
        );
    }
}
