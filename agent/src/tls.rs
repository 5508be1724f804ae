//! Files of certificates and keys, for both ends of TLS.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) mod provider;

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
}

/// What the file system says of files: when one of them changes, so does this.
pub(crate) type Fingerprint = Vec<(PathBuf, Option<[i64; 3]>)>;

/// Of these files as they are now.
pub(crate) fn fingerprint(paths: impl IntoIterator<Item = PathBuf>) -> Fingerprint {
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

/// The chain and the key in two files. Whether they go together, TLS says.
pub(crate) fn identity(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let chain = certificates(&certificate.display().to_string(), &read(certificate)?)?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|source| Error::Pem {
        place: key.display().to_string(),
        source,
    })?;
    Ok((chain, key))
}

/// Adds all certificates of a text.
pub(crate) fn trust(roots: &mut RootCertStore, place: &str, text: &[u8]) -> Result<(), Error> {
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

/// Adds all certificates of a file.
pub(crate) fn trust_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    trust(roots, &path.display().to_string(), &read(path)?)
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

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
