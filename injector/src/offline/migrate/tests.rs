use std::path::Path;

use serde_json::json;

use super::pod::migrate;
use super::table::{TABLE, find};
use super::*;

/// The annotations in `agent-inject/agent/annotations.go` of vault-k8s 1.7.6, in its order as far as it matters; what
/// ends in a dash has a name behind it.
const ALL: &str = "agent-inject agent-inject-status agent-request-namespace agent-init-first agent-pre-populate \
    agent-pre-populate-only agent-inject-containers agent-image agent-json-patch agent-init-json-patch \
    agent-copy-volume-mounts agent-extra-secret agent-configmap agent-inject-secret- agent-inject-template- \
    agent-inject-template-file- agent-inject-default-template agent-inject-file- agent-inject-perms- \
    agent-inject-command- agent-template-left-delim- agent-template-right-delim- error-on-missing-key- \
    secret-volume-path preserve-secret-case agent-inject-token service role auth-type auth-path auth-config- namespace \
    auth-min-backoff auth-max-backoff agent-auto-auth-exit-on-err proxy-address tls-skip-verify tls-secret \
    tls-server-name ca-cert client-cert client-key ca-key client-max-retries client-timeout \
    agent-service-account-token-volume-name agent-revoke-on-shutdown agent-revoke-grace log-level log-format \
    go-max-procs agent-cache-enable agent-cache-use-auto-auth-token agent-cache-listener-port \
    agent-cache-exit-on-err agent-enable-quit template-config-exit-on-retry-failure \
    template-static-secret-render-interval template-max-connections-per-host template-lease-renewal-threshold \
    agent-disable-idle-connections agent-disable-keep-alives agent-telemetry- agent-set-security-context \
    agent-run-as-user agent-run-as-group agent-run-as-same-user agent-share-process-namespace agent-limits-cpu \
    agent-limits-mem agent-limits-ephemeral agent-requests-cpu agent-requests-mem agent-requests-ephemeral";

#[test]
fn every_annotation_of_vault_k8s_is_in_the_table_once() {
    let mut all: Vec<&str> = ALL.split_whitespace().collect();
    assert_eq!(all.len(), 74);
    let mut table: Vec<&str> = TABLE.iter().map(|entry| entry.key).collect();
    all.sort_unstable();
    table.sort_unstable();
    assert_eq!(table, all);
    let families = TABLE
        .iter()
        .filter(|entry| entry.is_family() || entry.has_names);
    assert_eq!(families.count(), 13);
    for (key, expected) in [
        (
            "agent-inject-template-file-a",
            Some(("agent-inject-template-file-", "a")),
        ),
        (
            "agent-inject-template-a",
            Some(("agent-inject-template-", "a")),
        ),
        ("secret-volume-path", Some(("secret-volume-path", ""))),
        (
            "secret-volume-path-a-b",
            Some(("secret-volume-path", "a-b")),
        ),
        ("agent-inject-secret-", None),
        ("agent-injec", None),
    ] {
        let found = find(key).map(|(entry, name)| (entry.key, name));
        assert_eq!(found, expected, "{key}");
    }
}

#[test]
fn the_page_has_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/offline.md");
    let page = std::fs::read_to_string(path).unwrap();
    for entry in TABLE {
        let name = if entry.is_family() {
            format!("{}<name>", entry.key)
        } else {
            entry.key.to_owned()
        };
        let to = match entry.to {
            "" => String::new(),
            to => format!("`{to}{}`", if to.ends_with('-') { "<name>" } else { "" }),
        };
        let row = format!(
            "| `{name}` | {} | {to} | {} |",
            entry.class.word(),
            entry.why
        );
        let row = row.replace("|  |", "| |");
        assert!(page.contains(&row), "{row}");
    }
    for always in ALWAYS {
        assert!(page.contains(&format!("- {always}")), "{always}");
    }
}

fn pod(annotations: &[(&str, &str)]) -> Value {
    let mut all = json!({});
    for (name, value) in annotations {
        let full = if name.contains('/') {
            (*name).to_owned()
        } else {
            format!("vault.hashicorp.com/{name}")
        };
        all[full] = json!(value);
    }
    json!({
        "metadata": { "annotations": all },
        "spec": {
            "containers": [{ "name": "app" }],
            "volumes": [{ "name": "sa", "projected": { "sources": [
                { "serviceAccountToken": { "path": "token", "audience": "vault", "expirationSeconds": 7200 } },
            ] } }],
        },
    })
}

