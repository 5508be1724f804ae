//! The configuration as types: what every part of the agent is built from, and what the injector writes.
//!
//! The schema is Vault Agent's, with Keyside's own keys beside it. Every value here has been checked: a `Config`
//! that exists can be started.

use std::path::PathBuf;
use std::time::Duration;

pub mod access_key;
pub mod auto_auth;
pub mod listener;
pub mod vault;

/// One agent's whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `vault`: the server.
    pub vault: vault::Vault,
    /// `auto_auth`: how to log in, and where the token goes.
    pub auto_auth: Option<auto_auth::AutoAuth>,
    /// `cache`: absent means that the proxy keeps nothing.
    pub cache: Option<Cache>,
    /// `cache.use_auto_auth_token` or `api_proxy.use_auto_auth_token`, merged.
    pub attach_token: AttachToken,
    /// `api_proxy.prepend_configured_namespace`: the namespace that a request names is one below `vault.namespace`.
    pub prepend_namespace: bool,
    /// `listener` blocks, in the order of the files.
    pub listeners: Vec<listener::Listener>,
    /// `limits`: the ceiling on what the agent sends by itself.
    pub limits: Limits,
    /// `limits.client_requests_per_second` and `limits.client_burst`: the ceiling on what clients of the proxy send to
    /// the server; absent means that there is none.
    pub client_limits: Option<Limits>,
    /// `admin`: absent means no admin socket, so no probes and no status.
    pub admin: Option<Admin>,
    /// `resume`: absent means that nothing outlives the process.
    pub resume: Option<Resume>,
    /// `log_level`.
    pub log_level: LogLevel,
    /// `log_format`.
    pub log_format: LogFormat,
    /// `pid_file`.
    pub pid_file: Option<PathBuf>,
    /// `exit_after_auth`: log in, fill every sink once, exit 0.
    pub exit_after_auth: bool,
    /// `start_timeout`: absent means that the agent goes on trying.
    pub start_timeout: Option<Duration>,
    /// `shutdown_delay`: how long the agent goes on after the first signal; absent means that it ends at once.
    pub shutdown_delay: Option<Duration>,
    /// `worker_threads`: 0 is one current-thread runtime.
    pub worker_threads: u16,
}

/// `use_auto_auth_token`: what the proxy does with requests that carry no credential of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachToken {
    /// `false`: a request goes up as it came.
    #[default]
    Never,
    /// `true`: the auto-auth token is attached where the client sent no credential.
    WhereAbsent,
    /// `"force"`: the auto-auth token replaces whatever credential the client sent.
    Force,
}

/// `cache`: bounds of what the proxy keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// `max_entries`: kept answers.
    pub max_entries: usize,
    /// `max_bytes`: kept answers together, in bytes.
    pub max_bytes: usize,
    /// `max_body`: the largest request or answer body that is kept, in bytes; larger ones pass uncached.
    pub max_body: usize,
    /// `static_secrets`: absent means that KV secrets are not kept.
    pub static_secrets: Option<StaticSecrets>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            max_bytes: 32 << 20,
            max_body: 1 << 20,
            static_secrets: None,
        }
    }
}

/// `cache.static_secrets`: how long what was read from a KV engine is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticSecrets {
    /// `ttl`: served without asking Vault; at least a second.
    pub ttl: Duration,
    /// `max_stale`: served beyond that while Vault is away; may be 0.
    pub max_stale: Duration,
}

impl Default for StaticSecrets {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            max_stale: Duration::from_mins(10),
        }
    }
}

/// A ceiling on requests; that of `limits` itself is on everything that the agent sends by itself, logins and renewals
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `requests_per_second`, sustained; at least 1.
    pub requests_per_second: u32,
    /// `burst`: requests that may go at once after a quiet time; at least 1.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 10,
            burst: 20,
        }
    }
}

/// `admin`: probes, metrics, status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// `socket`: a Unix socket of mode 0600.
    pub socket: PathBuf,
    /// `address`: metrics and probes over HTTP as well; absent means not.
    pub address: Option<listener::HostPort>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(ADMIN_SOCKET),
            address: None,
        }
    }
}

/// `resume`: what the next process of this agent goes on with, after this one was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// `path`: a folder in memory, which holds one file of mode 0600.
    pub path: PathBuf,
    /// `max_bytes`: of that file, which is there twice while it is being replaced.
    pub max_bytes: usize,
}

impl Default for Resume {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/run/keyside"),
            // Twice, and a page for each file's own account, fits into a volume of 1 MiB.
            max_bytes: 448 << 10,
        }
    }
}

/// Where the admin socket is unless `admin.socket` says otherwise.
pub const ADMIN_SOCKET: &str = "/run/keyside/admin.sock";

/// `log_level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// `trace`
    Trace,
    /// `debug`
    Debug,
    /// `info`, also spelt `notice`
    #[default]
    Info,
    /// `warn`, also spelt `warning`
    Warn,
    /// `error`, also spelt `err`
    Error,
}

/// `log_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `standard`, also spelt `text`
    #[default]
    Standard,
    /// `json`
    Json,
}

/// A file mode, written in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

/// A duration key's largest value: the timer wheel counts to about 2.2 years.
pub const MAX_DURATION: Duration = Duration::from_hours(2 * 365 * 24);
