//! A certificate authority of a test's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A CA and the folder that its files are written to.
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A leaf certificate with its key, in PEM and as files.
pub struct Leaf {
    pub certificate: String,
    pub key: String,
    pub certificate_path: PathBuf,
    pub key_path: PathBuf,
}

impl Pki {
    /// Makes a CA and writes its certificate to [`Pki::ca_path`].
    ///
    /// # Errors
    /// When no key can be made or no file be written.
    pub fn new() -> anyhow::Result<Self> {
        Self::of_year(1975)
    }

    /// The same, with a CA that is valid from the beginning of this year.
    ///
    /// # Errors
    /// When no key can be made or no file be written.
    pub fn of_year(year: i32) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.not_before = rcgen::date_time_ymd(year, 1, 1);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "test CA");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ca.crt"), issuer.pem())?;
        Ok(Self { issuer, folder })
    }

    #[must_use]
    pub fn ca(&self) -> String {
        self.issuer.pem()
    }

    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A server certificate for loopback (`localhost`, `127.0.0.1`, `::1`) and the further DNS names.
    ///
    /// # Errors
    /// When a name is not a DNS name or a file cannot be written.
    pub fn server(&self, file: &str, names: &[&str]) -> anyhow::Result<Leaf> {
        let mut params = leaf(file, rcgen::ExtendedKeyUsagePurpose::ServerAuth)?;
        for name in ["localhost"].iter().chain(names) {
            params
                .subject_alt_names
                .push(SanType::DnsName((*name).try_into()?));
        }
        for address in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        self.sign(file, &params)
    }

    /// A client certificate with this common name.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn client(&self, name: &str) -> anyhow::Result<Leaf> {
        self.sign(
            name,
            &leaf(name, rcgen::ExtendedKeyUsagePurpose::ClientAuth)?,
        )
    }

    fn sign(&self, file: &str, params: &CertificateParams) -> anyhow::Result<Leaf> {
        let key = KeyPair::generate()?;
        let leaf = Leaf {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
            certificate_path: self.folder.path().join(format!("{file}.crt")),
            key_path: self.folder.path().join(format!("{file}.key")),
        };
        std::fs::write(&leaf.certificate_path, &leaf.certificate)?;
        std::fs::write(&leaf.key_path, &leaf.key)?;
        Ok(leaf)
    }
}

impl Leaf {
    pub(crate) fn server_config(&self) -> anyhow::Result<Arc<rustls::ServerConfig>> {
        let (chain, key) = self.identity()?;
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Arc::new(config))
    }

    pub(crate) fn client_config(&self, ca: &str) -> anyhow::Result<Arc<rustls::ClientConfig>> {
        let (chain, key) = self.identity()?;
        Ok(Arc::new(trusting(ca)?.with_client_auth_cert(chain, key)?))
    }

    fn identity(&self) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>()?;
        Ok((chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes())?))
    }
}

fn leaf(name: &str, usage: rcgen::ExtendedKeyUsagePurpose) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A client that trusts this CA and has no certificate.
///
/// # Errors
/// When the CA cannot be read.
pub fn client_config(ca: &str) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    Ok(Arc::new(trusting(ca)?.with_no_client_auth()))
}

fn trusting(
    ca: &str,
) -> anyhow::Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.context("read the CA")?)?;
    }
    anyhow::ensure!(!roots.is_empty(), "no certificate in the CA");
    Ok(rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
