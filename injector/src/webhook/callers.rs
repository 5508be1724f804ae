//! Who may call: whoever holds a certificate that was signed by one of the authorities in a file, and that bears one
//! of the allowed names where there is a list of them.
//!
//! API servers bring such a certificate where the cluster's admission configuration names one for this webhook.
//!
//! Invariant: who is refused is refused in the handshake; not a byte of a request is read.
//! Invariant: a file that cannot be read keeps the authorities that were read before.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use keyside_lifecycle::error;
use keyside_lifecycle::shutdown::Shutdown;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::cert::kept;
use crate::settings;

/// Clones share one set of authorities.
#[derive(Clone, Debug)]
pub(crate) struct Callers {
    authorities: Arc<ArcSwap<Authorities>>,
    /// Common or alternative; none: every name.
    names: Arc<[String]>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Authorities {
    file: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reading the authorities of callers from {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} holds a certificate that cannot be read", path.display())]
    Pem {
        path: PathBuf,
        source: rustls_pki_types::pem::Error,
    },
    #[error("{} holds a certificate that cannot be an authority's", path.display())]
    Root {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("{} holds no certificate that can be trusted", path.display())]
    Verifier {
        path: PathBuf,
        source: rustls::server::VerifierBuilderError,
    },
}

/// Reads the file again when it changes.
pub(crate) struct Task {
    path: PathBuf,
    recheck: Duration,
    callers: Callers,
}

impl Callers {
    /// Reads the file once, so that a wrong path fails the start.
    pub(crate) async fn new(
        settings: settings::Callers,
        recheck: Duration,
    ) -> Result<(Self, Task), Error> {
        let provider = Arc::new(kept::provider());
        let path = settings.authorities;
        let authorities = read(&path, &provider).await?;
        let callers = Self {
            authorities: Arc::new(ArcSwap::from_pointee(authorities)),
            names: settings.names.into(),
            provider,
        };
        let task = Task {
            path,
            recheck,
            callers: callers.clone(),
        };
        Ok((callers, task))
    }

    /// Whether the certificate bears one of the names.
    fn knows(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.names.is_empty() {
            return true;
        }
        let Ok((_rest, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        let is_known = |name: &str| self.names.iter().any(|known| known == name);
        let common = certificate.subject().iter_common_name();
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        let alternatives = alternatives.map_or(&[][..], |found| &found.value.general_names);
        common
            .flat_map(x509_parser::x509::AttributeTypeAndValue::as_str)
            .any(is_known)
            || alternatives
                .iter()
                .any(|name| matches!(name, GeneralName::DNSName(name) if is_known(name)))
    }
}

impl ClientCertVerifier for Callers {
    /// A hint for callers with several certificates; API servers have one for each webhook.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let authorities = self.authorities.load();
        let verified = authorities
            .verifier
            .verify_client_cert(end, intermediates, now)?;
        if self.knows(end) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl Task {
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let end = shutdown.requested();
        tokio::pin!(end);
        let mut is_failing = false;
        loop {
            // Cancel-safe both: nothing is lost when the other one is first.
            tokio::select! {
                () = &mut end => return,
                () = tokio::time::sleep(self.recheck) => {}
            }
            match self.look().await {
                Ok(()) => is_failing = false,
                Err(cause) if is_failing => {
                    tracing::debug!(event = "callers_failed", error = error::chain(&cause));
                }
                Err(cause) => {
                    is_failing = true;
                    let error = error::chain(&cause);
                    tracing::warn!(event = "callers_failed", error, "the old ones are kept");
                }
            }
        }
    }

    async fn look(&self) -> Result<(), Error> {
        let authorities = &self.callers.authorities;
        let found = read(&self.path, &self.callers.provider).await?;
        if found.file != authorities.load().file {
            authorities.store(Arc::new(found));
            tracing::info!(event = "callers_read", path = %self.path.display());
        }
        Ok(())
    }
}

async fn read(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Authorities, Error> {
    let path = || path.to_owned();
    let file = tokio::fs::read(path()).await;
    let file = file.map_err(|source| Error::Read {
        path: path(),
        source,
    })?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&file) {
        let certificate = certificate.map_err(|source| Error::Pem {
            path: path(),
            source,
        })?;
        roots.add(certificate).map_err(|source| Error::Root {
            path: path(),
            source,
        })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    let verifier = verifier.build().map_err(|source| Error::Verifier {
        path: path(),
        source,
    })?;
    Ok(Authorities { file, verifier })
}
