//! What `cache-clear` is asked to drop, in the form that Vault Agent takes.

use serde::Deserialize;

use super::path;

/// What to drop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Clear {
    All,
    /// Everything asked for at this path (namespace and path as one) or below it.
    Place(String),
    /// A token, and everything made with it.
    Token(String),
    Accessor(String),
    Lease(String),
}

/// What is wrong with the request. The values are not repeated: one of them may be a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "the body is no JSON object like {{\"type\": \"request_path\", \"value\": \"/v1/database/creds/app\"}}"
    )]
    Body,
    #[error("\"type\" is missing; it is one of all, request_path, token, token_accessor, lease")]
    NoType,
    #[error("\"type\" is not one of all, request_path, token, token_accessor, lease")]
    UnknownType,
    #[error("\"value\" is missing: {0}")]
    NoValue(&'static str),
    #[error("\"value\" is no path that starts with /v1/")]
    NoPath,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    namespace: String,
}

/// Reads the body of `POST /agent/v1/cache-clear`.
pub(crate) fn read(body: &[u8]) -> Result<Clear, Error> {
    // A list would do for serde: it takes one as a struct's fields in order.
    let request = serde_json::from_slice::<Request>(body)
        .ok()
        .filter(|_| body.trim_ascii_start().starts_with(b"{"));
    let request = request.ok_or(Error::Body)?;
    let value = |what| {
        Some(request.value.clone())
            .filter(|value| !value.is_empty())
            .ok_or(Error::NoValue(what))
    };
    match request.r#type.as_str() {
        "all" => Ok(Clear::All),
        "request_path" => place(&request.namespace, &value("the path, with /v1/ in front")?),
        "token" => Ok(Clear::Token(value("the token")?)),
        "token_accessor" => Ok(Clear::Accessor(value("the token's accessor")?)),
        "lease" => Ok(Clear::Lease(value("the lease id")?)),
        "" => Err(Error::NoType),
        _ => Err(Error::UnknownType),
    }
}

fn place(namespace: &str, value: &str) -> Result<Clear, Error> {
    let below = value
        .strip_prefix(path::API)
        .or((value == "/v1").then_some(""))
        .ok_or(Error::NoPath)?;
    let joined = path::join(namespace, below);
    let decoded = path::Path::read(&joined)
        .map_or_else(|_odd| joined.clone(), |path| path.decoded.into_owned());
    Ok(Clear::Place(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing_and_reads_what_is_there() {
        let place = |text: &str| Ok(Clear::Place(text.to_owned()));
        for (body, expected) in [
            ("", Err(Error::Body)),
            ("[]", Err(Error::Body)),
            ("{}", Err(Error::NoType)),
            (r#"{"type":"leases"}"#, Err(Error::UnknownType)),
            (r#"{"type":7}"#, Err(Error::Body)),
            (r#"{"type":"token"}"#, Err(Error::NoValue("the token"))),
            (
                r#"{"type":"token_accessor","value":""}"#,
                Err(Error::NoValue("the token's accessor")),
            ),
            (r#"{"type":"lease"}"#, Err(Error::NoValue("the lease id"))),
            (
                r#"{"type":"request_path"}"#,
                Err(Error::NoValue("the path, with /v1/ in front")),
            ),
            (
                r#"{"type":"request_path","value":"secret/a"}"#,
                Err(Error::NoPath),
            ),
            (r#"{"type":"all","extra":1}"#, Ok(Clear::All)),
            (
                r#"{"type":"token","value":"hvs.a"}"#,
                Ok(Clear::Token("hvs.a".to_owned())),
            ),
            (r#"{"type":"request_path","value":"/v1/a/b"}"#, place("a/b")),
            (
                r#"{"type":"request_path","value":"/v1/a/%62","namespace":"ns1/"}"#,
                place("ns1/a/b"),
            ),
            (
                r#"{"type":"request_path","value":"/v1/ns1/a/b","namespace":"root"}"#,
                place("ns1/a/b"),
            ),
            (r#"{"type":"request_path","value":"/v1/"}"#, place("")),
        ] {
            assert_eq!(read(body.as_bytes()), expected, "{body}");
        }
    }
}
