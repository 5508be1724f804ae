mod messages;
mod profiles;

use std::path::PathBuf;

use keyside_config::model::AttachToken;

use super::*;
use crate::inject::Port;

fn defaults() -> Defaults {
    Defaults {
        vault_address: Some("https://vault.example:8200".to_owned()),
        vault_namespace: Some("team".to_owned()),
        ..Defaults::new("keyside-agent:0.1.0")
    }
}

fn annotations(pairs: &[(&str, &str)]) -> Annotations {
    let prefixed = |key: &str| {
        if key.contains('/') {
            key.to_owned()
        } else {
            format!("keyside.dev/{key}")
        }
    };
    pairs
        .iter()
        .map(|(key, value)| (prefixed(key), (*value).to_owned()))
        .collect()
}

#[track_caller]
fn good(pairs: &[(&str, &str)]) -> (Injection, Vec<String>) {
    let mut all = annotations(pairs);
    all.entry("keyside.dev/role".to_owned())
        .or_insert("cart".to_owned());
    read(&all, &defaults()).unwrap()
}

#[track_caller]
fn bad(pairs: &[(&str, &str)], expected: &[&str]) {
    let message = read(&annotations(pairs), &defaults())
        .unwrap_err()
        .to_string();
    assert_eq!(message, expected.join(". "));
}

#[test]
fn fills_in_what_is_not_said() {
    let (injection, warnings) = good(&[]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(injection.mount_path, "auth/kubernetes");
    assert_eq!(
        injection
            .service_account
            .as_ref()
            .unwrap()
            .expiration_seconds,
        3600
    );
    assert_eq!(injection.vault.namespace.as_deref(), Some("team"));
    let proxy = injection.proxy.unwrap();
    assert_eq!((proxy.port, proxy.socket), (Port::Default, true));
    assert_eq!(proxy.attach, AttachToken::WhereAbsent);
    assert_eq!(
        injection.token.unwrap().path,
        PathBuf::from("/keyside/token")
    );
    assert_eq!(good(&[("auth-method", "jwt")]).0.mount_path, "auth/jwt");
}

#[test]
fn says_which_annotation_what_was_read_and_what_is_allowed() {
    bad(
        &[
            ("role", "cart"),
            ("token-mode", "0999"),
            ("proxy-port", "80"),
            ("run-as-user", ""),
        ],
        &[
            "annotation keyside.dev/token-mode: read \"0999\"; allowed: an octal mode of three or four digits up to 0777, \
             such as 0640",
            "annotation keyside.dev/proxy-port: read \"80\"; allowed: a port from 1024 to 65535, or none",
            "annotation keyside.dev/run-as-user: read \"\"; allowed: a number from 1 to 2147483647",
        ],
    );
}

#[test]
fn finds_the_misspelt_key_behind_a_missing_role() {
    let pairs = [("roll", "cart")];
    bad(
        &pairs,
        &[
            "annotation keyside.dev/role is missing; it names the role of the auth mount to log in with; \
           keyside.dev/roll is there and unknown",
        ],
    );
    let error = read(&annotations(&pairs), &defaults()).unwrap_err();
    assert_eq!(
        error.warnings,
        ["annotation keyside.dev/roll is unknown and ignored; did you mean keyside.dev/role?"]
    );
}

#[test]
fn warns_of_unknown_keys_and_ignores_those_of_others() {
    let (_, warnings) = good(&[
        ("status", "x"),
        ("example.com/roll", "x"),
        ("colour", "red"),
        ("proxy_port", "1"),
    ]);
    assert_eq!(
        warnings,
        [
            "annotation keyside.dev/colour is unknown and ignored",
            "annotation keyside.dev/proxy_port is unknown and ignored; did you mean keyside.dev/proxy-port?",
        ]
    );
}

#[test]
fn warns_of_what_has_no_effect() {
    let (_, warnings) = good(&[("proxy", "false"), ("proxy-port", "9000")]);
    assert_eq!(
        warnings,
        ["annotation keyside.dev/proxy-port has no effect, because keyside.dev/proxy is false"]
    );
    let (_, warnings) = good(&[("token", "false"), ("token-mode", "0600")]);
    assert_eq!(
        warnings,
        ["annotation keyside.dev/token-mode has no effect, because keyside.dev/token is false"]
    );
}

#[test]
fn refuses_what_comes_later_instead_of_ignoring_it() {
    for key in ["secret-db", "template-db", "env-DB"] {
        let message = read(&annotations(&[("role", "cart"), (key, "x")]), &defaults())
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            format!(
                "annotation keyside.dev/{key}: read \"x\"; not supported by this version of Keyside"
            )
        );
    }
    bad(
        &[("role", "cart"), ("sidecar", "true")],
        &["annotation keyside.dev/sidecar: read \"true\"; allowed: native, classic or init-only"],
    );
}

