//! Looks whether the files have changed, and takes what they hold if it can be used. Connections
//! that have begun stay as they are; those that begin later get the new certificate.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::authorities::Term;
use super::contents::{Contents, Fingerprint};
use super::{Current, Tls, TlsError};
use crate::clock;

/// How often the files are read. They are small, and their times say less than their bytes: links
/// are swapped, and clocks are coarse.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What expires earlier than in this is complained about …
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// … this often.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    refused: Option<Refused>,
    reminded: Option<Instant>,
    reminded_of_authorities: Option<Instant>,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// What is in use.
    Same,
    /// Something new, which is in use from now on.
    New,
    /// Something that cannot be used. It may be half written, so it is passed over once.
    Unusable,
    /// The same again: somebody has to mend it.
    StillUnusable,
}

/// What could not be used: what was read, or why it could not even be read.
#[derive(Debug)]
struct Refused {
    read: Result<Fingerprint, String>,
    told: bool,
}

impl Tls {
    /// Looks at the files until told to stop.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut memory = Memory::default();
        loop {
            let current = self.current();
            memory.remind(current.expires);
            memory.remind_of_authorities(current.authorities);
            drop(current);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.look(&mut memory).await;
        }
    }

    /// Looks once.
    pub(super) async fn look(self: &Arc<Self>, memory: &mut Memory) -> Found {
        let this = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || Contents::read(&this.files));
        let Ok(contents) = reading.await else {
            return Found::Same;
        };
        let read = contents.as_ref().map(Contents::fingerprint);
        let read = read.map_err(ToString::to_string);
        let current = self.current();
        let is_same = read == Ok(current.read);
        if is_same && !current.is_outdated(clock::now()) {
            memory.refused = None;
            self.metrics.certificate_refused(false);
            return Found::Same;
        }
        match contents.and_then(|contents| Current::make(&self.files, &contents)) {
            Ok(current) => {
                let expires = Timestamp::from_second(current.expires).ok();
                let expires = expires.map(tracing::field::display);
                if is_same {
                    tracing::info!("other authorities of callers are valid now");
                } else {
                    tracing::info!(expires, "a new TLS certificate is in use");
                }
                self.take(current);
                *memory = Memory::default();
                Found::New
            }
            Err(error) => self.refuse(memory, read, &error),
        }
    }

    fn refuse(
        &self,
        memory: &mut Memory,
        read: Result<Fingerprint, String>,
        error: &TlsError,
    ) -> Found {
        match &mut memory.refused {
            Some(refused) if refused.read == read => {
                if !std::mem::replace(&mut refused.told, true) {
                    let cause = error.source().map(tracing::field::display);
                    tracing::error!(cause, "the old TLS certificate stays in use: {error}");
                    self.metrics.certificate_refused(true);
                }
                Found::StillUnusable
            }
            refused => {
                *refused = Some(Refused { read, told: false });
                Found::Unusable
            }
        }
    }
}

// === impl Memory ===

impl Memory {
    /// Complains in time about a certificate that expires; true if it did.
    pub(super) fn remind(&mut self, expires: i64) -> bool {
        let Ok(expires) = Timestamp::from_second(expires) else {
            return false;
        };
        let Some(left) = complaint_due(&mut self.reminded, expires) else {
            return false;
        };
        if left.is_positive() {
            tracing::warn!(%expires, "the TLS certificate expires soon: put a new one in its file");
        } else {
            tracing::error!(%expires, "the TLS certificate has expired: nobody can connect until one that is valid is in its file");
        }
        true
    }

    /// Complains in time if every authority of callers expires; true if it did.
    pub(super) fn remind_of_authorities(&mut self, term: Option<Term>) -> bool {
        let Some(Term { ends: expires, .. }) = term else {
            return false;
        };
        let Some(left) = complaint_due(&mut self.reminded_of_authorities, expires) else {
            return false;
        };
        if left.is_positive() {
            tracing::warn!(%expires, "the authorities of callers expire soon: put another one beside them in their file");
        } else {
            tracing::error!(%expires, "every authority of callers has expired: nobody is let in until one that is valid is in their file");
        }
        true
    }
}

/// The time that is left, if it is time to complain about what expires.
fn complaint_due(reminded: &mut Option<Instant>, expires: Timestamp) -> Option<SignedDuration> {
    let now = Instant::now();
    let lately = reminded.is_some_and(|at| now.duration_since(at) < REMIND_EVERY);
    let left = expires.duration_since(clock::now());
    if lately || left > EXPIRES_SOON {
        return None;
    }
    *reminded = Some(now);
    Some(left)
}
