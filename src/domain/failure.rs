//! Every way a call can end without pictures, each with its reason, a sentence to act on, and
//! values a program can read. A failure is data: it is stored, replayed and translated at the door.

use std::borrow::Cow;
use std::time::Duration;

use super::ids::{AgentId, Slug};
use super::money::Credits;
use super::shape::words;

/// When it is worth asking storage again that does not work: what passes by itself, as a lock does, is
/// mostly over by then.
const STORAGE_WAIT: Duration = Duration::from_secs(2);

words! {
    /// Why a call failed. The words are those of `ErrorReason` in the contract, and never change.
    Reason {
        /// A field is malformed, missing or out of range.
        InvalidRequest = "INVALID_REQUEST",
        /// A reference image cannot be used.
        ReferenceImageInvalid = "REFERENCE_IMAGE_INVALID",
        /// A reference image is larger than allowed.
        ReferenceImageTooLarge = "REFERENCE_IMAGE_TOO_LARGE",
        /// No key, or not a good one.
        Unauthenticated = "UNAUTHENTICATED",
        /// The key may not do this.
        PermissionDenied = "PERMISSION_DENIED",
        /// The agent has no Generate Image tool here.
        AgentNotFound = "AGENT_NOT_FOUND",
        /// The organization has no such generation.
        GenerationNotFound = "GENERATION_NOT_FOUND",
        /// The catalog has no such model.
        ModelNotFound = "MODEL_NOT_FOUND",
        /// The operator named an organization that is not there.
        OrganizationNotFound = "ORGANIZATION_NOT_FOUND",
        /// The organization has no such key.
        ApiKeyNotFound = "API_KEY_NOT_FOUND",
        /// The id of a new organization is taken.
        OrganizationExists = "ORGANIZATION_EXISTS",
        /// The tool is switched off.
        ToolNotEnabled = "TOOL_NOT_ENABLED",
        /// The tool has no model yet.
        ToolNeedsConfiguration = "TOOL_NEEDS_CONFIGURATION",
        /// The chosen model cannot be used now.
        ModelUnavailable = "MODEL_UNAVAILABLE",
        /// The balance does not cover the hold.
        InsufficientCredits = "INSUFFICIENT_CREDITS",
        /// A limit of the agent is used up.
        LimitReached = "LIMIT_REACHED",
        /// The gateway is as busy as it may be.
        Overloaded = "OVERLOADED",
        /// The same id came with another body.
        IdempotencyConflict = "IDEMPOTENCY_CONFLICT",
        /// The same request still runs elsewhere.
        GenerationInProgress = "GENERATION_IN_PROGRESS",
        /// The caller took the generation back before anything was sent.
        GenerationCancelled = "GENERATION_CANCELLED",
        /// The pictures are no longer kept.
        ResultExpired = "RESULT_EXPIRED",
        /// The provider's rules forbid the prompt or the picture.
        ContentRejected = "CONTENT_REJECTED",
        /// The hold would be above what the caller allows.
        MaxCreditsExceeded = "MAX_CREDITS_EXCEEDED",
        /// The model answered without a picture.
        NoImageReturned = "NO_IMAGE_RETURNED",
        /// What came is not a whole picture of a known format.
        ImageInvalid = "IMAGE_INVALID",
        /// The organization's own OpenRouter key is of no use: refused there, or unreadable here.
        OpenrouterKeyInvalid = "OPENROUTER_KEY_INVALID",
        /// The organization's own OpenRouter key has no credit left there.
        OpenrouterKeyOutOfCredit = "OPENROUTER_KEY_OUT_OF_CREDIT",
        /// The provider is too busy.
        UpstreamRateLimited = "UPSTREAM_RATE_LIMITED",
        /// The provider does not work, or not for us.
        UpstreamUnavailable = "UPSTREAM_UNAVAILABLE",
        /// The provider did not answer in time.
        UpstreamTimeout = "UPSTREAM_TIMEOUT",
        /// The caller left no time.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// There is no room to keep a picture.
        StorageFull = "STORAGE_FULL",
        /// The gateway's own database or disk does not work, and the call has changed nothing.
        StorageUnavailable = "STORAGE_UNAVAILABLE",
        /// The gateway is going down, and the call has changed nothing.
        ShuttingDown = "SHUTTING_DOWN",
        /// There is no such call, or it is spoken in a way that is not understood here.
        Unimplemented = "UNIMPLEMENTED",
        /// Our own fault.
        Internal = "INTERNAL",
    }
}

