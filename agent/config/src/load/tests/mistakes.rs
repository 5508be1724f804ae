//! What is wrong is said all at once, each with its place; and what has no effect is noted.

use super::{check_mistakes, read, source};
use crate::load::{Flags, load, load_with_notes};

pub(super) const TWELVE_HCL: &str = r#"vault {
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
            "a.hcl:13:1: listener.tls_disable: is not true, so that TLS needs `tls_cert_file` and `tls_key_file`; for plain HTTP write `tls_disable = true`",
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
