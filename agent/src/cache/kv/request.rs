//! Requests that may read a secret of a KV engine.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, Response};

use crate::body::Body;
use crate::cache::key::Key;
use crate::cache::path;
use crate::vault;

/// An answer on its way.
pub(crate) type Asking =
    Pin<Box<dyn Future<Output = Result<Response<Body>, vault::error::Error>> + Send>>;

/// Asks Vault for another path below `/v1/`, as the client that asks for the secret.
pub(crate) type Beside = Arc<dyn Fn(&str) -> Asking + Send + Sync>;

/// Headers that ask for what is newest, by Vault's ways to say so.
const CONSISTENT: [&str; 3] = ["x-vault-index", "x-vault-inconsistent", "x-vault-forward"];

/// Which version is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Latest,
    Number(u64),
}

/// What such a request has beside what all have.
#[derive(Clone)]
pub(crate) struct Reading {
    /// Without the identity.
    pub(crate) key: Key,
    /// The path below `/v1/` as it was sent.
    pub(crate) raw: String,
    pub(crate) version: Wanted,
    /// The client wants what Vault has now.
    pub(crate) forced: bool,
    pub(crate) beside: Beside,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("key", &self.key)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Whether no secret of a KV engine can be there: what Vault mounts by itself, and is asked for often.
pub(crate) fn is_elsewhere(place: &str) -> bool {
    let first = place.split('/').next().unwrap_or_default();
    ["auth", "sys", "identity", "cubbyhole"].contains(&first)
}

/// Which version is asked for, where the request may read a secret at all.
pub(crate) fn version(place: &str, query: Option<&str>) -> Option<Wanted> {
    if is_elsewhere(place) || place.ends_with('/') || path::segments(place).len() < 2 {
        return None;
    }
    match query {
        None | Some("") => Some(Wanted::Latest),
        Some(query) => {
            let number = query.strip_prefix("version=")?;
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse().ok().filter(|_| is_number)?;
            Some(match number {
                0 => Wanted::Latest,
                number => Wanted::Number(number),
            })
        }
    }
}

/// Whether the client wants what Vault has now, and nothing kept.
pub(crate) fn is_forced(headers: &HeaderMap) -> bool {
    let asks = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default().to_ascii_lowercase();
        value.contains("no-cache") || value.contains("no-store")
    };
    CONSISTENT.iter().any(|name| headers.contains_key(*name))
        || headers.get_all(CACHE_CONTROL).iter().any(asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_asks_for_a_version() {
        for (place, query, expected) in [
            ("kv/app", None, Some(Wanted::Latest)),
            ("kv/data/app", Some(""), Some(Wanted::Latest)),
            ("kv/data/app", Some("version=0"), Some(Wanted::Latest)),
            ("kv/data/app", Some("version=7"), Some(Wanted::Number(7))),
            ("kv/data/app", Some("version="), None),
            ("kv/data/app", Some("version=+7"), None),
            ("kv/data/app", Some("version=7&list=true"), None),
            ("kv/data/app", Some("list=true"), None),
            ("kv/data/", None, None),
            ("kv", None, None),
            ("sys/mounts", None, None),
            ("auth/token/lookup-self", None, None),
            ("cubbyhole/a", None, None),
            ("identity/entity/id/x", None, None),
        ] {
            assert_eq!(version(place, query), expected, "{place} {query:?}");
        }
    }

    #[test]
    fn a_client_can_ask_for_what_is_newest() {
        for (name, value, expected) in [
            ("cache-control", "max-age=0, No-Cache", true),
            ("cache-control", "no-store", true),
            ("cache-control", "max-age=60", false),
            ("x-vault-index", "abc", true),
            ("x-vault-inconsistent", "forward-active-node", true),
            ("x-vault-forward", "active-node", true),
            ("x-vault-request", "true", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(is_forced(&headers), expected, "{name}: {value}");
        }
    }
}
