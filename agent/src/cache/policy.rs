//! Keep an answer or not, and why not.
//!
//! Two questions, asked at two times: before the request is sent, whether any answer to it could be kept (if not,
//! nothing is buffered), and once the answer is here, whether this one is.
//!
//! Invariant: only a created token or a dynamic credential is ever kept, and only for an identity that is known or
//! for a login. Everything else has a [`Skip`] that says why not. What looks like neither may be a secret of a KV
//! engine ([`super::kv`]).

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRAILER};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use super::path;
use crate::token::Token;

/// What the cache did with a request: the value of `X-Keyside-Cache`, and a label of `keyside_agent_cache_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Answered from the cache.
    Hit,
    /// Answered from the cache although it ends soon, because Vault could not be reached for a new one.
    Rescued,
    /// A secret, after Vault was asked whether its version is still the same.
    Revalidated,
    /// A secret that is not fresh, because Vault is away.
    Stale,
    /// A secret, because Vault answered with an older version of it.
    Newer,
    /// Answered by Vault, and kept.
    Stored,
    /// Answered with what an equal request brought at the same time.
    Shared,
    /// Answered by Vault, and not kept.
    Skip(Skip),
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    /// There is no cache.
    Off,
    /// The method creates nothing that could be kept.
    Method,
    /// The path renews, looks up, revokes or wraps; or all of `sys/`.
    Path,
    /// The path gives each answer once: callbacks, check-outs.
    OneTime,
    /// The request asks for a wrapped answer or another protocol, brings MFA or trailers, or logs in within its headers.
    Header,
    /// The request brings a credential that is no token.
    Credential,
    /// Neither an identity nor a login.
    Anonymous,
    /// The asking token may be used a limited number of times.
    LimitedAsker,
    /// The request's body is over the limit, or all that are being read are.
    RequestTooLarge,
    /// The answer is an error, a redirect, or empty.
    Status,
    /// The answer is no plain JSON.
    NotJson,
    /// The answer is over the limit, or all that are being read are.
    TooLarge,
    /// The answer could not be read as one of Vault's.
    NotVault,
    /// The answer is wrapped: its token is good for one use.
    Wrapped,
    /// The login waits for a second factor.
    Mfa,
    /// Neither a token nor a lease.
    Plain,
    /// The created token may be used a limited number of times.
    LimitedToken,
    /// The lease has no length.
    NoDuration,
    /// The bound on kept leases is reached.
    Full,
    /// Revoked while it was on its way.
    Revoked,
    /// A secret that is being written, or was a moment ago.
    Written,
    /// A version of a secret that is older than one that was seen, and was long on its way.
    Older,
    /// A version of a secret that will be deleted by itself.
    Expiring,
}

impl Decision {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Rescued => "hit-vault-away",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Newer => "hit-newer",
            Self::Stored => "stored",
            Self::Shared => "shared",
            Self::Skip(skip) => skip.label(),
        }
    }

    /// Whether the client got what an earlier or concurrent request brought.
    pub(crate) const fn is_hit(self) -> bool {
        !matches!(self, Self::Stored | Self::Skip(_))
    }
}

impl Skip {
    const fn label(self) -> &'static str {
        match self {
            Self::Off => "skip-off",
            Self::Method => "skip-method",
            Self::Path => "skip-path",
            Self::OneTime => "skip-one-time",
            Self::Header => "skip-header",
            Self::Credential => "skip-credential",
            Self::Anonymous => "skip-anonymous",
            Self::LimitedAsker => "skip-limited-asker",
            Self::RequestTooLarge => "skip-request-too-large",
            Self::Status => "skip-status",
            Self::NotJson => "skip-not-json",
            Self::TooLarge => "skip-too-large",
            Self::NotVault => "skip-not-vault",
            Self::Wrapped => "skip-wrapped",
            Self::Mfa => "skip-mfa",
            Self::Plain => "skip-plain",
            Self::LimitedToken => "skip-limited-token",
            Self::NoDuration => "skip-no-duration",
            Self::Full => "skip-full",
            Self::Revoked => "skip-revoked",
            Self::Written => "skip-written",
            Self::Older => "skip-older",
            Self::Expiring => "skip-expiring",
        }
    }
}

