//! What to log in with: one module per method, each of which reads its files and says what to send.
//!
//! Invariant: no message of this module holds any part of a credential, only the paths of the files.

use std::io;
use std::path::{Path, PathBuf};

use keyside_config::model::auto_auth::Login;
use zeroize::Zeroizing;

use crate::token::Token;
use crate::vault::client::Client;
use crate::vault::{self, wire};

mod approle;
mod cert;
mod jwt;
mod kubernetes;
mod password;
mod token_file;

pub(super) enum Method {
    Kubernetes(kubernetes::Kubernetes),
    Jwt(jwt::Jwt),
    AppRole(approle::AppRole),
    TokenFile(token_file::TokenFile),
    Cert(cert::Cert),
    Password(password::Password),
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
    #[error("use the client certificate")]
    Certificate {
        #[source]
        source: Box<vault::error::Error>,
    },
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
            } => Self::Jwt(jwt::Jwt::new(role, path, *remove_after_reading)),
            Login::AppRole {
                role_id,
                secret_id,
                remove_secret_id_after_reading,
            } => Self::AppRole(approle::AppRole::new(
                role_id,
                secret_id.as_deref(),
                *remove_secret_id_after_reading,
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
        }
    }

    /// Where an attempt of this method goes, below `/v1/`.
    pub(super) fn path(&self, mount: &str) -> String {
        match self {
            Self::TokenFile(_) => "auth/token/lookup-self".to_owned(),
            Self::Password(method) => method.path(mount),
            Self::Kubernetes(_) | Self::Jwt(_) | Self::AppRole(_) | Self::Cert(_) => {
                format!("{mount}/login")
            }
        }
    }

    /// Reads the files again: what they hold rotates.
    pub(super) fn attempt(&mut self, common: &Client) -> Result<Attempt, Error> {
        match self {
            Self::Kubernetes(method) => method.credential().map(Attempt::LogIn),
            Self::Jwt(method) => method.credential().map(Attempt::LogIn),
            Self::AppRole(method) => method.credential().map(Attempt::LogIn),
            Self::TokenFile(method) => method.attempt(),
            Self::Cert(method) => method.credential(common).map(Attempt::LogIn),
            Self::Password(method) => method.credential().map(Attempt::LogIn),
        }
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

/// A file that may be gone after the first reading: the last value that it held still counts.
struct Remembered {
    path: PathBuf,
    remove: bool,
    trim: fn(&str) -> &str,
    removal_failed: bool,
    last: Option<Zeroizing<String>>,
}

impl Remembered {
    fn new(path: &Path, remove: bool) -> Self {
        Self {
            path: path.to_owned(),
            remove,
            trim: str::trim,
            removal_failed: false,
            last: None,
        }
    }

    fn read(&mut self) -> Result<&str, Error> {
        match (read_trimmed(&self.path, self.trim), &self.last) {
            (Ok(text), _) => {
                self.last = Some(text);
                self.remove();
            }
            (Err(error), None) => return Err(error),
            // Gone, or emptied: it has been read before.
            (Err(_), Some(_)) => {}
        }
        Ok(self.last.as_ref().map_or("", |text| text.as_str()))
    }

    /// Where the folder is read-only the file stays: worth one line, not one for each login.
    fn remove(&mut self) {
        if !self.remove {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path)
            && !std::mem::replace(&mut self.removal_failed, true)
        {
            tracing::warn!(
                event = "credential_not_removed",
                path = %self.path.display(),
                %error,
                "the credential stays where it was read"
            );
        }
    }
}

#[cfg(test)]
mod tests;
