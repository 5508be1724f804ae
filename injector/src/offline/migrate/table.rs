//! The annotations of vault-k8s 1.7.6, each with what becomes of it. OpenBao's fork has the same under its own prefix.
//!
//! Invariant: all 74 are here, which a test counts; `docs/offline.md` has the same table, which a test compares.

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It has a counterpart that means the same.
    Same,
    /// It has one that differs, as is told.
    Different,
    /// It goes: there is nothing for it to do, as is told where that could be missed.
    Dropped,
    /// It cannot be had, unless its value asks for nothing.
    Refused,
}

impl Class {
    /// The word for it in the documentation.
    #[cfg(test)]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "differs",
            Self::Dropped => "dropped",
            Self::Refused => "not migrated",
        }
    }
}

/// An annotation without its prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// What ends in a dash has a name behind it.
    pub key: &'static str,
    /// Whether the same with a dash and a name behind it is there as well.
    pub has_names: bool,
    pub class: Class,
    /// Without our prefix; empty where there is none.
    pub to: &'static str,
    /// What its author should know; empty where there is nothing to know.
    pub why: &'static str,
}

const fn same(key: &'static str, to: &'static str) -> Entry {
    entry(key, Class::Same, to, "")
}

const fn different(key: &'static str, to: &'static str, why: &'static str) -> Entry {
    entry(key, Class::Different, to, why)
}

const fn dropped(key: &'static str, why: &'static str) -> Entry {
    entry(key, Class::Dropped, "", why)
}

const fn refused(key: &'static str, why: &'static str) -> Entry {
    entry(key, Class::Refused, "", why)
}

const fn entry(key: &'static str, class: Class, to: &'static str, why: &'static str) -> Entry {
    Entry {
        key,
        has_names: false,
        class,
        to,
        why,
    }
}

const fn with_names(entry: Entry) -> Entry {
    Entry {
        has_names: true,
        ..entry
    }
}

const SECRETS: &str = "secrets as files are not in this version of Keyside";
const PATCH: &str =
    "the agent's container is not patched: keyside.dev/cpu-limit and the like shape it";
const TEMPLATES: &str = "it is for templates, which are not in this version of Keyside";
const BACKOFF: &str = "Keyside backs off by itself, with jitter, between 1 s and 5 min";
const NO_OVERRIDE: &str =
    "only where the operator lets pods choose (--allow-address-override, or a profile)";
const FILES: &str = "of files in Vault Agent's container, those of agent-extra-secret and tls-secret become secret:NAME/KEY";
const EPHEMERAL: &str = "Keyside writes to memory only, and asks for no ephemeral storage";
const CLIENT: &str = "Keyside shows a client certificate only to log in with the method cert";
const CONNECTIONS: &str = "Keyside keeps connections while they are used, and few of them";

