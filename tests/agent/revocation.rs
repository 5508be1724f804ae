//! A credential that was revoked through the proxy is not served again, whatever form the revocation had.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::web;
use serde_json::{Value, json};

use crate::bank::{self, Bank, CREDENTIALS, Credential};
use crate::world::Agent;

/// A client that logged in through the proxy, and a credential that it got there.
struct Session {
    token: String,
    accessor: String,
    credential: Credential,
}

/// What names the session to be revoked.
type Body = fn(&Session) -> Value;
/// The path that revokes a lease.
type Path = fn(&str) -> String;
type Both = fn(&str) -> (String, Value);

struct Case {
    bank: Bank,
    login: Value,
    proxy: web::Client,
    agent: Agent,
}

impl Case {
    fn new() -> anyhow::Result<Self> {
        let bank = Bank::lasting()?;
        let login = bank.approle()?;
        let (agent, proxy) = bank::open(&bank.world)?;
        Ok(Self {
            bank,
            login,
            proxy,
            agent,
        })
    }

    fn session(&self) -> anyhow::Result<Session> {
        let bank::Login { token, accessor } = bank::log_in(&self.proxy, &self.login)?;
        Ok(Session {
            credential: bank::borrow(&self.proxy.clone().with_token(&token)?)?,
            accessor,
            token,
        })
    }

    /// Sends a revocation with the pod's own token.
    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Response<Bytes>> {
        let method = Method::from_bytes(method.as_bytes())?;
        self.proxy.send(web::request(method, path, body)?)
    }
}

#[test]
fn every_form_of_revoking_a_token_ends_it_and_its_leases() -> anyhow::Result<()> {
    let case = Case::new()?;
    // OpenBao lets only root revoke by a prefix below `auth`.
    let root = case.bank.world.server.root().token();
    let operator = case.proxy.clone().with_token(root)?;
    let forms: [(&str, &str, Body); 6] = [
        (
            "POST",
            "auth/token/revoke",
            |session| json!({ "token": session.token }),
        ),
        (
            "PUT",
            "auth/token/revoke",
            |session| json!({ "token": session.token }),
        ),
        (
            "POST",
            "auth/token/revoke-accessor",
            |session| json!({ "accessor": session.accessor }),
        ),
        (
            "PUT",
            "auth/token/revoke-orphan",
            |session| json!({ "token": session.token }),
        ),
        ("PUT", "sys/leases/revoke-prefix/auth/approle/login", |_| {
            json!({})
        }),
        (
            "POST",
            "auth/token/%72evoke",
            |session| json!({ "token": session.token }),
        ),
    ];
    for (method, path, body) in forms {
        let before = case.session()?;
        assert!(
            case.session()?.credential.hit,
            "{path}: kept until it is revoked"
        );
        let method = Method::from_bytes(method.as_bytes())?;
        let revoked = web::request(method.clone(), &format!("/v1/{path}"), Some(&body(&before)))?;
        let revoked = operator.send(revoked)?;
        assert!(
            revoked.status().is_success(),
            "{method} {path}: {revoked:?}"
        );
        let as_before = case
            .proxy
            .clone()
            .with_token(&before.token)?
            .get(CREDENTIALS)?;
        assert_eq!(as_before.status(), StatusCode::FORBIDDEN, "{method} {path}");
        let after = case.session()?;
        assert_ne!(after.token, before.token, "{method} {path}");
        assert_ne!(
            after.credential.user, before.credential.user,
            "{method} {path}"
        );
    }
    Ok(())
}

/// OpenBao takes the first JSON value, and does not look at what follows it.
#[test]
fn a_revocation_that_cannot_be_read_does_not_reach_vault() -> anyhow::Result<()> {
    let case = Case::new()?;
    let before = bank::borrow(&case.proxy)?;
    for rest in ["{}", " x"] {
        let body = json!({ "lease_id": before.lease, "sync": true }).to_string() + rest;
        let request = Request::put("/v1/sys/leases/revoke").body(Bytes::from(body))?;
        let refused = case.proxy.send(request)?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{rest:?}");
    }
    assert!(bank::borrow(&case.proxy)?.hit);
    assert!(case.bank.knows(&before.lease)?);
    Ok(())
}

