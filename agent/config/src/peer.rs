//! Keys that Vault Agent or OpenBao know and Keyside does not, so that a message can say so by name; and keys that
//! have no effect there or cannot have one here, which are accepted with a note.

/// Which block a key stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Top,
    Vault,
    AutoAuth,
    Sinks,
    Method,
    Kubernetes,
    Jwt,
    AppRole,
    TokenFile,
    Cert,
    Password,
    AliCloud,
    Aws,
    Gcp,
    Azure,
    Sink,
    FileSink,
    SocketSink,
    Cache,
    ApiProxy,
    Listener,
    AgentApi,
    Limits,
    Admin,
    Resume,
    Persist,
    StaticSecrets,
}

/// What is known about a key that Keyside does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Accepted: it changes nothing, for this reason.
    NoEffect(&'static str),
    /// Refused by name: whose key it is.
    Unsupported(&'static str),
    /// Nobody's.
    Unknown,
}

const BOTH: &str = "Vault Agent's and OpenBao's";
const VAULT: &str = "Vault Agent's";
const BAO: &str = "OpenBao's";

const IDLE: &str = "Vault Agent and OpenBao read it for their servers only";
const RETRY: &str = "an error of the server passes to the client at once, and what the agent sends by itself \
                     is retried without end, with backoff";
const KEYS: &str =
    "a key is looked for at every login, and a token of Vault's does not end with it";
const LOOKED_AT: &str = "the file is read at every login, and looked at every 5 s in between";
const RELOADED: &str = "the files are looked at every 10 s, and read when they have changed";
const TEMPLATES: &str = "this version renders no templates";
const STANDARD_ERROR: &str =
    "the log goes to standard error alone, where whoever runs the agent collects it";
const METRICS: &str = "metrics are always there in Prometheus' form, under names of their own, and are pushed nowhere";
const PROXY: &str = "the server is asked directly";
const CERTIFICATE: &str = "a client certificate is read from files";

#[rustfmt::skip]
pub(crate) const NO_EFFECT: &[(Kind, &str, &str)] = &[
    (Kind::Top, "cluster_name", IDLE),
    (Kind::Top, "default_max_request_duration", IDLE),
    (Kind::Top, "log_file", STANDARD_ERROR),
    (Kind::Top, "log_rotate_bytes", STANDARD_ERROR),
    (Kind::Top, "log_rotate_duration", STANDARD_ERROR),
    (Kind::Top, "log_rotate_max_files", STANDARD_ERROR),
    (Kind::Top, "telemetry", METRICS),
    (Kind::Top, "template_config", TEMPLATES),
    (Kind::Vault, "retry", RETRY),
    (Kind::Method, "mount_path", "the token_file method has no mount"),
    (Kind::Jwt, "jwt_read_period", LOOKED_AT),
    (Kind::Password, "password_read_period", LOOKED_AT),
    (Kind::Persist, "exit_on_err", "a file that cannot be used costs a login, and ends no agent"),
    (Kind::Persist, "keep_after_import", "the file is kept, and kept up to date"),
    (Kind::Persist, "service_account_token_file", "the file is protected by its mode, not by a key beside it"),
    (Kind::AliCloud, "credential_poll_interval", KEYS),
    (Kind::Aws, "credential_poll_interval", KEYS),
    (Kind::Aws, "nonce", "only the type ec2 has one"),
    (Kind::Gcp, "project", "the service account says it"),
    (Kind::Listener, "custom_response_headers", IDLE),
    (Kind::Listener, "cors_allowed_headers", IDLE),
    (Kind::Listener, "cors_allowed_origins", IDLE),
    (Kind::Listener, "cors_enabled", IDLE),
    (Kind::Listener, "http_idle_timeout", IDLE),
    (Kind::Listener, "http_read_header_timeout", IDLE),
    (Kind::Listener, "http_read_timeout", IDLE),
    (Kind::Listener, "http_write_timeout", IDLE),
    (Kind::Listener, "max_request_duration", IDLE),
    (Kind::Listener, "max_request_size", IDLE),
    (Kind::Listener, "profiling", IDLE),
    (Kind::Listener, "proxy_protocol_authorized_addrs", IDLE),
    (Kind::Listener, "proxy_protocol_behavior", IDLE),
    (Kind::Listener, "telemetry", IDLE),
    (Kind::Listener, "tls_auto_reload", RELOADED),
    (Kind::Listener, "tls_auto_reload_interval", RELOADED),
    (Kind::Listener, "tls_disable_client_certs", "nobody is asked for a certificate that need not have one"),
    (Kind::Listener, "x_forwarded_for_authorized_addrs", IDLE),
    (Kind::Listener, "x_forwarded_for_client_cert_header", IDLE),
    (Kind::Listener, "x_forwarded_for_client_cert_header_decoders", IDLE),
    (Kind::Listener, "x_forwarded_for_hop_skips", IDLE),
    (Kind::Listener, "x_forwarded_for_reject_not_authorized", IDLE),
    (Kind::Listener, "x_forwarded_for_reject_not_present", IDLE),
];

/// Environment variables that peers know, without `VAULT_` or `BAO_`, and why they change nothing here.
#[rustfmt::skip]
pub(crate) const IDLE_VARIABLES: &[(&str, &str)] = &[
    ("AGENT_ADDR", "it is for those who ask the agent"),
    ("CLIENT_CERT_BYTES", CERTIFICATE),
    ("CLIENT_KEY_BYTES", CERTIFICATE),
    ("HTTP_PROXY", PROXY),
    ("MAX_RETRIES", RETRY),
    ("PROXY_ADDR", PROXY),
    ("SRV_LOOKUP", "host and port are those of the address"),
    ("TOKEN", "the agent uses the token of `auto_auth` alone"),
    ("WRAP_TTL", "answers are wrapped for those clients that ask for it"),
];

/// Flags of `bao agent` and `vault agent`, and why they change nothing here.
#[rustfmt::skip]
pub(crate) const IDLE_FLAGS: &[(&str, &str)] = &[
    ("agent-address", "it is for those who ask the agent"),
    ("log-file", STANDARD_ERROR),
    ("log-rotate-bytes", STANDARD_ERROR),
    ("log-rotate-duration", STANDARD_ERROR),
    ("log-rotate-max-files", STANDARD_ERROR),
    ("wrap-ttl", "answers are wrapped for those clients that ask for it"),
];

#[rustfmt::skip]
pub(crate) const UNSUPPORTED: &[(Kind, &str, &[&str])] = &[
    (Kind::Top, BOTH, &[
        "env_template", "exec", "hsm", "kms", "seal", "template", "user_lockout",
    ]),
    (Kind::Top, VAULT, &["disable_idle_conns_templating", "entropy", "reporting"]),
    (Kind::Kubernetes, VAULT, &["service_account"]),
    (Kind::AliCloud, VAULT, &[
        "private_key", "public_key_id", "role_arn", "role_session_expiration", "role_session_name",
        "session_expiration",
    ]),
    (Kind::Cache, VAULT, &[
        "cache_static_secrets", "disable_caching_dynamic_secrets", "enforce_consistency",
        "static_secret_token_capability_refresh_behavior", "static_secret_token_capability_refresh_interval",
        "when_inconsistent",
    ]),
    (Kind::ApiProxy, VAULT, &["enforce_consistency", "when_inconsistent"]),
    (Kind::Listener, BOTH, &["tls_cipher_suites"]),
    (Kind::Listener, BAO, &[
        "tls_acme_cache_path", "tls_acme_ca_directory", "tls_acme_ca_root", "tls_acme_domains",
        "tls_acme_email", "tls_acme_eab_key_id", "tls_acme_eab_mac_key", "tls_key_exchange_preferences",
    ]),
];

/// What to write instead of keys that are unsupported.
#[rustfmt::skip]
pub(crate) const INSTEAD: &[(Kind, &[&str], &str)] = &[
    (Kind::Cache, &[
        "cache_static_secrets", "static_secret_token_capability_refresh_behavior",
        "static_secret_token_capability_refresh_interval",
    ], "static_secrets {}"),
];

/// Types of `method` that Keyside will not have.
pub(crate) const REFUSED_METHODS: &[&str] = &["cf", "kerberos", "oci"];

/// What is known about a key that was not asked for.
pub(crate) fn standing(kind: Kind, key: &str) -> Standing {
    let mut idle = NO_EFFECT.iter();
    if let Some((_, _, reason)) = idle.find(|(of, name, _)| *of == kind && *name == key) {
        return Standing::NoEffect(reason);
    }
    let mut others = UNSUPPORTED.iter();
    match others.find(|(of, _, keys)| *of == kind && keys.contains(&key)) {
        Some((_, whose, _)) => Standing::Unsupported(whose),
        None => Standing::Unknown,
    }
}

/// What a refusal of somebody's key says.
pub(crate) fn unsupported(kind: Kind, key: &str, whose: &str) -> String {
    let mut instead = INSTEAD.iter();
    match instead.find(|(of, keys, _)| *of == kind && keys.contains(&key)) {
        Some((_, _, block)) => format!("is {whose}; write `{block}` instead"),
        None => format!("is {whose}; this version of keyside-agent does not support it"),
    }
}

/// What a note says.
pub(crate) fn no_effect(reason: &str) -> String {
    format!("has no effect: {reason}")
}

/// The key of this block that a misspelt one most resembles, if any does.
pub(crate) fn nearest<'k>(key: &str, kind: Kind, asked: &[&'k str]) -> Option<&'k str> {
    let idle = NO_EFFECT.iter().filter(|(of, ..)| *of == kind);
    let others = UNSUPPORTED.iter().filter(|(of, ..)| *of == kind);
    let idle = idle.map(|(_, name, _)| *name);
    let others = others.flat_map(|(_, _, keys)| keys.iter().copied());
    let known = asked.iter().copied().chain(idle).chain(others);
    nearest_of(key, known)
}

