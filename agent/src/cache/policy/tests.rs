use http::HeaderValue;
use http::header::HeaderName;

use super::*;

const LIMIT: usize = 1000;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

#[test]
fn paths_that_create_credentials_may_be_kept() {
    for path in [
        "database/creds/app",
        "ns1/database/creds/app",
        "database/creds/renewal-service",
        "database/creds/sys",
        "auth/approle/login",
        "auth/userpass/login/ada",
        "ns1/auth/approle/login",
        "auth/token/create",
        "auth/token/create-orphan",
        "auth/token/create/role",
        "pki/issue/web",
        "aws/sts/deploy",
        "secret/data/app",
    ] {
        assert_eq!(
            before(&Method::POST, path, &HeaderMap::new(), LIMIT),
            Ok(()),
            "{path}"
        );
    }
}

#[test]
fn paths_that_renew_look_up_revoke_or_give_once_never_are() {
    for (path, expected) in [
        ("auth/token/renew", Skip::Path),
        ("auth/token/renew/", Skip::Path),
        ("auth/token/renew-self", Skip::Path),
        ("auth/token/renew-accessor", Skip::Path),
        ("auth/token/lookup-self", Skip::Path),
        ("auth/token/lookup-accessor", Skip::Path),
        ("ns1/auth/token/revoke-self", Skip::Path),
        ("sys/leases/renew", Skip::Path),
        ("sys/renew/database/creds/app/id", Skip::Path),
        ("sys/wrapping/unwrap", Skip::Path),
        ("ns1/ns2/sys/wrapping/unwrap", Skip::Path),
        ("ns1/sys/mfa/validate", Skip::Path),
        ("sys/tools/random", Skip::Path),
        ("auth/oidc/oidc/callback", Skip::OneTime),
        ("ns1/auth/some/mount/oidc/callback/", Skip::OneTime),
        ("auth/jwt/oidc/poll", Skip::OneTime),
        ("auth/saml/token", Skip::OneTime),
        ("ad/library/team/check-out", Skip::OneTime),
        ("ldap/library/a/b/check-out", Skip::OneTime),
    ] {
        assert_eq!(
            before(&Method::GET, path, &HeaderMap::new(), LIMIT),
            Err(expected),
            "{path}"
        );
    }
}

#[test]
fn methods_and_headers_decide_too() {
    for method in ["LIST", "HEAD", "DELETE", "PATCH", "OPTIONS", "SCAN"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(
            before(&method, "a/creds/b", &HeaderMap::new(), LIMIT),
            Err(Skip::Method)
        );
    }
    for (pairs, expected) in [
        (&[("x-vault-wrap-ttl", "60s")][..], Err(Skip::Header)),
        (&[("x-vault-wrap-ttl", "")], Err(Skip::Header)),
        (&[("x-vault-mfa", "duo:1")], Err(Skip::Header)),
        (&[("x-vault-inline-auth-path", "auth/a")], Err(Skip::Header)),
        (
            &[("x-vault-inline-auth-parameter-1", "a")],
            Err(Skip::Header),
        ),
        (&[("authorization", "Negotiate abc")], Err(Skip::Credential)),
        (&[("authorization", "Basic abc")], Err(Skip::Credential)),
        (&[("content-length", "1001")], Err(Skip::RequestTooLarge)),
        (&[("content-length", "1000")], Ok(())),
        (&[("authorization", "bearer hvs.a")], Ok(())),
        (
            &[
                ("x-vault-token", "hvs.a"),
                ("traceparent", "00-1"),
                ("cache-control", "no-cache"),
            ],
            Ok(()),
        ),
    ] {
        assert_eq!(
            before(&Method::POST, "a/creds/b", &headers(pairs), LIMIT),
            expected,
            "{pairs:?}"
        );
    }
}

#[test]
fn a_login_is_told_by_its_place() {
    for (path, expected) in [
        ("auth/approle/login", true),
        ("auth/approle/login/", true),
        ("auth/userpass/login/ada", true),
        ("auth/some/mount/login", true),
        ("ns1/auth/approle/login", true),
        ("auth/role/login", true),
        ("auth/approle/role/login", false),
        ("auth/login", false),
        ("login", false),
        ("secret/data/login", false),
        ("auth/token/create", false),
        ("auth/approle/role/login/secret-id", false),
    ] {
        assert_eq!(is_login(path), expected, "{path}");
    }
}

