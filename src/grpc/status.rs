//! The one table from reasons to gRPC codes, and failures as statuses with their details
//! (AIP-193): `ErrorInfo` always, `BadRequest`, `QuotaFailure` and `RetryInfo` where they apply.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::domain::failure::{Failure, Reason};

/// The domain of our reasons.
const DOMAIN: &str = "images.squados.io";

/// A failure as callers see it.
pub(super) fn of(failure: &Failure) -> Status {
    let metadata: HashMap<String, String> = failure
        .metadata
        .iter()
        .map(|(name, value)| (name.clone().into_owned(), value.clone()))
        .collect();
    let mut details = ErrorDetails::with_error_info(failure.reason.as_str(), DOMAIN, metadata);
    for (field, what) in &failure.violations {
        details.add_bad_request_violation(field, what);
    }
    if matches!(failure.reason, Reason::LimitReached | Reason::Overloaded) {
        let limit = failure.metadata.iter().find(|(name, _)| name == "limit");
        // What is full without a name is the gateway itself.
        let subject = limit.map_or("gateway", |(_, limit)| limit.as_str());
        details.add_quota_failure_violation(subject, &failure.message);
    }
    if let Some(wait) = failure.retry_after {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(code(failure.reason), &failure.message, details)
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
