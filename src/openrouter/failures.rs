//! How failures begin: what is known of them where they are found.

use std::error::Error;

use super::presentable::presentable;
use crate::ports::{Billed, DrawCause, DrawError};

/// A failure that surely cost nothing.
pub(super) fn unsent(cause: DrawCause, detail: &str) -> DrawError {
    DrawError {
        cause,
        detail: presentable(detail),
        retry_after: None,
        billed: Billed::No,
        upstream_id: None,
        cost: None,
    }
}

/// A failure after the answer began.
pub(super) fn failed(cause: DrawCause, detail: &str) -> DrawError {
    DrawError {
        cause,
        detail: presentable(detail),
        retry_after: None,
        billed: Billed::Perhaps,
        upstream_id: None,
        cost: None,
    }
}

/// A failure that left the answer without its end.
pub(super) fn cut_off(cause: DrawCause, detail: &str) -> DrawError {
    DrawError {
        billed: Billed::Unanswered,
        ..failed(cause, detail)
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
