//! What a reader of the messages sees, in all three syntaxes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Flags, load, load_with_notes};
use proptest::prelude::*;

use crate::mistake::Mistakes;
use crate::model::auto_auth::{Aad, Encryption, FileSink, Login, Sink, SocketSink};
use crate::model::listener::{Bind, HostPort};
use crate::model::vault::Address;
use crate::model::{AttachToken, Config, LogFormat, LogLevel, Mode};
use crate::source::{Source, Syntax};

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
fn a_socket_sink_is_for_the_group_unless_it_says_otherwise() {
    let text = |sinks: &str| {
        let method = "method \"kubernetes\" { config { role = \"web\" } }";
        format!("auto_auth {{ {method}\n{sinks} }}")
    };
    let sinks = r#"sink "socket" { config { path = "/a" } }
        sink { type = "socket" config = { path = "/b" mode = "0600" owner = 7 gid = "app" } }"#;
    let config = config("a.hcl", &text(sinks));
    let sink = |path: &str, mode, owner: Option<&str>, group: Option<&str>| {
        Sink::Socket(SocketSink {
            path: path.into(),
            mode: Mode(mode),
            owner: owner.map(str::to_owned),
            group: group.map(str::to_owned),
        })
    };
    let expected = [
        sink("/a", 0o660, None, None),
        sink("/b", 0o600, Some("7"), Some("app")),
    ];
    assert_eq!(config.auto_auth.expect("auto_auth").sinks, expected);
}

#[test]
fn a_file_sink_may_be_wrapped_and_encrypted() {
    let text = |keys: &str| {
        let method = "method \"kubernetes\" { config { role = \"web\" } }";
        format!("auto_auth {{ {method}\nsink \"file\" {{ config {{ path = \"/a\" }} {keys} }} }}")
    };
    let check = |keys: &str, wrap_ttl, encryption: Option<Encryption>| {
        let sinks = config("a.hcl", &text(keys)).auto_auth.expect(keys).sinks;
        let [Sink::File(sink)] = &sinks[..] else {
            panic!("{sinks:?}")
        };
        assert_eq!(sink.wrap_ttl, wrap_ttl, "{keys}");
        assert_eq!(sink.encryption, encryption, "{keys}");
    };
    let dh = |derive_key, aad| {
        let dh_path = "/dh".into();
        Some(Encryption {
            dh_path,
            derive_key,
            aad,
        })
    };
    let both = "dh_type = \"curve25519\" dh_path = \"/dh\"";
    let minutes = Some(Duration::from_mins(5));
    check("wrap_ttl = \"5m\"", minutes, None);
    check(
        "wrap_ttl = 300 derive_key = false aad = \"\"",
        minutes,
        None,
    );
    check(both, None, dh(false, None));
    let aad = Some(Aad::Text("a".to_owned()));
    check(
        &format!("{both} derive_key = true aad = \"a\""),
        None,
        dh(true, aad),
    );
    let aad = Some(Aad::Variable("A".to_owned()));
    check(&format!("{both} aad_env_var = \"A\""), None, dh(false, aad));

    let wrong = |keys: &str, expected: &str| {
        let expected = format!("a.hcl:2:{expected}");
        check_mistakes("a.hcl", &text(keys), &[&expected]);
    };
    wrong(
        "dh_type = \"curve25519\"",
        "48: auto_auth.sink.dh_type: needs `dh_path` beside it",
    );
    wrong(
        "dh_path = \"/dh\"",
        "48: auto_auth.sink.dh_path: needs `dh_type` beside it; write `dh_type = \"curve25519\"`",
    );
    wrong(
        "dh_path = \"/dh\" dh_type = \"rsa\"",
        "64: auto_auth.sink.dh_type: `rsa` is not supported; write \"curve25519\"",
    );
    let idle = "has no effect without `dh_type` and `dh_path`";
    wrong(
        "derive_key = true",
        &format!("51: auto_auth.sink.derive_key: {idle}"),
    );
    wrong("aad = \"a\"", &format!("44: auto_auth.sink.aad: {idle}"));
    wrong(
        "aad_env_var = \"A\"",
        &format!("52: auto_auth.sink.aad_env_var: {idle}"),
    );
    wrong(
        &format!("{both} aad = \"a\" aad_env_var = \"A\""),
        "101: auto_auth.sink.aad_env_var: says the same as `aad`; write one of them",
    );
    check_mistakes(
        "a.hcl",
        "auto_auth { method \"kubernetes\" { config { role = \"web\" } }\n\
         sink \"socket\" { config { path = \"/a\" } wrap_ttl = 5 } }",
        &["a.hcl:2:40: auto_auth.sink.wrap_ttl: is for a sink of type \"file\" only"],
    );
}

