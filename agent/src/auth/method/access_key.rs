//! An access key of a cloud: what AWS and Alibaba Cloud sign requests with; and how it is found.
//!
//! Invariant: neither `Debug` nor a message shows a secret or a token. The id of a key is no secret.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use keyside_config::model::access_key;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::clock::Moment;
use crate::web::{self, Web};

/// Metadata services show the next key five minutes before the end of the last one.
const MARGIN: Duration = Duration::from_mins(5);
/// They are one hop away. Where there is none, or it is fenced off, nothing answers at all.
const METADATA_LIMIT: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
    /// Belongs to a temporary key.
    pub(super) token: Option<Zeroizing<String>>,
    /// When it ends, where that was said.
    pub(super) until: Option<Moment>,
}

impl AccessKey {
    /// White space around the values is an editor's, or a Secret's.
    pub(super) fn new(id: &str, secret: &str, token: Option<&str>) -> Self {
        let token = token.map(str::trim).filter(|token| !token.is_empty());
        Self {
            id: id.trim().to_owned(),
            secret: Zeroizing::new(secret.trim().to_owned()),
            token: token.map(|token| Zeroizing::new(token.to_owned())),
            until: None,
        }
    }

    pub(super) fn configured(key: &access_key::AccessKey) -> Self {
        Self::new(
            &key.id,
            &key.secret.0,
            key.token.as_ref().map(|token| token.0.as_str()),
        )
    }

    /// The one in these variables, if both halves are set.
    pub(super) fn variables(
        environment: &Environment,
        [id, secret, token]: [&'static str; 3],
    ) -> Result<Option<Self>, Error> {
        let value = |name| environment.text(name);
        match (value(id), value(secret)) {
            (Some(id), Some(secret)) => Ok(Some(Self::new(&id, &secret, value(token).as_deref()))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Error::Half(id, secret)),
            (None, Some(_)) => Err(Error::Half(secret, id)),
        }
    }

    /// The one in what a metadata service answers; each cloud has its own names for the secret and the token.
    fn answered(answer: &Value, [secret, token]: [&str; 2]) -> Option<Self> {
        let text = |name| answer.get(name).and_then(Value::as_str);
        let mut key = Self::new(text("AccessKeyId")?, text(secret)?, text(token));
        key.until = text("Expiration").and_then(Moment::parse);
        (!key.id.is_empty() && !key.secret.is_empty()).then_some(key)
    }

    /// Whether it lives long enough to be used once more without asking for another.
    pub(super) fn lasts(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now.plus(MARGIN) < until)
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({})", self.id)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("there is no access key: none is configured, {0}")]
    None(&'static str),
    #[error("{0} is set and {1} is not; set both or neither")]
    Half(&'static str, &'static str),
    #[error("{name} {wrong}")]
    Variable {
        name: &'static str,
        wrong: &'static str,
    },
    #[error(transparent)]
    File(Box<super::Error>),
    #[error("{path} {wrong}")]
    Content { path: PathBuf, wrong: String },
    #[error(transparent)]
    Web(#[from] web::Error),
    #[error("ask {target}")]
    Request {
        target: String,
        #[source]
        source: http::Error,
    },
    #[error("{target} did not answer within {METADATA_LIMIT:?}{hint}")]
    Silent { target: String, hint: &'static str },
    #[error("{target} answered {status}{said}")]
    Refused {
        target: String,
        status: http::StatusCode,
        said: String,
    },
}

impl Error {
    pub(super) fn no_key(target: String) -> Self {
        let expected = "an access key";
        Self::Web(web::Error::Answer { target, expected })
    }
}

impl From<super::Error> for Error {
    fn from(error: super::Error) -> Self {
        Self::File(Box::new(error))
    }
}

/// The variables of the process; a map in tests.
#[derive(Clone)]
pub(super) struct Environment(Arc<Variables>);

type Variables = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    pub(super) fn of_the_process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&'static str, &str)]) -> Self {
        let owned = variables
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let map: std::collections::HashMap<_, _> = owned.collect();
        Self(Arc::new(move |name| map.get(name).cloned()))
    }

    /// The value, where it is more than white space.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let value = (self.0)(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }
}

/// A request without a body.
pub(super) fn request(
    method: http::Method,
    uri: Uri,
    headers: &[(&str, &str)],
) -> Result<Request<Bytes>, Error> {
    let target = web::target(&uri);
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Bytes::new());
    request.map_err(|source| Error::Request { target, source })
}

/// The address that a variable names, and what is asked there.
pub(super) fn address(name: &'static str, base: &str, path: &str) -> Result<Uri, Error> {
    let whole = match path {
        "" => base.to_owned(),
        path => format!("{}{path}", base.trim_end_matches('/')),
    };
    let is_web = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    let uri = whole.parse().ok().filter(is_web);
    uri.ok_or(Error::Variable {
        name,
        wrong: "is no address; write one as in http://host:port",
    })
}

/// Asks a metadata service, which answers at once or not at all.
pub(super) async fn ask(
    web: &Web,
    request: Request<Bytes>,
    hint: &'static str,
) -> Result<Bytes, Error> {
    let target = web::target(request.uri());
    let answered = tokio::time::timeout(METADATA_LIMIT, web.fetch(request)).await;
    let silent = |_elapsed| Error::Silent { target, hint };
    Ok(answered.map_err(silent)??)
}

/// The key in the JSON that a metadata service answers.
pub(super) async fn ask_for_key(
    web: &Web,
    request: Request<Bytes>,
    names: [&str; 2],
    hint: &'static str,
) -> Result<AccessKey, Error> {
    let target = web::target(request.uri());
    let answer = Zeroizing::new(ask(web, request, hint).await?.to_vec());
    let answer = serde_json::from_slice(&answer).unwrap_or(Value::Null);
    AccessKey::answered(&answer, names).ok_or_else(|| Error::no_key(target))
}

#[cfg(test)]
mod tests;