/// What the pod is left with beside `inject`, sorted; or why it is left.
#[track_caller]
fn check(annotations: &[(&str, &str)], expected: &str) {
    let mut all = vec![("agent-inject", "true")];
    all.extend_from_slice(annotations);
    let found = migrate(&pod(&all)).unwrap();
    let mut new: Vec<_> = found
        .new
        .iter()
        .map(|(name, value)| format!("{}={value}", name.strip_prefix("keyside.dev/").unwrap()))
        .filter(|one| one != "inject=true")
        .collect();
    new.sort_unstable();
    let notes = found
        .notes
        .iter()
        .filter(|note| note.kind == Kind::NotMigrated);
    let refused: Vec<_> = notes.map(|note| note.text.clone()).collect();
    assert_eq!(found.refused.len(), refused.len());
    let result = match refused.as_slice() {
        [] => new.join(" "),
        refused => format!("not: {}", refused.join("; ")),
    };
    assert_eq!(result, expected, "{annotations:?}");
}

const TOKEN: (&str, &str) = ("agent-inject-token", "true");
const CACHE: (&str, &str) = ("agent-cache-enable", "true");

/// Each with a value that asks for something, what stands beside it beyond a token file and a cache, and what it becomes
/// beside these two.
const MIGRATED: &[(&str, &str, Pairs, &str)] = &[
    ("agent-inject-status", "update", &[], ""),
    ("agent-request-namespace", "x", &[], ""),
    ("agent-init-first", "true", &[], ""),
    ("agent-pre-populate", "false", &[], ""),
    ("agent-pre-populate-only", "true", &[], "sidecar=init-only"),
    ("agent-inject-containers", "a, b", &[], "containers=a, b"),
    ("agent-image", "hashicorp/vault:2", &[], ""),
    ("agent-json-patch", "[]", &[], ""),
    ("agent-init-json-patch", "null", &[], ""),
    ("agent-extra-secret", "s", &[], ""),
    ("agent-inject-default-template", "json", &[], ""),
    ("secret-volume-path", "/a", &[], ""),
    ("preserve-secret-case", "true", &[], ""),
    ("service", "https://v", &[], "address=https://v"),
    ("role", "r", &[], "role=r"),
    ("auth-type", "jwt", &[], "auth-method=jwt"),
    ("auth-path", "/auth/k/", &[], "auth-mount=auth/k"),
    ("auth-config-name", "n", &[], "auth-name=n"),
    ("auth-config-role", "r", &[], "role=r"),
    (
        "auth-config-username",
        "u",
        &[("role", "r"), ("auth-type", "ldap")],
        "auth-method=ldap auth-username=u",
    ),
    ("auth-config-token_path", "/x", &[], ""),
    ("auth-config-remove-jwt-after-reading", "true", &[], ""),
    (
        "auth-config-path",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
        &[],
        "",
    ),
    (
        "auth-config-role-id-file-path",
        "/vault/custom/role-id",
        &[("auth-type", "approle"), ("agent-extra-secret", "s")],
        "auth-method=approle auth-role-id-file-path=secret:s/role-id",
    ),
    ("namespace", "team", &[], "namespace=team"),
    ("auth-min-backoff", "1s", &[], ""),
    ("auth-max-backoff", "1s", &[], ""),
    ("agent-auto-auth-exit-on-err", "true", &[], ""),
    ("proxy-address", "", &[], ""),
    ("tls-skip-verify", "false", &[], ""),
    ("tls-secret", "s", &[], ""),
    ("tls-server-name", "v", &[], "tls-server-name=v"),
    (
        "ca-cert",
        "/vault/tls/ca.crt",
        &[("tls-secret", "s")],
        "ca=secret:s/ca.crt",
    ),
    (
        "ca-cert",
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
        &[],
        "ca=configmap:kube-root-ca.crt/ca.crt",
    ),
    (
        "client-cert",
        "/vault/tls/crt",
        &[("tls-secret", "s"), ("auth-type", "cert")],
        "auth-client-cert=secret:s/crt auth-method=cert",
    ),
    (
        "client-key",
        "/vault/tls/key",
        &[("tls-secret", "s"), ("auth-type", "cert")],
        "auth-client-key=secret:s/key auth-method=cert",
    ),
    ("client-max-retries", "1", &[], ""),
    ("client-timeout", "1s", &[], ""),
    (
        "agent-service-account-token-volume-name",
        "sa",
        &[],
        "audience=vault token-expiration=7200s",
    ),
    ("agent-revoke-on-shutdown", "false", &[], ""),
    ("agent-revoke-on-shutdown", "T", &[], "revoke-on-exit=true"),
    (
        "agent-revoke-on-shutdown",
        "true",
        &[("agent-pre-populate-only", "true")],
        "sidecar=init-only",
    ),
    ("agent-revoke-grace", "5", &[], ""),
    ("log-level", "DEBUG", &[], "log-level=debug"),
    ("log-format", "json", &[], "log-format=json"),
    ("go-max-procs", "1", &[], ""),
    (
        "agent-cache-use-auto-auth-token",
        "force",
        &[],
        "proxy-token=force",
    ),
    ("agent-cache-listener-port", "8201", &[], "proxy-port=8201"),
    ("agent-cache-exit-on-err", "true", &[], ""),
    ("agent-enable-quit", "true", &[], ""),
    ("template-config-exit-on-retry-failure", "true", &[], ""),
    ("template-static-secret-render-interval", "1m", &[], ""),
    ("template-max-connections-per-host", "1", &[], ""),
    ("template-lease-renewal-threshold", "0.5", &[], ""),
    ("agent-disable-idle-connections", "caching", &[], ""),
    ("agent-disable-keep-alives", "caching", &[], ""),
    ("agent-telemetry-prometheus_retention_time", "1h", &[], ""),
    ("agent-set-security-context", "false", &[], ""),
    ("agent-run-as-user", "7", &[], "run-as-user=7"),
    ("agent-run-as-group", "7", &[], "run-as-group=7"),
    ("agent-run-as-same-user", "true", &[], ""),
    ("agent-share-process-namespace", "true", &[], ""),
    ("agent-limits-cpu", "500m", &[], "cpu-limit=500m"),
    ("agent-limits-cpu", "", &[], ""),
    ("agent-limits-mem", "128Mi", &[], "memory-limit=128Mi"),
    ("agent-limits-ephemeral", "1Mi", &[], ""),
    ("agent-requests-cpu", "250m", &[], "cpu-request=250m"),
    ("agent-requests-mem", "64Mi", &[], "memory-request=64Mi"),
    ("agent-requests-ephemeral", "1Mi", &[], ""),
];

