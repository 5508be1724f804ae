//! Whom to trust: the `vault` block's certificates as a rustls configuration.
//!
//! Invariant: the system's roots are loaded only where the configuration names no CA, for they cost memory and
//! would widen trust beyond what was asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyside_config::model::vault::{Address, Vault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::tls::provider::provider;
use crate::tls::{self as files, Fingerprint};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Files(files::Error),
    #[error(
        "the system offers no trusted certificates, and neither `ca_cert` nor `ca_path` names any"
    )]
    NoRoots,
    #[error("`tls_server_name` is {name:?}, which is neither a DNS name nor an address")]
    ServerName {
        name: String,
        #[source]
        source: rustls_pki_types::InvalidDnsNameError,
    },
    #[error("no common TLS version")]
    Versions(#[source] rustls::Error),
}

/// For a connector that is never asked for TLS, so that nothing need be trusted.
pub(super) fn plain() -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Versions)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

pub(super) fn config(vault: &Vault) -> Result<ClientConfig, Error> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::Versions)?;
    let builder = if vault.tls_skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots(vault)?)
    };
    let Some(identity) = &vault.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, key) =
        files::identity(&identity.certificate, &identity.key).map_err(Error::Files)?;
    builder.with_client_auth_cert(chain, key).map_err(|source| {
        Error::Files(files::Error::Identity {
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
            source,
        })
    })
}

/// Of the files that [`config`] reads.
pub(crate) fn fingerprint(vault: &Vault) -> Fingerprint {
    let Address::Tcp { tls: true, .. } = vault.address else {
        return Fingerprint::new();
    };
    let pair = vault.client_certificate.iter();
    let pair = pair.flat_map(|pair| [&pair.certificate, &pair.key]);
    let mut paths: Vec<_> = vault.ca_cert.iter().chain(pair).cloned().collect();
    if let Some(folder) = &vault.ca_path {
        paths.extend(files_of(folder).unwrap_or_default());
    }
    files::fingerprint(paths)
}

fn roots(vault: &Vault) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(text) = &vault.ca_pem {
        files::trust(&mut roots, "ca_pem", text.as_bytes()).map_err(Error::Files)?;
    }
    if let Some(path) = &vault.ca_cert {
        files::trust_file(&mut roots, path).map_err(Error::Files)?;
    }
    if let Some(folder) = &vault.ca_path {
        for path in files_of(folder)? {
            files::trust_file(&mut roots, &path).map_err(Error::Files)?;
        }
    }
    if vault.ca_pem.is_none() && vault.ca_cert.is_none() && vault.ca_path.is_none() {
        // What cannot be read among hundreds of system certificates is skipped, as every TLS library does.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(Error::NoRoots);
    }
    Ok(roots)
}

/// The files of a folder, by name. A mounted `ConfigMap` holds links and a hidden folder: both are handled by asking
/// what the name leads to.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| {
        Error::Files(files::Error::Read {
            path: folder.to_owned(),
            source,
        })
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// `tls_skip_verify`: any certificate will do, though the handshake must still be signed by its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
