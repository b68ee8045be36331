//! How a command fails: what happened, why, and what to do about it.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::terminal::text::printable;
use crate::app::StartError;
use crate::config::ConfigErrors;
use crate::logging::LoggingError;

/// A failed command.
#[derive(Debug)]
pub(super) struct Failed {
    /// One sentence, with its causes.
    pub(super) message: String,
    /// What to do, if anything is known to help.
    pub(super) hint: Option<String>,
    /// The exit status.
    pub(super) status: u8,
}

// === impl Failed ===

impl Failed {
    /// The command could not do its work.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            status: 1,
        }
    }

    /// The command was asked for something that cannot be.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            status: 2,
            ..Self::new(message)
        }
    }

    /// Adds why, with the causes behind it.
    pub(super) fn because(mut self, error: impl Error) -> Self {
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            // Writing to a string cannot fail.
            let _ = write!(self.message, ": {error}");
            cause = error.source();
        }
        self
    }

    /// Adds what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The gateway refused a call, in its own words.
    pub(super) fn refused(what: &str, status: &Status) -> Self {
        let reason = reason(status);
        let why = reason
            .as_deref()
            .unwrap_or_else(|| code_name(status.code()));
        let message = format!("{what}: {} ({why})", status.message());
        // A gateway's own words have one line.
        let failed = Self::new(printable(&message));
        match (reason, status.code()) {
            (Some(_), _) if is_about(status, "organization_id") => {
                failed.hint("name the organization with --organization")
            }
            (Some(_), _) => failed,
            // Every refusal of a service has a reason: this is the transport …
            (None, Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded) => failed.hint(
                "the connection was lost, or nothing answered on it: does the gateway still run, and \
                 is this the address of its gRPC door (LISTEN_ADDR)? A gateway that is full also \
                 ends connections: try again in some seconds",
            ),
            // … or something else that listens, or a door that was shut before anything was said.
            (None, _) => failed.hint(
                "what answers there does not speak as a gateway does: either it is none (--address \
                 wants its gRPC door, LISTEN_ADDR, not its web pages, HTTP_ADDR), or it is full, or \
                 makes newcomers from this address take turns, and ended the connection before a \
                 word: then try again in some seconds",
            ),
        }
    }
}

impl From<ConfigErrors> for Failed {
    fn from(errors: ConfigErrors) -> Self {
        Self::usage(errors.to_string())
            .hint("`image-gateway serve --help` explains every setting and its default")
    }
}

impl From<StartError> for Failed {
    fn from(error: StartError) -> Self {
        let hint = match &error {
            StartError::Listen {
                setting,
                address,
                source,
            } if source.kind() == io::ErrorKind::AddrInUse => Some(format!(
                "another program uses port {}; choose another with {} {}:0, where 0 takes a free one",
                address.port(),
                flag(setting),
                address.ip(),
            )),
            StartError::Listen { setting, .. } => {
                Some(format!("choose another address with {}", flag(setting)))
            }
            // The folder is as it should be: it is the key that is not, and the error says what helps.
            StartError::Data { what, .. } if what.contains("key") || what.contains("seal") => None,
            StartError::Data { .. } => Some(
                "DATA_DIR (--data-dir) names a folder that this program may write, and that nothing \
                 else writes"
                    .to_owned(),
            ),
            StartError::InUse { .. } => {
                Some("end the other one, or choose another folder with --data-dir".to_owned())
            }
            StartError::Room { .. } => None,
        };
        let failed = Self::new("the gateway does not start").because(error);
        match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}

impl From<LoggingError> for Failed {
    fn from(error: LoggingError) -> Self {
        Self::new("cannot write a log").because(error)
    }
}

/// The reason of a refusal (AIP-193); none if it is not a gateway's.
pub(super) fn reason(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    details.error_info().map(|info| info.reason.clone())
}

/// Whether a refusal names this field of the request as the one at fault.
fn is_about(status: &Status, field: &str) -> bool {
    let details = status.get_error_details();
    let named = details
        .error_info()
        .and_then(|info| info.metadata.get("field"));
    named.is_some_and(|named| named == field)
}

/// The flag of a setting.
fn flag(variable: &str) -> String {
    format!("--{}", variable.to_lowercase().replace('_', "-"))
}

/// The name that the gRPC documentation has for a code.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_flag_that_helps() {
        let failed = Failed::from(StartError::Listen {
            setting: "LISTEN_ADDR",
            address: "127.0.0.1:50051".parse().unwrap(),
            source: io::ErrorKind::AddrInUse.into(),
        });
        assert_eq!(failed.status, 1);
        assert!(failed.message.contains("127.0.0.1:50051"), "{failed:?}");
        let hint = failed.hint.unwrap();
        assert!(hint.contains("--listen-addr 127.0.0.1:0"), "{hint}");
    }

    #[test]
    fn only_what_is_about_the_folder_names_the_folder() {
        for (what, named) in [
            ("the lock", true),
            ("the database", true),
            ("the image folder", true),
            ("the key-encryption key", false),
            ("what API keys are hashed with", false),
            ("what is sealed", false),
        ] {
            let failed = Failed::from(StartError::Data {
                what,
                folder: "data".into(),
                source: "no".into(),
            });
            assert_eq!(failed.hint.is_some(), named, "{what}");
        }
    }

    #[test]
    fn wrong_settings_are_wrong_usage() {
        let failed = Failed::from(ConfigErrors {
            problems: Vec::new(),
        });
        assert_eq!(failed.status, 2);
    }

    #[test]
    fn a_refusal_names_its_reason_or_else_its_code() {
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("OVERLOADED", "images.squados.io", []);
        let status = Status::with_error_details(Code::ResourceExhausted, "Too busy.", details);
        let failed = Failed::refused("cannot make the picture", &status);
        assert_eq!(
            failed.message,
            "cannot make the picture: Too busy. (OVERLOADED)"
        );
        let failed = Failed::refused("cannot ask", &Status::unavailable("gone"));
        assert_eq!(failed.message, "cannot ask: gone (UNAVAILABLE)");
    }
}
