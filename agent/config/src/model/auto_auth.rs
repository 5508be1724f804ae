//! `auto_auth`: how the agent logs in, and where the token goes.

use std::path::PathBuf;
use std::time::Duration;

use super::Mode;
use super::access_key::{AliCloud, Aws, Secret};
use super::vault::ClientCertificate;

/// The `auto_auth` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoAuth {
    /// `method`.
    pub method: Method,
    /// `sink` blocks; none is fine where the proxy attaches the token.
    pub sinks: Vec<Sink>,
    /// `enable_reauth_on_new_credentials`, true by default: a new credential in a file leads to a login.
    pub login_on_new_credential: bool,
    /// `revoke_on_exit`: the token is revoked when a signal ends the agent. Never of a token that somebody else obtained,
    /// nor of a wrapped one.
    pub revoke_on_exit: bool,
}

/// The `method` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// `mount_path`: `auth/<type>` where not written; without slashes at its ends. Empty for `token_file`,
    /// which has none.
    pub mount_path: String,
    /// `namespace` of the login; `vault.namespace` where absent.
    pub namespace: Option<String>,
    /// `min_backoff`, 1 s by default.
    pub min_backoff: Duration,
    /// `max_backoff`, 5 min by default; not below `min_backoff`.
    pub max_backoff: Duration,
    /// `wrap_ttl`: the login is wrapped, and the one sink gets the wrapping token, of so long a life, as JSON.
    pub wrap_ttl: Option<Duration>,
    /// `exit_on_err`: the first failed login ends the process with status 1.
    pub exit_on_err: bool,
    /// `type` and `config`.
    pub login: Login,
}

/// How to log in: one variant per method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// `kubernetes`: the pod's service-account token.
    Kubernetes {
        /// `role` of the auth mount.
        role: String,
        /// `token_path`: read again at every login.
        token_path: PathBuf,
    },
    /// `jwt`: a JSON Web Token in a file.
    Jwt {
        /// `role` of the auth mount.
        role: String,
        /// `path`: read again at every login.
        path: PathBuf,
        /// `remove_jwt_after_reading`, true by default.
        remove_after_reading: bool,
        /// `remove_jwt_follows_symlinks`: where `path` is a link, what it leads to is removed, not the link.
        remove_follows_symlinks: bool,
    },
    /// `approle`: a role id and, where the role wants one, a secret id.
    AppRole {
        /// `role_id_file_path`: read again at every login.
        role_id: PathBuf,
        /// `secret_id_file_path`: read again at every login.
        secret_id: Option<PathBuf>,
        /// `remove_secret_id_file_after_reading`, true by default.
        remove_secret_id_after_reading: bool,
        /// `secret_id_response_wrapping_path`: the file holds a wrapping token that was made there.
        secret_id_wrapping_path: Option<String>,
    },
    /// `token_file`: a token that somebody else obtained.
    TokenFile {
        /// `token_file_path`: read again at every login.
        path: PathBuf,
    },
    /// `cert`: a TLS client certificate.
    Cert {
        /// `name` of a role; Vault looks for one that fits where absent.
        name: Option<String>,
        /// `ca_cert`: trusted instead of what the `vault` block names.
        ca_cert: Option<PathBuf>,
        /// `client_cert` and `client_key`; the `vault` block's where absent.
        client_certificate: Option<ClientCertificate>,
        /// `reload`: the files are read at every login, not at the first one only.
        reload: bool,
    },
    /// `userpass`: a name and a password that Vault keeps.
    Userpass(Password),
    /// `ldap`: a name and a password of a directory.
    Ldap(Password),
    /// `alicloud`: a key of Alibaba Cloud.
    AliCloud(AliCloud),
    /// `aws`: a key of AWS; the type `iam`.
    Aws(Aws),
    /// `gcp`: a token of Google Cloud for an instance or a service account.
    Gcp(Gcp),
    /// `azure`: a token of Azure for a machine or a workload.
    Azure(Azure),
}

/// The `gcp` method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gcp {
    /// `type`.
    pub of: GcpType,
    /// `role` of the auth mount.
    pub role: String,
    /// `credentials`: the key of a service account; the environment's, or the instance's own account, where absent.
    pub credentials: Option<GoogleKey>,
    /// `service_account` to log in as: its address; the key's or the instance's where absent.
    pub service_account: Option<String>,
    /// `jwt_exp`: how long the token for a login lasts, 15 min by default; whole minutes.
    pub jwt_exp: Duration,
}

/// The key of a service account: JSON as Google hands it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoogleKey {
    /// In a file, which is read again at every login.
    File(PathBuf),
    /// In the configuration.
    Text(Secret),
}

/// What a `gcp` login speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcpType {
    /// `gce`: an instance.
    Gce,
    /// `iam`: a service account.
    Iam,
}

/// The `azure` method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// `role` of the auth mount.
    pub role: String,
    /// `resource` that the token is for.
    pub resource: String,
    /// `object_id` of the managed identity, where a machine has several.
    pub object_id: Option<String>,
    /// `client_id` of the managed identity, where a machine has several.
    pub client_id: Option<String>,
    /// `scope` that the token is for where it comes from the environment: `resource` and `/.default` where absent.
    pub scope: Option<String>,
    /// `authenticate_from_environment`: the identity is what the environment names.
    pub from_environment: bool,
}

/// Who logs in, and where the password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// `username`.
    pub username: String,
    /// `password_file_path`: read again at every login.
    pub path: PathBuf,
    /// `remove_password_after_reading`, true by default.
    pub remove_after_reading: bool,
    /// `remove_password_follows_symlinks`: where `path` is a link, what it leads to is removed, not the link.
    pub remove_follows_symlinks: bool,
}

/// Where the kubelet puts a pod's service-account token.
pub const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// One `sink` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// `file`.
    File(FileSink),
    /// `socket`.
    Socket(SocketSink),
}

/// A `file` sink: a file that always holds the newest token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    /// `path`.
    pub path: PathBuf,
    /// `mode`, 0640 by default.
    pub mode: Mode,
    /// `owner` (name or id), also spelt `uid`; the process's own where absent.
    pub owner: Option<String>,
    /// `group` (name or id), also spelt `gid`; the process's own where absent.
    pub group: Option<String>,
    /// `wrap_ttl`: the file holds a wrapping token of so long a life instead.
    pub wrap_ttl: Option<Duration>,
    /// `dh_type` and what belongs to it: the file can be read by one recipient only.
    pub encryption: Option<Encryption>,
}

/// `dh_type = "curve25519"`: a Diffie–Hellman exchange with whoever wrote `dh_path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// `dh_path`: JSON with the recipient's public key.
    pub dh_path: PathBuf,
    /// `derive_key`: the shared secret goes through HKDF first.
    pub derive_key: bool,
    /// `aad` or `aad_env_var`.
    pub aad: Option<Aad>,
}

/// What is authenticated beside what is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aad {
    /// `aad`: the text itself.
    Text(String),
    /// `aad_env_var`: an environment variable that holds it when the agent starts.
    Variable(String),
}

/// A `socket` sink: a Unix socket that tells whoever connects the token, and each later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSink {
    /// `path`.
    pub path: PathBuf,
    /// `mode`, 0660 by default.
    pub mode: Mode,
    /// `owner` (name or id), also spelt `uid`; the process's own where absent.
    pub owner: Option<String>,
    /// `group` (name or id), also spelt `gid`; the process's own where absent.
    pub group: Option<String>,
}