/// Why a call ended without its pictures. Nothing was charged, unless the reason leaves open what
/// became of the generation: the caller's time ran out, or the gateway failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub reason: Reason,
    /// A sentence that is safe to show to an end user and says what to do.
    pub message: String,
    /// The values in the message and what an administrator needs, by name. The names of a reason
    /// never change once shipped (AIP-193).
    pub metadata: Vec<(Cow<'static, str>, String)>,
    /// The fields at fault, with what is wrong with each.
    pub violations: Vec<(String, String)>,
    /// When to try again, if that may help.
    pub retry_after: Option<Duration>,
}

impl Reason {
    /// Whether another attempt under the same request id is made when the caller asks again;
    /// otherwise the same failure is given again (`reliability.md` §2.4).
    pub const fn is_transient(self) -> bool {
        !matches!(
            self,
            Self::ContentRejected
                | Self::InvalidRequest
                | Self::ReferenceImageInvalid
                | Self::ReferenceImageTooLarge
        )
    }
}

// === impl Failure ===

impl Failure {
    /// A failure with a reason and a sentence.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            metadata: Vec::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds a value for programs and administrators.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.metadata.push((Cow::Borrowed(name), value.to_string()));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// A field of the request is wrong: `field` as in the contract, `what` completes the sentence
    /// "`field` …".
    pub fn invalid(field: &str, what: impl AsRef<str>) -> Self {
        Self::field(Reason::InvalidRequest, field, what.as_ref())
    }

    /// The reference image at `position` is unusable.
    pub fn reference_invalid(position: usize, what: impl AsRef<str>) -> Self {
        let field = format!("reference_images[{position}]");
        Self::field(Reason::ReferenceImageInvalid, &field, what.as_ref()).with("position", position)
    }

    /// The reference image at `position` has more bytes than `limit_bytes`.
    pub fn reference_too_large(position: usize, size_bytes: usize, limit_bytes: usize) -> Self {
        let field = format!("reference_images[{position}]");
        let what = format!("has {size_bytes} bytes, the limit is {limit_bytes}");
        Self::field(Reason::ReferenceImageTooLarge, &field, &what)
            .with("position", position)
            .with("size_bytes", size_bytes)
            .with("limit_bytes", limit_bytes)
    }

    fn field(reason: Reason, field: &str, what: &str) -> Self {
        let mut failure = Self::new(reason, format!("{field} {what}.")).with("field", field);
        failure.violations.push((field.to_owned(), what.to_owned()));
        failure
    }

    /// One wording for every kind of bad key, so that nothing can be learned from it.
    pub fn unauthenticated() -> Self {
        Self::new(
            Reason::Unauthenticated,
            "Send a valid key as `authorization: Bearer <key>`.",
        )
    }

    /// OpenRouter refuses the organization's own key.
    pub fn openrouter_key_refused() -> Self {
        let message = "OpenRouter refuses your organization's own key; nothing was charged. An administrator must set another one or delete it.";
        Self::openrouter_key_invalid("refused", message)
    }

    /// The organization's own OpenRouter key cannot be opened: it was sealed with a key-encryption key
    /// that is lost, or what is kept of it is damaged.
    pub fn openrouter_key_unreadable() -> Self {
        let message = "Your organization's own OpenRouter key can no longer be read here; nothing was charged. An administrator must set it once more or delete it.";
        Self::openrouter_key_invalid("unreadable", message)
    }

    /// The organization's own OpenRouter key is the platform's, which pays for nobody in its place.
    pub fn openrouter_key_is_platforms() -> Self {
        let message = "What is set as your organization's own OpenRouter key is not its own; nothing was charged. An administrator must set another one or delete it.";
        Self::openrouter_key_invalid("platform", message)
    }

    /// The organization's own OpenRouter key is of no use, for a cause that the contract names.
    pub fn openrouter_key_invalid(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(Reason::OpenrouterKeyInvalid, message).with("cause", cause)
    }

    /// Says that OpenRouter may have billed the organization itself, though nothing is charged here
    /// (`domain.md` C13).
    #[must_use]
    pub fn billed_by_openrouter(self) -> Self {
        self.with("billed_by_openrouter", "perhaps")
    }

    /// The organization's own OpenRouter key has no credit left there.
    pub fn openrouter_key_out_of_credit() -> Self {
        Self::new(
            Reason::OpenrouterKeyOutOfCredit,
            "Your organization's own OpenRouter key has no credit or limit left; nothing was charged. An administrator must add credit at OpenRouter.",
        )
    }

