//! What stands in the way before anything is drawn, in words.

use std::time::Duration;

use crate::domain::failure::{Failure, Reason};
use crate::domain::ids::GenerationId;
use crate::ports::{LedgerError, SettingsError};

pub(super) fn overloaded() -> Failure {
    let what = "The gateway is as busy as it may be; nothing was begun. Try again in a moment.";
    Failure::new(Reason::Overloaded, what).retry_after(Duration::from_secs(2))
}

pub(super) fn conflict(id: GenerationId) -> Failure {
    let what = "This request_id was used before for another request; take a new one.";
    Failure::new(Reason::IdempotencyConflict, what).with("generation_id", id)
}

pub(super) fn in_progress(id: GenerationId) -> Failure {
    let what = "The same request still runs; ask for it with GetGeneration.";
    Failure::new(Reason::GenerationInProgress, what)
        .with("generation_id", id)
        .retry_after(Duration::from_secs(5))
}

/// What a failing ledger is to a caller; logged here, once.
pub fn internal(error: LedgerError) -> Failure {
    match error {
        LedgerError::Full => storage_full(),
        other => {
            tracing::error!(
                error = &other as &dyn std::error::Error,
                "the ledger failed"
            );
            Failure::internal()
        }
    }
}

/// What failing settings are to a caller; logged here, once.
pub fn unsettled(error: SettingsError) -> Failure {
    match error {
        SettingsError::Full => storage_full(),
        other => {
            tracing::error!(
                error = &other as &dyn std::error::Error,
                "the settings failed"
            );
            Failure::internal()
        }
    }
}

/// No room on the disk.
pub fn storage_full() -> Failure {
    let what = "There is no room to keep the images; nothing was charged. Tell the operator.";
    Failure::new(Reason::StorageFull, what).retry_after(Duration::from_secs(60))
}
