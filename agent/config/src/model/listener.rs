//! `listener`: where applications reach the proxy.

use std::fmt;
use std::path::PathBuf;

use super::Mode;

/// One `listener` block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the block")]
pub struct Listener {
    /// The block's type and `address`.
    pub bind: Bind,
    /// `tls_disable`: plain HTTP. A Unix socket without a certificate needs no such word.
    pub plain: bool,
    /// What was written of TLS; without effect where `plain` says so.
    pub tls: Option<Tls>,
    /// `role`.
    pub role: Role,
    /// `require_request_header`: refuse requests without `X-Vault-Request: true`.
    pub require_request_header: bool,
    /// `allowed_hosts`: values of `Host` accepted on a loopback listener beside loopback names.
    pub allowed_hosts: Vec<String>,
    /// `allow_forwarded`: accept requests with `Forwarded`, `X-Forwarded-For`, `Origin` or a foreign `Sec-Fetch-Site`.
    pub allow_forwarded: bool,
    /// `agent_api.enable_quit` or `proxy_api.enable_quit`: `POST /agent/v1/quit` ends the agent.
    pub enable_quit: bool,
    /// `max_connections`, open at once; for the next one, who has been idle longest makes room.
    pub max_connections: usize,
}

impl Listener {
    /// The TLS that it speaks.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref().filter(|_| !self.plain)
    }
}

/// The TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `tls_cert_file`: a PEM file of the certificate and what links it to its root.
    pub certificate: PathBuf,
    /// `tls_key_file`: a PEM file of its private key.
    pub key: PathBuf,
    /// `tls_min_version`.
    pub min_version: Option<TlsVersion>,
    /// `tls_max_version`.
    pub max_version: Option<TlsVersion>,
    /// `tls_require_and_verify_client_cert`: whoever connects needs a certificate of `client_ca`.
    pub require_client_certificate: bool,
    /// `tls_client_ca_file`: a PEM file.
    pub client_ca: Option<PathBuf>,
}

/// A version of TLS. There are none before these that could be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `tls12`
    Tls12,
    /// `tls13`
    Tls13,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// `listener "tcp"`.
    Tcp(HostPort),
    /// `listener "unix"`.
    Unix {
        /// `address`: the socket's path.
        path: PathBuf,
        /// `socket_mode`: 0600 where absent.
        mode: Option<Mode>,
        /// `socket_user` (name or id).
        user: Option<String>,
        /// `socket_group` (name or id).
        group: Option<String>,
    },
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    #[default]
    Default,
    /// `/agent/v1/metrics` alone.
    MetricsOnly,
}

/// A host name or address, and a port (0: any free one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
