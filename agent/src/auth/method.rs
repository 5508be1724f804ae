//! What to log in with: one module per method, each of which reads its files and says what to send.
//!
//! Invariant: no message of this module holds any part of a credential, only the paths of the files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use keyside_config::model::auto_auth::Login;
use zeroize::Zeroizing;

use super::ask::Asker;
use crate::token::Token;
use crate::vault::client::Client;
use crate::vault::{self, wire};
use crate::web;
use access_key::Environment;
use remembered::Removal;

mod access_key;
mod alicloud;
mod approle;
mod aws;
mod azure;
mod cert;
mod cloud;
mod gcp;
mod jwt;
mod kubernetes;
mod password;
mod remembered;
mod token_file;

pub(super) enum Method {
    Kubernetes(kubernetes::Kubernetes),
    Jwt(jwt::Jwt),
    AppRole(approle::AppRole),
    TokenFile(token_file::TokenFile),
    Cert(cert::Cert),
    Password(password::Password),
    AliCloud(Box<alicloud::AliCloud>),
    Aws(Box<aws::Aws>),
    Gcp(Box<gcp::Gcp>),
    Azure(Box<azure::Azure>),
}

/// What to ask Vault for a token with.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The body of a login at the method's mount.
    LogIn(wire::Body),
    /// The token is there; what Vault knows of it is asked with itself.
    LookUp(Token),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is empty")]
    Empty { path: PathBuf },
    #[error("{path} holds something that is no token")]
    NoToken { path: PathBuf },
    #[error("not sent within {within:?}")]
    Held { within: Duration },
    #[error("{doing} {path}")]
    Wrapping {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: Box<vault::error::Error>,
    },
    #[error("the wrapping token in {path} was made at {found:?}, and not at {expected:?}")]
    CreationPath {
        path: PathBuf,
        expected: String,
        found: String,
    },
    #[error("there was no secret id behind the wrapping token in {path}")]
    NoSecretId { path: PathBuf },
    #[error("find an access key of {cloud}")]
    AccessKey {
        cloud: &'static str,
        #[source]
        source: Box<access_key::Error>,
    },
    #[error(transparent)]
    Web(web::Error),
    #[error("{target} answered {status}{}{said}", if said.is_empty() { "" } else { ": " })]
    Denied {
        target: String,
        status: StatusCode,
        /// By the service, of why.
        said: String,
    },
    #[error("{place} holds no key of a service account: {what}")]
    Key { place: String, what: &'static str },
    #[error("the key of the service account does not sign")]
    Signature,
    #[error("the environment is not complete: {0}")]
    Environment(&'static str),
    #[error("use the client certificate")]
    Certificate {
        #[source]
        source: Box<vault::error::Error>,
    },
}

impl Error {
    /// What Vault, where it was asked for the credential, made of that.
    pub(super) fn vault(&self) -> Option<&vault::error::Error> {
        match self {
            Self::Wrapping { source, .. } => Some(source),
            _ => None,
        }
    }

    /// What a person may want to know.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Wrapping { source, .. } if source.retry() == vault::error::Retry::Never => Some(
                "a wrapping token opens once: this one was used, by somebody else where it was not used here, or it \
                 has ended; put a new one into the file",
            ),
            Self::CreationPath { .. } => Some(
                "somebody may have swapped the wrapping token; it was not used, and Vault's audit log has who made it",
            ),
            _ => self.vault().and_then(vault::error::Error::hint),
        }
    }
}

impl Method {
    pub(super) fn new(login: &Login) -> Self {
        match login {
            Login::Kubernetes { role, token_path } => {
                Self::Kubernetes(kubernetes::Kubernetes::new(role, token_path))
            }
            Login::Jwt {
                role,
                path,
                remove_after_reading,
                remove_follows_symlinks: follows,
            } => {
                let removal = Removal::of(*remove_after_reading, *follows);
                Self::Jwt(jwt::Jwt::new(role, path, removal))
            }
            Login::AppRole {
                role_id,
                secret_id,
                remove_secret_id_after_reading,
                secret_id_wrapping_path,
            } => Self::AppRole(approle::AppRole::new(
                role_id,
                secret_id.as_deref(),
                Removal::of(*remove_secret_id_after_reading, false),
                secret_id_wrapping_path.as_deref(),
            )),
            Login::TokenFile { path } => Self::TokenFile(token_file::TokenFile::new(path)),
            Login::Cert {
                name,
                ca_cert,
                client_certificate,
                reload,
            } => Self::Cert(cert::Cert::new(
                name.as_deref(),
                ca_cert.as_deref(),
                client_certificate.as_ref(),
                *reload,
            )),
            Login::Userpass(of) => Self::Password(password::Password::new("userpass", of)),
            Login::Ldap(of) => Self::Password(password::Password::new("ldap", of)),
            Login::AliCloud(of) => {
                let environment = Environment::of_the_process();
                Self::AliCloud(Box::new(alicloud::AliCloud::new(of, environment)))
            }
            Login::Aws(of) => {
                let environment = Environment::of_the_process();
                Self::Aws(Box::new(aws::Aws::new(of, environment)))
            }
            Login::Gcp(of) => {
                let environment = Environment::of_the_process();
                Self::Gcp(Box::new(gcp::Gcp::new(of, environment)))
            }
            Login::Azure(of) => {
                let environment = Environment::of_the_process();
                Self::Azure(Box::new(azure::Azure::new(of, environment)))
            }
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Kubernetes(_) => "kubernetes",
            Self::Jwt(_) => "jwt",
            Self::AppRole(_) => "approle",
            Self::TokenFile(_) => "token_file",
            Self::Cert(_) => "cert",
            Self::Password(method) => method.kind,
            Self::AliCloud(_) => "alicloud",
            Self::Aws(_) => "aws",
            Self::Gcp(_) => "gcp",
            Self::Azure(_) => "azure",
        }
    }

