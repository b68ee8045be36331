//! How a client command trusts a gateway, and shows who it is.

use std::path::{Path, PathBuf};

use http::Uri;
use http::uri::Scheme;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::super::failed::Failed;
use crate::config;

/// What is needed beside an address that begins with `https://`.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(id = "gateway_tls")]
pub(in crate::cli) struct Args {
    /// The authorities to trust, in PEM [default: those of this machine]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A certificate to show to a gateway that asks for one, in PEM
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_cert_file: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "client_cert_file")]
    client_key_file: Option<PathBuf>,
    /// Send the key to another machine without encryption
    #[arg(long, env = "ALLOW_PLAINTEXT")]
    allow_plaintext: bool,
}

impl Args {
    /// Whether any of it makes sense only with TLS, and was given.
    pub(super) const fn any(&self) -> bool {
        self.ca_file.is_some() || self.client_cert_file.is_some()
    }

    /// Whether a key may travel there as it is: nobody can listen within this machine, and elsewhere
    /// it has to be asked for, as it has at the gateway (`reliability.md` §6).
    pub(super) fn lets_pass(&self, url: &Uri) -> bool {
        let is_encrypted = url.scheme() == Some(&Scheme::HTTPS);
        is_encrypted || self.allow_plaintext || url.host().is_some_and(config::is_here)
    }

    /// What tonic needs to know.
    pub(super) fn config(&self) -> Result<ClientTlsConfig, Failed> {
        let config = match &self.ca_file {
            Some(file) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(file)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        match (&self.client_cert_file, &self.client_key_file) {
            (Some(certificate), Some(key)) => {
                let identity = Identity::from_pem(read(certificate)?, read(key)?);
                Ok(config.identity(identity))
            }
            _ => Ok(config),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failed> {
    std::fs::read(file)
        .map_err(|error| Failed::new(format!("cannot read {}", file.display())).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_travels_in_plaintext_within_this_machine_alone_unless_that_is_asked_for() {
        let (strict, lax) = (
            Args::default(),
            Args {
                allow_plaintext: true,
                ..Args::default()
            },
        );
        for (url, passes) in [
            ("http://127.0.0.1:50051", true),
            ("http://127.9.9.9:50051", true),
            ("http://[::1]:50051", true),
            ("http://localhost:50051", true),
            ("https://gateway:50051", true),
            ("http://gateway:50051", false),
            ("http://localhost.example:50051", false),
            ("http://192.0.2.2:50051", false),
            ("http://[2001:db8::1]:50051", false),
            ("gateway:50051", false),
        ] {
            let uri = url.parse().unwrap();
            assert_eq!(strict.lets_pass(&uri), passes, "{url}");
            assert!(lax.lets_pass(&uri), "{url}");
        }
    }
}
