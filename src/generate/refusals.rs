//! What stands in the way before anything is drawn, in words.

use std::time::Duration;

use super::places::NoPlace;
use crate::domain::failure::{Failure, Reason};
use crate::domain::generation::Generation;
use crate::domain::ids::GenerationId;
use crate::ports::{GalleryError, LedgerError, SettingsError};

/// When it is worth asking again for a place: pictures take seconds.
const PLACE_WAIT: Duration = Duration::from_secs(2);

/// What a gateway or an organization with enough to do answers with, before anything is held.
pub(super) fn no_place(why: NoPlace) -> Failure {
    let failure = match why {
        NoPlace::Crowded => {
            let what =
                "The gateway is as busy as it may be; nothing was begun. Try again in a moment.";
            Failure::new(Reason::Overloaded, what)
        }
        NoPlace::Enough { most } => {
            let what = format!(
                "Your organization makes {most} generations at a time, as many as it may; nothing was begun. Try again when one has ended."
            );
            Failure::new(Reason::LimitReached, what).with("limit", "concurrent_generations")
        }
    };
    failure.retry_after(PLACE_WAIT)
}

pub(super) fn too_late() -> Failure {
    let what = "Less than a second is left to your deadline; nothing was begun.";
    Failure::new(Reason::DeadlineExceeded, what)
}

pub(super) fn conflict(id: GenerationId) -> Failure {
    let what = "This request_id was used before for another request; take a new one.";
    Failure::new(Reason::IdempotencyConflict, what).with("generation_id", id)
}

/// A request that failed in passing as often as it may: trying it again would only repeat the last
/// failure.
pub(super) fn exhausted(last: Generation) -> Failure {
    let attempts = last.attempt;
    let failure = last.failure.unwrap_or_else(Failure::internal);
    let message = format!(
        "{} It was tried {attempts} times under this request_id; take a new one.",
        failure.message
    );
    let failure = Failure {
        message,
        retry_after: None,
        ..failure
    };
    failure.with("attempts", attempts)
}

/// The same words whether it never was or belongs to somebody else.
pub fn not_found() -> Failure {
    let what = "This organization has no such generation.";
    Failure::new(Reason::GenerationNotFound, what)
}

/// What a gallery without room, or one that does not work, is to somebody who wants a picture made.
pub fn no_room(error: GalleryError) -> Failure {
    if matches!(error, GalleryError::Full) {
        return storage_full();
    }
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the gallery failed"
    );
    Failure::storage_unavailable()
}

/// What becomes of a generation that its caller took back in time.
pub(super) fn cancelled(id: GenerationId) -> Failure {
    let what = "This generation was cancelled before anything was sent; nothing was charged.";
    Failure::new(Reason::GenerationCancelled, what).with("generation_id", id)
}

/// What a failing ledger is to a caller; logged here, once.
pub fn internal(error: LedgerError) -> Failure {
    let failure = match &error {
        LedgerError::Full => return books_full(),
        LedgerError::ActorEnded => return Failure::unauthenticated(),
        LedgerError::Broken(_) => Failure::storage_unavailable(),
        _ => Failure::internal(),
    };
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the ledger failed"
    );
    failure
}

/// What failing settings are to a caller; logged here, once.
pub fn unsettled(error: SettingsError) -> Failure {
    unsettled_for_all(&error)
}

/// The same where several callers are told of one failure.
pub fn unsettled_for_all(error: &SettingsError) -> Failure {
    let failure = match error {
        SettingsError::Full => return books_full(),
        SettingsError::ActorEnded => return Failure::unauthenticated(),
        SettingsError::Broken(_) => Failure::storage_unavailable(),
        _ => Failure::internal(),
    };
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the settings failed"
    );
    failure
}

/// No room for pictures, on the disk or within the quota.
pub fn storage_full() -> Failure {
    full("There is no room to keep the images; nothing was charged. Tell the operator.")
}

/// No room for what a call writes to the books, whatever the call is.
fn books_full() -> Failure {
    full("The gateway's disk is full; this call has changed nothing. Tell the operator.")
}

fn full(what: &str) -> Failure {
    Failure::new(Reason::StorageFull, what).retry_after(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_speaks_of_images_only_to_whoever_wants_some_kept() {
        let pictures = no_room(GalleryError::Full);
        assert!(pictures.message.contains("images"), "{pictures:?}");
        for failure in [internal(LedgerError::Full), unsettled(SettingsError::Full)] {
            assert_eq!(failure.reason, Reason::StorageFull);
            assert_eq!(failure.retry_after, pictures.retry_after);
            assert!(!failure.message.contains("images"), "{failure:?}");
            assert!(failure.message.contains("changed nothing"), "{failure:?}");
        }
    }
}