/// Whether an answer to this request could be kept, as far as its head tells. `path` is decoded and may start with
/// namespaces.
pub(crate) fn before(
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    max_body: usize,
) -> Result<(), Skip> {
    if !matches!(*method, Method::GET | Method::POST | Method::PUT) {
        return Err(Skip::Method);
    }
    by_path(path)?;
    by_headers(headers)?;
    if content_length(headers).is_some_and(|length| length > max_body as u64) {
        return Err(Skip::RequestTooLarge);
    }
    Ok(())
}

/// Where `login` is asked for: `auth/<mount>/login`, with a name behind it where the method has names.
pub(crate) fn is_login(path: &str) -> bool {
    let segments = path::segments(path);
    let auth = segments.iter().position(|segment| *segment == "auth");
    let login = segments.iter().rposition(|segment| *segment == "login");
    let (Some(auth), Some(login)) = (auth, login) else {
        return false;
    };
    // A role or a user may bear the name; a mount of that name comes right after `auth`.
    let collection = ["role", "roles", "user", "users", "group", "groups", "certs"];
    let named = login > auth + 2
        && segments
            .get(login - 1)
            .is_some_and(|segment| collection.contains(segment));
    auth + 1 < login && login + 2 >= segments.len() && !named
}

fn by_path(path: &str) -> Result<(), Skip> {
    let segments = path::segments(path);
    if segments.first() == Some(&"sys") {
        return Err(Skip::Path);
    }
    // Namespaces may come first, and nothing here knows which segments are some. A mount or role that bears one of
    // these names loses caching, never correctness.
    for pair in segments.windows(2) {
        match pair {
            [
                "sys",
                "leases" | "renew" | "revoke" | "revoke-prefix" | "revoke-force" | "wrapping"
                | "mfa",
            ] => {
                return Err(Skip::Path);
            }
            ["token", act]
                if ["renew", "lookup", "revoke"]
                    .iter()
                    .any(|verb| act.starts_with(verb)) =>
            {
                return Err(Skip::Path);
            }
            _ => {}
        }
    }
    let holds = |name: &str| segments.contains(&name);
    match segments.last().copied() {
        // SAML hands out its token below the mount.
        Some("callback" | "poll" | "token") if holds("auth") => Err(Skip::OneTime),
        Some("check-out") if holds("library") => Err(Skip::OneTime),
        _ => Ok(()),
    }
}

fn by_headers(headers: &HeaderMap) -> Result<(), Skip> {
    for name in headers.keys().map(http::HeaderName::as_str) {
        // `X-Vault-MFA` may be there more than once; inline authentication is a family of headers.
        if matches!(
            name,
            "x-vault-wrap-ttl" | "x-vault-wrap-format" | "x-vault-mfa" | "upgrade" | "trailer"
        ) || is_inline_auth(name)
        {
            return Err(Skip::Header);
        }
    }
    let foreign = headers
        .get_all(AUTHORIZATION)
        .iter()
        .any(|value| bearer(value.as_bytes()).is_none());
    if foreign {
        Err(Skip::Credential)
    } else {
        Ok(())
    }
}

/// Whether a header logs in for the one request that it comes with.
pub(crate) fn is_inline_auth(name: &str) -> bool {
    name.starts_with("x-vault-inline-auth")
}

/// The token of `Authorization: Bearer`, which Vault takes as it takes `X-Vault-Token`.
pub(crate) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether the answer could be kept, as far as its head tells.
pub(crate) fn head(status: StatusCode, headers: &HeaderMap, max_body: usize) -> Result<(), Skip> {
    if status != StatusCode::OK {
        return Err(Skip::Status);
    }
    let json = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().split(|byte| *byte == b';').next())
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json"));
    if !json || headers.contains_key(CONTENT_ENCODING) || headers.contains_key(TRAILER) {
        return Err(Skip::NotJson);
    }
    if content_length(headers).is_some_and(|length| length > max_body as u64) {
        return Err(Skip::TooLarge);
    }
    Ok(())
}

pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// What an answer brought into being, and how long that lasts.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) what: What,
    /// Absent: it never ends by itself.
    pub(crate) lasts: Option<Duration>,
    pub(crate) renewable: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Token {
        token: Token,
        accessor: String,
        /// It does not end with the token that made it.
        orphan: bool,
    },
    Lease {
        id: String,
    },
}

/// Whether the answer is kept, by its content.
pub(crate) fn content(body: &[u8]) -> Result<Made, Skip> {
    // A list would do for serde: it takes one as a struct's fields in order.
    let secret = serde_json::from_slice::<Secret>(body)
        .ok()
        .filter(|_| body.trim_ascii_start().starts_with(b"{"));
    let Some(secret) = secret else {
        return Err(Skip::NotVault);
    };
    if secret.wrap_info.is_some() {
        return Err(Skip::Wrapped);
    }
    match secret.auth {
        Some(auth) => token(auth),
        None => lease(secret),
    }
}

fn token(auth: Auth) -> Result<Made, Skip> {
    if auth.mfa_requirement.is_some() {
        return Err(Skip::Mfa);
    }
    if auth.num_uses != 0 {
        return Err(Skip::LimitedToken);
    }
    let token = Token::new(auth.client_token).ok_or(Skip::NotVault)?;
    Ok(Made {
        what: What::Token {
            token,
            accessor: auth.accessor,
            orphan: auth.orphan,
        },
        lasts: Some(Duration::from_secs(auth.lease_duration)).filter(|lasts| !lasts.is_zero()),
        renewable: auth.renewable,
    })
}

fn lease(secret: Secret) -> Result<Made, Skip> {
    if secret.lease_id.is_empty() {
        return Err(Skip::Plain);
    }
    // An SSH one-time password has a lease like any credential, and says what it is.
    let kind = secret.data.as_ref().and_then(|data| data.get("key_type"));
    if kind.and_then(serde_json::Value::as_str) == Some("otp") {
        return Err(Skip::OneTime);
    }
    if secret.lease_duration == 0 {
        return Err(Skip::NoDuration);
    }
    Ok(Made {
        what: What::Lease {
            id: secret.lease_id,
        },
        lasts: Some(Duration::from_secs(secret.lease_duration)),
        renewable: secret.renewable,
    })
}

/// The fields of an answer that decide. The token made with a use limit is told apart even where nothing is kept.
#[derive(Deserialize)]
pub(super) struct Secret {
    #[serde(default)]
    pub(super) lease_id: String,
    #[serde(default)]
    pub(super) lease_duration: u64,
    #[serde(default)]
    pub(super) renewable: bool,
    data: Option<serde_json::Value>,
    wrap_info: Option<serde::de::IgnoredAny>,
    pub(super) auth: Option<Auth>,
}

#[derive(Deserialize)]
pub(super) struct Auth {
    pub(super) client_token: String,
    #[serde(default)]
    pub(super) accessor: String,
    #[serde(default)]
    pub(super) lease_duration: u64,
    #[serde(default)]
    pub(super) renewable: bool,
    #[serde(default)]
    orphan: bool,
    #[serde(default)]
    num_uses: i64,
    mfa_requirement: Option<serde::de::IgnoredAny>,
}

/// The token in an answer that was not kept because its uses are counted.
pub(crate) fn limited_token(body: &[u8]) -> Option<Token> {
    let auth = serde_json::from_slice::<Secret>(body).ok()?.auth?;
    (auth.num_uses != 0)
        .then(|| Token::new(auth.client_token))
        .flatten()
}

#[cfg(test)]
mod tests;