#[test]
fn revoking_oneself_ends_it_too() -> anyhow::Result<()> {
    let case = Case::new()?;
    for authorization in ["x-vault-token", "authorization"] {
        let before = case.session()?;
        let value = if authorization == "authorization" {
            format!("Bearer {}", before.token)
        } else {
            before.token.clone()
        };
        let client = case.proxy.clone().with_header(authorization, &value)?;
        let revoked = client.post("/v1/auth/token/revoke-self", &json!({}))?;
        assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
        assert_eq!(client.get(CREDENTIALS)?.status(), StatusCode::FORBIDDEN);
        assert_ne!(case.session()?.token, before.token, "{authorization}");
    }
    Ok(())
}

#[test]
fn an_accessor_names_tokens_from_elsewhere_too() -> anyhow::Result<()> {
    let case = Case::new()?;
    let root = case.bank.world.server.root();
    let operator = case.proxy.clone().with_token(root.token())?;
    let created = json!({ "policies": ["bank"], "ttl": "1h" });
    let created = root.request(Method::POST, "auth/token/create", Some(&created))?;
    let created = web::success(&created)?;
    let text = |pointer: &str| created.pointer(pointer).and_then(Value::as_str).unwrap();
    // Not through the proxy, which does not tell it.
    let own = case.bank.world.server.client(&case.bank.world.sink()?)?;
    let of_auto_auth = own.look_up_self()?.unwrap();
    let of_auto_auth = of_auto_auth.pointer("/data/accessor").unwrap();
    let guest = case.proxy.clone().with_token(text("/auth/client_token"))?;
    for (client, accessor, ours) in [
        (&guest, &json!(text("/auth/accessor")), false),
        (&case.proxy, of_auto_auth, true),
    ] {
        let before = bank::borrow(client)?;
        assert!(bank::borrow(client)?.hit);
        let body = json!({ "accessor": accessor });
        let revoked = operator.post("/v1/auth/token/revoke-accessor", &body)?;
        assert!(revoked.status().is_success(), "{revoked:?}");
        let after = client.get(CREDENTIALS)?;
        if ours {
            // The agent finds its token dead and logs in again.
            let after = bank::read(&after)?;
            assert!(!after.hit && after.user != before.user, "{after:?}");
        } else {
            assert_eq!(after.status(), StatusCode::FORBIDDEN);
        }
    }
    Ok(())
}

#[test]
fn every_form_of_revoking_a_lease_ends_it() -> anyhow::Result<()> {
    let case = Case::new()?;
    let forms: [(&str, Path, bool); 8] = [
        ("POST", |_| "sys/leases/revoke".to_owned(), true),
        ("PUT", |_| "sys/leases/revoke".to_owned(), true),
        ("PUT", |lease| format!("sys/leases/revoke/{lease}"), false),
        ("POST", |lease| format!("sys/leases/revoke/{lease}"), false),
        (
            "PUT",
            |_| "sys/leases/revoke-prefix/database/creds/app".to_owned(),
            false,
        ),
        (
            "POST",
            |_| "sys/leases/revoke-prefix/database".to_owned(),
            false,
        ),
        (
            "PUT",
            |_| "sys/leases/revoke-force/database/creds".to_owned(),
            false,
        ),
        (
            "POST",
            |_| "sys/leases/revoke-force/database".to_owned(),
            false,
        ),
    ];
    for (method, path, in_body) in forms {
        let before = bank::borrow(&case.proxy)?;
        assert!(bank::borrow(&case.proxy)?.hit);
        let path = path(&before.lease);
        let body = in_body.then(|| json!({ "lease_id": before.lease, "sync": true }));
        let revoked = case.send(method, &format!("/v1/{path}"), body.as_ref())?;
        assert!(
            revoked.status().is_success(),
            "{method} {path}: {revoked:?}"
        );
        let after = bank::borrow(&case.proxy)?;
        assert!(!after.hit && after.user != before.user, "{method} {path}");
    }
    Ok(())
}

/// OpenBao has dropped these; Vault has them.
#[test]
fn the_older_forms_end_it_too() -> anyhow::Result<()> {
    let case = Case::new()?;
    let forms: [Both; 4] = [
        |lease| ("sys/revoke".to_owned(), json!({ "lease_id": lease })),
        |lease| (format!("sys/revoke/{lease}"), json!({})),
        |_| ("sys/revoke-prefix/database".to_owned(), json!({})),
        |_| ("sys/revoke-force/database/creds".to_owned(), json!({})),
    ];
    for form in forms {
        let before = bank::borrow(&case.proxy)?;
        let (path, body) = form(&before.lease);
        case.bank.world.tap.on(
            Method::PUT,
            &format!("/v1/{path}"),
            Action::Answer {
                status: StatusCode::NO_CONTENT,
                headers: http::HeaderMap::new(),
                body: Bytes::new(),
            },
        );
        let revoked = case.send("PUT", &format!("/v1/{path}"), Some(&body))?;
        assert_eq!(revoked.status(), StatusCode::NO_CONTENT, "{path}");
        assert!(!bank::borrow(&case.proxy)?.hit, "{path}");
    }
    Ok(())
}

