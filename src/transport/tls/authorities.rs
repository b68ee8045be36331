//! The authorities that sign callers' certificates. rustls asks of none whether it is valid now, so it
//! is asked here: one that is not lets nobody in.
//!
//! A file may hold several, as it does while one takes the place of another. Those that are not valid
//! now are passed over with a complaint, and looked at again when their time comes; so is a certificate
//! that may not sign others, or whoever has its key could sign callers. With none that is left, nobody
//! could be let in, and the file is none that can be used.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;

use super::callers::Callers;
use super::{TlsError, certificates, signers, validity};

/// The authorities of a file.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) callers: Callers,
    pub(super) term: Term,
}

/// Until when a look at authorities is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// When the first of them expires, or another one begins to be valid.
    pub(super) changes: Timestamp,
    /// When the last of those that are valid expires.
    pub(super) ends: Timestamp,
    /// When the last of all expires, those too whose time has not come: from then on nobody is let in.
    pub(super) closes: Timestamp,
    /// What was passed over.
    pub(super) passed: Passed,
}

/// What is of no use now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// When the last of those expired that were passed over for that.
    pub(super) expired: Option<Timestamp>,
    /// When the first of those begins to be valid that were passed over for that.
    pub(super) early: Option<Timestamp>,
    /// Where in the file the first stands that may not sign others, from 1 on.
    pub(super) no_signer: Option<usize>,
}

// === impl Authorities ===

impl Authorities {
    /// Those of a file, of which one at least is valid at this time.
    ///
    /// # Errors
    /// If one of them cannot be used, whenever it is valid, or none is valid at this time.
    pub(super) fn read(
        file: &Path,
        pem: &[u8],
        now: Timestamp,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let mut callers = Callers::new(Arc::clone(provider));
        let mut term: Option<(Timestamp, Timestamp)> = None;
        let mut closes = now;
        let mut passed = Passed::default();
        for (certificate, position) in certificates(file, pem)?.into_iter().zip(1..) {
            let file = || file.to_owned();
            let valid = validity::of(&certificate);
            let valid = valid.ok_or_else(|| TlsError::Validity { file: file() })?;
            let may_sign = signers::has(&certificate);
            let mut authority = RootCertStore::empty();
            // Nothing is to be found unreadable only on the day on which it is needed.
            let added = authority.add(certificate);
            added.map_err(|source| TlsError::Authority {
                file: file(),
                source,
            })?;
            if !may_sign {
                passed.no_signer = passed.no_signer.or(Some(position));
                continue;
            }
            closes = closes.max(valid.until);
            if valid.holds_at(now) {
                let until = valid.until;
                let widened = term.map(|(first, last)| (first.min(until), last.max(until)));
                term = widened.or(Some((until, until)));
            } else if valid.until < now {
                passed.expired = passed.expired.max(Some(valid.until));
            } else {
                let first = passed.early.map(|first| first.min(valid.from));
                passed.early = first.or(Some(valid.from));
            }
            let admitted = callers.admit(authority, valid, now);
            admitted.map_err(|source| TlsError::Authorities {
                file: file(),
                source,
            })?;
        }
        let Some((changes, ends)) = term else {
            return Err(passed.error(file));
        };
        let changes = passed.early.map_or(changes, |from| changes.min(from));
        let term = Term {
            changes,
            ends,
            closes,
            passed,
        };
        Ok(Self { callers, term })
    }
}

// === impl Passed ===

impl Passed {
    /// Why none can be used.
    fn error(self, file: &Path) -> TlsError {
        let file = file.to_owned();
        match self {
            Self {
                early: Some(from), ..
            } => TlsError::AuthoritiesTooEarly { file, from },
            Self {
                expired: Some(until),
                ..
            } => TlsError::AuthoritiesExpired { file, until },
            _ => TlsError::NoAuthority { file },
        }
    }

    /// Tells whoever looks after the file what in it is of no use now.
    pub(super) fn complain(self, file: &Path) {
        let file = file.display();
        if let Some(until) = self.expired {
            tracing::warn!(%file, %until, "an authority of callers has expired and lets nobody in: take it out of its file");
        }
        if let Some(from) = self.early {
            tracing::warn!(%file, %from, "an authority of callers is not valid yet and lets nobody in until then");
        }
        if let Some(position) = self.no_signer {
            tracing::warn!(%file, position, "a certificate among the authorities of callers may not sign others (CA:TRUE is not in its basic constraints) and lets nobody in: take it out of its file");
        }
    }
}