const TWELVE_HCL: &str = r#"vault {
  adress = "https://vault:8200"
  tls_skip_verify = "maybe"
}
auto_auth {
  method "kubernetes" {
    min_backoff = "5x"
    config = { role = "" }
  }
  sink "file" { config = { path = "/t" mode = "0999" } }
}
listener "tcp" { address = "127.0.0.1" tls_disable = true }
listener "tcp" { address = "127.0.0.1:8100" }
template { source = "/t.tpl" }
log_level = "loud"
cache { max_entries = 0 max_bytes = "lots" }
worker_threads = -1
"#;

#[test]
fn twelve_mistakes_in_one_hcl_file_are_twelve_lines() {
    check_mistakes(
        "a.hcl",
        TWELVE_HCL,
        &[
            "a.hcl:2:3: vault.adress: is not known; did you mean `address`?",
            "a.hcl:3:21: vault.tls_skip_verify: `maybe` is not a boolean; write true or false",
            "a.hcl:7:19: auto_auth.method.min_backoff: is not a duration; write seconds, or a duration as in \"90s\" or \"1h30m\"",
            "a.hcl:8:23: auto_auth.method.config.role: must not be empty",
            "a.hcl:10:47: auto_auth.sink.config.mode: must be a file mode up to 0777 in octal, as in \"0640\"",
            "a.hcl:12:28: listener.address: has no port; write it as in \"127.0.0.1:8200\"",
            "a.hcl:13:1: listener.tls_disable: must be true: listeners have no TLS in this version; write `tls_disable = true`",
            "a.hcl:14:1: template: is Vault Agent's and OpenBao's; this version of keyside-agent does not support it",
            "a.hcl:15:13: log_level: `loud` is not a level; write trace, debug, info, warn or error",
            "a.hcl:16:23: cache.max_entries: must be a whole number from 1 to 4294967295",
            "a.hcl:16:37: cache.max_bytes: must be a size above 0, as in 1048576 or \"32MiB\"",
            "a.hcl:17:18: worker_threads: must be a whole number from 0 to 65535",
        ],
    );
}

/// The same twelve mistakes, by line and field.
fn check_places(name: &str, text: &str, expected: &[(u32, &str)]) {
    let mistakes = read(&[source(name, text)]).expect_err(text);
    let line = |place: &crate::mistake::Place| match place {
        crate::mistake::Place::Text { line, .. } => *line,
        other => panic!("{other}"),
    };
    let places: Vec<_> = mistakes
        .0
        .iter()
        .map(|m| (line(&m.place), m.field.as_str()))
        .collect();
    assert_eq!(places, expected, "{mistakes}");
}

#[test]
fn twelve_mistakes_in_one_json_file_have_line_and_field() {
    let text = r#"{"vault": {
  "adress": "https://vault:8200",
  "tls_skip_verify": "maybe"},
"auto_auth": {
  "method": {"type": "kubernetes",
    "min_backoff": "5x",
    "config": {"role": ""}},
  "sink": [{"type": "file", "config": {"path": "/t",
    "mode": 640}}]},
"listener": [{"type": "tcp", "tls_disable": true,
    "address": "127.0.0.1"},
  {"type": "tcp", "address": "127.0.0.1:8100"}],
"template": [{"source": "/t.tpl"}],
"log_level": "loud",
"cache": {"max_entries": 0,
  "max_bytes": "lots"},
"worker_threads": -1
}"#;
    check_places("a.json", text, &PLACES);
}

const PLACES: [(u32, &str); 12] = [
    (2, "vault.adress"),
    (3, "vault.tls_skip_verify"),
    (6, "auto_auth.method.min_backoff"),
    (7, "auto_auth.method.config.role"),
    (9, "auto_auth.sink.config.mode"),
    (11, "listener.address"),
    (12, "listener.tls_disable"),
    (13, "template"),
    (14, "log_level"),
    (15, "cache.max_entries"),
    (16, "cache.max_bytes"),
    (17, "worker_threads"),
];

#[test]
fn twelve_mistakes_in_one_yaml_file_have_line_and_field() {
    let text = r#"vault:
  adress: https://vault:8200
  tls_skip_verify: maybe
auto_auth:
  method: { type: kubernetes,
    min_backoff: 5x,
    config: { role: "" } }
  sink: { type: file, config: { path: /t,
    mode: "0999" } }
listener: [{ tcp: { tls_disable: true,
  address: 127.0.0.1 } },
  { tcp: { address: "127.0.0.1:8100" } }]
template: { source: /t.tpl }
log_level: loud
cache: { max_entries: 0,
  max_bytes: lots }
worker_threads: -1
"#;
    check_places("a.yaml", text, &PLACES);
}

