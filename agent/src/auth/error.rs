//! Why auto-auth failed, and what that means for the next attempt.

use std::time::Duration;

use http::StatusCode;
use keyside_lifecycle::error::chain;
use keyside_machine::login::Failure;

use super::method;
use crate::vault;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is nothing to log in with")]
    Credential(#[source] method::Error),
    #[error("{what} by the {method} method")]
    Vault {
        what: &'static str,
        method: &'static str,
        #[source]
        source: Box<vault::error::Error>,
    },
    #[error("{path} was answered without a token")]
    NoToken { path: String },
    #[error("the token to use has ended")]
    Ended,
    #[error("not sent within {within:?}: Vault is away, or other requests are first")]
    Held { within: Duration },
    #[error("the login failed and `exit_on_err` is set")]
    GivenUp(#[source] Box<Error>),
    #[error("register the metrics of auto-auth")]
    Metrics(#[source] prometheus::Error),
}

impl Error {
    /// What lies behind it, for whoever knows already what was tried.
    pub(super) fn cause(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), chain)
    }

    pub(super) fn is_forbidden(&self) -> bool {
        let Self::Vault { source, .. } = self else {
            return false;
        };
        matches!(&**source, vault::error::Error::Status { status, .. } if *status == StatusCode::FORBIDDEN)
    }

    /// Of a look-up: a token is dead where Vault says so, and not where something else is wrong.
    pub(super) fn look_up_failure(&self) -> Failure {
        match self.failure() {
            Failure::Refused if self.is_forbidden() || matches!(self, Self::Ended) => {
                Failure::Refused
            }
            failure @ (Failure::Away { .. } | Failure::Held) => failure,
            Failure::Refused | Failure::NoCredential => Failure::Away { after: None },
        }
    }

    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Credential(error) => error.vault().map_or(Failure::NoCredential, answered),
            Self::Vault { source, .. } => answered(source),
            Self::Held { .. } => Failure::Held,
            Self::NoToken { .. } | Self::Ended | Self::GivenUp(_) | Self::Metrics(_) => {
                Failure::Refused
            }
        }
    }
}

/// What it means that Vault was asked and did not do it.
fn answered(error: &vault::error::Error) -> Failure {
    match error.retry() {
        vault::error::Retry::Never => Failure::Refused,
        vault::error::Retry::Later { after } => Failure::Away { after },
    }
}

/// A kubernetes mount answers 403 and no more; a jwt mount answers 400 and says what is wrong.
pub(super) fn is_about_audience(error: &vault::error::Error) -> bool {
    let vault::error::Error::Status { status, errors, .. } = error else {
        return false;
    };
    *status == http::StatusCode::FORBIDDEN || errors.iter().any(|text| text.contains("audience"))
}
