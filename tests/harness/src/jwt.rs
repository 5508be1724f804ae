//! An issuer of tokens in the shape of Kubernetes' projected service-account tokens, which OpenBao's `jwt` method
//! verifies by the issuer's public key.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

/// What a token says about where it comes from.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// An ES256 key pair.
pub struct Issuer {
    pair: rcgen::KeyPair,
    random: SystemRandom,
}

/// Which token to make.
pub struct Claims<'a> {
    pub namespace: &'a str,
    pub service_account: &'a str,
    pub audience: &'a str,
    pub lifetime: Duration,
}

impl Default for Claims<'_> {
    fn default() -> Self {
        Self {
            namespace: "shop",
            service_account: "cart",
            audience: "vault",
            lifetime: Duration::from_hours(1),
        }
    }
}

impl Issuer {
    /// # Errors
    /// When no key can be made.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            pair: rcgen::KeyPair::generate()?,
            random: SystemRandom::new(),
        })
    }

    /// What `jwt_validation_pubkeys` takes.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.pair.public_key_pem()
    }

    /// A signed token as the kubelet projects it into a pod.
    ///
    /// # Errors
    /// When the key refuses to sign.
    pub fn token(&self, claims: &Claims) -> anyhow::Result<String> {
        let now = now()?;
        self.sign(&json!({
            "iss": ISSUER,
            "sub": subject(claims.namespace, claims.service_account),
            "aud": [claims.audience],
            "iat": now,
            "nbf": now,
            "exp": now + claims.lifetime.as_secs(),
            "kubernetes.io": {
                "namespace": claims.namespace,
                "serviceaccount": {
                    "name": claims.service_account,
                    "uid": "6e3ea7b8-7a3f-4a51-9d0b-0a6f0c1e5d11",
                },
            },
        }))
    }

    /// Any claims, signed: for tokens that no API server would make.
    ///
    /// # Errors
    /// When the key refuses to sign.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let header = json!({ "alg": "ES256", "typ": "JWT" });
        let text = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let key = self.pair.serialize_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &self.random)
            .ok()
            .context("read the key")?;
        let signature = pair
            .sign(&self.random, text.as_bytes())
            .ok()
            .context("sign a token")?;
        Ok(format!("{text}.{}", encode(signature)))
    }
}

/// The name by which Kubernetes knows a service account.
#[must_use]
pub fn subject(namespace: &str, service_account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{service_account}")
}

fn encode(part: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part)
}

#[expect(
    clippy::disallowed_methods,
    reason = "claims are in wall-clock time, and OpenBao checks them against its own"
)]
fn now() -> anyhow::Result<u64> {
    Ok(SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs())
}
