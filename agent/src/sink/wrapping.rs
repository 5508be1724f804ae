//! A wrapping token that stands for the token, for whoever unwraps it first.

use http::Method;
use serde_json::json;
use tokio::time::Duration;
use zeroize::Zeroizing;

use crate::token::Token;
use crate::vault;
use crate::vault::client::Client;
use crate::vault::gate::Reason;
use crate::vault::wire::{Body, Call};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("wrap the token")]
    Call(#[source] vault::error::Error),
    #[error("the answer to sys/wrapping/wrap is not wrapped")]
    NotWrapped,
    #[error("write the answer to sys/wrapping/wrap")]
    Write(#[source] serde_json::Error),
}

impl Error {
    /// How long Vault asked to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(vault::error::Error::Status { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

pub(crate) struct Wrapping {
    client: Client,
    namespace: Option<String>,
    ttl: Duration,
}

impl Wrapping {
    pub(crate) fn new(client: Client, namespace: Option<&str>, ttl: Duration) -> Self {
        Self {
            client,
            namespace: namespace.map(str::to_owned),
            ttl,
        }
    }

    /// What Vault says of the wrapping token, as a line of JSON.
    pub(crate) async fn wrap(&self, token: &Token) -> Result<Zeroizing<Vec<u8>>, Error> {
        let call = Call {
            method: Method::PUT,
            path: "sys/wrapping/wrap",
            namespace: self.namespace.as_deref(),
            token: Some(token),
            body: Some(Body(json!({ "token": token.expose() }))),
            wrap_ttl: Some(self.ttl),
        };
        let wrapped = self.client.call(Reason::Wrap, call).await;
        let info = wrapped.map_err(Error::Call)?.wrap_info;
        let info = info.filter(|info| info.token.is_some());
        let info = info.ok_or(Error::NotWrapped)?;
        let mut text = Zeroizing::new(serde_json::to_vec(&info).map_err(Error::Write)?);
        text.push(b'\n');
        Ok(text)
    }
}
