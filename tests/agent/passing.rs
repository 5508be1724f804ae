//! What passes the proxy as it comes: upgrades, trailers, streams, bodies of any size and form.

use std::time::Duration;

use http::StatusCode;
use keyside_harness::{poll, web};
use serde_json::json;
use tokio::time::Instant;

use crate::played::Played;

const TOKEN: &str = "Host: localhost\r\nX-Vault-Token: mine\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

/// A request of a client and what Vault got of it.
fn asked(
    played: &mut Played,
    request: &str,
) -> anyhow::Result<(crate::played::Wire, crate::played::Wire, String)> {
    let mut client = played.client()?;
    client.write(request)?;
    let mut vault = played.vault()?;
    let head = vault.head()?;
    Ok((client, vault, head))
}

#[test]
fn a_websocket_passes_with_the_bytes_of_both_sides_until_one_ends() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let request =
        format!("GET /v1/sys/events/subscribe/a?json=true HTTP/1.1\r\n{TOKEN}{UPGRADE}\r\n");
    for client_ends in [true, false] {
        let (mut client, mut vault, head) = asked(&mut played, &request)?;
        for line in [
            "connection: upgrade\r\n",
            "upgrade: websocket\r\n",
            "sec-websocket-key: x\r\n",
            "x-vault-token: mine\r\n",
        ] {
            assert!(head.contains(line), "{line:?} in {head}");
        }
        // Bytes that come with the answer are the first of the other protocol.
        vault.write(format!("{SWITCH}hello from vault;"))?;
        let answer = client.head()?;
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        for line in [
            "connection: upgrade\r\n",
            "upgrade: websocket\r\n",
            "sec-websocket-accept: y\r\n",
        ] {
            assert!(answer.contains(line), "{line:?} in {answer}");
        }
        assert_eq!(client.until(";")?, "hello from vault;");
        for _ in 0..3 {
            client.write("ping;")?;
            assert_eq!(vault.until(";")?, "ping;");
            vault.write("pong;")?;
            assert_eq!(client.until(";")?, "pong;");
        }
        let (one, mut other) = if client_ends {
            (client, vault)
        } else {
            (vault, client)
        };
        drop(one);
        assert!(other.is_closed());
    }
    Ok(())
}

#[test]
fn only_a_websocket_is_another_protocol_and_a_refusal_passes() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let request = format!(
        "GET /v1/a HTTP/1.1\r\n{TOKEN}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
    );
    let (mut client, mut vault, head) = asked(&mut played, &request)?;
    for name in ["upgrade", "connection", "http2-settings"] {
        assert!(!head.contains(name), "{name} in {head}");
    }
    vault.write(SWITCH)?;
    let answer = client.head()?;
    assert!(answer.starts_with("http/1.1 502 "), "{answer}");
    let request = format!("GET /v1/a HTTP/1.1\r\n{TOKEN}{UPGRADE}\r\n");
    let (mut client, mut vault, _) = asked(&mut played, &request)?;
    vault.write("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}")?;
    let answer = client.head()?;
    assert!(answer.starts_with("http/1.1 400 "), "{answer}");
    Ok(())
}

#[test]
fn a_websocket_counts_as_a_connection_and_ends_with_the_agent() -> anyhow::Result<()> {
    let mut played = Played::with(|config| {
        if let Some(listener) = config.pointer_mut("/listener/0") {
            listener["max_connections"] = json!(1);
        }
    })?;
    let request = format!("GET /v1/a HTTP/1.1\r\n{TOKEN}{UPGRADE}\r\n");
    let (mut client, mut vault, _) = asked(&mut played, &request)?;
    vault.write(SWITCH)?;
    client.head()?;
    let mut second = played.client()?;
    second.write("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    assert!(
        second.is_silent(Duration::from_millis(300))?,
        "two are open"
    );
    client.write("on;")?;
    assert_eq!(vault.until(";")?, "on;");
    drop(client);
    let answer = second.head()?;
    assert!(answer.starts_with("http/1.1 404 "), "{answer}");
    drop(second);

    let (mut client, mut vault, _) = asked(&mut played, &request)?;
    vault.write(SWITCH)?;
    client.head()?;
    let status = played.agent.child.terminate()?;
    assert!(status.success(), "{status}");
    assert!(client.is_closed());
    assert!(vault.is_closed());
    Ok(())
}

