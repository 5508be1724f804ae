//! `listener`: where applications reach the proxy.

use std::fmt;
use std::path::PathBuf;

use super::Mode;

/// One `listener` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The block's type and `address`.
    pub bind: Bind,
    /// `role`.
    pub role: Role,
    /// `require_request_header`: refuse requests without `X-Vault-Request: true`.
    pub require_request_header: bool,
    /// `allowed_hosts`: values of `Host` accepted on a loopback listener beside loopback names.
    pub allowed_hosts: Vec<String>,
    /// `allow_forwarded`: accept requests with `Forwarded`, `X-Forwarded-For`, `Origin` or a foreign `Sec-Fetch-Site`.
    pub allow_forwarded: bool,
    /// `max_connections`, open at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// `listener "tcp"`: plain HTTP.
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
