//! What Vault says of tokens, without the agent's own: a client that has none may ask about the one that was attached,
//! and the answer would give it away.
//!
//! Invariant: no answer to a look-up or a renewal holds the agent's own token or its accessor, whichever way of writing
//! the path, the namespace or the request led to it, nor does a wrapped one.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, Response};

use super::respond::Error;
use crate::body::{self, Body, Read};
use crate::cache::path;
use crate::token::Live;

const WRAP_TTL: HeaderName = HeaderName::from_static("x-vault-wrap-ttl");
/// The largest answer about a token: policies and metadata make up most of it.
const LIMIT: usize = 1 << 20;

/// Whether Vault's answer may hold the token. If so, it is asked for in the clear: `pod` is whether the agent's own
/// token asks.
pub(super) fn prepare(headers: &mut HeaderMap, place: &str, pod: bool) -> Result<bool, Error> {
    if !tells(place) {
        return Ok(false);
    }
    if pod && headers.contains_key(WRAP_TTL) {
        return Err(Error::WrapsOwnToken);
    }
    headers.remove(ACCEPT_ENCODING);
    Ok(true)
}

/// `auth/token/lookup…` and `auth/token/renew…`, in any namespace.
fn tells(place: &str) -> bool {
    path::segments(place).windows(2).any(|pair| match pair {
        ["token", act] => act.starts_with("lookup") || act.starts_with("renew"),
        _ => false,
    })
}

/// The answer without what belongs to these.
pub(super) async fn conceal(
    response: Response<Body>,
    own: impl Iterator<Item = Arc<Live>>,
) -> Result<Response<Body>, Error> {
    let (mut head, body) = response.into_parts();
    let Read::Whole(bytes, _) = body::read(body, LIMIT, None).await.map_err(Error::Answer)? else {
        return Err(Error::AnswerTooLarge { limit: LIMIT });
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Ok(Response::from_parts(head, Body::full(bytes)));
    };
    let mut text = text.to_owned();
    for live in own {
        for secret in [live.token.expose(), &live.accessor] {
            if !secret.is_empty() && text.contains(secret) {
                text = text.replace(secret, "");
                head.headers.remove(CONTENT_LENGTH);
            }
        }
    }
    Ok(Response::from_parts(head, Body::full(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_and_renewals_tell_of_tokens() {
        for place in [
            "auth/token/lookup",
            "auth/token/lookup-self/",
            "auth/token/lookup-accessor",
            "ns1/auth/token/renew-self",
            "auth//token/renew/",
        ] {
            assert!(tells(place), "{place}");
        }
        for place in [
            "auth/token/create",
            "auth/token/revoke-self",
            "secret/lookup",
            "token",
        ] {
            assert!(!tells(place), "{place}");
        }
    }
}