pub(crate) const TABLE: [Entry; 74] = [
    same("agent-inject", "inject"),
    dropped(
        "agent-inject-status",
        "the injector writes its own, and pods with it are not left alone",
    ),
    dropped(
        "agent-request-namespace",
        "the namespace is the one that the pod is made in",
    ),
    dropped(
        "agent-init-first",
        "Keyside's agent is the first init container, or right behind a mesh's native proxy",
    ),
    dropped(
        "agent-pre-populate",
        "what starts after the agent waits until the token is there",
    ),
    different(
        "agent-pre-populate-only",
        "sidecar",
        "init-only leaves the token file and nothing else: no proxy, and nobody renews the token",
    ),
    different(
        "agent-inject-containers",
        "containers",
        "init containers are left out too unless they are named; the proxy is then a Unix socket only",
    ),
    dropped(
        "agent-image",
        "Vault's image is not Keyside's: the installation's --agent-image counts",
    ),
    refused("agent-json-patch", PATCH),
    refused("agent-init-json-patch", PATCH),
    refused(
        "agent-copy-volume-mounts",
        "the agent mounts no volumes of the application's: it takes files as secret:NAME/KEY",
    ),
    dropped(
        "agent-extra-secret",
        "the agent mounts the files that it reads, by secret:NAME/KEY, and no whole Secret",
    ),
    refused(
        "agent-configmap",
        "the agent's configuration is made of annotations; keyside-agent itself reads Vault Agent's files",
    ),
    refused("agent-inject-secret-", SECRETS),
    refused("agent-inject-template-", SECRETS),
    refused("agent-inject-template-file-", SECRETS),
    dropped("agent-inject-default-template", TEMPLATES),
    refused("agent-inject-file-", SECRETS),
    refused("agent-inject-perms-", SECRETS),
    refused("agent-inject-command-", SECRETS),
    refused("agent-template-left-delim-", SECRETS),
    refused("agent-template-right-delim-", SECRETS),
    refused("error-on-missing-key-", SECRETS),
    with_names(dropped(
        "secret-volume-path",
        "Keyside's volume is at /keyside",
    )),
    with_names(dropped("preserve-secret-case", TEMPLATES)),
    different(
        "agent-inject-token",
        "token",
        "the file is /keyside/token, owned by the agent's user and with the mode 0640 or 0644",
    ),
    different("service", "address", NO_OVERRIDE),
    same("role", "role"),
    same("auth-type", "auth-method"),
    same("auth-path", "auth-mount"),
    different("auth-config-", "auth-", FILES),
    different("namespace", "namespace", NO_OVERRIDE),
    dropped("auth-min-backoff", BACKOFF),
    dropped("auth-max-backoff", BACKOFF),
    dropped(
        "agent-auto-auth-exit-on-err",
        "an injected agent never exits over a login, but tries again",
    ),
    refused(
        "proxy-address",
        "Keyside asks Vault directly and reads no HTTPS_PROXY",
    ),
    refused(
        "tls-skip-verify",
        "Vault's certificate is always verified: name what to trust with keyside.dev/ca",
    ),
    dropped(
        "tls-secret",
        "the agent mounts the files that it reads, by secret:NAME/KEY, and no whole Secret",
    ),
    different("tls-server-name", "tls-server-name", NO_OVERRIDE),
    different("ca-cert", "ca", NO_OVERRIDE),
    refused("client-cert", CLIENT),
    refused("client-key", CLIENT),
    refused(
        "ca-key",
        "a folder of authorities cannot be named: give one file with keyside.dev/ca",
    ),
    dropped(
        "client-max-retries",
        "an error of Vault's passes to the client at once; what the agent needs itself is tried until it is had",
    ),
    dropped("client-timeout", "the agent waits 60 s for Vault"),
    different(
        "agent-service-account-token-volume-name",
        "audience",
        "the service-account token is one of Keyside's own, with this volume's audience and lifetime",
    ),
    different(
        "agent-revoke-on-shutdown",
        "revoke-on-exit",
        "the token is revoked when the application has ended, within 1.5 s; with sidecar classic it cannot be",
    ),
    dropped(
        "agent-revoke-grace",
        "it is for agent-revoke-on-shutdown: a native sidecar is told to end when the application has ended",
    ),
    same("log-level", "log-level"),
    same("log-format", "log-format"),
    dropped("go-max-procs", "there is no Go runtime: one thread does it"),
    same("agent-cache-enable", "proxy"),
    same("agent-cache-use-auto-auth-token", "proxy-token"),
    same("agent-cache-listener-port", "proxy-port"),
    dropped(
        "agent-cache-exit-on-err",
        "what was kept and cannot be read is forgotten, and the agent goes on",
    ),
    dropped(
        "agent-enable-quit",
        "a native sidecar ends with the pod's own containers: calls of /agent/v1/quit are refused, and not needed",
    ),
    dropped("template-config-exit-on-retry-failure", TEMPLATES),
    dropped("template-static-secret-render-interval", TEMPLATES),
    dropped("template-max-connections-per-host", TEMPLATES),
    dropped("template-lease-renewal-threshold", TEMPLATES),
    dropped("agent-disable-idle-connections", CONNECTIONS),
    dropped("agent-disable-keep-alives", CONNECTIONS),
    dropped(
        "agent-telemetry-",
        "metrics are Prometheus' alone, under names of Keyside's, where keyside.dev/metrics-port says",
    ),
    dropped(
        "agent-set-security-context",
        "the agent's container always has a security context; on OpenShift a profile with openshift leaves out the ids",
    ),
    same("agent-run-as-user", "run-as-user"),
    same("agent-run-as-group", "run-as-group"),
    dropped(
        "agent-run-as-same-user",
        "the agent runs as the application's user where its containers share one",
    ),
    dropped(
        "agent-share-process-namespace",
        "if the pod needs it, write shareProcessNamespace into its spec",
    ),
    same("agent-limits-cpu", "cpu-limit"),
    same("agent-limits-mem", "memory-limit"),
    dropped("agent-limits-ephemeral", EPHEMERAL),
    same("agent-requests-cpu", "cpu-request"),
    same("agent-requests-mem", "memory-request"),
    dropped("agent-requests-ephemeral", EPHEMERAL),
];

/// The entry that a key, without its prefix, belongs to, and the name behind it.
pub(crate) fn find(key: &str) -> Option<(&'static Entry, &str)> {
    let exact = TABLE
        .iter()
        .find(|entry| entry.key == key && !entry.is_family());
    let named = || {
        let families = TABLE.iter().filter_map(|entry| {
            let rest = key.strip_prefix(entry.key)?;
            let name = if entry.is_family() {
                rest
            } else if entry.has_names {
                rest.strip_prefix('-')?
            } else {
                return None;
            };
            (!name.is_empty()).then_some((entry, name))
        });
        // `agent-inject-template-file-` begins as `agent-inject-template-` does.
        families.max_by_key(|(entry, _)| entry.key.len())
    };
    exact.map(|entry| (entry, "")).or_else(named)
}

impl Entry {
    pub(crate) fn is_family(&self) -> bool {
        self.key.ends_with('-')
    }
}
