//! Requests that come again and again, and those that only look like them.

use http::Method;
use keyside_harness::tap::{Action, Recorded};
use serde_json::{Value, json};

use crate::lone::Lone;

const LEASE: &str = r#"{"lease_id":"bank/creds/app/1","renewable":false,"lease_duration":3600,"data":{"user":"a"}}"#;

/// Some paths give leases.
fn lends(request: &Recorded) -> Action {
    if request.path.starts_with("/v1/bank/creds/") {
        Action::json(LEASE)
    } else {
        Action::ok("{}")
    }
}

/// A request with these lines after its usual ones.
fn request(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: mine\r\nConnection: close\r\n{lines}\r\n"
    )
}

fn decision(answer: &str) -> Option<&str> {
    let line = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-keyside-cache: "));
    line.map(str::trim)
}

/// Asks for the usual thing thrice, which Vault hears of at most once.
fn repeat(lone: &Lone) -> anyhow::Result<()> {
    let usual = request("/v1/bank/creds/app", "");
    lone.say(usual.as_bytes())?;
    for _ in 0..2 {
        let before = lone.seen().len();
        let answer = lone.say(usual.as_bytes())?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert_eq!(decision(&answer), Some("hit"), "{answer}");
        assert!(answer.contains("\r\nx-cache: HIT\r\n"), "{answer}");
        assert!(answer.contains(r#""lease_duration":3"#), "{answer}");
        assert_eq!(lone.seen().len(), before);
    }
    Ok(())
}

#[test]
fn what_differs_from_a_repeated_request_is_looked_at_by_itself() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), lends)?;
    repeat(&lone)?;
    let usual = "/v1/bank/creds/app";
    for (other, expected) in [
        (request("/v1/bank/creds/apq", ""), "stored"),
        (request("/v1/bank/creds/app?a=b", ""), "stored"),
        (request(usual, "").replace("mine", "mina"), "stored"),
        (request(usual, "X-Vault-Namespace: ns1\r\n"), "stored"),
        (
            request(usual, "X-Vault-Policy-Override: true\r\n"),
            "stored",
        ),
        (request(usual, "").replace("GET", "PUT"), "stored"),
        (request(usual, "Content-Length: 2\r\n") + "{}", "stored"),
        (request(usual, "X-Vault-Wrap-TTL: 60\r\n"), "skip-header"),
        (request(usual, "X-Vault-MFA: a\r\n"), "skip-header"),
        (
            request(usual, "Authorization: Basic a\r\n"),
            "skip-credential",
        ),
        (request(usual, "").replace("GET", "LIST"), "skip-method"),
    ] {
        let answer = lone.say(other.as_bytes())?;
        assert_eq!(decision(&answer), Some(expected), "{other}\n{answer}");
        repeat(&lone)?;
    }
    for (other, status) in [
        (request(usual, "").replace("localhost", "evil.test"), "403"),
        (request(usual, "Origin: http://evil.test\r\n"), "403"),
        (request(usual, "X-Vault-Token: another\r\n"), "400"),
        (request("http://evil.test/v1/bank/creds/app", ""), "403"),
    ] {
        let before = lone.seen().len();
        let answer = lone.say(other.as_bytes())?;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{other}\n{answer}"
        );
        assert_eq!(lone.seen().len(), before, "{other}");
        repeat(&lone)?;
    }
    for same in [
        request(usual, "X-Request-Id: 7\r\n"),
        request("http://localhost/v1/bank/creds/app", ""),
        request(usual, "").replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let answer = lone.say(same.as_bytes())?;
        assert_eq!(decision(&answer), Some("hit"), "{same}\n{answer}");
    }
    Ok(())
}

#[test]
fn a_repeated_request_finds_what_the_cache_has_at_that_moment() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), lends)?;
    let usual = request("/v1/bank/creds/app", "");
    let ends: [(&str, Value); 3] = [
        (
            "/v1/sys/leases/revoke",
            json!({ "lease_id": "bank/creds/app/1" }),
        ),
        ("/v1/auth/token/revoke-self", json!({})),
        ("/agent/v1/cache-clear", json!({ "type": "all" })),
    ];
    for (path, body) in ends {
        repeat(&lone)?;
        let body = body.to_string();
        let end = request(path, &format!("Content-Length: {}\r\n", body.len()));
        let answer = lone.say((end.replace("GET", "POST") + &body).as_bytes())?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let answer = lone.say(usual.as_bytes())?;
        assert_eq!(decision(&answer), Some("stored"), "{path}");
    }
    let asked = lone.tap.count(&Method::GET, "/v1/bank/creds/app");
    assert_eq!(asked, 4);
    Ok(())
}
