//! The log: lines on stderr, for people or for collectors. A failure is logged once, where it is
//! handled; prompts, keys and bodies never are.

use std::io;

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::config::{Log, LogFormat};

/// What is logged before anything is asked for: the HTTP libraries have a line for each connection
/// that floods, and floods come by the thousand. [`crate::transport`] counts them and has one line
/// a minute.
const QUIET: &str = "h2=error,hyper=error";

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is none; [`Log::parse`] gives no such filter.
    #[error("the log filter cannot be read")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The process logs already.
    #[error("the log was started twice")]
    Started(#[source] TryInitError),
}

/// Starts the log of this process.
///
/// # Errors
/// See [`LoggingError`].
pub fn start(log: &Log) -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = format!("{QUIET},{}", log.filter);
    let filter = EnvFilter::try_new(filter).map_err(LoggingError::Filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never);
    match log.format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LoggingError::Started)
}
