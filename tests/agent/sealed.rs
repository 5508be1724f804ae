//! Sinks that hold no bare token: wrapped, encrypted, or both, as `bao agent` writes them.

#![expect(clippy::indexing_slicing, reason = "what is missing fails the test")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyside_harness::{poll, process, tools};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use crate::world::{Agent, World, keyside_agent};

const AAD: &str = "the pod";

/// The usual login with this sink alone, which ends when it is filled; for both agents.
fn config(world: &World, sink: &Value) -> Value {
    let mut config = json!({ "exit_after_auth": true });
    for key in ["vault", "auto_auth"] {
        config[key] = world.config()[key].clone();
    }
    config["auto_auth"]["method"]["min_backoff"] = json!("1s");
    config["auto_auth"]["sink"] = json!([sink]);
    config
}

/// What the agents write into a sink with these keys: Keyside's, and `bao agent`'s.
fn written(
    world: &World,
    keys: impl Fn(&str) -> anyhow::Result<Value>,
) -> anyhow::Result<[String; 2]> {
    let mut bao = Command::new(tools::bao()?);
    bao.env_clear().env("HOME", world.path("")).arg("agent");
    let mut keyside = keyside_agent();
    keyside.arg("run");
    let mut texts = [String::new(), String::new()];
    for ((name, mut command), text) in [("keyside", keyside), ("bao", bao)]
        .into_iter()
        .zip(&mut texts)
    {
        let mut sink = keys(name)?;
        sink["type"] = json!("file");
        sink["config"] = json!({ "path": world.path(name) });
        let file = world.path(name).with_extension("json");
        std::fs::write(&file, config(world, &sink).to_string())?;
        command.env("SEALED_AAD", AAD);
        command.arg(format!("-config={}", file.display()));
        let mut child = process::Child::spawn(name, command)?;
        let status = child.wait(poll::LIMIT)?;
        assert!(status.success(), "{name}: {}", child.lines().join("\n"));
        *text = std::fs::read_to_string(world.path(name))?;
    }
    Ok(texts)
}

/// The keys of an object in their order, and whatever stands after it.
fn shape(text: &str) -> (Vec<&str>, &str) {
    let keys = text.split("\":").filter_map(|part| part.rsplit('"').next());
    let keys: Vec<&str> = keys.collect();
    let tail = text.rsplit('}').next().unwrap_or_default();
    (
        keys.split_last()
            .map_or(Vec::new(), |(_, keys)| keys.to_vec()),
        tail,
    )
}

/// Unwraps, and finds a live token inside.
fn check_wrapped(world: &World, text: &str) -> anyhow::Result<()> {
    let info: Value = serde_json::from_str(text)?;
    assert_eq!(info["ttl"], 90, "{info}");
    assert_eq!(info["creation_path"], "sys/wrapping/wrap");
    let wrapping = info["token"].as_str().context("no token")?;
    let client = world.server.client(wrapping)?;
    let inside = client.write("sys/wrapping/unwrap", &json!({}))?;
    let token = inside.pointer("/data/token").and_then(Value::as_str);
    let token = token.with_context(|| inside.to_string())?;
    let found = world.server.client(token)?.look_up_self()?;
    assert!(found.is_some(), "Vault does not know the token");
    Ok(())
}

#[test]
fn a_wrapped_sink_is_unwrapped_once_and_looks_like_the_peers() -> anyhow::Result<()> {
    let world = World::new()?;
    let texts = written(&world, |_| Ok(json!({ "wrap_ttl": "90s" })))?;
    for text in &texts {
        check_wrapped(&world, text)?;
    }
    let [keyside, bao] = &texts;
    assert_eq!(shape(keyside), shape(bao), "{keyside}{bao}");
    Ok(())
}

/// A recipient, whose public key is in a file.
struct Recipient {
    key: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl Recipient {
    fn new(world: &World, name: &str) -> anyhow::Result<(Self, Value)> {
        let key = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new());
        let key = key.ok().context("make a key")?;
        let public = key.compute_public_key().ok().context("its public half")?;
        let public = public.as_ref().to_vec();
        let path = world.path(&format!("{name}.dh"));
        let text = json!({ "curve25519_public_key": STANDARD.encode(&public) });
        std::fs::write(&path, text.to_string())?;
        Ok((Self { key, public }, json!(path)))
    }

    fn decrypt(self, text: &str, derive_key: bool, aad: &str) -> anyhow::Result<String> {
        let envelope: Value = serde_json::from_str(text)?;
        let field = |name: &str| {
            let text = envelope[name].as_str().context("no text")?;
            STANDARD.decode(text).context("no base64")
        };
        let sender = field("curve25519_public_key")?;
        let mut payload = field("encrypted_payload")?;
        let nonce = Nonce::try_assume_unique_for_key(&field("nonce")?)
            .ok()
            .context("nonce")?;
        let peer = UnparsedPublicKey::new(&X25519, &sender);
        let mut keys = [sender.as_slice(), &self.public];
        keys.sort_unstable();
        let key = agree_ephemeral(self.key, &peer, |secret| {
            if !derive_key {
                return UnboundKey::new(&AES_256_GCM, secret);
            }
            let derived = Salt::new(HKDF_SHA256, keys[0]).extract(secret);
            Ok(derived.expand(&keys[1..], &AES_256_GCM)?.into())
        });
        let key = key.and_then(|key| key).ok().context("agree on a key")?;
        let aad = Aad::from(aad.as_bytes());
        let plain = LessSafeKey::new(key).open_in_place(nonce, aad, &mut payload);
        let plain = plain.ok().context("the envelope does not open")?;
        Ok(String::from_utf8(plain.to_vec())?)
    }
}

