//! Whom to trust: the `vault` block's certificates as a rustls configuration.
//!
//! Invariant: the system's roots are loaded only where the configuration names no CA, for they cost memory and
//! would widen trust beyond what was asked for.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyside_config::model::vault::{Address, Vault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use provider::provider;

mod provider;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{place} is no PEM text that can be used here")]
    Pem {
        place: String,
        #[source]
        source: pem::Error,
    },
    #[error("{place} holds no certificate")]
    NoCertificate { place: String },
    #[error("a certificate of {place} cannot be trusted")]
    Certificate {
        place: String,
        #[source]
        source: rustls::Error,
    },
    #[error("certificate {certificate} and key {key} do not go together")]
    Identity {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
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
    let chain = certificates(
        &identity.certificate.display().to_string(),
        &read(&identity.certificate)?,
    )?;
    let key =
        PrivateKeyDer::from_pem_slice(&read(&identity.key)?).map_err(|source| Error::Pem {
            place: identity.key.display().to_string(),
            source,
        })?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|source| Error::Identity {
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
            source,
        })
}

/// What the file system says of the files that [`config`] reads: when one of them changes, so does this.
pub(crate) fn fingerprint(vault: &Vault) -> Vec<(PathBuf, Option<[i64; 3]>)> {
    let Address::Tcp { tls: true, .. } = vault.address else {
        return Vec::new();
    };
    let pair = vault.client_certificate.iter();
    let pair = pair.flat_map(|pair| [&pair.certificate, &pair.key]);
    let mut paths: Vec<_> = vault.ca_cert.iter().chain(pair).cloned().collect();
    if let Some(folder) = &vault.ca_path {
        paths.extend(files(folder).unwrap_or_default());
    }
    let told = |path: &PathBuf| {
        let of = fs::metadata(path).ok()?;
        Some([of.mtime(), of.mtime_nsec(), of.ino().cast_signed()])
    };
    let told = paths.into_iter().map(|path| {
        let told = told(&path);
        (path, told)
    });
    told.collect()
}

fn roots(vault: &Vault) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(text) = &vault.ca_pem {
        trust(&mut roots, "ca_pem", text.as_bytes())?;
    }
    if let Some(path) = &vault.ca_cert {
        trust(&mut roots, &path.display().to_string(), &read(path)?)?;
    }
    if let Some(folder) = &vault.ca_path {
        for path in files(folder)? {
            trust(&mut roots, &path.display().to_string(), &read(&path)?)?;
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

fn trust(roots: &mut RootCertStore, place: &str, text: &[u8]) -> Result<(), Error> {
    for certificate in certificates(place, text)? {
        roots
            .add(certificate)
            .map_err(|source| Error::Certificate {
                place: place.to_owned(),
                source,
            })?;
    }
    Ok(())
}

fn certificates(place: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::Pem {
            place: place.to_owned(),
            source,
        })?;
    if found.is_empty() {
        return Err(Error::NoCertificate {
            place: place.to_owned(),
        });
    }
    Ok(found)
}

/// The files of a folder, by name. A mounted `ConfigMap` holds links and a hidden folder: both are handled by asking
/// what the name leads to.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Read {
        path: folder.to_owned(),
        source,
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

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
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
