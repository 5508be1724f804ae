//! The proxy's own answers. What Vault answers passes as it is; these have its shape, and say whose fault it was.
//!
//! Invariant: the text names cause and target, never a header, a body or a token.

use std::time::Duration;

use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use keyside_lifecycle::error;
use serde_json::json;

use super::guard::Refusal;
use crate::admin::control;
use crate::body::{self, Body};
use crate::cache;
use crate::cache::{path, revocation};
use crate::connection::Silence;
use crate::vault;
use crate::vault::error::How;

/// Where nothing says when.
const SOON: Duration = Duration::from_secs(1);

/// Why the proxy answers by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Path(#[from] path::Error),
    #[error(transparent)]
    Control(#[from] control::Error),
    #[error(transparent)]
    Revocation(#[from] revocation::Unreadable),
    #[error("no such path here: /v1/ leads to Vault, but not on a `metrics_only` listener")]
    NotFound,
    #[error("use {0}")]
    Method(&'static str),
    #[error("this format of metrics is not known; there is `prometheus`")]
    Format,
    /// Only of what must be read to know what it does.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the answer about a token is larger than {limit} bytes")]
    AnswerTooLarge { limit: usize },
    #[error("the answer's body broke off")]
    Answer(#[source] body::Cause),
    #[error("the agent's own token is not given out: ask without X-Vault-Wrap-TTL")]
    WrapsOwnToken,
    #[error("the request's body broke off")]
    Body(#[source] body::Cause),
    #[error("auto-auth has not logged in yet, and this request brings no token")]
    NoToken { retry_after: Duration },
    #[error(transparent)]
    Vault(vault::error::Error),
    /// Shared by all who waited for the same.
    #[error(transparent)]
    Cache(std::sync::Arc<cache::Error>),
    #[error("the task that asked Vault is gone")]
    Lost,
}

impl Error {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refused(refusal),
            Self::Body(_)
            | Self::Vault(vault::error::Error::Body(_))
            | Self::Control(control::Error::Body(_))
                if self.is_silence() =>
            {
                StatusCode::REQUEST_TIMEOUT
            }
            Self::Path(_)
            | Self::Revocation(_)
            | Self::Body(_)
            | Self::Vault(vault::error::Error::Body(_))
            | Self::Format => StatusCode::BAD_REQUEST,
            Self::Control(error) => controlled(error),
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrapsOwnToken => StatusCode::FORBIDDEN,
            Self::AnswerTooLarge { .. } | Self::Answer(_) => StatusCode::BAD_GATEWAY,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoToken { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Vault(error) => asked(error),
            Self::Cache(error) => match &**error {
                cache::Error::Ask(error) => asked(error),
                cache::Error::Body(_) => StatusCode::BAD_GATEWAY,
                cache::Error::Slow(_) => StatusCode::GATEWAY_TIMEOUT,
            },
            Self::Lost => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether Vault could not be asked, or did not answer in time.
    pub(crate) fn is_upstream(&self) -> bool {
        matches!(self, Self::Vault(_) | Self::Cache(_))
    }

    fn is_silence(&self) -> bool {
        Silence::caused(self)
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let text = json!({ "errors": [error::chain(self)] }).to_string();
        let mut response = Response::new(Body::full(text));
        let status = self.status();
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = self.retry_after() {
            let seconds = after.as_millis().div_ceil(1000);
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)),
            );
        }
        if status == StatusCode::REQUEST_TIMEOUT {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::Method(methods) = self {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        response
    }

    /// When it may be worth the client's while to ask again. Never the same for all who were told so.
    fn retry_after(&self) -> Option<Duration> {
        match self.upstream() {
            Some(vault::error::Error::Away { retry_after, .. }) => Some(*retry_after),
            Some(vault::error::Error::Body(_)) => None,
            Some(_) => Some(SOON.mul_f64(1.0 + 2.0 * fastrand::f64())),
            None => match self {
                Self::NoToken { retry_after } => Some(*retry_after),
                Self::Cache(_) => Some(SOON),
                _ => None,
            },
        }
    }

    fn upstream(&self) -> Option<&vault::error::Error> {
        match self {
            Self::Vault(error) => Some(error),
            Self::Cache(error) => match &**error {
                cache::Error::Ask(error) => Some(error),
                cache::Error::Body(_) | cache::Error::Slow(_) => None,
            },
            _ => None,
        }
    }
}

fn controlled(error: &control::Error) -> StatusCode {
    match error {
        control::Error::NoCache | control::Error::Body(_) | control::Error::Clear(_) => {
            StatusCode::BAD_REQUEST
        }
        control::Error::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        control::Error::Metrics(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn refused(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NoRequestHeader => StatusCode::PRECONDITION_FAILED,
        Refusal::ForeignHost | Refusal::Forwarded(_) => StatusCode::FORBIDDEN,
        Refusal::NoHost | Refusal::Repeated(_) => StatusCode::BAD_REQUEST,
        Refusal::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
}

/// 504 where Vault was silent, 503 where it is out of service; 429, as by a quota of Vault's, where it was spared; 502 where it, or something on the way, could not be
/// talked to.
fn asked(error: &vault::error::Error) -> StatusCode {
    match error {
        vault::error::Error::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        vault::error::Error::Away { found, .. } => match found.how {
            How::Silent => StatusCode::GATEWAY_TIMEOUT,
            How::OutOfService => StatusCode::SERVICE_UNAVAILABLE,
            How::Unreachable => StatusCode::BAD_GATEWAY,
        },
        vault::error::Error::Limited => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn errors_have_vaults_shape_and_say_whose_fault_it_was() {
        let connect = || vault::error::Error::Connect {
            target: "https://vault.test:8200".to_owned(),
            source: "connection refused".into(),
        };
        let silent = vault::error::Error::Timeout {
            target: "https://vault.test:8200".to_owned(),
            after: Duration::from_secs(9),
        };
        for (error, status, text) in [
            (
                Error::Vault(connect()),
                502,
                "connect to https://vault.test:8200: connection refused",
            ),
            (
                Error::Cache(std::sync::Arc::new(cache::Error::Ask(connect()))),
                502,
                "ask Vault: connect to https://vault.test:8200: connection refused",
            ),
            (
                Error::Vault(silent),
                504,
                "https://vault.test:8200 did not answer within 9s",
            ),
            (
                Error::Control(control::Error::Clear(cache::clear::Error::NoValue(
                    "the token",
                ))),
                400,
                "\"value\" is missing: the token",
            ),
            (
                Error::BodyTooLarge { limit: 7 },
                413,
                "the body is larger than 7 bytes",
            ),
        ] {
            let response = error.response();
            assert_eq!(response.status().as_u16(), status, "{error}");
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, json!({ "errors": [text] }).to_string());
        }
    }

    #[test]
    fn what_failed_upstream_says_when_to_come_back() {
        let error = Error::Vault(vault::error::Error::Timeout {
            target: String::new(),
            after: Duration::from_secs(9),
        });
        let after = |response: &Response<Body>| {
            let after = response.headers()[RETRY_AFTER].to_str().unwrap();
            after.parse::<u64>().unwrap()
        };
        let told: Vec<_> = (0..50).map(|_| after(&error.response())).collect();
        assert!(
            told.iter().all(|seconds| (1..=3).contains(seconds)),
            "{told:?}"
        );
        assert!(told.iter().any(|other| *other != told[0]));
    }

    #[test]
    fn a_missing_token_says_when_to_come_back() {
        let error = Error::NoToken {
            retry_after: Duration::from_secs(1),
        };
        assert_eq!(error.response().headers()[RETRY_AFTER], "1");
    }
}
