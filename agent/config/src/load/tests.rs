//! What a reader of the messages sees, in all three syntaxes.

use std::path::PathBuf;
use std::time::Duration;

use super::{Flags, load, load_with_notes};
use proptest::prelude::*;

use crate::mistake::Mistakes;
use crate::model::auto_auth::{FileSink, Login, Sink};
use crate::model::listener::{Bind, HostPort};
use crate::model::vault::Address;
use crate::model::{AttachToken, Config, LogLevel, Mode, Resume};
use crate::source::{Source, Syntax};

mod messages;
mod mistakes;
mod precedence;
mod sinks;

fn source(name: &str, text: &str) -> Source {
    Source {
        name: name.to_owned(),
        syntax: Syntax::of(name.as_ref()).expect("a known extension"),
        text: text.to_owned(),
    }
}

fn read(sources: &[Source]) -> Result<Config, Mistakes> {
    load(sources, &|_| None, &Flags::default())
}

fn config(name: &str, text: &str) -> Config {
    read(&[source(name, text)]).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The lines of the message must be exactly these.
fn check_mistakes(name: &str, text: &str, expected: &[&str]) {
    let mistakes = read(&[source(name, text)]).expect_err(text).to_string();
    let lines: Vec<_> = mistakes.lines().collect();
    assert_eq!(lines, expected, "in {text}");
}

const SIDECAR_HCL: &str = r#"
pid_file = "/run/agent.pid"
log_level = "DEBUG"
vault { address = "https://vault.vault.svc:8200", namespace = "/team/a/" tls_skip_verify = "false" }
auto_auth {
  method "kubernetes" {
    mount_path = "auth/cluster-1/"
    min_backoff = 2
    max_backoff = "1m30s"
    config = { role = "web" }
  }
  sink "file" { config = { path = "/a" mode = 0600 } }
  sinks { sink { type = "file" config { path = "/b" owner = 1000 } } }
}
cache {}
api_proxy { use_auto_auth_token = "force" }
listener "tcp" { address = "[::1]:8100" tls_disable = true }
listener unix { address = "/run/agent.sock" socket_mode = "0660" }
"#;

const SIDECAR_JSON: &str = r#"{
  "pid_file": "/run/agent.pid", "log_level": "debug",
  "vault": {"address": "https://vault.vault.svc:8200/", "namespace": "team/a"},
  "auto_auth": {
    "method": {"type": "kubernetes", "mount_path": "auth/cluster-1", "min_backoff": "2s",
               "max_backoff": 90, "config": {"role": "web"}},
    "sink": [{"type": "file", "config": {"path": "/a", "mode": 384}},
             {"file": {"config": {"path": "/b", "owner": "1000", "mode": "640"}}}]
  },
  "cache": {}, "api_proxy": {"use_auto_auth_token": "force"},
  "listener": [{"type": "tcp", "address": "[::1]:8100", "tls_disable": 1},
               {"unix": {"address": "/run/agent.sock", "socket_mode": "660"}}]
}"#;

const SIDECAR_YAML: &str = r#"
pid_file: /run/agent.pid
log_level: debug
vault:
  address: https://vault.vault.svc:8200
  namespace: team/a
auto_auth:
  method:
    type: kubernetes
    mount_path: auth/cluster-1
    min_backoff: 2s
    max_backoff: 90s
    config: { role: web }
  sink:
    - type: file
      config: { path: /a, mode: 0600 }
    - type: file
      config: { path: /b, owner: 1000 }
cache:
api_proxy: { use_auto_auth_token: force }
listener:
  - tcp: { address: "[::1]:8100", tls_disable: true }
  - unix: { address: /run/agent.sock, socket_mode: 0660 }
"#;

#[test]
fn three_syntaxes_say_the_same() {
    let hcl = config("a.hcl", SIDECAR_HCL);
    assert_eq!(config("a.json", SIDECAR_JSON), hcl);
    assert_eq!(config("a.yaml", SIDECAR_YAML), hcl);
    assert_eq!(config("json-in-disguise.hcl", SIDECAR_JSON), hcl);
}

