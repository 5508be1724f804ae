//! What only one recipient can read: X25519 with the public key in a file, then AES-256-GCM.
//!
//! The shared secret is the key; or HKDF-SHA256 makes it, salted with the smaller of the two public keys and bound to
//! the larger one. Vault Agent does the same, and so must whoever reads the envelope.
//!
//! Invariant: every envelope has a key pair of its own, so no key ever meets a second nonce.
//! Invariant: the recipient's key is read each time; once read, the last one serves while the file is gone.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyside_config::model::auto_auth;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Deserialize;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("aad_env_var: the environment has no {name}")]
    NoVariable { name: String },
    #[error("read the recipient's key {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} holds no `curve25519_public_key` in base64")]
    NoKey { path: PathBuf },
    #[error("encrypt to the key in {path}, which must be 32 bytes and not a weak point")]
    Encrypt { path: PathBuf },
}

/// Whom the token is for.
pub(crate) struct Recipient {
    path: PathBuf,
    derive_key: bool,
    aad: Vec<u8>,
    known: Mutex<Option<Vec<u8>>>,
}

/// The file of the recipient.
#[derive(Deserialize)]
struct Theirs {
    curve25519_public_key: String,
}

impl Recipient {
    pub(crate) fn new(
        config: &auto_auth::Encryption,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let aad = match &config.aad {
            None => String::new(),
            Some(auto_auth::Aad::Text(text)) => text.clone(),
            Some(auto_auth::Aad::Variable(name)) => {
                environment(name).ok_or_else(|| Error::NoVariable { name: name.clone() })?
            }
        };
        Ok(Self {
            path: config.dh_path.clone(),
            derive_key: config.derive_key,
            aad: aad.into_bytes(),
            known: Mutex::new(None),
        })
    }

    /// The envelope, as a line of JSON. Blocks.
    pub(crate) fn encrypt(&self, text: &[u8]) -> Result<Vec<u8>, Error> {
        let theirs = self.public_key()?;
        self.envelope(&theirs, text)
            .map_err(|Unspecified| Error::Encrypt {
                path: self.path.clone(),
            })
    }

    fn public_key(&self) -> Result<Vec<u8>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let path = || self.path.clone();
        let text = match (fs::read(&self.path), &*known) {
            (Ok(text), _) => text,
            (Err(error), Some(known)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(known.clone());
            }
            (Err(source), _) => {
                let path = path();
                return Err(Error::Read { path, source });
            }
        };
        let found = serde_json::from_slice(&text).ok();
        let key =
            found.and_then(|theirs: Theirs| STANDARD.decode(theirs.curve25519_public_key).ok());
        let key = key.ok_or_else(|| Error::NoKey { path: path() })?;
        *known = Some(key.clone());
        Ok(key)
    }

    fn envelope(&self, theirs: &[u8], text: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        let private = EphemeralPrivateKey::generate(&X25519, &random)?;
        let ours = private.compute_public_key()?;
        let ours = ours.as_ref();
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce)?;
        let peer = UnparsedPublicKey::new(&X25519, theirs);
        let key = agree_ephemeral(private, &peer, |secret| {
            if self.derive_key {
                derived(secret, ours, theirs)
            } else {
                UnboundKey::new(&AES_256_GCM, secret)
            }
        })??;
        let mut payload = text.to_vec();
        let (at, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(&self.aad));
        LessSafeKey::new(key).seal_in_place_append_tag(at, aad, &mut payload)?;
        // Base64 needs no escapes.
        let [ours, nonce, payload] = [ours, &nonce, &payload].map(|bytes| STANDARD.encode(bytes));
        let line = format!(
            "{{\"curve25519_public_key\":\"{ours}\",\"nonce\":\"{nonce}\",\"encrypted_payload\":\"{payload}\"}}\n"
        );
        Ok(line.into_bytes())
    }
}

fn derived(secret: &[u8], ours: &[u8], theirs: &[u8]) -> Result<UnboundKey, Unspecified> {
    let (salt, info) = (ours.min(theirs), [ours.max(theirs)]);
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    Ok(key.expand(&info, &AES_256_GCM)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(
        folder: &tempfile::TempDir,
        aad: Option<auto_auth::Aad>,
    ) -> Result<Recipient, Error> {
        let config = auto_auth::Encryption {
            dh_path: folder.path().join("dh"),
            derive_key: true,
            aad,
        };
        Recipient::new(&config, |name| (name == "SET").then(|| "a".to_owned()))
    }

    #[test]
    fn a_key_once_read_serves_while_its_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let recipient = recipient(&folder, None).unwrap();
        let error = recipient.encrypt(b"t").unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
        for (text, expected) in [
            ("", "holds no"),
            ("{}", "holds no"),
            (r#"{"curve25519_public_key":"?"}"#, "holds no"),
            (r#"{"curve25519_public_key":"AAAA"}"#, "must be 32 bytes"),
            // The shared secret with this one is zero, whatever ours.
            (
                r#"{"curve25519_public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
                "weak",
            ),
        ] {
            fs::write(&recipient.path, text).unwrap();
            let error = recipient.encrypt(b"t").unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let key = format!(
            r#"{{"curve25519_public_key":"{}"}}"#,
            STANDARD.encode([9; 32])
        );
        fs::write(&recipient.path, key).unwrap();
        let first = recipient.encrypt(b"t").unwrap();
        fs::remove_file(&recipient.path).unwrap();
        assert_ne!(recipient.encrypt(b"t").unwrap(), first, "a key pair each");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let variable = |name: &str| Some(auto_auth::Aad::Variable(name.to_owned()));
        assert_eq!(recipient(&folder, variable("SET")).unwrap().aad, b"a");
        let error = recipient(&folder, variable("UNSET")).err().unwrap();
        assert_eq!(
            error.to_string(),
            "aad_env_var: the environment has no UNSET"
        );
    }
}
