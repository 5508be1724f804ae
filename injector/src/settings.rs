//! What the process is told: flags, and their `KEYSIDE_INJECTOR_*` twins.
//!
//! Invariant: every mistake is found in one reading, flags and environment together.
//! Invariant: a flag that is in [`TABLE`] is read by something; there is no other place where flags are known.

mod parse;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::cert::given::Files;
use crate::{admission, offline};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Verb {
    Serve(Box<Settings>),
    /// An offline command, with the defaults that the webhook would use and what is left of the arguments.
    Offline(offline::Command, Box<admission::Defaults>, Vec<OsString>),
    Watch(Box<Watch>),
    Check(Box<Check>),
    Version,
    Help,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub listen: SocketAddr,
    pub health: SocketAddr,
    pub log_level: LevelFilter,
    pub log_json: bool,
    /// For how long new connections are still accepted after the first signal.
    pub drain: Duration,
    pub max_connections: usize,
    /// How often the certificate, what the API publishes of it, and the profiles are looked at.
    pub recheck: Duration,
    pub certificate: Certificate,
    /// A folder of profiles, or one profile.
    pub profiles: Option<PathBuf>,
    /// Who may call; absent: everyone.
    pub callers: Option<Callers>,
    /// Whether denials become Events.
    pub denial_events: bool,
    /// Where the API is, outside a cluster.
    pub kubeconfig: Option<PathBuf>,
    pub defaults: admission::Defaults,
}

/// What looks for pods that were not injected.
#[derive(Debug)]
pub(crate) struct Watch {
    pub health: SocketAddr,
    pub log_level: LevelFilter,
    pub log_json: bool,
    pub kubeconfig: Option<PathBuf>,
    /// Its own, and the webhook's: where the Lease is, and no pod is looked at.
    pub namespace: String,
    pub lease: String,
    /// By which this replica is told from others.
    pub identity: String,
    /// The uid of the pod that has this name: the Lease goes with it.
    pub uid: Option<String>,
    /// Between two looks.
    pub period: Duration,
    /// Whether pods get Events.
    pub events: bool,
    /// Namespaces in which nothing is to be injected.
    pub excluded: Vec<String>,
}

/// What tries an injection.
#[derive(Debug)]
pub(crate) struct Check {
    /// Where the pod would be.
    pub namespace: String,
    /// The pod's, without their prefix, beside those by which it asks.
    pub annotations: BTreeMap<String, String>,
    /// For how long it is tried again.
    pub patience: Duration,
    pub kubeconfig: Option<PathBuf>,
}

/// Whose certificates are accepted from callers.
#[derive(Debug)]
pub(crate) struct Callers {
    /// PEM; read again when it changes.
    pub authorities: PathBuf,
    /// Common or alternative names, one of which a caller bears; none: any.
    pub names: Vec<String>,
}

/// Where the certificate of the webhook comes from.
#[derive(Debug)]
pub(crate) enum Certificate {
    Own(Own),
    Given {
        files: Files,
        /// Absent: somebody else sees to the `caBundle`.
        publish: Option<Publish>,
    },
}

/// A certificate that the replicas make themselves and publish.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub service: Service,
    pub secret: String,
    pub leaf_lifetime: Duration,
}

/// The authority of given files that is to be published.
#[derive(Debug, Clone)]
pub(crate) struct Publish {
    pub authorities: PathBuf,
    pub service: Service,
}

/// How the API server comes here.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub namespace: String,
    pub name: String,
    /// The `MutatingWebhookConfiguration` whose entries get the `caBundle`.
    pub webhook: String,
    /// How long a CA is seen in the API before a leaf that it signed replaces a good one.
    pub settle: Duration,
}

impl Service {
    /// By which it may be called; the first is the API server's.
    pub(crate) fn names(&self) -> Vec<String> {
        let (service, namespace) = (&self.name, &self.namespace);
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}"),
            service.clone(),
        ]
    }
}

/// Reads the arguments (without the program's name) and the environment.
pub(crate) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Verb, Error> {
    parse::read(arguments.into_iter().collect(), environment)
}

/// Everything that is wrong, in the order in which it was read.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct Error(Vec<String>);

const PREFIX: &str = "KEYSIDE_INJECTOR_";

/// A setting: the flag without its dashes, its default ("" for none), and which commands beside `serve` take it.
struct Entry {
    flag: &'static str,
    default: &'static str,
    offline: bool,
    watch: bool,
    check: bool,
}

const fn serve(flag: &'static str, default: &'static str) -> Entry {
    Entry {
        flag,
        default,
        offline: false,
        watch: false,
        check: false,
    }
}

/// Of `serve` and `inject`.
const fn both(flag: &'static str, default: &'static str) -> Entry {
    Entry {
        offline: true,
        ..serve(flag, default)
    }
}

/// Of `serve` and `watch`.
const fn run(flag: &'static str, default: &'static str) -> Entry {
    Entry {
        watch: true,
        ..serve(flag, default)
    }
}

/// Of `check`.
const fn check(flag: &'static str, default: &'static str) -> Entry {
    Entry {
        check: true,
        ..serve(flag, default)
    }
}