type Pairs = &'static [(&'static str, &'static str)];

#[test]
fn each_annotation_becomes_what_the_table_says() {
    for (key, value, beside, expected) in MIGRATED {
        let mut all = vec![(*key, *value), TOKEN, CACHE];
        all.extend_from_slice(beside);
        let mut expected: Vec<&str> = expected.split_whitespace().collect();
        if *key == "agent-inject-containers" {
            expected = vec!["containers=a, b"];
        }
        expected.extend(["proxy=true", "token=true"]);
        expected.sort_unstable();
        check(&all, &expected.join(" "));
    }
}

const SECRETS: &str = "not: secrets as files are not in this version of Keyside";

const NOT_MIGRATED: &[(&str, &str, &str)] = &[
    ("agent-inject-secret-db", "db/creds/app", SECRETS),
    ("agent-inject-template-db", "x", SECRETS),
    ("agent-inject-template-file-db", "/x", SECRETS),
    ("agent-inject-file-db", "x", SECRETS),
    ("agent-inject-perms-db", "0400", SECRETS),
    ("agent-inject-command-db", "kill", SECRETS),
    ("agent-template-left-delim-db", "<<", SECRETS),
    ("agent-template-right-delim-db", ">>", SECRETS),
    ("error-on-missing-key-db", "true", SECRETS),
    (
        "agent-json-patch",
        "[{}]",
        "not: the agent's container is not patched: keyside.dev/cpu-limit and the like shape it",
    ),
    (
        "agent-copy-volume-mounts",
        "app",
        "not: the agent mounts no volumes of the application's: it takes files as secret:NAME/KEY",
    ),
    (
        "agent-configmap",
        "c",
        "not: the agent's configuration is made of annotations; keyside-agent itself reads Vault Agent's files",
    ),
    (
        "secret-volume-path-db",
        "/x",
        "not: it is for one secret, and secrets as files are not in this version of Keyside",
    ),
    (
        "proxy-address",
        "http://p",
        "not: Keyside asks Vault directly and reads no HTTPS_PROXY",
    ),
    (
        "tls-skip-verify",
        "true",
        "not: Vault's certificate is always verified: name what to trust with keyside.dev/ca",
    ),
    (
        "client-cert",
        "/vault/tls/c",
        "not: Keyside shows a client certificate only to log in with the method cert",
    ),
    (
        "client-key",
        "/vault/tls/k",
        "not: Keyside shows a client certificate only to log in with the method cert",
    ),
    (
        "ca-key",
        "/cas",
        "not: a folder of authorities cannot be named: give one file with keyside.dev/ca",
    ),
    (
        "ca-cert",
        "/app/ca.crt",
        "not: /app/ca.crt is a file in Vault Agent's container; write keyside.dev/ca with secret:NAME/KEY or configmap:NAME/KEY instead",
    ),
    (
        "agent-revoke-on-shutdown",
        "yes",
        "not: read no boolean, which vault-k8s denies as well",
    ),
    (
        "agent-run-as-user",
        "",
        "not: it means root, as whom Keyside's agent never runs: name another id, or none",
    ),
    (
        "auth-type",
        "kerberos",
        "not: Keyside does not log in with the method kerberos",
    ),
    (
        "auth-config-secret_key",
        "hush",
        "not: a secret does not belong in an annotation: give the role to the pod's service account or to its node",
    ),
    (
        "auth-config-nonsense",
        "x",
        "not: no way to log in has such a parameter",
    ),
    (
        "agent-service-account-token-volume-name",
        "other",
        "not: the pod has no projected volume of this name with a service-account token",
    ),
    (
        "agent-inject-tokn",
        "true",
        "not: vault-k8s 1.7.6 has no such key and ignores it: correct it, or take it away",
    ),
    (
        "agent-cache-enable",
        "yes",
        "not: read no boolean, which vault-k8s denies as well",
    ),
    (
        "keyside.dev/role",
        "other",
        "not: keyside.dev/role is there as well, with another value: keep one of them",
    ),
];