#[test]
fn a_misspelt_key_that_is_required_is_told_by_its_name() {
    check_mistakes(
        "a.yaml",
        "auto_auth:\n  method: {type: approle, config: {role_id_file_path: /r}}\n  sink: {type: file, config: {paht: /t}}\n",
        &[
            "a.yaml:3:22: auto_auth.sink.config.path: is missing",
            "a.yaml:3:31: auto_auth.sink.config.paht: is not known; did you mean `path`?",
        ],
    );
}

#[test]
fn mistakes_of_all_sources_come_in_their_order() {
    let sources = [
        source("a.hcl", "log_level = \"x\"\nlistener \"tcp\" {"),
        source("b.json", "{\"log_format\": \"xml\",\n \"lisener\": {}}"),
        source("c.yaml", "vault:\n  addres: x\n"),
    ];
    let environment = |name: &str| (name == "VAULT_SKIP_VERIFY").then(|| "perhaps".to_owned());
    let flags = Flags {
        address: Some("vault:8200".to_owned()),
        ..Flags::default()
    };
    let mistakes = load(&sources, &environment, &flags).expect_err("all are wrong");
    let expected = "\
a.hcl:2:17: expected a key or `}`, found the end of the text
b.json:1:16: log_format: `xml` is not a format; write standard or json
b.json:2:2: lisener: is not known; did you mean `listener`?
c.yaml:2:3: vault.addres: is not known; did you mean `address`?
environment: VAULT_SKIP_VERIFY: `perhaps` is not a boolean; write true or false
command line: -address: has no scheme; write it as in \"https://vault.example:8200\"";
    assert_eq!(mistakes.to_string(), expected);
}

#[test]
fn later_files_win_key_by_key_and_repeated_blocks_append() {
    let first = source(
        "1.hcl",
        r#"log_level = "warn"
        vault { address = "https://one:8200" namespace = "one" }
        auto_auth { method "kubernetes" { mount_path = "auth/one" config { role = "one" } }
                    sink "file" { config { path = "/one" } } }
        listener "tcp" { address = "127.0.0.1:8001" tls_disable = true }"#,
    );
    let second = source(
        "2.yaml",
        "vault: { address: 'https://two:8200' }\n\
         auto_auth: { method: { config: { role: two } }, sink: { type: file, config: { path: /two } } }\n\
         listener: { tcp: { address: '127.0.0.1:8002', tls_disable: true } }",
    );
    let config = read(&[first, second]).expect("both are right");
    assert_eq!(config.log_level, LogLevel::Warn);
    assert_eq!(config.vault.namespace.as_deref(), Some("one"));
    assert!(matches!(config.vault.address, Address::Tcp { at, .. } if at.host == "two"));
    let auto_auth = config.auto_auth.expect("auto_auth");
    assert_eq!(auto_auth.method.mount_path, "auth/one");
    assert!(matches!(auto_auth.method.login, Login::Kubernetes { role, .. } if role == "two"));
    assert_eq!(auto_auth.sinks.len(), 2);
    assert_eq!(config.listeners.len(), 2);
}

#[test]
fn a_later_file_with_another_method_inherits_nothing() {
    let first = source(
        "1.hcl",
        r#"auto_auth { method "kubernetes" { mount_path = "auth/one" config { role = "one" } }
                       sink "file" { config { path = "/one" } } }"#,
    );
    let second = source(
        "2.hcl",
        r#"auto_auth { method "approle" { config { role_id_file_path = "/role" } } }"#,
    );
    let method = read(&[first, second])
        .expect("both are right")
        .auto_auth
        .expect("auto_auth")
        .method;
    assert_eq!(method.mount_path, "auth/approle");
    assert!(matches!(method.login, Login::AppRole { .. }));
}

const PROXY: &str = r#"
vault { address = "https://file:8200" tls_skip_verify = true }
listener "tcp" { tls_disable = true }"#;

fn with(environment: &[(&str, &str)], flags: &Flags) -> Result<Config, Mistakes> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let look_up = |name: &str| environment.get(name).map(|&text| text.to_owned());
    load(&[source("a.hcl", PROXY)], &look_up, flags)
}

fn host(config: &Config) -> &str {
    match &config.vault.address {
        Address::Tcp { at, .. } => &at.host,
        Address::Unix(_) => "a socket",
    }
}