/// The nearest of `known`, if it is near: at most a third of its letters differ.
pub(crate) fn nearest_of<'k>(key: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // A key is short; what is longer than any of ours resembles none.
    if key.len() > 64 {
        return None;
    }
    let key = key.to_ascii_lowercase();
    let rated = known.map(|known| {
        if swapped(&key, known) {
            (1, known)
        } else {
            (distance(&key, known), known)
        }
    });
    let (distance, known) = rated.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= known.len().max(3)).then_some(known)
}

/// Whether two neighbouring letters changed places: one slip of the fingers, though two letters differ.
fn swapped(a: &str, b: &str) -> bool {
    let pairs = a.bytes().zip(b.bytes()).enumerate();
    let differ: Vec<_> = pairs.filter(|(_, (left, right))| left != right).collect();
    let &[(first, one), (second, other)] = differ.as_slice() else {
        return false;
    };
    a.len() == b.len() && second == first + 1 && one == (other.1, other.0)
}

/// Levenshtein's: letters to change, add or remove.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (index, left) in a.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (right, above) in b.chars().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(left != right);
            before = changed.min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_near() {
        let known = ["address", "ca_cert", "role", "mode"];
        let check = |key, expected| {
            assert_eq!(nearest_of(key, known.into_iter()), expected, "{key}");
        };
        check("adress", Some("address"));
        check("Address", Some("address"));
        check("ca_crt", Some("ca_cert"));
        check("rle", Some("role"));
        check("mdoe", Some("mode"));
        check("moed", Some("mode"));
        check("emod", None);
        check("x", None);
        check("telemetry", None);
        check("", None);
        check(&"a".repeat(100), None);
    }

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