#[test]
fn an_answers_head_decides() {
    for (status, pairs, expected) in [
        (200, &[("content-type", "application/json")][..], Ok(())),
        (
            200,
            &[("content-type", "application/json; charset=utf-8")],
            Ok(()),
        ),
        (
            200,
            &[("content-type", "text/event-stream")],
            Err(Skip::NotJson),
        ),
        (
            200,
            &[("content-type", "application/jsonl")],
            Err(Skip::NotJson),
        ),
        (200, &[], Err(Skip::NotJson)),
        (
            200,
            &[
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
            ],
            Err(Skip::NotJson),
        ),
        (
            200,
            &[
                ("content-type", "application/json"),
                ("content-length", "1001"),
            ],
            Err(Skip::TooLarge),
        ),
        (204, &[], Err(Skip::Status)),
        (
            202,
            &[("content-type", "application/json")],
            Err(Skip::Status),
        ),
        (301, &[], Err(Skip::Status)),
        (
            403,
            &[("content-type", "application/json")],
            Err(Skip::Status),
        ),
        (
            503,
            &[("content-type", "application/json")],
            Err(Skip::Status),
        ),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            head(status, &headers(pairs), LIMIT),
            expected,
            "{status} {pairs:?}"
        );
    }
}

#[test]
fn only_a_token_or_a_lease_is_kept() {
    for (body, expected) in [
        (
            r#"{"data":{"a":1},"lease_id":"","lease_duration":2764800,"auth":null}"#,
            Skip::Plain,
        ),
        (r#"{"data":{"renewable":"yes"}}"#, Skip::Plain),
        (
            r#"{"data":null,"wrap_info":{"token":"s.a"}}"#,
            Skip::Wrapped,
        ),
        (
            r#"{"lease_id":"ssh/creds/otp/x","lease_duration":60,"data":{"key_type":"otp","key":"a"}}"#,
            Skip::OneTime,
        ),
        (
            r#"{"lease_id":"a/b/c","lease_duration":0}"#,
            Skip::NoDuration,
        ),
        (
            r#"{"lease_id":"a/b/c","lease_duration":-5}"#,
            Skip::NotVault,
        ),
        (
            r#"{"lease_id":"a/b/c","lease_duration":1e400}"#,
            Skip::NotVault,
        ),
        (
            r#"{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"a"}}}"#,
            Skip::Mfa,
        ),
        (
            r#"{"auth":{"client_token":"hvs.a","num_uses":3}}"#,
            Skip::LimitedToken,
        ),
        (r#"{"auth":{"client_token":""}}"#, Skip::NotVault),
        (r"[1]", Skip::NotVault),
        ("", Skip::NotVault),
    ] {
        assert_eq!(content(body.as_bytes()).err(), Some(expected), "{body}");
    }
    assert!(limited_token(br#"{"auth":{"client_token":"hvs.a","num_uses":3}}"#).is_some());
    assert!(limited_token(br#"{"auth":{"client_token":"hvs.a","num_uses":0}}"#).is_none());
}

#[test]
fn what_was_made_and_how_long_it_lasts() {
    let lease =
        content(br#"{"lease_id":"database/creds/app/1","lease_duration":3600,"renewable":true}"#)
            .unwrap();
    assert!(matches!(lease.what, What::Lease { id } if id == "database/creds/app/1"));
    assert_eq!(
        (lease.lasts, lease.renewable),
        (Some(Duration::from_hours(1)), true)
    );
    let token = content(
        br#"{"lease_id":"","auth":{"client_token":"hvs.a","accessor":"acc","lease_duration":60,"orphan":true,
            "renewable":false,"num_uses":0,"mfa_requirement":null}}"#,
    )
    .unwrap();
    assert!(matches!(&token.what, What::Token { accessor, orphan: true, .. } if accessor == "acc"));
    assert_eq!(
        (token.lasts, token.renewable),
        (Some(Duration::from_mins(1)), false)
    );
    let endless = content(br#"{"auth":{"client_token":"root","lease_duration":0}}"#).unwrap();
    assert_eq!(endless.lasts, None);
}

#[test]
fn bearer_takes_any_case_and_nothing_else() {
    assert_eq!(bearer(b"BEARER  hvs.a "), Some(&b"hvs.a"[..]));
    assert_eq!(bearer(b"Basic abc"), None);
    assert_eq!(bearer(b"Bearer"), None);
}
