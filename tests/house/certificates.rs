//! Authorities and certificates, made for one test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// An authority that signs what it is asked to.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Where a gateway looks for its certificate.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::until((2999, 1, 1))
    }

    /// Valid until this day itself, whatever it signs.
    pub(crate) fn until((year, month, day): (i32, u8, u8)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(year, month, day);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// For `localhost`, valid for long.
    pub(crate) fn sign(&self) -> Pair {
        self.sign_until((2999, 1, 1))
    }

    /// For `localhost`, until this day.
    pub(crate) fn sign_until(&self, (year, month, day): (i32, u8, u8)) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("a name");
        params.not_after = date_time_ymd(year, month, day);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that trusts this authority alone.
    pub(crate) fn trusted(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.pem))
            .domain_name("localhost")
    }
}

impl Pair {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

impl Files {
    pub(crate) fn new(folder: &Path, pair: &Pair) -> Self {
        let files = Self {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            client_ca: folder.join("client-ca.pem"),
        };
        files.put(pair);
        files
    }

    /// Both at once, as far as that is possible.
    pub(crate) fn put(&self, pair: &Pair) {
        fs::write(&self.certificate, &pair.certificate).expect("a file");
        fs::write(&self.key, &pair.key).expect("a file");
    }

    /// As settings of `serve`.
    pub(crate) fn settings(&self) -> [(&'static str, &str); 2] {
        [
            ("TLS_CERT_FILE", text(&self.certificate)),
            ("TLS_KEY_FILE", text(&self.key)),
        ]
    }
}

/// A path as it is typed.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
