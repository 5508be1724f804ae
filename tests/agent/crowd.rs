//! More connections than a listener has places for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use http::{Method, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::web;
use serde_json::json;
use tokio::time::Instant;

use crate::lone::Lone;

/// What many connections may take, in a build without optimisation.
const ROOM: u64 = 48 << 20;

fn open() -> anyhow::Result<Lone> {
    Lone::with(json!({}), |_| Action::ok("{}"))
}

/// A request is answered although they are there, at once and in little memory; and when they have gone all is as it
/// was.
fn endures(lone: &mut Lone, crowd: Vec<TcpStream>, before: u64) -> anyhow::Result<()> {
    let proxy = lone.proxy()?;
    let asked = Instant::now();
    assert_eq!(proxy.get("/v1/secret/a")?.status(), StatusCode::OK);
    let took = asked.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let open = lone.metric("keyside_agent_proxy_connections")?;
    assert!(open <= 1024.0, "{open} are open");
    let grown = lone.agent.child.resident_bytes()?.saturating_sub(before);
    assert!(grown < ROOM, "grown by {grown} bytes");
    drop(crowd);
    lone.wait_for_connections(0.0)?;
    assert_eq!(proxy.get("/v1/secret/a")?.status(), StatusCode::OK);
    Ok(())
}

#[test]
fn ten_thousand_idle_connections_lock_nobody_out() -> anyhow::Result<()> {
    let mut lone = open()?;
    let before = lone.agent.child.resident_bytes()?;
    let crowd = (0..10_000).map(|_| lone.connect());
    let crowd = crowd.collect::<anyhow::Result<_>>()?;
    endures(&mut lone, crowd, before)
}

#[test]
fn thousands_of_heads_that_never_end_lock_nobody_out_and_are_closed_soon() -> anyhow::Result<()> {
    let mut lone = open()?;
    let before = lone.agent.child.resident_bytes()?;
    let mut crowd = Vec::new();
    for _ in 0..2000 {
        let mut stream = lone.connect()?;
        stream.write_all(b"GET /v1/secret/a HTTP/1.1\r\nHost: local")?;
        crowd.push(stream);
    }
    endures(&mut lone, crowd, before)?;

    // Nobody needs the place of this one; it is closed all the same.
    let mut slow = lone.connect()?;
    slow.write_all(b"G")?;
    let began = Instant::now();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).ok();
    let took = began.elapsed();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert!(took > Duration::from_secs(8), "{took:?}");
    assert!(took < Duration::from_mins(1), "{took:?}");
    Ok(())
}

#[test]
fn who_has_a_request_under_way_keeps_the_place() -> anyhow::Result<()> {
    let lone = Lone::with(json!({ "max_connections": 3 }), |request| {
        if request.path.starts_with("/v1/held") {
            Action::Hold
        } else {
            Action::ok("{}")
        }
    })?;
    let proxy = lone.proxy()?;
    let hold = |path| proxy.start(web::request(Method::POST, path, None)?);
    let first = hold("/v1/held/1")?;
    lone.tap.wait_for(&Method::POST, "/v1/held/1", 1)?;
    let mut idle = lone.connect()?;
    let second = hold("/v1/held/2")?;
    lone.tap.wait_for(&Method::POST, "/v1/held/2", 1)?;
    assert_eq!(proxy.get("/v1/secret/a")?.status(), StatusCode::OK);
    assert_eq!(proxy.get("/v1/secret/b")?.status(), StatusCode::OK);
    let mut end = Vec::new();
    idle.read_to_end(&mut end)?;
    assert!(end.is_empty(), "the idle one made room");

    // While all are busy, whoever comes waits.
    let third = hold("/v1/held/3")?;
    lone.tap.wait_for(&Method::POST, "/v1/held/3", 1)?;
    let waiting = proxy.start(web::request(Method::GET, "/v1/secret/c", None)?)?;
    assert!(!lone.seen().contains(&"/v1/secret/c".to_owned()));
    // Nobody stands behind the server that is played.
    lone.tap.release();
    for held in [first, second, third] {
        assert_eq!(held.wait()?.status(), StatusCode::BAD_GATEWAY);
    }
    assert_eq!(waiting.wait()?.status(), StatusCode::OK);
    Ok(())
}