    /// Where an attempt of this method goes, below `/v1/`.
    pub(super) fn path(&self, mount: &str) -> String {
        match self {
            Self::TokenFile(_) => "auth/token/lookup-self".to_owned(),
            Self::Password(method) => method.path(mount),
            _ => format!("{mount}/login"),
        }
    }

    /// Reads the files again: what they hold rotates.
    pub(super) async fn attempt(&mut self, vault: &Asker) -> Result<Attempt, Error> {
        match self {
            Self::Kubernetes(method) => method.credential().map(Attempt::LogIn),
            Self::Jwt(method) => method.credential().map(Attempt::LogIn),
            Self::AppRole(method) => method.credential(vault).await.map(Attempt::LogIn),
            Self::TokenFile(method) => method.attempt(),
            Self::Cert(method) => method.credential(&vault.client).map(Attempt::LogIn),
            Self::Password(method) => method.credential().map(Attempt::LogIn),
            Self::AliCloud(method) => method.credential().await.map(Attempt::LogIn),
            Self::Aws(method) => method.credential().await.map(Attempt::LogIn),
            Self::Gcp(method) => method.credential().await.map(Attempt::LogIn),
            Self::Azure(method) => method.credential().await.map(Attempt::LogIn),
        }
    }

    /// Whether its files hold something else than what was sent last.
    pub(super) fn has_news(&self, common: &Client) -> bool {
        match self {
            Self::Jwt(method) => method.token.has_news(),
            Self::AppRole(method) => method.has_news(),
            Self::TokenFile(method) => method.0.has_news(),
            Self::Cert(method) => method.has_news(common),
            Self::Password(method) => method.file.has_news(),
            // Read or fetched anew whenever they are needed.
            Self::AliCloud(_)
            | Self::Aws(_)
            | Self::Azure(_)
            | Self::Gcp(_)
            | Self::Kubernetes(_) => false,
        }
    }

    /// Whether a new credential is to be used while the token of the old one is good. A secret id is for one login.
    pub(super) const fn follows_its_file(&self) -> bool {
        matches!(
            self,
            Self::Jwt(_) | Self::TokenFile(_) | Self::Cert(_) | Self::Password(_)
        )
    }

    /// Vault has accepted the last attempt.
    pub(super) fn logged_in(&mut self) {
        match self {
            Self::Jwt(method) => method.token.accepted(),
            Self::AppRole(method) => method.accepted(),
            Self::Password(method) => method.file.accepted(),
            _ => {}
        }
    }

    /// Whether a token that an earlier process left is still the one to use: the one in a file is somebody else's
    /// choice. What the other files hold is no news from now on: that process has logged in.
    pub(super) fn agrees(&mut self, token: &Token, common: &Client) -> bool {
        match self {
            Self::TokenFile(method) => {
                let given = method.attempt();
                return !matches!(given, Ok(Attempt::LookUp(given)) if given != *token);
            }
            Self::Jwt(method) => method.token.note(),
            Self::AppRole(method) => method.note(),
            // The token is bound to the certificate. Where that cannot be read, a login will say so.
            Self::Cert(method) => drop(method.credential(common)),
            Self::Password(method) => method.file.note(),
            Self::AliCloud(_)
            | Self::Aws(_)
            | Self::Azure(_)
            | Self::Gcp(_)
            | Self::Kubernetes(_) => {}
        }
        true
    }

    /// What to log in and to renew through, where that is not the agent's common client.
    pub(super) fn client(&self) -> Option<&Client> {
        match self {
            Self::Cert(method) => method.client.as_ref(),
            _ => None,
        }
    }

    /// What a person may want to know after a refused login.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Kubernetes(method) => method.hint(),
            _ => None,
        }
    }
}

/// A file's text without the white space around it, which editors and `echo` leave there.
fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    read_trimmed(path, str::trim)
}

fn read_trimmed(path: &Path, trim: fn(&str) -> &str) -> Result<Zeroizing<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let text = Zeroizing::new(text);
    let trimmed = trim(&text);
    if trimmed.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(Zeroizing::new(trimmed.to_owned()))
}

#[cfg(test)]
mod tests;
