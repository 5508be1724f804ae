//! Which of files, environment and flags wins.

use std::collections::HashMap;
use std::time::Duration;

use super::{read, source};
use crate::load::{Flags, Loaded, load_with_notes};
use crate::mistake::Mistakes;
use crate::model::auto_auth::Login;
use crate::model::vault::{Address, SingleUse};
use crate::model::{Config, LogFormat, LogLevel};

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
listener "tcp" { address = "127.0.0.1:8100" tls_disable = true }"#;

fn load_with(environment: &[(&str, &str)], flags: &Flags) -> Result<Loaded, Mistakes> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let look_up = |name: &str| environment.get(name).map(|&text| text.to_owned());
    load_with_notes(&[source("a.hcl", PROXY)], &look_up, flags)
}

fn with(environment: &[(&str, &str)], flags: &Flags) -> Result<Config, Mistakes> {
    load_with(environment, flags).map(|loaded| loaded.config)
}

/// What is noted, each as a line.
fn notes(environment: &[(&str, &str)], flags: &Flags) -> Vec<String> {
    let loaded = load_with(environment, flags).expect("a good configuration");
    loaded.notes.iter().map(ToString::to_string).collect()
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
    check(&[vault, bao], &flag, "flag");
    let config = with(&[], &flag).expect("a good configuration");
    assert_eq!(config.log_level, LogLevel::Trace);
    assert_eq!(config.log_format, LogFormat::Json);
    assert!(config.exit_after_auth);
}

/// As in the peers, which look whether a variable is there.
#[test]
fn what_is_empty_hides_what_came_before_and_is_noted() {
    let none = Flags::default();
    let empty = Flags {
        address: Some(String::new()),
        ..Flags::default()
    };
    let vault = ("VAULT_ADDR", "https://vault:8200");
    let check = |environment: &[_], flags, host_then: &str, noted: &[&str]| {
        let config = with(environment, flags).expect("a good configuration");
        assert_eq!(host(&config), host_then, "{environment:?}");
        assert_eq!(notes(environment, flags), noted, "{environment:?}");
    };
    let file = "`vault.address` at a.hcl:2:19";
    let by = |what: &str, hidden: &str| format!("{what}: is empty and hides {hidden}");
    check(
        &[("VAULT_ADDR", "")],
        &none,
        "127.0.0.1",
        &[&by("environment: VAULT_ADDR", file)],
    );
    check(
        &[vault, ("BAO_ADDR", "")],
        &none,
        "127.0.0.1",
        &[&by("environment: BAO_ADDR", file)],
    );
    check(
        &[vault],
        &empty,
        "127.0.0.1",
        &[&by("command line: -address", "`VAULT_ADDR` at environment")],
    );
    check(&[("VAULT_CACERT", "")], &none, "file", &[]);
}

#[test]
fn skip_verify_false_keeps_verification_on() {
    for (text, skips) in [
        ("false", false),
        ("0", false),
        ("true", true),
        ("1", true),
        ("", false),
    ] {
        let config = with(&[("VAULT_SKIP_VERIFY", text)], &Flags::default());
        assert_eq!(config.expect(text).vault.tls_skip_verify, skips, "{text:?}");
    }
}

/// Never a value: it could be a token.
#[test]
fn every_variable_of_the_peers_without_effect_is_noted() {
    for (name, reason) in crate::peer::IDLE_VARIABLES {
        for prefix in ["BAO_", "VAULT_"] {
            let name = format!("{prefix}{name}");
            let noted = notes(&[(&name, "hvs.SECRET")], &Flags::default());
            assert_eq!(
                noted,
                [format!("environment: {name}: has no effect: {reason}")]
            );
            let noted = notes(&[(&name, "")], &Flags::default());
            assert_eq!(noted, Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn every_flag_of_the_peers_without_effect_is_noted() {
    for (name, reason) in crate::peer::IDLE_FLAGS {
        let flags = Flags {
            idle: vec![name],
            ..Flags::default()
        };
        let noted = notes(&[], &flags);
        assert_eq!(
            noted,
            [format!("command line: -{name}: has no effect: {reason}")]
        );
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
        ("VAULT_DISABLE_REDIRECTS", "true"),
        ("VAULT_RATE_LIMIT", "3:7"),
        ("VAULT_LOG_LEVEL", "warn"),
        ("BAO_LOG_FORMAT", "json"),
        ("VAULT_AGENT_DISABLE_KEEP_ALIVES", "caching, proxying"),
        ("BAO_AGENT_DISABLE_IDLE_CONNECTIONS", "auto-auth"),
    ];
    let config = with(&variables, &Flags::default()).expect("a good configuration");
    assert_eq!(config.log_level, LogLevel::Warn);
    assert_eq!(config.log_format, LogFormat::Json);
    let vault = config.vault;
    let all = SingleUse {
        auto_auth: true,
        caching: true,
        proxying: true,
    };
    assert_eq!(vault.single_use, all);
    assert!(vault.disable_redirects);
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
fn a_rate_limit_is_a_rate_with_or_without_a_burst() {
    for (text, rate, burst) in [("5", 5, 5), ("5:9", 5, 9), ("2.5", 2, 2), ("2.5:7", 2, 7)] {
        let limits = with(&[("VAULT_RATE_LIMIT", text)], &Flags::default());
        let limits = limits.expect(text).limits;
        assert_eq!((limits.requests_per_second, limits.burst), (rate, burst));
    }
    for text in ["0.5", "x", "5:", "5:0", "-1", "1.x", "1:2:3"] {
        let read = with(&[("VAULT_RATE_LIMIT", text)], &Flags::default());
        assert!(read.is_err(), "{text}");
    }
}

#[test]
fn every_bad_variable_is_named() {
    for (name, text) in [
        ("VAULT_ADDR", "vault:8200"),
        ("BAO_SKIP_VERIFY", "yes"),
        ("VAULT_CLIENT_TIMEOUT", "soon"),
        ("VAULT_RATE_LIMIT", "0"),
        ("BAO_LOG_LEVEL", "loud"),
        ("VAULT_LOG_FORMAT", "xml"),
        ("VAULT_AGENT_DISABLE_KEEP_ALIVES", "everything"),
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
