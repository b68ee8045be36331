//! The authorities that sign callers' certificates. rustls asks of none whether it is valid now, so it
//! is asked here: one that is not lets nobody in.
//!
//! A file may hold several, as it does while one takes the place of another. Those that are not valid
//! now are passed over with a complaint, and looked at again when their time comes; with none that is,
//! nobody could be let in, and the file is none that can be used.

use std::path::Path;

use jiff::Timestamp;
use rustls::RootCertStore;

use super::{TlsError, certificates, validity};

/// The authorities of a file that are valid now.
#[derive(Debug)]
pub(super) struct Authorities {
    pub(super) roots: RootCertStore,
    pub(super) term: Term,
}

/// Until when a look at authorities is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// When the first of them expires, or another one begins to be valid.
    pub(super) changes: Timestamp,
    /// When the last of them expires: from then on nobody is let in.
    pub(super) ends: Timestamp,
    /// When the last of those expired that were passed over for that.
    pub(super) expired: Option<Timestamp>,
    /// When the first of those begins to be valid that were passed over for that.
    pub(super) early: Option<Timestamp>,
}

// === impl Authorities ===

impl Authorities {
    /// Those of a file that are valid at this time.
    ///
    /// # Errors
    /// If one of them cannot be used, whenever it is valid, or none is valid at this time.
    pub(super) fn read(file: &Path, pem: &[u8], now: Timestamp) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let mut term: Option<Term> = None;
        let (mut expired, mut early) = (None, None);
        for certificate in certificates(file, pem)? {
            let file = || file.to_owned();
            let valid = validity::of(&certificate);
            let valid = valid.ok_or_else(|| TlsError::Validity { file: file() })?;
            let added = if valid.holds_at(now) {
                term = Some(Term::with(term, valid.until));
                roots.add(certificate)
            } else {
                if valid.until < now {
                    expired = expired.max(Some(valid.until));
                } else {
                    early =
                        Some(early.map_or(valid.from, |first: Timestamp| first.min(valid.from)));
                }
                // Nothing is to be found unreadable only on the day on which it is needed.
                RootCertStore::empty().add(certificate)
            };
            added.map_err(|source| TlsError::Authority {
                file: file(),
                source,
            })?;
        }
        let Some(mut term) = term else {
            return Err(none(file, early, expired));
        };
        if let Some(from) = early {
            term.changes = term.changes.min(from);
        }
        (term.expired, term.early) = (expired, early);
        Ok(Self { roots, term })
    }
}

/// Why none can be used.
fn none(file: &Path, early: Option<Timestamp>, expired: Option<Timestamp>) -> TlsError {
    let file = file.to_owned();
    match (early, expired) {
        (Some(from), _) => TlsError::AuthoritiesTooEarly { file, from },
        (None, until) => TlsError::AuthoritiesExpired {
            file,
            until: until.unwrap_or(Timestamp::MIN),
        },
    }
}

// === impl Term ===

impl Term {
    /// With one more that is valid, and until when.
    fn with(term: Option<Self>, until: Timestamp) -> Self {
        let Some(term) = term else {
            return Self {
                changes: until,
                ends: until,
                expired: None,
                early: None,
            };
        };
        Self {
            changes: term.changes.min(until),
            ends: term.ends.max(until),
            ..term
        }
    }

    /// Tells whoever looks after the file what in it is of no use now.
    pub(super) fn complain(&self, file: &Path) {
        let file = file.display();
        if let Some(until) = self.expired {
            tracing::warn!(%file, %until, "an authority of callers has expired and lets nobody in: take it out of its file");
        }
        if let Some(from) = self.early {
            tracing::warn!(%file, %from, "an authority of callers is not valid yet and lets nobody in until then");
        }
    }
}