#[test]
fn every_value_arrives() {
    let config = config("a.hcl", SIDECAR_HCL);
    let auto_auth = config.auto_auth.expect("auto_auth");
    let expected = Address::Tcp {
        tls: true,
        at: HostPort {
            host: "vault.vault.svc".to_owned(),
            port: 8200,
        },
        prefix: String::new(),
    };
    assert_eq!(config.vault.address, expected);
    assert_eq!(config.vault.namespace.as_deref(), Some("team/a"));
    assert_eq!(config.pid_file, Some(PathBuf::from("/run/agent.pid")));
    assert_eq!(config.log_level, LogLevel::Debug);
    assert_eq!(config.attach_token, AttachToken::Force);
    assert_eq!(auto_auth.method.mount_path, "auth/cluster-1");
    assert_eq!(auto_auth.method.min_backoff, Duration::from_secs(2));
    assert_eq!(auto_auth.method.max_backoff, Duration::from_secs(90));
    let role = match auto_auth.method.login {
        Login::Kubernetes { role, .. } => role,
        other => panic!("{other:?}"),
    };
    assert_eq!(role, "web");
    let sink = |path: &str, mode, owner: Option<&str>| {
        Sink::File(FileSink {
            path: path.into(),
            mode: Mode(mode),
            owner: owner.map(str::to_owned),
            group: None,
            wrap_ttl: None,
            encryption: None,
        })
    };
    let sinks = [sink("/a", 0o600, None), sink("/b", 0o640, Some("1000"))];
    assert_eq!(auto_auth.sinks, sinks);
    let unix = Bind::Unix {
        path: "/run/agent.sock".into(),
        mode: Some(Mode(0o660)),
        user: None,
        group: None,
    };
    assert_eq!(config.listeners[1].bind, unix);
    assert_eq!(config.cache, Some(crate::model::Cache::default()));
}

#[test]
fn what_vault_agent_persists_is_what_is_resumed() {
    let listener = "listener \"tcp\" { address = \"127.0.0.1:8100\" tls_disable = true }";
    let text = format!(
        "{listener}\ncache {{\n persist \"kubernetes\" {{\n path = \"/vault/agent-cache\"\n keep_after_import = true\n \
         exit_on_err = true\n service_account_token_file = \"/t\" }}\n}}"
    );
    let loaded = load_with_notes(&[source("a.hcl", &text)], &|_| None, &Flags::default());
    let loaded = loaded.expect("a good configuration");
    let resume = loaded.config.resume.expect("a folder");
    assert_eq!(resume.path, PathBuf::from("/vault/agent-cache"));
    assert_eq!(resume.max_bytes, Resume::default().max_bytes);
    let fields: Vec<_> = loaded
        .notes
        .iter()
        .map(|note| note.field.as_str())
        .collect();
    let ignored = [
        "cache.persist.keep_after_import",
        "cache.persist.exit_on_err",
        "cache.persist.service_account_token_file",
    ];
    assert_eq!(fields, ignored);
    let both = format!("{listener}\nresume {{ path = \"/r\" max_bytes = 1000 }}");
    let resume = config("a.hcl", &both).resume.expect("a folder");
    assert_eq!((resume.path, resume.max_bytes), ("/r".into(), 1000));
}

/// Good files with a few characters changed: they reach the decoder, where arbitrary text seldom does.
fn mutated() -> impl Strategy<Value = Source> {
    let files = [
        ("a.hcl", SIDECAR_HCL),
        ("a.hcl", mistakes::TWELVE_HCL),
        ("a.json", SIDECAR_JSON),
        ("a.yaml", SIDECAR_YAML),
    ];
    let change = (
        any::<prop::sample::Index>(),
        "[a-z0-9{}\\[\\]\",:=\\-. \n]{0,3}",
        0..8_usize,
    );
    let changes = prop::collection::vec(change, 0..4);
    (prop::sample::select(files.to_vec()), changes).prop_map(|((name, text), changes)| {
        let mut text: Vec<char> = text.chars().collect();
        for (at, insertion, removed) in changes {
            let start = at.index(text.len() + 1);
            let end = (start + removed).min(text.len());
            text.splice(start..end, insertion.chars());
        }
        source(name, &text.into_iter().collect::<String>())
    })
}

proptest! {
    #[test]
    fn mutated_files_are_read_or_refused_the_same_each_time(first in mutated(), second in mutated()) {
        let sources = [first, second];
        let config = read(&sources);
        prop_assert_eq!(&config, &read(&sources));
        if let Ok(config) = config {
            let again = read(&[source("KEYSIDE_CONFIG.json", &config.to_json())]);
            prop_assert_eq!(again, Ok(config));
        }
    }
}
