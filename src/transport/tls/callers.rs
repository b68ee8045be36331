//! Lets callers in whom an authority has signed that is valid at that moment, be it that its time came
//! or went since the files were read.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::validity::Validity;
use crate::clock;

/// Who lets callers in, and when.
#[derive(Debug)]
pub(super) struct Callers {
    authorities: Vec<(Validity, Arc<dyn ClientCertVerifier>)>,
    /// The names of those that were valid when the files were read: a caller with several certificates
    /// chooses by them. The next look at the files renews them.
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

// === impl Callers ===

impl Callers {
    /// Nobody is let in yet.
    pub(super) const fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            authorities: Vec::new(),
            hints: Vec::new(),
            provider,
        }
    }

    /// One more authority, which lets callers in while it is valid.
    ///
    /// # Errors
    /// If nothing can be checked against it.
    pub(super) fn admit(
        &mut self,
        authority: RootCertStore,
        valid: Validity,
        now: Timestamp,
    ) -> Result<(), VerifierBuilderError> {
        let hints = authority.subjects();
        let (roots, provider) = (Arc::new(authority), Arc::clone(&self.provider));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
        self.authorities.push((valid, verifier));
        if valid.holds_at(now) {
            self.hints.extend(hints);
        }
        Ok(())
    }
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        // rustls tells whole seconds: an authority would end a second later than anywhere else here.
        let instant = clock::now();
        let mut refusal = unknown.clone();
        for (valid, verifier) in &self.authorities {
            if !valid.holds_at(instant) {
                continue;
            }
            match verifier.verify_client_cert(end_entity, intermediates, now) {
                Ok(verified) => return Ok(verified),
                // That it is of another says less than what is wrong with it.
                Err(error) if error == unknown => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}
