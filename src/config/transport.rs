//! How callers connect: where, and encrypted with what. Plaintext where others could listen has to
//! be asked for.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::LISTEN_ADDR;
use super::reader::Reader;
use super::values;

/// Default of `ALLOW_PLAINTEXT`.
pub const ALLOW_PLAINTEXT: &str = "false";

/// Default of `UNRATIONED_ADDRESSES`.
const UNRATIONED_ADDRESSES: &str = "";

/// Where the certificate and what belongs to it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The authorities of callers' certificates, in PEM; `None` is that callers need none.
    pub client_ca: Option<PathBuf>,
}

/// The settings as they were given.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) listen: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) client_ca: Option<String>,
    pub(super) allow_plaintext: Option<String>,
    pub(super) unrationed: Option<String>,
}

/// What they mean.
#[derive(Debug)]
pub(super) struct Callers {
    /// Where gRPC is served.
    pub(super) listen: SocketAddr,
    /// With which files, if it is encrypted.
    pub(super) tls: Option<TlsFiles>,
    /// Whose newcomers never take turns.
    pub(super) unrationed: Vec<(IpAddr, u8)>,
}

// === impl Given ===

impl Given {
    /// How callers connect.
    pub(super) fn read(self, reader: &mut Reader) -> Option<Callers> {
        let listen = reader.plain("LISTEN_ADDR", self.listen, LISTEN_ADDR, &values::ADDRESS);
        let file = &values::OPTIONAL_FILE;
        let certificate = reader.plain("TLS_CERT_FILE", self.certificate, "", file);
        let key = reader.plain("TLS_KEY_FILE", self.key, "", file);
        let client_ca = reader.plain("TLS_CLIENT_CA_FILE", self.client_ca, "", file);
        let plaintext = reader.plain(
            "ALLOW_PLAINTEXT",
            self.allow_plaintext,
            ALLOW_PLAINTEXT,
            &values::YES_OR_NO,
        );
        let unrationed = reader.plain(
            "UNRATIONED_ADDRESSES",
            self.unrationed,
            UNRATIONED_ADDRESSES,
            &values::NETWORKS,
        );
        let tls = together(certificate?, key?, client_ca?, reader)?;
        let (listen, plaintext) = (listen?, plaintext?);
        if tls.is_none() && !plaintext && !listen.ip().is_loopback() {
            let accepted = "must be a loopback address such as 127.0.0.1:50051 as long as nothing \
                encrypts keys and pictures on their way: set TLS_CERT_FILE and TLS_KEY_FILE, or \
                ALLOW_PLAINTEXT=true if a proxy or a private network protects them";
            reader.add("LISTEN_ADDR", Some(listen.to_string()), accepted);
            return None;
        }
        Some(Callers {
            listen,
            tls,
            unrationed: unrationed?,
        })
    }
}

/// The files, all that are needed or none; otherwise what is missing is a problem.
fn together(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    reader: &mut Reader,
) -> Option<Option<TlsFiles>> {
    let missing = match (certificate, key, client_ca) {
        (Some(certificate), Some(key), client_ca) => {
            return Some(Some(TlsFiles {
                certificate,
                key,
                client_ca,
            }));
        }
        (None, None, None) => return Some(None),
        (Some(_), None, _) => ("TLS_KEY_FILE", "must be set together with TLS_CERT_FILE"),
        (None, Some(_), _) => ("TLS_CERT_FILE", "must be set together with TLS_KEY_FILE"),
        (None, None, Some(_)) => (
            "TLS_CERT_FILE",
            "and TLS_KEY_FILE must be set together with TLS_CLIENT_CA_FILE",
        ),
    };
    reader.add(missing.0, None, missing.1);
    None
}
