//! What one upstream call brought, or why it brought no more, and what a caller is told of that.

use std::time::Duration;

use tokio::time::Instant;

use super::Held;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::{CallRecord, CostSource, KeyMode, StoredImage};
use crate::ports::{Billed, DrawCause, DrawError, GalleryError, Receipt};

/// The least wait that a caller is told.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// Why one call brought no more pictures.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// Upstream.
    Draw(DrawError),
    /// Our disk.
    Keep(GalleryError),
}

/// What one call brought.
#[derive(Debug, Default)]
pub(super) struct CallOutcome {
    /// What the books keep of it.
    pub(super) record: CallRecord,
    /// Its pictures, all durable.
    pub(super) images: Vec<StoredImage>,
    /// When the last byte of the answer was there.
    pub(super) answered: Option<Instant>,
    /// Why it brought no more, if it failed.
    pub(super) failure: Option<CallFailure>,
}

// === impl CallOutcome ===

impl CallOutcome {
    /// Takes what the answer says about itself.
    pub(super) fn told(&mut self, receipt: Receipt) {
        let record = &mut self.record;
        record.upstream_id = receipt.upstream_id.or(record.upstream_id.take());
        record.cost = receipt.cost.map(|cost| (cost, CostSource::Usage));
        record.text = receipt.text;
        record.prompt_tokens = receipt.prompt_tokens;
        record.completion_tokens = receipt.completion_tokens;
    }

    pub(super) fn refused(&mut self, error: DrawError) {
        let record = &mut self.record;
        record.upstream_id = error.upstream_id.clone().or(record.upstream_id.take());
        record.cost = error.cost.map(|cost| (cost, CostSource::Usage));
        record.unbilled = error.billed == Billed::No && self.images.is_empty();
        self.failure = Some(CallFailure::Draw(error));
    }

    /// Whether upstream may have billed a call that brought nothing.
    pub(super) const fn is_perhaps_billed(&self) -> bool {
        match &self.failure {
            Some(CallFailure::Draw(error)) => !matches!(error.billed, Billed::No),
            Some(CallFailure::Keep(_)) | None => true,
        }
    }

    /// Whether OpenRouter did not take the key.
    pub(super) const fn key_was_refused(&self) -> bool {
        matches!(
            &self.failure,
            Some(CallFailure::Draw(error)) if matches!(error.cause, DrawCause::KeyRefused)
        )
    }

    /// Whether upstream worked, whatever came of it. A key that is not taken (401) or has no credit
    /// (402) counts as such: upstream answers at once and for nothing, and the next call must
    /// notice that the key was mended. An own key tells it of its organization's calls alone.
    pub(super) const fn was_accepted(&self) -> bool {
        match &self.failure {
            Some(CallFailure::Draw(error)) => !matches!(
                error.cause,
                DrawCause::RateLimited
                    | DrawCause::KeyRateLimited
                    | DrawCause::Timeout
                    | DrawCause::Unavailable
            ),
            Some(CallFailure::Keep(_)) | None => true,
        }
    }

    /// Whether the answer broke off without a picture, so that only OpenRouter's records can tell
    /// what it cost (`reliability.md` §2.2).
    pub(super) const fn is_in_doubt(&self) -> bool {
        let unanswered = matches!(
            &self.failure,
            Some(CallFailure::Draw(error)) if matches!(error.billed, Billed::Unanswered)
        );
        unanswered && self.record.cost.is_none()
    }
}

// === impl CallFailure ===

impl CallFailure {
    /// What the failure is to a caller, with what an administrator needs beside it.
    pub(super) fn to_failure(&self, held: &Held) -> Failure {
        match self {
            Self::Draw(error) => draw_failure(error, held),
            Self::Keep(GalleryError::Full) => super::storage_full(),
            Self::Keep(GalleryError::NotAnImage(why)) => image_invalid().with("cause", why),
            Self::Keep(error @ (GalleryError::Gone | GalleryError::Broken(_))) => {
                tracing::error!(
                    generation = %held.draft.id,
                    error = error as &dyn std::error::Error,
                    "an image could not be kept"
                );
                Failure::internal()
            }
        }
    }

    /// Which failure tells most when several calls failed: greater is better.
    pub(super) const fn weight(&self) -> u8 {
        match self {
            Self::Keep(_) => 3,
            Self::Draw(error) => match error.billed {
                Billed::Perhaps | Billed::Unanswered => 1,
                Billed::No => 2,
            },
        }
    }
}

/// Upstream's failure in our words (`api.md`, Upstream → reason).
fn draw_failure(error: &DrawError, held: &Held) -> Failure {
    let model = &held.job.model.slug;
    let own_key = held.payer.mode() == KeyMode::Organization;
    let failure = match error.cause {
        DrawCause::InvalidRequest => Failure::new(
            Reason::InvalidRequest,
            "The provider does not accept this request; change the prompt or the options.",
        ),
        DrawCause::PromptRejected => rejected("prompt"),
        DrawCause::OutputRejected => rejected("output"),
        DrawCause::ModelUnavailable => Failure::model_unavailable(model, "refused_upstream"),
        DrawCause::ReferenceInvalid => Failure::new(
            Reason::ReferenceImageInvalid,
            "The provider cannot use a reference image; send another one.",
        ),
        DrawCause::ReferenceTooLarge if held.references.is_empty() => Failure::new(
            Reason::ReferenceImageTooLarge,
            "The request is too large for the provider; shorten the prompt.",
        ),
        DrawCause::ReferenceTooLarge => Failure::new(
            Reason::ReferenceImageTooLarge,
            "The reference images are too large for the provider; send smaller ones.",
        ),
        DrawCause::KeyRateLimited if own_key => Failure::openrouter_key_rate_limited(),
        DrawCause::RateLimited | DrawCause::KeyRateLimited => Failure::new(
            Reason::UpstreamRateLimited,
            "The image provider is busy; try again in a moment.",
        ),
        DrawCause::Timeout => Failure::new(
            Reason::UpstreamTimeout,
            "The image provider did not answer in time; try again with the same request_id.",
        ),
        DrawCause::KeyRefused if own_key => Failure::openrouter_key_refused(),
        DrawCause::KeyOutOfCredit if own_key => Failure::openrouter_key_out_of_credit(),
        DrawCause::Unavailable
        | DrawCause::KeyRefused
        | DrawCause::KeyOutOfCredit
        | DrawCause::OursToMend => Failure::new(
            Reason::UpstreamUnavailable,
            "The image provider does not work at the moment; try again later.",
        ),
        DrawCause::NoImage => Failure::new(
            Reason::NoImageReturned,
            "The model answered without an image; rephrase the prompt or try once more.",
        ),
        DrawCause::ImageInvalid => image_invalid(),
    };
    let failure = match error.retry_after {
        // What upstream allows at once was tried at once; a caller gets some air.
        Some(wait) => failure.retry_after(wait.max(RETRY_AFTER_MIN)),
        None => failure,
    };
    failure.with("model", model)
}

fn rejected(stage: &'static str) -> Failure {
    Failure::new(
        Reason::ContentRejected,
        "The provider's rules do not allow this image; rephrase the prompt.",
    )
    .with("stage", stage)
    .with("charged", "0.00")
}

fn image_invalid() -> Failure {
    Failure::new(
        Reason::ImageInvalid,
        "What the provider sent is not a whole image; nothing was charged. Try once more.",
    )
}
