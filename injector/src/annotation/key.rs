//! The keys below `keyside.dev/`: which there are, which come later, and which one a misspelt one was meant to be.

/// In front of every key.
pub(crate) const PREFIX: &str = "keyside.dev/";

/// The prefixes of the injectors that Keyside takes over from.
pub(crate) const PEER_PREFIXES: [&str; 2] = ["vault.hashicorp.com/", "openbao.org/"];

/// What the injector itself writes onto the pod.
pub(crate) const STATUS: &str = "keyside.dev/status";
/// The injector's version.
pub(crate) const VERSION: &str = "keyside.dev/version";
/// See `inject::fingerprint`.
pub(crate) const CONFIG_HASH: &str = "keyside.dev/config-hash";

const WRITTEN_BY_US: [&str; 3] = ["status", "version", "config-hash"];

/// Without the prefix.
pub(crate) const KNOWN: [&str; 58] = [
    "inject",
    "role",
    "address",
    "namespace",
    "ca",
    "tls-server-name",
    "auth-method",
    "auth-mount",
    "auth-authenticate-from-environment",
    "auth-ca-cert",
    "auth-client-cert",
    "auth-client-id",
    "auth-client-key",
    "auth-credentials",
    "auth-header-value",
    "auth-jwt-exp",
    "auth-name",
    "auth-object-id",
    "auth-password-file-path",
    "auth-path",
    "auth-region",
    "auth-resource",
    "auth-role-id-file-path",
    "auth-role-name",
    "auth-scope",
    "auth-secret-id-file-path",
    "auth-secret-id-response-wrapping-path",
    "auth-service-account",
    "auth-token-file-path",
    "auth-type",
    "auth-username",
    "audience",
    "token-expiration",
    "containers",
    "token",
    "token-path",
    "token-mode",
    "proxy",
    "proxy-port",
    "proxy-socket",
    "proxy-token",
    "proxy-require-header",
    "cache-kv",
    "client-rate-limit",
    "metrics-port",
    "log-level",
    "log-format",
    "run-as-user",
    "run-as-group",
    "image",
    "cpu-request",
    "cpu-limit",
    "memory-request",
    "memory-limit",
    "profile",
    "sidecar",
    "revoke-on-exit",
    "start-timeout",
];

const LATER_FAMILIES: [&str; 7] = [
    "env-",
    "file-",
    "format-",
    "mode-",
    "on-change-",
    "secret-",
    "template-",
];

/// What a key below the prefix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is read.
    Known,
    /// The injector writes it; what stands there already is not read.
    WrittenByUs,
    /// Keyside has it, but not in this version. Ignoring it could leave a pod without what it relies on.
    Later,
    /// A parameter that no way to log in has. To ignore it could leave a pod without its login.
    UnknownParameter,
    /// Keyside has no such key.
    Unknown,
}

/// In front of what a way to log in takes.
pub(crate) const PARAMETER: &str = "auth-";

/// Tells what `key`, without its prefix, is.
pub(crate) fn kind(key: &str) -> Kind {
    if KNOWN.contains(&key) {
        Kind::Known
    } else if WRITTEN_BY_US.contains(&key) {
        Kind::WrittenByUs
    } else if in_later_family(key) {
        Kind::Later
    } else if key.starts_with(PARAMETER) {
        Kind::UnknownParameter
    } else {
        Kind::Unknown
    }
}

/// Whether a key, without its prefix, is something that the pod's author wrote.
pub(crate) fn is_asked(key: &str) -> bool {
    !WRITTEN_BY_US.contains(&key)
}

fn in_later_family(key: &str) -> bool {
    LATER_FAMILIES
        .iter()
        .any(|family| key.len() > family.len() && key.starts_with(family))
}

/// The key that a misspelt one was meant to be: the one with the fewest edits, where these are few beside its length.
pub(crate) fn nearest(key: &str) -> Option<&'static str> {
    nearest_of(key, &KNOWN)
}

/// The same among other words.
pub(crate) fn nearest_of<'a>(
    key: &str,
    candidates: impl IntoIterator<Item = &'a &'static str>,
) -> Option<&'static str> {
    // Kubernetes bounds a key's name to 63 characters; offline input need not keep to that.
    if key.len() > 63 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (edits(key, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: insertions, removals and exchanges of one character.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        let mut next = vec![before];
        for (b, above) in right.iter().zip(row.iter().skip(1)) {
            let here = (diagonal + usize::from(a != *b))
                .min(above + 1)
                .min(before + 1);
            diagonal = *above;
            before = here;
            next.push(here);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("roll", "role", 1),
            ("kitten", "sitting", 3),
            ("token_mode", "token-mode", 1),
        ] {
            assert_eq!(edits(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn tells_what_a_key_is() {
        for (key, expected, meant) in [
            ("role", Kind::Known, Some("role")),
            ("status", Kind::WrittenByUs, None),
            ("roll", Kind::Unknown, Some("role")),
            ("Role", Kind::Unknown, Some("role")),
            ("tokn-path", Kind::Unknown, Some("token-path")),
            ("proxyport", Kind::Unknown, Some("proxy-port")),
            ("revoke-onexit", Kind::Unknown, Some("revoke-on-exit")),
            ("something-else", Kind::Unknown, None),
            ("", Kind::Unknown, None),
            ("secret-db", Kind::Later, None),
            ("secret-", Kind::Unknown, None),
            ("auth-moutn", Kind::UnknownParameter, Some("auth-mount")),
            (
                "auth-role-id",
                Kind::UnknownParameter,
                Some("auth-role-name"),
            ),
            ("ca", Kind::Known, Some("ca")),
            ("start-timeout", Kind::Known, Some("start-timeout")),
        ] {
            assert_eq!(nearest(key), meant, "{key}");
            assert_eq!(kind(key), expected, "{key}");
        }
    }
}