const TABLE: &[Entry] = &[
    serve("listen", ":8443"),
    run("health", ":8080"),
    both("agent-image", ""),
    both("vault-address", ""),
    both("auth-mount", "auth/kubernetes"),
    both("audience", ""),
    both("vault-namespace", ""),
    both("vault-ca-file", ""),
    both("vault-tls-server-name", ""),
    both("sidecar", "native"),
    both("agent-log-level", "info"),
    both("agent-log-format", "text"),
    both("allow-address-override", "false"),
    both("allow-image-override", "false"),
    both("profiles", ""),
    Entry {
        watch: true,
        ..both("namespace", "")
    },
    serve("service", "keyside-injector"),
    serve("webhook", "keyside-injector"),
    serve("secret", "keyside-injector-certificate"),
    serve("certificate", "self"),
    serve("tls-cert-file", ""),
    serve("tls-key-file", ""),
    serve("publish-ca-file", ""),
    serve("leaf-lifetime", "168h"),
    serve("settle", "60s"),
    serve("recheck", "60s"),
    serve("drain", "10s"),
    serve("max-connections", "256"),
    serve("client-ca", ""),
    serve("client-names", ""),
    serve("denial-events", "false"),
    run("lease", "keyside-injector-watch"),
    run("identity", ""),
    run("identity-uid", ""),
    run("period", "60s"),
    run("events", "true"),
    run("excluded-namespaces", ""),
    check("check-namespace", "default"),
    check("check-annotations", "{}"),
    check("check-patience", "60s"),
    Entry {
        check: true,
        ..run("kubeconfig", "")
    },
    run("log-level", "info"),
    run("log-format", "text"),
];

pub(crate) const HELP: &str = "\
Keyside's admission webhook: puts the agent into annotated pods.

  keyside-injector [serve] [flags]     answer admission reviews over HTTPS
  keyside-injector inject -f FILE      the same injection on a manifest; see inject --help
  keyside-injector lint -f FILE…       what is wrong with a manifest's annotations, for CI
  keyside-injector migrate -f FILE     annotations of vault-k8s as Keyside's
  keyside-injector watch [flags]       look for pods that ask for the agent and lack it
  keyside-injector check [flags]       try a pod that asks, and see that it gets the agent
  keyside-injector version

Each flag has a twin in the environment: --log-level is KEYSIDE_INJECTOR_LOG_LEVEL.

  --listen ADDRESS          HTTPS, POST /mutate (:8443)
  --health ADDRESS          plain /livez, /readyz, /metrics (:8080)
  --agent-image IMAGE       of the container that is added (keyside-agent:VERSION)
  --sidecar KIND            native, classic (older clusters) or init-only (native)
  --agent-log-level LEVEL, --agent-log-format FORMAT     as for this program, below
  --vault-address URL, --vault-namespace NAME            for pods that name none
  --vault-ca-file FILE, --vault-tls-server-name NAME     what to trust there, PEM
  --auth-mount PATH         of the kubernetes method (auth/kubernetes)
  --audience NAME           of the pods' service-account tokens (the API server's)
  --allow-address-override true, --allow-image-override true
                            pods may name another Vault, another agent (false)
  --profiles FOLDER|FILE    NAME.yaml each: defaults for pods, and what they may choose
  --namespace NAME          the injector's own; its pods are left alone
  --certificate self|given  made and rotated here, or read from files (self)
  --service NAME            the Service that the API server calls (keyside-injector)
  --webhook NAME            MutatingWebhookConfiguration, whose caBundle is kept (keyside-injector)
  --secret NAME             self: shared by all replicas (keyside-injector-certificate)
  --leaf-lifetime DURATION  self: a new leaf is made after two thirds (168h)
  --settle DURATION         how long a new CA is published before its use (60s)
  --recheck DURATION        how often certificate, caBundle, profiles are looked at (60s)
  --tls-cert-file FILE      given: the chain, PEM; read again when it changes
  --tls-key-file FILE       given: its key, PEM
  --publish-ca-file FILE    given: what to keep in the caBundle, PEM (nothing)
  --client-ca FILE, --client-names NAME,…                accept API servers with a certificate
                            by these authorities only, PEM, and with one of these names only
  --denial-events true      a Kubernetes Event for each denied pod, rate limited (false)
  --lease NAME, --identity NAME        watch: who leads, and under which name
  --identity-uid UID        watch: of the pod of that name, with which the Lease goes
  --period DURATION         watch: between two looks (60s)
  --events false            watch: no Kubernetes Events of these pods (true)
  --excluded-namespaces NAME,…         watch: where nothing is to be injected
  --check-namespace NAME, --check-annotations JSON       check: of the pod (default, {})
  --check-patience DURATION            check: for how long it is tried again (60s)
  --kubeconfig FILE         where the Kubernetes API is, outside a cluster
  --drain DURATION          accept this long after SIGTERM, unready (10s)
  --max-connections N       (256)
  --log-level LEVEL         trace, debug, info, warn or error (info)
  --log-format FORMAT       text or json (text)
";
