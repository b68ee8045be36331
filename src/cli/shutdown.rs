//! Being told to end: the first signal drains, the second ends at once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failed::Failed;
use crate::app::{App, Drained};

/// The signals that ask the program to end.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl Signals ===

impl Signals {
    /// Listens from now on, so that no signal is lost while the rest starts.
    pub(super) fn listen() -> Result<Self, Failed> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failed::new("cannot listen to signals").because(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

/// Lets what runs finish, unless time is up or another signal comes.
pub(super) async fn drain(
    app: App,
    timeout: Duration,
    signals: &mut Signals,
) -> Result<(), Failed> {
    tracing::info!(
        ?timeout,
        "draining: no new calls; send the signal again to end at once"
    );
    let drained = tokio::select! {
        drained = app.drain(timeout) => drained,
        () = signals.next() => return Err(Failed::new("ended at once, by a second signal")),
    };
    match drained {
        Drained::Complete => {
            tracing::info!("drained");
            Ok(())
        }
        Drained::TimedOut { running: 0 } => {
            tracing::warn!(?timeout, "drained, but callers were left that did not read");
            Ok(())
        }
        Drained::TimedOut { running } => Err(Failed::new(format!(
            "not all generations ended within {timeout:?}: {running} left, with their credits on hold"
        ))
        .hint("give them longer with --drain-timeout")),
    }
}