    /// OpenRouter itself limits the organization's own key (`domain.md` C23).
    pub fn openrouter_key_rate_limited() -> Self {
        Self::new(
            Reason::UpstreamRateLimited,
            "OpenRouter limits how often your organization's own key may be used; nothing was charged. Try again in a moment, or have an administrator look at its limits at OpenRouter.",
        )
        .with("cause", "openrouter_key")
    }

    /// What is asked for is not there, for a cause that the contract names: `call` or `encoding`.
    pub fn unimplemented(cause: &'static str, message: impl Into<String>) -> Self {
        Self::new(Reason::Unimplemented, message).with("cause", cause)
    }

    /// The key's role is too low.
    pub fn permission_denied() -> Self {
        Self::new(
            Reason::PermissionDenied,
            "This key may not do that: its role is too low. Ask the owner or the operator for a key with a higher one.",
        )
    }

    /// What belongs to organizations is asked with the operator's key.
    pub fn not_for_the_operator() -> Self {
        Self::new(
            Reason::PermissionDenied,
            "The operator's key may not do that; use a key of the organization.",
        )
    }

    /// What is the operator's is asked with the key of an organization.
    pub fn for_the_operator_alone() -> Self {
        Self::new(
            Reason::PermissionDenied,
            "Only the operator may do that; no key of an organization may.",
        )
    }

    /// The key names another organization than its own: the same words whether that one exists.
    pub fn another_organization() -> Self {
        Self::new(
            Reason::PermissionDenied,
            "This key acts for its own organization alone; leave organization_id empty.",
        )
    }

    /// The agent has no tool.
    pub fn agent_not_found(agent: &AgentId) -> Self {
        Self::new(
            Reason::AgentNotFound,
            format!("The agent {agent} has no Generate Image tool; add one in its Tools tab."),
        )
        .with("agent_id", agent)
    }

    /// The tool exists but is off.
    pub fn tool_not_enabled(agent: &AgentId) -> Self {
        Self::new(
            Reason::ToolNotEnabled,
            "This agent may not create images: its Generate Image tool is switched off.",
        )
        .with("agent_id", agent)
    }

    /// The tool has no model.
    pub fn tool_needs_configuration(agent: &AgentId) -> Self {
        Self::new(
            Reason::ToolNeedsConfiguration,
            "This agent cannot create images yet: an administrator must pick an image model.",
        )
        .with("agent_id", agent)
    }

    /// No such model in the catalog.
    pub fn model_not_found(model: &str) -> Self {
        Self::new(
            Reason::ModelNotFound,
            format!("There is no model {model}; ListModels shows those that exist."),
        )
        .with("model", model)
    }

    /// The model exists but cannot be used: `cause` is one of `withdrawn`, `text_only`,
    /// `not_available_to_organization`, `not_in_catalog`, or a word about the provider.
    pub fn model_unavailable(model: &Slug, cause: &'static str) -> Self {
        Self::new(
            Reason::ModelUnavailable,
            format!(
                "The model {model} cannot make images here now; an administrator must pick another."
            ),
        )
        .with("model", model)
        .with("cause", cause)
    }

    /// The balance does not cover the hold.
    pub fn insufficient_credits(needed: Credits, available: Credits) -> Self {
        Self::new(
            Reason::InsufficientCredits,
            format!("This needs {needed} credits and {available} are available; add credits and try again."),
        )
        .with("needed", needed)
        .with("available", available)
    }

    /// The hold is above what the caller allows.
    pub fn max_credits_exceeded(needed: Credits, max_credits: Credits) -> Self {
        Self::new(
            Reason::MaxCreditsExceeded,
            format!("This may cost up to {needed} credits, above the {max_credits} you allow."),
        )
        .with("needed", needed)
        .with("max_credits", max_credits)
    }

    /// The database or the disk does not work, and the call has changed nothing; the cause is in
    /// the log, not here.
    pub fn storage_unavailable() -> Self {
        Self::new(
            Reason::StorageUnavailable,
            "The gateway's storage does not work at the moment; this call has changed nothing. Try again in a moment, with the same request_id if it has one.",
        )
        .retry_after(STORAGE_WAIT)
    }

    /// Our own fault; the cause is in the log, not here.
    pub fn internal() -> Self {
        Self::new(
            Reason::Internal,
            "Something failed inside the gateway; try again with the same request_id.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_final_is_replayed_and_what_may_pass_is_tried_again() {
        assert!(!Reason::ContentRejected.is_transient());
        assert!(Reason::UpstreamTimeout.is_transient());
        assert!(Reason::NoImageReturned.is_transient());
    }

    #[test]
    fn every_reason_is_read_back_from_its_word() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
    }
}