#[test]
fn what_cannot_be_had_is_named_with_the_reason() {
    for (key, value, expected) in NOT_MIGRATED {
        check(&[TOKEN, ("role", "r"), (key, value)], expected);
    }
    // All 74 are tried.
    for entry in TABLE {
        let tried = MIGRATED.iter().map(|(key, ..)| *key);
        let tried = tried.chain(NOT_MIGRATED.iter().map(|(key, ..)| *key));
        let mut tried = tried.chain(["agent-inject", TOKEN.0, CACHE.0]);
        let key = entry.key;
        assert!(
            tried.any(|tried| find(tried).is_some_and(|(one, _)| one.key == key)),
            "{key}"
        );
    }
}

#[test]
fn what_vault_k8s_leaves_out_stays_out() {
    check(&[("role", "r"), TOKEN], "proxy=false role=r token=true");
    check(&[("role", "r"), CACHE], "proxy=true role=r token=false");
    check(
        &[("role", "r"), TOKEN, CACHE],
        "proxy=true role=r token=true",
    );
    check(&[("role", "r")], "role=r");
    check(
        &[("role", "r"), TOKEN, ("agent-pre-populate-only", "true")],
        "role=r sidecar=init-only token=true",
    );
    check(
        &[("role", "r"), ("agent-pre-populate-only", "true")],
        "not: Keyside's init-only leaves a token file and nothing else, and this pod asks for none",
    );
    // OpenBao's own key wins over Vault's.
    check(
        &[("role", "r"), ("openbao.org/role", "b"), TOKEN, CACHE],
        "proxy=true role=b token=true",
    );
    assert!(migrate(&pod(&[("keyside.dev/inject", "true")])).is_none());
}
