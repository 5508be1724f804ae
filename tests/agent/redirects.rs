//! Redirects of a standby: followed within the cluster, and nowhere else.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderValue, Method, StatusCode, header};
use keyside_harness::tap::Action;
use serde_json::json;

use crate::played::{self, Played, Wire};
use crate::world::World;

const HEAD: &str = "Host: localhost\r\nX-Vault-Token: mine\r\n";
const LOGIN: &str = "/v1/auth/kubernetes/login";

fn redirect(status: u16, to: &str) -> String {
    format!(
        "HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
}

fn post(played: &mut Played) -> anyhow::Result<(Wire, Wire)> {
    let mut client = played.client()?;
    client.write(format!(
        "POST /v1/secret/a?x=1 HTTP/1.1\r\n{HEAD}Content-Length: 4\r\n\r\nbody"
    ))?;
    let mut vault = played.vault()?;
    vault.until("body")?;
    Ok((client, vault))
}

fn is_the_same(request: &str, line: &str) -> bool {
    let request = request.to_ascii_lowercase();
    request.starts_with(line)
        && request.contains("x-vault-token: mine\r\n")
        && request.ends_with("body")
}

#[test]
fn to_the_same_host_method_body_and_token_go_along_twice_at_most() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let own = format!("http://{}/v1/secret/b?y=2", played.address()?);
    for status in [301, 302, 307, 308] {
        for to in [own.as_str(), "/v1/secret/b?y=2"] {
            let (mut client, mut vault) = post(&mut played)?;
            for _ in 0..2 {
                vault.write(redirect(status, to))?;
                vault = played.vault()?;
                let followed = vault.until("body")?;
                assert!(
                    is_the_same(&followed, "post /v1/secret/b?y=2 "),
                    "{followed}"
                );
            }
            vault.write(redirect(status, to))?;
            let passed = client.head()?;
            assert!(
                passed.starts_with(&format!("http/1.1 {status} ")),
                "{passed}"
            );
            assert!(passed.contains(&format!("location: {to}\r\n")), "{passed}");
        }
    }
    Ok(())
}

#[test]
fn another_host_sees_nothing_unless_it_is_named() -> anyhow::Result<()> {
    for named in [false, true] {
        let other = TcpListener::bind("127.0.0.1:0")?;
        let name = format!("localhost:{}", other.local_addr()?.port());
        let mut played = Played::with(|config| {
            if let Some(vault) = config.pointer_mut("/vault").filter(|_| named) {
                vault["redirect_hosts"] = json!([name]);
            }
        })?;
        let to = format!("http://{name}/v1/secret/a?x=1");
        let (mut client, mut vault) = post(&mut played)?;
        vault.write(redirect(307, &to))?;
        if named {
            let mut active = played::accept(&other)?;
            let followed = active.until("body")?;
            assert!(
                is_the_same(&followed, "post /v1/secret/a?x=1 "),
                "{followed}"
            );
            assert!(
                followed.contains(&format!("host: {name}\r\n")),
                "{followed}"
            );
            active.write("HTTP/1.1 204 No Content\r\n\r\n")?;
            let answer = client.head()?;
            assert!(answer.starts_with("http/1.1 204 "), "{answer}");
        } else {
            let answer = client.head()?;
            assert!(answer.starts_with("http/1.1 307 "), "{answer}");
            assert!(answer.contains(&format!("location: {to}\r\n")), "{answer}");
            other.set_nonblocking(true)?;
            assert!(other.accept().is_err(), "it was asked");
        }
    }
    Ok(())
}

#[test]
fn what_was_streamed_is_not_sent_again() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let mut client = played.client()?;
    client.write(format!(
        "POST /v1/sys/storage/raft/snapshot HTTP/1.1\r\n{HEAD}Content-Length: 4\r\n\r\nbody"
    ))?;
    let mut vault = played.vault()?;
    vault.until("body")?;
    vault.write(redirect(307, "/v1/b"))?;
    let passed = client.head()?;
    assert!(passed.starts_with("http/1.1 307 "), "{passed}");
    Ok(())
}

#[test]
fn none_is_followed_where_that_is_switched_off() -> anyhow::Result<()> {
    let mut played = Played::with(|config| {
        if let Some(vault) = config.pointer_mut("/vault") {
            vault["disable_redirects"] = json!(true);
        }
    })?;
    let (mut client, mut vault) = post(&mut played)?;
    vault.write(redirect(307, "/v1/b"))?;
    let passed = client.head()?;
    assert!(passed.starts_with("http/1.1 307 "), "{passed}");
    Ok(())
}

#[test]
fn the_agents_own_login_follows_a_redirect_too() -> anyhow::Result<()> {
    let world = World::new()?;
    let to = HeaderValue::try_from(format!("{}{LOGIN}", world.tap.address()))?;
    let first = AtomicBool::new(true);
    world.tap.rule(move |request| {
        if !request.is(&Method::POST, LOGIN) || !first.swap(false, Ordering::Relaxed) {
            return Action::Forward;
        }
        Action::Answer {
            status: StatusCode::TEMPORARY_REDIRECT,
            headers: [(header::LOCATION, to.clone())].into_iter().collect(),
            body: "".into(),
        }
    });
    let agent = world.started()?;
    assert_eq!(world.tap.count(&Method::POST, LOGIN), 2);
    assert_eq!(agent.child.events("login_failed").len(), 0);
    assert!(world.sink_lives()?);
    Ok(())
}