/// Both agents encrypt to recipients of this test, and what these decrypt passes `check`.
fn check_encrypted(
    keys: &Value,
    derive_key: bool,
    aad: &str,
    check: impl Fn(&World, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let world = World::new()?;
    let mut files = Vec::new();
    let mut recipients = Vec::new();
    for name in ["keyside", "bao"] {
        let (recipient, path) = Recipient::new(&world, name)?;
        recipients.push(recipient);
        files.push((name, path));
    }
    let texts = written(&world, |agent| {
        let mut keys = keys.clone();
        let file = files.iter().find(|(name, _)| *name == agent);
        keys["dh_type"] = json!("curve25519");
        keys["dh_path"] = file.context("no file")?.1.clone();
        Ok(keys)
    })?;
    let [keyside, bao] = &texts;
    assert_eq!(shape(keyside), shape(bao), "{keyside}{bao}");
    for (recipient, text) in recipients.into_iter().zip(&texts) {
        check(&world, &recipient.decrypt(text, derive_key, aad)?)?;
    }
    Ok(())
}

#[test]
fn an_encrypted_sink_is_for_its_recipient() -> anyhow::Result<()> {
    check_encrypted(&json!({}), false, "", |world, token| {
        let found = world.server.client(token)?.look_up_self()?;
        assert!(found.is_some(), "Vault does not know the token");
        Ok(())
    })
}

#[test]
fn a_derived_key_and_what_is_authenticated_are_the_peers_and_the_wrapping_is_inside()
-> anyhow::Result<()> {
    let keys = json!({ "wrap_ttl": 90, "derive_key": true, "aad_env_var": "SEALED_AAD" });
    check_encrypted(&keys, true, AAD, |world, text| {
        assert!(text.ends_with("}\n"), "{text:?}");
        check_wrapped(world, text)
    })
}

/// Whoever has the key, with the program that we publish: another language, another library, and the format alone.
pub(crate) struct Reader {
    key: PathBuf,
    public: PathBuf,
}

impl Reader {
    pub(crate) fn new(world: &World, name: &str) -> anyhow::Result<Self> {
        let key = world.path(&format!("{name}.key"));
        let public = world.path(&format!("{name}.public"));
        example(&["key".as_ref(), key.as_ref(), public.as_ref()])?;
        Ok(Self { key, public })
    }

    /// What a sink's `dh_path` names.
    pub(crate) fn public(&self) -> &Path {
        &self.public
    }

    /// What is inside of a sink.
    pub(crate) fn open(&self, sink: &Path, options: &[&str]) -> anyhow::Result<String> {
        let mut arguments: Vec<&OsStr> = vec!["open".as_ref(), self.key.as_ref(), sink.as_ref()];
        arguments.extend(options.iter().map(OsStr::new));
        example(&arguments)
    }
}

/// Standard output; where the program fails, the error is what it said.
fn example(arguments: &[&OsStr]) -> anyhow::Result<String> {
    let mut command = Command::new(tools::python()?);
    command.arg(tools::root()?.join("examples/open-sealed-token.py"));
    let output = command
        .args(arguments)
        .output()
        .context("run the example")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn the_published_example_opens_each_form_with_the_right_key_and_nothing_else_does()
-> anyhow::Result<()> {
    let world = World::new()?;
    let reader = Reader::new(&world, "reader")?;
    let stranger = Reader::new(&world, "stranger")?;
    let forms: [(&str, Value, &[&str]); 6] = [
        ("bare", json!({}), &[]),
        ("derived", json!({ "derive_key": true }), &["--derive-key"]),
        ("bound", json!({ "aad": AAD }), &["--aad", AAD]),
        (
            "both",
            json!({ "derive_key": true, "aad_env_var": "SEALED_AAD" }),
            &["--aad", AAD, "--derive-key"],
        ),
        ("wrapped", json!({ "wrap_ttl": "90s" }), &[]),
        (
            "all",
            json!({ "wrap_ttl": "90s", "derive_key": true, "aad_env_var": "SEALED_AAD" }),
            &["--aad", AAD, "--derive-key"],
        ),
    ];
    let sinks = forms.iter().map(|(name, keys, _)| {
        let mut sink = keys.clone();
        sink["type"] = json!("file");
        sink["dh_type"] = json!("curve25519");
        sink["dh_path"] = json!(reader.public());
        sink["config"] = json!({ "path": world.path(name) });
        sink
    });
    let mut config = world.config();
    config["auto_auth"]["sink"] = sinks.collect();
    let mut command = world.command(&config)?;
    command.env("SEALED_AAD", AAD);
    let mut agent = Agent::start(command, world.path("admin.sock"))?;
    agent.child.wait_for_event("started")?;

    for (name, keys, options) in forms {
        let sink = world.path(name);
        let inside = reader.open(&sink, options)?;
        if keys.get("wrap_ttl").is_some() {
            check_wrapped(&world, &inside)?;
        } else {
            let found = world.server.client(&inside)?.look_up_self()?;
            assert!(found.is_some(), "{name}: Vault does not know the token");
        }
        let other_key = match options.split_last() {
            Some((&"--derive-key", others)) => others.to_vec(),
            _ => [options, &["--derive-key"]].concat(),
        };
        let other_aad = [options, &["--aad", "another pod"]].concat();
        for (reader, options) in [
            (&stranger, options),
            (&reader, &other_key),
            (&reader, &other_aad),
        ] {
            let told = reader.open(&sink, options).map_err(|told| told.to_string());
            let refused = told
                .as_ref()
                .is_err_and(|told| told.contains("not for this key"));
            assert!(refused, "{name} with {options:?}: {told:?}");
        }
    }
    Ok(())
}