#[test]
fn refuses_two_injectors_for_one_pod() {
    bad(
        &[
            ("role", "cart"),
            ("vault.hashicorp.com/agent-inject", "true"),
        ],
        &[
            "annotation vault.hashicorp.com/agent-inject: read \"true\"; a pod is annotated for one injector only: keep \
           this key or keyside.dev/inject",
        ],
    );
}

#[test]
fn lets_pods_choose_vault_and_image_only_where_the_operator_does() {
    let choice = annotations(&[
        ("role", "cart"),
        ("address", "https://other.example"),
        ("namespace", "other"),
        ("image", "other:1"),
    ]);
    let message = read(&choice, &defaults()).unwrap_err().to_string();
    for expected in [
        "address: read \"https://other.example\"",
        "namespace: read \"other\"",
        "image: read \"other:1\"",
    ] {
        assert!(message.contains(expected), "{message}");
    }
    let allowing = Defaults {
        allow_address_override: true,
        allow_image_override: true,
        ..defaults()
    };
    let (injection, _) = read(&choice, &allowing).unwrap();
    assert_eq!(injection.vault.namespace.as_deref(), Some("other"));
    assert_eq!(injection.agent.image, "other:1");
    // What the installation says anyway may be said.
    good(&[
        ("address", "https://vault.example:8200/"),
        ("namespace", "team/"),
        ("image", "keyside-agent:0.1.0"),
    ]);
}

#[test]
fn takes_the_pods_address_where_the_installation_has_none() {
    let none = Defaults::new("keyside-agent:0.1.0");
    let message = read(&annotations(&[("role", "cart")]), &none)
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("annotation keyside.dev/address is missing"),
        "{message}"
    );
    let own = annotations(&[("role", "cart"), ("address", "http://v:1")]);
    assert!(read(&own, &none).is_ok());
}

#[test]
fn holds_requests_below_limits() {
    bad(
        &[
            ("role", "cart"),
            ("memory-request", "1Gi"),
            ("cpu-request", "2"),
            ("cpu-limit", "1"),
        ],
        &[
            "annotation keyside.dev/memory-request: read \"1Gi\"; allowed: at most the limit, 64Mi",
            "annotation keyside.dev/cpu-request: read \"2\"; allowed: at most keyside.dev/cpu-limit",
        ],
    );
    bad(
        &[("role", "cart"), ("memory-limit", "20Mi")],
        &[
            "annotation keyside.dev/memory-limit: read \"20Mi\"; allowed: 32Mi and more, for the 16Mi of /keyside are \
           counted in it",
        ],
    );
}

#[test]
fn names_so_many_mistakes_and_no_more() {
    let mut many = annotations(&[("role", "cart")]);
    for number in 0..10_000 {
        many.insert(format!("keyside.dev/unknown-{number}"), String::new());
        many.insert(format!("keyside.dev/secret-{number}"), String::new());
    }
    let error = read(&many, &defaults()).unwrap_err();
    assert_eq!(error.warnings.len(), 20);
    let message = error.to_string();
    assert_eq!(message.matches("not supported").count(), 20);
    assert!(message.ends_with("And 9980 more"), "{message}");
}

#[test]
fn shows_what_was_read_bounded_and_printable() {
    assert_eq!(printable("a\n\u{1b}[31m\"\0"), "a\\n\\u{1b}[31m\\\"\\0");
    assert_eq!(printable(&"é".repeat(65)), format!("{}…", "é".repeat(64)));
    let long = "\u{1b}".repeat(100_000);
    let message = read(&annotations(&[("role", &long)]), &defaults())
        .unwrap_err()
        .to_string();
    assert!(message.len() < 1000, "{}", message.len());
}