#[test]
fn flags_win_over_the_environment_and_that_over_files() {
    let none = Flags::default();
    let flag = Flags {
        address: Some("https://flag:8200".to_owned()),
        log_level: Some("trace".to_owned()),
        log_format: Some("json".to_owned()),
        exit_after_auth: true,
        ..Flags::default()
    };
    let vault = ("VAULT_ADDR", "https://vault:8200");
    let bao = ("BAO_ADDR", "https://bao:8200");
    let check = |environment: &[_], flags, expected: &str| {
        let config = with(environment, flags).expect("a good configuration");
        assert_eq!(host(&config), expected);
    };
    check(&[], &none, "file");
    check(&[vault], &none, "vault");
    check(&[vault, bao], &none, "bao");
    check(&[vault, ("BAO_ADDR", "")], &none, "vault");
    check(&[("VAULT_ADDR", "")], &none, "file");
    check(&[vault, bao], &flag, "flag");
    let config = with(&[], &flag).expect("a good configuration");
    assert_eq!(config.log_level, LogLevel::Trace);
    assert_eq!(config.log_format, LogFormat::Json);
    assert!(config.exit_after_auth);
}

#[test]
fn skip_verify_false_keeps_verification_on() {
    for (text, skips) in [("false", false), ("0", false), ("true", true), ("", true)] {
        let config = with(&[("VAULT_SKIP_VERIFY", text)], &Flags::default());
        assert_eq!(config.expect(text).vault.tls_skip_verify, skips, "{text:?}");
    }
}

#[test]
fn every_variable_has_its_effect() {
    let variables = [
        ("VAULT_NAMESPACE", "ns/"),
        ("VAULT_CACERT", "/ca.pem"),
        ("VAULT_CACERT_BYTES", "PEM"),
        ("BAO_CAPATH", "/cas"),
        ("VAULT_CLIENT_CERT", "/c.pem"),
        ("VAULT_CLIENT_KEY", "/k.pem"),
        ("VAULT_TLS_SERVER_NAME", "name"),
        ("VAULT_CLIENT_TIMEOUT", "5s"),
        ("VAULT_RATE_LIMIT", "3:7"),
    ];
    let config = with(&variables, &Flags::default()).expect("a good configuration");
    let vault = config.vault;
    let pair = vault.client_certificate.expect("a client certificate");
    assert_eq!(vault.namespace.as_deref(), Some("ns"));
    assert_eq!(vault.ca_cert, Some("/ca.pem".into()));
    assert_eq!(vault.ca_pem.as_deref(), Some("PEM"));
    assert_eq!(vault.ca_path, Some("/cas".into()));
    assert_eq!(
        (pair.certificate, pair.key),
        ("/c.pem".into(), "/k.pem".into())
    );
    assert_eq!(vault.tls_server_name.as_deref(), Some("name"));
    assert_eq!(vault.timeout, Duration::from_secs(5));
    assert_eq!(
        (config.limits.requests_per_second, config.limits.burst),
        (3, 7)
    );
}

#[test]
fn every_bad_variable_is_named() {
    for (name, text) in [
        ("VAULT_ADDR", "vault:8200"),
        ("BAO_SKIP_VERIFY", "yes"),
        ("VAULT_CLIENT_TIMEOUT", "soon"),
        ("VAULT_RATE_LIMIT", "0"),
        ("VAULT_CLIENT_KEY", "/k.pem"),
    ] {
        let mistakes = with(&[(name, text)], &Flags::default())
            .expect_err(name)
            .to_string();
        assert!(
            mistakes.starts_with(&format!("environment: {name}: ")),
            "{mistakes}"
        );
    }
}

#[test]
fn keys_without_effect_are_accepted_and_noted() {
    let text = "disable_mlock = true\nvault { retry { num_retries = 5 } }\n\
                listener \"tcp\" { address = \"127.0.0.1:0\" tls_disable = true }";
    let loaded = load_with_notes(&[source("a.hcl", text)], &|_| None, &Flags::default());
    let notes = loaded.expect("a good configuration").notes;
    let fields: Vec<_> = notes.iter().map(|note| note.field.as_str()).collect();
    assert_eq!(fields, ["disable_mlock", "vault.retry"]);
    check_mistakes(
        "a.hcl",
        "disable_mlock = false\nlistener \"tcp\" { address = \"127.0.0.1:0\" tls_disable = true }",
        &["a.hcl:1:17: disable_mlock: must be true: memory is never locked"],
    );
}

#[test]
fn a_mistake_never_repeats_what_could_be_a_secret() {
    let text = r#"token = "hvs.SECRET"
vault { address = "https://user:SECRET@vault:8200" }
listener "tcp" { address = "127.0.0.1:0" tls_disable = true SECRET" }"#;
    for text in [
        text,
        "x = \"SECRET\" \"SECRET\"",
        "vault { address = \"SECRET\" }",
    ] {
        let mistakes = read(&[source("a.hcl", text)]).expect_err(text).to_string();
        assert!(!mistakes.contains("SECRET"), "{mistakes}");
    }
}

/// Good files with a few characters changed: they reach the decoder, where arbitrary text seldom does.
fn mutated() -> impl Strategy<Value = Source> {
    let files = [
        ("a.hcl", SIDECAR_HCL),
        ("a.hcl", TWELVE_HCL),
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