#[test]
fn trailers_pass_both_ways() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let request = format!(
        "POST /v1/a HTTP/1.1\r\n{TOKEN}TE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\n{{}}\r\n0\r\nX-Sum: 1\r\n\r\n"
    );
    let (mut client, mut vault, head) = asked(&mut played, &request)?;
    for line in [
        "te: trailers\r\n",
        "connection: te\r\n",
        "trailer: x-sum\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    let body = vault.until("\r\n\r\n")?.to_ascii_lowercase();
    assert_eq!(body, "2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n");
    vault.write(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTrailer: X-Count\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\n{}\r\n0\r\nX-Count: 2\r\n\r\n",
    )?;
    let answer = client.head()?;
    assert!(answer.contains("trailer: x-count\r\n"), "{answer}");
    let body = client.until("\r\n\r\n")?.to_ascii_lowercase();
    assert_eq!(body, "2\r\n{}\r\n0\r\nx-count: 2\r\n\r\n");
    Ok(())
}

#[test]
fn a_body_is_asked_for_only_where_it_is_wanted() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let head = format!(
        "POST /v1/sys/storage/raft/snapshot HTTP/1.1\r\n{TOKEN}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    );
    let (mut client, mut vault, seen) = asked(&mut played, &head)?;
    assert!(!seen.contains("expect"), "{seen}");
    let interim = client.head()?;
    assert!(interim.starts_with("http/1.1 100 "), "{interim}");
    client.write("body")?;
    assert_eq!(vault.until("body")?, "body");
    vault.write("HTTP/1.1 204 No Content\r\n\r\n")?;
    let answer = client.head()?;
    assert!(answer.starts_with("http/1.1 204 "), "{answer}");

    let mut foreign = played.client()?;
    foreign.write(head.replace("localhost", "evil.test"))?;
    let refused = foreign.head()?;
    assert!(refused.starts_with("http/1.1 403 "), "{refused}");
    Ok(())
}

#[test]
fn answers_without_a_body_stay_without_one() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    for (method, answer, expected) in [
        (
            "HEAD",
            "200 OK\r\nContent-Length: 42",
            "content-length: 42\r\n",
        ),
        ("GET", "304 Not Modified\r\nETag: \"a\"", "etag: \"a\"\r\n"),
        ("DELETE", "204 No Content\r\nX-A: b", "x-a: b\r\n"),
        (
            "PATCH",
            "200 OK\r\nContent-Length: 0",
            "content-length: 0\r\n",
        ),
    ] {
        let request = format!("{method} /v1/a HTTP/1.1\r\n{TOKEN}\r\n");
        let (mut client, mut vault, head) = asked(&mut played, &request)?;
        assert!(!head.contains("transfer-encoding"), "{head}");
        vault.write(format!("HTTP/1.1 {answer}\r\n\r\n"))?;
        let head = client.head()?;
        assert!(head.contains(expected), "{method}: {head}");
        assert!(!head.contains("transfer-encoding"), "{method}: {head}");
        // The next one on the same connection is understood, so nothing was left in between.
        client.write("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let next = client.head()?;
        assert!(next.starts_with("http/1.1 404 "), "{method}: {next}");
    }
    Ok(())
}

