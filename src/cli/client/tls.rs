//! How a client command trusts a gateway, and shows who it is.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::super::failed::Failed;

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
}

impl Args {
    /// Whether any of it makes sense only with TLS, and was given.
    pub(super) const fn any(&self) -> bool {
        self.ca_file.is_some() || self.client_cert_file.is_some()
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
