//! What the methods of the clouds have in common: requests to metadata services and token endpoints, and what is told
//! of their answers.
//!
//! Invariant: what such a service says of a mistake is told without the credentials that it was sent.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Error;
use super::access_key::Environment;
use super::password::escaped;
use crate::web::{self, Web};

/// What a service says of a mistake is a line or two.
const SAID_LIMIT: usize = 300;

/// Where a service is: what the variable says, without the slash at its end.
pub(super) fn base(environment: &Environment, name: &str, default: &str) -> String {
    let base = environment.text(name);
    let base = base.as_deref().unwrap_or(default);
    base.trim_end_matches('/').to_owned()
}

/// A GET with the header without which the service does not answer.
pub(super) fn get(uri: &str, header: HeaderName, value: &str) -> Result<Request<Bytes>, Error> {
    let request = Request::get(uri).header(header, sensitive(value)?);
    request.body(Bytes::new()).map_err(unfit)
}

/// A POST of this type of content.
pub(super) fn post(
    uri: &str,
    content: &'static str,
    body: Zeroizing<String>,
) -> Result<Request<Bytes>, Error> {
    let request = Request::post(uri).header(CONTENT_TYPE, HeaderValue::from_static(content));
    request.body(Bytes::from_owner(body)).map_err(unfit)
}

/// A POST of a form (`application/x-www-form-urlencoded`).
pub(super) fn post_form(uri: &str, fields: &[(&str, &str)]) -> Result<Request<Bytes>, Error> {
    post(uri, "application/x-www-form-urlencoded", query(fields))
}

/// The value of a header that nothing prints.
pub(super) fn sensitive(value: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(value).map_err(|error| unfit(error.into()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unfit(source: http::Error) -> Error {
    Error::Web(web::Error::Request(source))
}

/// Sends, and gives the body of a success. What the service says else is told without `secrets`.
pub(super) async fn fetch(
    web: &Web,
    request: Request<Bytes>,
    secrets: &[&str],
) -> Result<Bytes, Error> {
    let target = web::target(request.uri());
    let answer = web.send(request).await.map_err(Error::Web)?;
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    Err(Error::Denied {
        target,
        status: answer.status(),
        said: said(answer.body(), secrets),
    })
}

/// As [`fetch`]: the text of one field of a JSON object.
pub(super) async fn fetch_field(
    web: &Web,
    request: Request<Bytes>,
    secrets: &[&str],
    field: &'static str,
) -> Result<Zeroizing<String>, Error> {
    let target = web::target(request.uri());
    let body = fetch(web, request, secrets).await?;
    let mut answer = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match answer.get_mut(field).map(Value::take) {
        Some(Value::String(text)) if is_sendable(&text) => Ok(Zeroizing::new(text)),
        _ => Err(lacks(target, field)),
    }
}

/// The answer was a success, and not what was asked for.
pub(super) fn lacks(target: String, expected: &'static str) -> Error {
    Error::Web(web::Error::Answer { target, expected })
}

/// Whether it may be a token: visible ASCII.
pub(super) fn is_sendable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// OAuth's `error_description` or `error`, or Google's `error.message`, on one line.
fn said(body: &[u8], secrets: &[&str]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let places = ["/error_description", "/error/message", "/error", "/message"];
    let mut found = places
        .iter()
        .filter_map(|place| answer.pointer(place)?.as_str());
    let mut said = found.next().unwrap_or_default().to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        said = said.replace(secret, "(redacted)");
    }
    let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(SAID_LIMIT).collect()
}

/// Names and values for a query or a form.
pub(super) fn query(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let mut query = Zeroizing::new(String::new());
    for (name, value) in fields {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.push_str(&escaped(value));
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_escapes_what_would_end_a_value() {
        let check = |fields: &[(&str, &str)], expected: &str| {
            assert_eq!(*query(fields), expected);
        };
        check(&[], "");
        check(&[("a", "b")], "a=b");
        check(
            &[("audience", "http://vault/r"), ("format", "full")],
            "audience=http%3A%2F%2Fvault%2Fr&format=full",
        );
        check(&[("a", "1&b=2#é +%")], "a=1%26b%3D2%23%C3%A9%20%2B%25");
    }

    #[test]
    fn a_refusal_is_told_on_one_line_and_without_what_was_sent() {
        let check = |body: &str, expected: &str| {
            assert_eq!(said(body.as_bytes(), &["s3cret", ""]), expected, "{body}");
        };
        check(
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: bad.\r\nTrace ID: 1"}"#,
            "AADSTS7000215: bad. Trace ID: 1",
        );
        check(r#"{"error":"invalid_grant"}"#, "invalid_grant");
        check(
            r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}"#,
            "Permission denied",
        );
        check(r#"{"message":"no s3cret!"}"#, "no (redacted)!");
        for nothing in [
            "",
            "<html>s3cret</html>",
            "{}",
            r#"{"error":5}"#,
            "[1]",
            "null",
        ] {
            check(nothing, "");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(1000));
        assert_eq!(said(long.as_bytes(), &[]).len(), SAID_LIMIT);
    }
}
