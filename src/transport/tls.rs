//! Encryption by rustls with ring: a certificate, its key and perhaps the authorities of callers'
//! certificates, from files. Whoever connects gets what the files held last and could be used.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError};
use rustls::version::{TLS12, TLS13};

use crate::clock;
use crate::metrics::Metrics;
use authorities::{Authorities, Term};
use contents::{Contents, Fingerprint};

mod authorities;
mod callers;
mod contents;
mod der;
mod reload;
mod signers;
mod validity;

/// The only protocol that is negotiated: HTTP/2 (RFC 9113 section 3.1).
pub(super) const ALPN: &[u8] = b"h2";

/// Where the certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate and those between it and a root, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The authorities that sign callers' certificates, in PEM; `None` is that callers need none.
    pub client_ca: Option<PathBuf>,
}

/// What connections are encrypted with: always the last that could be used.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    now: RwLock<Arc<Current>>,
    metrics: Arc<Metrics>,
}

/// Files that were read and can be used.
#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    read: Fingerprint,
    /// When the first certificate of the chain expires, in seconds since 1970.
    expires: i64,
    /// How long the authorities of callers are good; `None` if callers need no certificate.
    authorities: Option<Term>,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// One does not hold what it should.
    #[error("{} holds no {what} in PEM", file.display())]
    Missing {
        /// Which.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What the reader said.
        #[source]
        source: pem::Error,
    },
    /// The certificate cannot be read, or the key belongs to another one.
    #[error("the certificate in {} and the key in {} cannot be used together", certificate.display(), key.display())]
    Pair {
        /// Of the certificate.
        certificate: PathBuf,
        /// Of the key.
        key: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// The certificate does not say how long it is valid.
    #[error("the certificate in {} does not say how long it is valid", file.display())]
    Validity {
        /// Which.
        file: PathBuf,
    },
    /// The certificate has expired: no caller would accept it.
    #[error("the certificate in {} has expired: it was valid until {until}", file.display())]
    Expired {
        /// Which.
        file: PathBuf,
        /// Its last moment.
        until: Timestamp,
    },
    /// The certificate is of use later, and no caller would accept it now.
    #[error("the certificate in {} is not valid before {from}", file.display())]
    TooEarly {
        /// Which.
        file: PathBuf,
        /// Its first moment.
        from: Timestamp,
    },
    /// No authority is valid any more: no caller could be let in.
    #[error("no authority in {} is valid any more: the last was valid until {until}", file.display())]
    AuthoritiesExpired {
        /// Which.
        file: PathBuf,
        /// The last moment of the last.
        until: Timestamp,
    },
    /// No authority is valid yet: no caller could be let in.
    #[error("no authority in {} is valid before {from}", file.display())]
    AuthoritiesTooEarly {
        /// Which.
        file: PathBuf,
        /// The first moment of the first.
        from: Timestamp,
    },
    /// No certificate is one of an authority: no caller could be let in.
    #[error("no certificate in {} is one of an authority: none may sign others", file.display())]
    NoAuthority {
        /// Which.
        file: PathBuf,
    },
    /// An authority cannot be used.
    #[error("an authority in {} cannot be used", file.display())]
    Authority {
        /// Which.
        file: PathBuf,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// No check can be made of the authorities.
    #[error("the authorities in {} cannot be used", file.display())]
    Authorities {
        /// Which.
        file: PathBuf,
        /// What rustls said.
        #[source]
        source: VerifierBuilderError,
    },
}

// === impl Tls ===

impl Tls {
    /// Reads the files for the first time. Blocks.
    ///
    /// # Errors
    /// If they cannot be used: nothing could be served.
    pub fn open(files: Files, metrics: Arc<Metrics>) -> Result<Arc<Self>, TlsError> {
        let current = Current::make(&files, &Contents::read(&files)?)?;
        metrics.certificate_taken(current.expires);
        current.complain(&files);
        Ok(Arc::new(Self {
            files,
            now: RwLock::new(Arc::new(current)),
            metrics,
        }))
    }

    /// What connections that begin now are encrypted with; `None` if every authority of callers has
    /// expired, and nobody can be let in.
    pub(super) fn config(&self) -> Option<Arc<ServerConfig>> {
        let current = self.current();
        let lets_in = current
            .authorities
            .is_none_or(|term| clock::now() <= term.closes);
        lets_in.then(|| Arc::clone(&current.config))
    }

    fn current(&self) -> Arc<Current> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&now)
    }

    fn take(&self, current: Current) {
        self.metrics.certificate_taken(current.expires);
        current.complain(&self.files);
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(current);
    }
}

// === impl Current ===

impl Current {
    fn make(files: &Files, contents: &Contents) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate, &contents.certificate)?;
        let expires = checked_expiry(&files.certificate, &chain)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|source| {
            let (file, what) = (files.key.clone(), "private key");
            TlsError::Missing { file, what, source }
        })?;
        let pair = |source| TlsError::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        };
        let provider = Arc::new(ring::default_provider());
        let begun = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(pair)?;
        let mut authorities = None;
        let begun = match (&files.client_ca, &contents.client_ca) {
            (Some(file), Some(pem)) => {
                let read = Authorities::read(file, pem, clock::now(), &provider)?;
                authorities = Some(read.term);
                begun.with_client_cert_verifier(Arc::new(read.callers))
            }
            _ => begun.with_no_client_auth(),
        };
        let mut config = begun.with_single_cert(chain, key).map_err(pair)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        if authorities.is_some() {
            // A session that is resumed shows no certificate: one that has expired, or whose authority
            // has, would go on letting somebody in. rustls makes no tickets that hold a session itself
            // unless it is told to.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: Arc::new(config),
            read: contents.fingerprint(),
            expires,
            authorities,
        })
    }

    /// Says which authorities of callers are of no use now: once for what is taken, however often what
    /// is not is looked at.
    fn complain(&self, files: &Files) {
        if let (Some(term), Some(file)) = (self.authorities, &files.client_ca) {
            term.passed.complain(file);
        }
    }

    /// Whether other authorities of callers are valid at this time than when the files were read.
    fn is_outdated(&self, now: Timestamp) -> bool {
        self.authorities.is_some_and(|term| now > term.changes)
    }
}

/// When the first certificate of the chain expires, in seconds since 1970. That the gateway's own is
/// valid now is asked here: rustls serves with any. Those above it are not asked, because callers find
/// their own way from it to a root and may need none of them.
fn checked_expiry(file: &Path, chain: &[CertificateDer<'_>]) -> Result<i64, TlsError> {
    let own = chain.first().and_then(validity::of);
    let file = file.to_owned();
    let Some(own) = own else {
        return Err(TlsError::Validity { file });
    };
    let now = clock::now();
    if now > own.until {
        let until = own.until;
        return Err(TlsError::Expired { file, until });
    }
    if now < own.from {
        let from = own.from;
        return Err(TlsError::TooEarly { file, from });
    }
    let ends = chain.iter().filter_map(validity::of);
    let first = ends.map(|valid| valid.until).min().unwrap_or(own.until);
    Ok(first.as_second())
}

/// At least one.
fn certificates(file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let missing = |source| TlsError::Missing {
        file: file.to_owned(),
        what: "certificate",
        source,
    };
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(missing)?;
    if certificates.is_empty() {
        return Err(missing(pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