#[test]
fn sizes_and_chunks_stay_what_they_are() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let sized = format!("PATCH /v1/a HTTP/1.1\r\n{TOKEN}Content-Length: 4\r\n\r\nbody");
    let (mut client, mut vault, head) = asked(&mut played, &sized)?;
    assert!(head.contains("content-length: 4\r\n"), "{head}");
    vault.until("body")?;
    vault.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")?;
    let head = client.head()?;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert_eq!(client.until("ab\r\n")?, "2\r\nab\r\n");
    vault.write("0\r\n\r\n")?;
    assert_eq!(client.until("\r\n\r\n")?, "0\r\n\r\n");
    drop((client, vault));

    let chunked = format!("PATCH /v1/a HTTP/1.1\r\n{TOKEN}Transfer-Encoding: chunked\r\n\r\n");
    let (mut client, mut vault, head) = asked(&mut played, &chunked)?;
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    client.write("3\r\nabc\r\n")?;
    assert_eq!(vault.until("abc\r\n")?, "3\r\nabc\r\n");
    client.write("0\r\n\r\n")?;
    vault.until("0\r\n\r\n")?;
    vault.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")?;
    let head = client.head()?;
    assert!(head.contains("content-length: 2\r\n"), "{head}");
    Ok(())
}

#[test]
fn events_arrive_as_they_come_and_a_client_that_leaves_ends_them() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let request = format!("GET /v1/sys/monitor HTTP/1.1\r\n{TOKEN}\r\n");
    let (mut client, mut vault, _) = asked(&mut played, &request)?;
    vault.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    client.head()?;
    for number in 0..3 {
        let event = format!("9\r\ndata: {number}\n\n\r\n");
        vault.write(&event)?;
        assert_eq!(client.until("\n\n\r\n")?, event);
    }
    drop(client);
    assert!(vault.is_closed(), "the stream goes on for nobody");
    Ok(())
}

#[test]
fn a_client_that_leaves_early_takes_its_request_along() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    for method in ["GET", "DELETE"] {
        let request = format!("{method} /v1/sys/slow HTTP/1.1\r\n{TOKEN}\r\n");
        let (client, mut vault, _) = asked(&mut played, &request)?;
        drop(client);
        assert!(vault.is_closed(), "{method}");
    }
    let upload = format!("POST /v1/sys/slow HTTP/1.1\r\n{TOKEN}Content-Length: 9\r\n\r\nabc");
    let (client, mut vault, _) = asked(&mut played, &upload)?;
    vault.until("abc")?;
    drop(client);
    assert!(vault.is_closed(), "an upload that broke off");
    Ok(())
}

/// Vault's snapshots are as large as its storage.
const SNAPSHOT: u64 = 1 << 30;
const PART: usize = 1 << 20;

#[test]
fn a_snapshot_passes_both_ways_in_little_memory() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let before = played.agent.child.resident_bytes()?;
    let upload = format!(
        "POST /v1/sys/storage/raft/snapshot HTTP/1.1\r\n{TOKEN}Content-Length: {SNAPSHOT}\r\n\r\n"
    );
    let (client, mut vault, _) = asked(&mut played, &upload)?;
    let mut writer = client.again()?;
    let mut most = 0;
    let sender = std::thread::spawn(move || {
        let part = vec![b'a'; PART];
        for _ in 0..SNAPSHOT / PART as u64 {
            writer.write(&part)?;
        }
        anyhow::Ok(())
    });
    for _ in 0..8 {
        assert_eq!(vault.skip(SNAPSHOT / 8)?, SNAPSHOT / 8);
        most = most.max(played.agent.child.resident_bytes()?);
    }
    sender
        .join()
        .map_err(|_panic| anyhow::anyhow!("the sender panicked"))??;
    vault.write("HTTP/1.1 204 No Content\r\n\r\n")?;
    drop((client, vault));

    let download = format!("GET /v1/sys/storage/raft/snapshot HTTP/1.1\r\n{TOKEN}\r\n");
    let (mut client, mut vault, _) = asked(&mut played, &download)?;
    vault.write(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/gzip\r\nContent-Length: {SNAPSHOT}\r\n\r\n"
    ))?;
    let head = client.head()?;
    assert!(
        head.contains(&format!("content-length: {SNAPSHOT}\r\n")),
        "{head}"
    );
    let sender = std::thread::spawn(move || {
        let part = vec![b'a'; PART];
        for _ in 0..SNAPSHOT / PART as u64 {
            vault.write(&part)?;
        }
        anyhow::Ok(())
    });
    for _ in 0..8 {
        assert_eq!(client.skip(SNAPSHOT / 8)?, SNAPSHOT / 8);
        most = most.max(played.agent.child.resident_bytes()?);
    }
    sender
        .join()
        .map_err(|_panic| anyhow::anyhow!("the sender panicked"))??;
    let grown = most.saturating_sub(before);
    assert!(grown < 4 << 20, "grown by {grown} bytes");
    Ok(())
}

