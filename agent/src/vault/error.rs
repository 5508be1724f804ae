//! What can go wrong on the way to Vault, and what it means for whoever asked.
//!
//! Invariant: no `Display` here holds a token or any other secret of a request. What Vault says of a mistake is
//! kept, but it has passed [`super::wire::Call::redact`] first.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use keyside_lifecycle::error::chain;
use keyside_machine::breaker::Found;

/// A server that does not answer for so long counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("set up the client of Vault")]
    Tls(#[source] super::tls::Error),
    #[error("{address:?} is no address of a Vault server")]
    Address {
        address: String,
        #[source]
        source: http::Error,
    },
    #[error("the request does not fit into HTTP")]
    Request(#[source] http::Error),
    #[error("connect to {target}")]
    Connect {
        target: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{target} did not answer within {after:?}")]
    Timeout { target: String, after: Duration },
    /// The connection broke after the request, or part of it, had left. Vault may have done what it was asked.
    #[error("the connection to {target} broke before its answer was complete")]
    Transport {
        target: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{path} was answered {status}{}", said(.errors))]
    Status {
        path: String,
        status: StatusCode,
        /// What Vault wrote under `errors`, each at most a few hundred bytes.
        errors: Vec<String>,
        retry_after: Option<Duration>,
    },
    /// What a client sends, not what Vault does.
    #[error("the request's body broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing was sent: an outage is on.
    #[error("{target} is away: {found}")]
    Away {
        target: String,
        found: Absence,
        retry_after: Duration,
    },
    /// Nothing was sent: the clients of this agent have sent enough.
    #[error("this agent's clients send more than `limits.client_requests_per_second` allows")]
    Limited,
    #[error("{path} was answered with a body that is no answer of Vault")]
    Answer {
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What was found in Vault's place.
#[derive(Clone, Debug)]
pub(crate) struct Absence {
    pub(crate) how: How,
    said: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// No connection, or one that breaks.
    Unreachable,
    /// A connection, and nobody who answers.
    Silent,
    /// Sealed, a standby, or something on the way says that it is gone.
    OutOfService,
}

impl Absence {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            how: match error {
                Error::Timeout { .. } => How::Silent,
                Error::Status { .. } => How::OutOfService,
                _ => How::Unreachable,
            },
            said: chain(error).into(),
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

/// Whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Vault is away, busy, sealed or behind a broken road: what was asked may be right. Where Vault said how long
    /// to stay away, not before that.
    Later { after: Option<Duration> },
    /// Vault understood and refused. The same request will be refused again.
    Never,
}

impl Error {
    pub(crate) fn retry(&self) -> Retry {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Transport { .. }
            | Self::Answer { .. }
            | Self::Limited => Retry::Later { after: None },
            Self::Away { retry_after, .. } => Retry::Later {
                after: Some(*retry_after),
            },
            Self::Status {
                status,
                retry_after,
                ..
            } if passing(*status) => Retry::Later {
                after: *retry_after,
            },
            Self::Status { .. }
            | Self::Tls(_)
            | Self::Address { .. }
            | Self::Request(_)
            | Self::Body(_) => Retry::Never,
        }
    }

    /// What it says of the server as a whole, if anything. A request that could not wait long says nothing.
    pub(super) fn found(&self) -> Option<Found> {
        match self {
            Self::Connect { .. } | Self::Transport { .. } => Some(Found::Away { after: None }),
            Self::Timeout { after, .. } if *after >= PATIENCE => Some(Found::Away { after: None }),
            Self::Status {
                status,
                retry_after,
                ..
            } if is_absence(*status) => Some(Found::Away {
                after: *retry_after,
            }),
            Self::Status { .. } => Some(Found::There),
            _ => None,
        }
    }

    /// What it says where it is the outcome of a probe, which a Vault in service answers at once.
    pub(super) fn probed(&self) -> Found {
        match self {
            Self::Status { retry_after, .. } => Found::Away {
                after: *retry_after,
            },
            _ => Found::Away { after: None },
        }
    }

    /// What to look at, where the cause alone says too little to whoever meets it for the first time.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connect { source, .. } if chain(&**source).contains("UnknownIssuer") => Some(
                "the server's certificate comes from no CA that is trusted here: `vault.ca_cert` names one",
            ),
            Self::Status { status, errors, .. }
                if *status == StatusCode::BAD_REQUEST && errors.is_empty() =>
            {
                Some("so answers a server that expects https: see `vault.address`")
            }
            _ => None,
        }
    }
}

/// What a Vault in service does not answer, and whatever stands in front of one that is gone does.
pub(super) fn is_absence(status: StatusCode) -> bool {
    matches!(status.as_u16(), 501..=504)
}

/// Besides 5xx: 408, 429 (quota, standby), 412 (a node behind on replication), and redirects, which a standby sends
/// while the cluster elects.
fn passing(status: StatusCode) -> bool {
    status.is_server_error()
        || status.is_redirection()
        || matches!(status.as_u16(), 408 | 412 | 429)
}

fn said(errors: &[String]) -> String {
    if errors.is_empty() {
        return String::new();
    }
    format!(": {}", errors.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_to_ask_again() {
        let later = Retry::Later { after: None };
        for (status, expected) in [
            (400, Retry::Never),
            (403, Retry::Never),
            (404, Retry::Never),
            (307, later),
            (408, later),
            (412, later),
            (429, later),
            (500, later),
            (502, later),
            (503, later),
        ] {
            let error = Error::Status {
                path: "auth/token/renew-self".to_owned(),
                status: StatusCode::from_u16(status).unwrap(),
                errors: Vec::new(),
                retry_after: None,
            };
            assert_eq!(error.retry(), expected, "{status}");
        }
    }

    #[test]
    fn a_hint_is_given_where_the_cause_says_too_little() {
        let connect = |cause: &str| Error::Connect {
            target: "https://vault.test:8200".to_owned(),
            source: cause.into(),
        };
        let refused = |errors| Error::Status {
            path: "auth/jwt/login".to_owned(),
            status: StatusCode::BAD_REQUEST,
            errors,
            retry_after: None,
        };
        for (error, expected) in [
            (
                connect("invalid peer certificate: UnknownIssuer"),
                Some("vault.ca_cert"),
            ),
            (connect("connection refused"), None),
            (refused(Vec::new()), Some("vault.address")),
            (refused(vec!["missing role".to_owned()]), None),
        ] {
            let hint = error.hint();
            assert_eq!(hint.is_some(), expected.is_some(), "{error}: {hint:?}");
            let said = hint.unwrap_or_default();
            assert!(said.contains(expected.unwrap_or_default()), "{said}");
        }
    }

    #[test]
    fn what_vault_said_is_part_of_the_message() {
        let error = Error::Status {
            path: "auth/kubernetes/login".to_owned(),
            status: StatusCode::FORBIDDEN,
            errors: vec!["permission denied".to_owned()],
            retry_after: None,
        };
        assert_eq!(
            error.to_string(),
            "auth/kubernetes/login was answered 403 Forbidden: permission denied"
        );
    }
}
