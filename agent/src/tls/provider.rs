//! The cryptography that TLS to Vault and on listeners may use: TLS 1.2 and 1.3, AES-GCM, X25519, P-256 and P-384, and certificates with
//! any key and signature that public and private CAs issue.
//!
//! Naming the parts one by one keeps the others out of the binary. A server of TLS 1.3 must have AES-GCM, and one of
//! TLS 1.2 without it would be a strange one, so ChaCha20-Poly1305, a hundredth of the agent, is not among them.

use std::sync::Arc;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::SignatureScheme;
use rustls::crypto::ring::{cipher_suite, kx_group, sign};
use rustls::crypto::{
    CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms,
};
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;
use webpki::ring as by;
use zeroize::Zeroizing;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Ring,
        key_provider: &Ring,
    })
}

static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    // In certificates.
    all: &[
        by::ECDSA_P256_SHA256,
        by::ECDSA_P256_SHA384,
        by::ECDSA_P384_SHA256,
        by::ECDSA_P384_SHA384,
        by::ED25519,
        by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        by::RSA_PKCS1_2048_8192_SHA256,
        by::RSA_PKCS1_2048_8192_SHA384,
        by::RSA_PKCS1_2048_8192_SHA512,
        by::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        by::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        by::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    // Of a handshake. TLS 1.3 takes the first of a row; in TLS 1.2 the curve is another matter than the hash.
    mapping: &[
        (
            SignatureScheme::ECDSA_NISTP384_SHA384,
            &[by::ECDSA_P384_SHA384, by::ECDSA_P256_SHA384],
        ),
        (
            SignatureScheme::ECDSA_NISTP256_SHA256,
            &[by::ECDSA_P256_SHA256, by::ECDSA_P384_SHA256],
        ),
        (SignatureScheme::ED25519, &[by::ED25519]),
        (
            SignatureScheme::RSA_PSS_SHA512,
            &[by::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA384,
            &[by::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PSS_SHA256,
            &[by::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA512,
            &[by::RSA_PKCS1_2048_8192_SHA512],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA384,
            &[by::RSA_PKCS1_2048_8192_SHA384],
        ),
        (
            SignatureScheme::RSA_PKCS1_SHA256,
            &[by::RSA_PKCS1_2048_8192_SHA256],
        ),
    ],
};

/// The parts of rustls's own provider that it does not give out one by one.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        SystemRandom::new()
            .fill(bytes)
            .map_err(|_unspecified| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(
        &self,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        sign::any_supported_type(&Zeroizing::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_all_of_rustls_s_own_but_chacha20() {
        let (ours, theirs) = (provider(), rustls::crypto::ring::default_provider());
        let suites = |provider: &CryptoProvider| {
            let suites = provider.cipher_suites.iter();
            suites
                .map(|suite| format!("{:?}", suite.suite()))
                .filter(|name| !name.contains("CHACHA20"))
                .collect::<Vec<_>>()
        };
        assert_eq!(suites(&ours), suites(&theirs));
        assert_eq!(ours.cipher_suites.len(), 6);
        let groups = |provider: &CryptoProvider| {
            let groups = provider.kx_groups.iter();
            groups.map(|group| group.name()).collect::<Vec<_>>()
        };
        assert_eq!(groups(&ours), groups(&theirs));
        let (ours, theirs) = (
            ours.signature_verification_algorithms,
            theirs.signature_verification_algorithms,
        );
        assert_eq!(ours.supported_schemes(), theirs.supported_schemes());
        assert_eq!(format!("{:?}", ours.all), format!("{:?}", theirs.all));
        assert_eq!(
            format!("{:?}", ours.mapping),
            format!("{:?}", theirs.mapping)
        );
    }
}