#[test]
fn unmounting_ends_what_the_mount_made() -> anyhow::Result<()> {
    let case = Case::new()?;
    assert!(!bank::borrow(&case.proxy)?.hit);
    let gone = case.send("DELETE", "/v1/sys/mounts/database", None)?;
    assert!(gone.status().is_success(), "{gone:?}");
    let after = case.proxy.get(CREDENTIALS)?;
    assert!(after.status().is_client_error(), "{after:?}");
    Ok(())
}

#[test]
fn a_revocation_that_vault_refused_ends_nothing() -> anyhow::Result<()> {
    let case = Case::new()?;
    let before = bank::borrow(&case.proxy)?;
    let path = "/v1/sys/leases/revoke";
    let body = json!({ "lease_id": before.lease });
    for status in [StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE] {
        case.bank
            .world
            .tap
            .on(Method::POST, path, Action::fail(status));
        assert_eq!(case.send("POST", path, Some(&body))?.status(), status);
        let after = bank::borrow(&case.proxy)?;
        assert!(after.hit && after.user == before.user, "{status}");
    }
    Ok(())
}

#[test]
fn a_revocation_that_vault_may_have_done_counts() -> anyhow::Result<()> {
    let case = Case::new()?;
    let path = "/v1/sys/leases/revoke";
    for action in [
        Action::fail(StatusCode::INTERNAL_SERVER_ERROR),
        Action::fail(StatusCode::BAD_GATEWAY),
        Action::Reset,
    ] {
        let before = bank::borrow(&case.proxy)?;
        let name = format!("{action:?}");
        case.bank.world.tap.on(Method::POST, path, action);
        let body = json!({ "lease_id": before.lease });
        let failed = case.send("POST", path, Some(&body))?;
        assert!(failed.status().is_server_error(), "{name}: {failed:?}");
        assert!(!bank::borrow(&case.proxy)?.hit, "{name}");
    }
    Ok(())
}

#[test]
fn a_revocation_counts_although_its_client_hangs_up() -> anyhow::Result<()> {
    let mut case = Case::new()?;
    let before = bank::borrow(&case.proxy)?;
    let path = "/v1/sys/leases/revoke";
    let body = json!({ "lease_id": before.lease, "sync": true });
    case.bank
        .world
        .tap
        .on(Method::POST, path, Action::HoldAnswer);
    let client = bank::hung(&mut case.agent, &Method::POST, path, &body.to_string())?;
    case.bank.world.tap.wait_for(&Method::POST, path, 1)?;
    drop(client);
    bank::wait_for_fewer_connections(&case.proxy, 2.0)?;
    case.bank.world.tap.release();
    keyside_harness::poll::until("another credential", keyside_harness::poll::LIMIT, || {
        let after = bank::borrow(&case.proxy)?;
        anyhow::ensure!(after.user != before.user, "{after:?}");
        anyhow::Ok(())
    })
}

#[test]
fn a_credential_revoked_on_its_way_is_not_kept() -> anyhow::Result<()> {
    let case = Case::new()?;
    case.bank
        .world
        .tap
        .on(Method::GET, CREDENTIALS, Action::HoldAnswer);
    let pending = case
        .proxy
        .start(web::request(Method::GET, CREDENTIALS, None)?)?;
    case.bank.world.tap.wait_for(&Method::GET, CREDENTIALS, 1)?;
    // The server may still be at work on the credential when the tap has seen the request.
    keyside_harness::poll::until("the lease", keyside_harness::poll::LIMIT, || {
        let list = Method::from_bytes(b"LIST")?;
        let root = case.bank.world.server.root();
        let answer = root.request(list, "sys/leases/lookup/database/creds/app", None)?;
        anyhow::ensure!(answer.status() == StatusCode::OK, "{answer:?}");
        anyhow::Ok(())
    })?;
    let revoked = case.send("PUT", "/v1/sys/leases/revoke-prefix/database", None)?;
    assert!(revoked.status().is_success(), "{revoked:?}");
    case.bank.world.tap.heal();
    case.bank.world.tap.release();
    let dead = pending.wait()?;
    assert_eq!(dead.headers()["x-keyside-cache"], "skip-revoked");
    assert!(!bank::borrow(&case.proxy)?.hit);
    Ok(())
}
