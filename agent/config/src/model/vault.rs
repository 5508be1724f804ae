//! `vault`: which server, and how to trust it.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::listener::HostPort;
use crate::scalar::address;

/// The `vault` block, with the environment applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// `address`, `VAULT_ADDR`.
    pub address: Address,
    /// `namespace`, `VAULT_NAMESPACE`: applies to requests that name none. Without slashes at its ends; never empty.
    pub namespace: Option<String>,
    /// `ca_cert`, `VAULT_CACERT`: a PEM file.
    pub ca_cert: Option<PathBuf>,
    /// `ca_path`, `VAULT_CAPATH`: a folder of PEM files.
    pub ca_path: Option<PathBuf>,
    /// `VAULT_CACERT_BYTES`, and Keyside's own key `ca_pem`: the PEM text itself.
    pub ca_pem: Option<String>,
    /// `client_cert` and `client_key`, `VAULT_CLIENT_CERT` and `VAULT_CLIENT_KEY`: PEM files, both or neither.
    pub client_certificate: Option<ClientCertificate>,
    /// `tls_server_name`, `VAULT_TLS_SERVER_NAME`: the name that the certificate must bear.
    pub tls_server_name: Option<String>,
    /// `tls_skip_verify`, `VAULT_SKIP_VERIFY`.
    pub tls_skip_verify: bool,
    /// `VAULT_CLIENT_TIMEOUT`: from sending a request to the head of its answer.
    pub timeout: Duration,
    /// `redirect_hosts`: besides the address's own, whom a redirect may lead to. A name, `*.domain` for all below it;
    /// without a port, on the address's.
    pub redirect_hosts: Vec<String>,
    /// `disable_redirects`, `VAULT_DISABLE_REDIRECTS`: none is followed.
    pub disable_redirects: bool,
    /// `disable_keep_alives` and `disable_idle_connections` at the top level: what keeps no connection for the next
    /// request.
    pub single_use: SingleUse,
}

/// What takes a connection for one request and closes it then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SingleUse {
    /// `auto-auth`: logins, renewals and look-ups of the agent's token, and what sinks need.
    pub auto_auth: bool,
    /// `caching`: renewals of leases.
    pub caching: bool,
    /// `proxying`: what clients ask.
    pub proxying: bool,
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            address: Address::default(),
            namespace: None,
            ca_cert: None,
            ca_path: None,
            ca_pem: None,
            client_certificate: None,
            tls_server_name: None,
            tls_skip_verify: false,
            timeout: Duration::from_mins(1),
            redirect_hosts: Vec::new(),
            disable_redirects: false,
            single_use: SingleUse::default(),
        }
    }
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://host:port/path` or `https://host:port/path`.
    Tcp {
        /// Whether TLS is spoken.
        tls: bool,
        /// Host and port; the port is the scheme's where none was written.
        at: HostPort,
        /// What comes before `/v1`: empty, or it starts with a slash and does not end with one.
        prefix: String,
    },
    /// `unix:///path`: plain HTTP over a Unix socket.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp {
            tls: true,
            at: HostPort {
                host: "127.0.0.1".to_owned(),
                port: 8200,
            },
            prefix: String::new(),
        }
    }
}

/// As in the configuration; the error says what is wrong, without the text itself.
impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        address::vault(text)
    }
}

/// A certificate for the agent, with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file of the certificate and what links it to its root.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}
