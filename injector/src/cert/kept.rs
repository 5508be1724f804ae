//! What the Secret keeps, and the same as rustls and the rotation want it.
//!
//! Invariant: what could be read is consistent: each key fits its certificate, and one of the authorities signed the
//! leaf. Whoever edits the Secret by hand gets an error here, not a broken handshake later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::bundle::Authority;
use super::issue::{self, Issued};
use super::rotation::{Facts, Policy, Step, Validity};

pub(crate) const AUTHORITIES: &str = "ca.crt";
pub(crate) const AUTHORITY_KEY: &str = "ca.key";
pub(crate) const LEAF: &str = "tls.crt";
pub(crate) const LEAF_KEY: &str = "tls.key";

/// The data of the Secret, read and found consistent.
#[derive(Clone)]
pub(crate) struct Kept {
    data: BTreeMap<String, Vec<u8>>,
    facts: Facts,
    leaf: Arc<CertifiedKey>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{key} is missing")]
    Missing { key: &'static str },
    #[error("{key} is not the PEM that belongs there")]
    Pem {
        key: &'static str,
        source: rustls_pki_types::pem::Error,
    },
    #[error("{key} is not text")]
    Text { key: &'static str },
    #[error("{key} holds no certificate")]
    Empty { key: &'static str },
    #[error("{key} holds a certificate that cannot be read")]
    Certificate {
        key: &'static str,
        source: x509_parser::nom::Err<x509_parser::error::X509Error>,
    },
    #[error("ca.key cannot be read")]
    AuthorityKey { source: rcgen::Error },
    #[error("ca.key does not belong to the first certificate of ca.crt")]
    WrongAuthorityKey,
    #[error("tls.key does not belong to tls.crt")]
    LeafKey { source: rustls::Error },
    #[error("tls.crt was signed by none of ca.crt")]
    Foreign,
    #[error("issuing a certificate")]
    Issue { source: issue::Error },
}

impl Kept {
    /// Reads the data of a Secret; `names` are those by which the API server calls.
    pub(crate) fn read(data: BTreeMap<String, Vec<u8>>, names: &[String]) -> Result<Self, Error> {
        let authorities = certificates(AUTHORITIES, &data)?;
        let chain = certificates(LEAF, &data)?;
        let newest = parse(
            AUTHORITIES,
            authorities
                .first()
                .ok_or(Error::Empty { key: AUTHORITIES })?,
        )?;
        let first = parse(LEAF, chain.first().ok_or(Error::Empty { key: LEAF })?)?;

        let key = rcgen::KeyPair::from_pem(text(AUTHORITY_KEY, &data)?)
            .map_err(|source| Error::AuthorityKey { source })?;
        if rcgen::PublicKeyData::subject_public_key_info(&key) != newest.public_key().raw {
            return Err(Error::WrongAuthorityKey);
        }

        let mut facts = Facts {
            authorities: Vec::new(),
            leaf: validity(&first),
            signed_by_newest: first.issuer().as_raw() == newest.subject().as_raw(),
            names_fit: covers(&first, names),
        };
        let mut is_known = false;
        for der in &authorities {
            let authority = parse(AUTHORITIES, der)?;
            is_known |= authority.subject().as_raw() == first.issuer().as_raw();
            facts.authorities.push(validity(&authority));
        }
        if !is_known {
            return Err(Error::Foreign);
        }
        let leaf = certified(&data)?;
        Ok(Self {
            facts,
            leaf: Arc::new(leaf),
            data,
        })
    }

    /// What the Secret shall hold after `step`; `None` where it shall stay as it is.
    pub(crate) fn after(
        step: Step,
        current: Option<&Self>,
        names: &[String],
        now: SystemTime,
        policy: &Policy,
    ) -> Result<Option<Self>, Error> {
        let new_authority = || issue::authority(now, policy.authority_lifetime());
        let new_leaf =
            |authority: &Issued| issue::leaf(authority, names, now, policy.leaf_lifetime);
        let issue = |source| Error::Issue { source };
        let (authorities, authority, leaf) = match (step, current) {
            (Step::Rest, _) => return Ok(None),
            (Step::Make, _) | (_, None) => {
                let authority = new_authority().map_err(issue)?;
                let leaf = new_leaf(&authority).map_err(issue)?;
                (authority.cert.clone(), authority, leaf)
            }
            (Step::AddAuthority, Some(kept)) => {
                let (old, new) = (kept.authority()?, new_authority().map_err(issue)?);
                let leaf = new_leaf(&old).map_err(issue)?;
                (format!("{}{}", new.cert, old.cert), new, leaf)
            }
            (Step::RenewLeaf, Some(kept)) => {
                let authority = kept.authority()?;
                let leaf = new_leaf(&authority).map_err(issue)?;
                (text(AUTHORITIES, &kept.data)?.to_owned(), authority, leaf)
            }
            (Step::DropOldAuthorities, Some(kept)) => {
                let authority = kept.authority()?;
                let leaf = Issued {
                    cert: text(LEAF, &kept.data)?.to_owned(),
                    key: text(LEAF_KEY, &kept.data)?.to_owned(),
                };
                (authority.cert.clone(), authority, leaf)
            }
        };
        let data = [
            (AUTHORITIES, authorities),
            (AUTHORITY_KEY, authority.key),
            (LEAF, leaf.cert),
            (LEAF_KEY, leaf.key),
        ];
        let data = data.map(|(key, value)| (key.to_owned(), value.into_bytes()));
        Self::read(BTreeMap::from(data), names).map(Some)
    }

    /// The same with further authorities, which signed what some replica may serve.
    pub(crate) fn beside(self, others: &[Authority], names: &[String]) -> Result<Self, Error> {
        if others.is_empty() {
            return Ok(self);
        }
        let mut data = self.data;
        let authorities = data.entry(AUTHORITIES.to_owned()).or_default();
        for other in others {
            authorities.extend_from_slice(other.pem().as_bytes());
        }
        Self::read(data, names)
    }

    pub(crate) fn data(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.data
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The authorities as PEM: what `caBundle` has to hold.
    pub(crate) fn bundle(&self) -> &[u8] {
        self.data.get(AUTHORITIES).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn leaf(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.leaf)
    }

    /// The newest authority and its key.
    fn authority(&self) -> Result<Issued, Error> {
        const END: &str = "-----END CERTIFICATE-----";
        let (first, _) = text(AUTHORITIES, &self.data)?
            .split_once(END)
            .ok_or(Error::Empty { key: AUTHORITIES })?;
        Ok(Issued {
            cert: format!("{first}{END}\n"),
            key: text(AUTHORITY_KEY, &self.data)?.to_owned(),
        })
    }
}

/// Whether a client that trusts `bundle` and nothing else would accept `leaf` for `name` now: what the API server does.
pub(crate) fn verify(
    bundle: &[u8],
    leaf: &CertifiedKey,
    name: &str,
    now: SystemTime,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    let authorities = CertificateDer::pem_slice_iter(bundle).flatten();
    roots.add_parsable_certificates(authorities);
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
    let name =
        ServerName::try_from(name).map_err(|error| rustls::Error::General(error.to_string()))?;
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let (end, intermediates) = leaf
        .cert
        .split_first()
        .ok_or(rustls::Error::NoCertificatesPresented)?;
    verifier
        .verify_server_cert(end, intermediates, &name, &[], now)
        .map(|_verified| ())
}

/// The one cryptography provider of the process.
pub(crate) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// A chain and its key from elsewhere, and when the first certificate ends.
pub(crate) fn given(chain: &[u8], key: &[u8]) -> Result<(CertifiedKey, SystemTime), Error> {
    let data = [(LEAF, chain), (LEAF_KEY, key)].map(|(name, pem)| (name.to_owned(), pem.to_vec()));
    let certified = certified(&BTreeMap::from(data))?;
    let first = certified.cert.first().ok_or(Error::Empty { key: LEAF })?;
    let until = validity(&parse(LEAF, first)?).until;
    Ok((certified, until))
}

fn certified(data: &BTreeMap<String, Vec<u8>>) -> Result<CertifiedKey, Error> {
    let pem = |source| Error::Pem {
        key: LEAF_KEY,
        source,
    };
    let key = PrivateKeyDer::from_pem_slice(bytes(LEAF_KEY, data)?).map_err(pem)?;
    CertifiedKey::from_der(certificates(LEAF, data)?, key, &provider())
        .map_err(|source| Error::LeafKey { source })
}

fn bytes<'a>(key: &'static str, data: &'a BTreeMap<String, Vec<u8>>) -> Result<&'a [u8], Error> {
    let value = data.get(key).ok_or(Error::Missing { key })?;
    Ok(value.as_slice())
}

fn text<'a>(key: &'static str, data: &'a BTreeMap<String, Vec<u8>>) -> Result<&'a str, Error> {
    std::str::from_utf8(bytes(key, data)?).map_err(|_ignored| Error::Text { key })
}

fn certificates(
    key: &'static str,
    data: &BTreeMap<String, Vec<u8>>,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(bytes(key, data)?)
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Pem { key, source })
}

fn parse<'a>(key: &'static str, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    let (_rest, certificate) =
        X509Certificate::from_der(der).map_err(|source| Error::Certificate { key, source })?;
    Ok(certificate)
}

fn covers(leaf: &X509Certificate<'_>, names: &[String]) -> bool {
    let alternatives = leaf.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map_or(&[][..], |extension| &extension.value.general_names);
    names
        .iter()
        .all(|name| alternatives.contains(&GeneralName::DNSName(name)))
}

pub(crate) fn validity(certificate: &X509Certificate<'_>) -> Validity {
    let at = |time: x509_parser::time::ASN1Time| {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default())
    };
    let validity = certificate.validity();
    Validity {
        from: at(validity.not_before),
        until: at(validity.not_after),
    }
}

#[cfg(test)]
mod tests;
