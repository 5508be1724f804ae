//! Makes certificate authorities and leaves. The only place that signs.
//!
//! Invariant: a leaf does not outlive its authority: [`super::rotation`] replaces the authority in time.
//! Invariant: an authority signs leaves only (path length 0), and a leaf serves only (no client authentication).

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate and its key, both PEM.
pub(crate) struct Issued {
    pub cert: String,
    pub key: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("making a key")]
    Key { source: rcgen::Error },
    #[error("signing a certificate for {name}")]
    Sign { name: String, source: rcgen::Error },
    #[error("reading the key of the certificate authority")]
    Authority { source: rcgen::Error },
}

/// How the names of our authorities begin.
pub(crate) const AUTHORITY: &str = "Keyside injector CA";

/// A self-signed authority with a name of its own, so that an issuer's name tells which authority signed.
pub(crate) fn authority(now: SystemTime, lifetime: Duration) -> Result<Issued, Error> {
    let key = KeyPair::generate().map_err(|source| Error::Key { source })?;
    let mut params = params(now, lifetime);
    let id = params.key_identifier(&key);
    let id = id
        .iter()
        .take(8)
        .fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
    let name = format!("{AUTHORITY} {id:016x}");
    params.distinguished_name.push(DnType::CommonName, &name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let cert = params
        .self_signed(&key)
        .map_err(|source| Error::Sign { name, source })?;
    Ok(Issued {
        cert: cert.pem(),
        key: key.serialize_pem(),
    })
}

/// A leaf for `names`, signed by `authority`. The API server looks at the subject alternative names only.
pub(crate) fn leaf(
    authority: &Issued,
    names: &[String],
    now: SystemTime,
    lifetime: Duration,
) -> Result<Issued, Error> {
    let signing_key =
        KeyPair::from_pem(&authority.key).map_err(|source| Error::Authority { source })?;
    let issuer = Issuer::from_ca_cert_pem(&authority.cert, signing_key)
        .map_err(|source| Error::Authority { source })?;
    let key = KeyPair::generate().map_err(|source| Error::Key { source })?;
    let sign = |source| Error::Sign {
        name: names.join(", "),
        source,
    };
    let mut params = params(now, lifetime);
    params.subject_alt_names = CertificateParams::new(names)
        .map_err(sign)?
        .subject_alt_names;
    params
        .distinguished_name
        .push(DnType::CommonName, "Keyside injector");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let cert = params.signed_by(&key, &issuer).map_err(sign)?;
    Ok(Issued {
        cert: cert.pem(),
        key: key.serialize_pem(),
    })
}

fn params(now: SystemTime, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (now - backdate(lifetime)).into();
    params.not_after = (now + lifetime).into();
    params
}

/// The clocks of control planes and nodes differ, so a certificate is valid from a little before it was made.
pub(crate) fn backdate(lifetime: Duration) -> Duration {
    Duration::from_mins(5).min(lifetime / 10)
}