#[test]
fn an_answer_that_does_not_wait_for_the_body_passes() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    for closes in [false, true] {
        let upload = format!(
            "POST /v1/sys/storage/raft/snapshot HTTP/1.1\r\n{TOKEN}Content-Length: 1000000\r\n\r\nabc"
        );
        let (mut client, mut vault, _) = asked(&mut played, &upload)?;
        vault.until("abc")?;
        vault.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\n{\"errors\":[]}")?;
        if closes {
            drop(vault);
        }
        let answer = client.until("[]}")?;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    Ok(())
}

#[test]
fn the_time_for_an_answer_begins_when_the_request_is_out() -> anyhow::Result<()> {
    let mut played = Played::with(|config| {
        if let Some(vault) = config.pointer_mut("/vault") {
            vault["client_timeout"] = json!("1s");
        }
    })?;
    let upload = format!("POST /v1/sys/slow HTTP/1.1\r\n{TOKEN}Content-Length: 6\r\n\r\n");
    let (mut client, mut vault, _) = asked(&mut played, &upload)?;
    poll::looks("a slow upload", 6, Duration::from_millis(400), || {
        client.write("x")
    })?;
    vault.until("xxxxxx")?;
    let out = Instant::now();
    let answer = client.head()?;
    assert!(answer.starts_with("http/1.1 504 "), "{answer}");
    let took = out.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
    assert!(vault.is_closed());
    Ok(())
}

#[test]
fn an_upload_that_stops_is_ended_and_one_that_goes_on_slowly_is_not() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let quiet = Duration::from_secs(30);
    // One that the cache would read whole, one that streams, and one that revokes.
    let paths = ["auth/token/create", "sys/slow", "sys/leases/revoke"];
    let mut uploads = Vec::new();
    for path in paths {
        let mut client = played.client()?;
        client.write(format!(
            "POST /v1/{path} HTTP/1.1\r\n{TOKEN}Content-Length: 100\r\n\r\n{{"
        ))?;
        uploads.push(client);
    }
    let mut slow = played.client()?;
    slow.write(format!(
        "POST /v1/sys/slow HTTP/1.1\r\n{TOKEN}Content-Length: 5\r\n\r\n"
    ))?;
    poll::looks("a slow upload", 4, quiet / 3, || slow.write("x"))?;
    for (mut upload, path) in uploads.into_iter().zip(paths) {
        let answer = upload.rest()?.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 408 "), "{path}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{path}: {answer}");
        assert!(
            answer.contains("no byte of the request"),
            "{path}: {answer}"
        );
    }
    slow.write("x")?;
    let mut served = false;
    while let Some(mut vault) = played.vault_if_any()? {
        let head = vault.head()?;
        if head.contains("content-length: 5\r\n") {
            vault.until("xxxxx")?;
            vault.write("HTTP/1.1 204 No Content\r\n\r\n")?;
            served = true;
            let answer = slow.head()?;
            assert!(answer.starts_with("http/1.1 204 "), "{answer}");
        }
    }
    assert!(served, "the slow upload did not reach Vault");
    assert_eq!(played.agent.child.events("outage_began").len(), 0);
    let client = web::Client::new(&played.agent.child.listening("tcp")?, None)?;
    assert_eq!(client.get("/nowhere")?.status(), StatusCode::NOT_FOUND);
    Ok(())
}
