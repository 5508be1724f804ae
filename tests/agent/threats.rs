//! Requests that are made to deceive, clients that are made to exhaust, and servers that do both.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use keyside_harness::tap::Action;
use keyside_harness::{poll, web};
use serde_json::json;

use crate::lone::Lone;
use crate::world::World;

/// A request's head with these lines, and the usual `Host`; the last one of its connection.
fn get(lines: &str) -> String {
    format!("GET /v1/secret/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n")
}

fn post(lines: &str, body: &str) -> String {
    let head = "POST /v1/secret/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    format!("{head}{lines}\r\n{body}")
}

fn many_headers() -> String {
    (0..10_000).fold(String::new(), |all, n| all + &format!("X-{n}: a\r\n"))
}

fn ok(_: &keyside_harness::tap::Recorded) -> Action {
    Action::ok("{}")
}

/// Every answer in what a connection got.
fn statuses(answer: &str) -> Vec<&str> {
    let parts = answer.split("HTTP/1.1 ").skip(1);
    parts.filter_map(|part| part.get(..3)).collect()
}

/// Each is what a page, a service that fetches for others, or another protocol could be made to send.
#[test]
fn nothing_that_was_not_meant_for_the_agent_reaches_vault() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), ok)?;
    let host = |host: &str| {
        format!("GET /v1/secret/a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    };
    let hosts = [
        "evil.test",
        "evil.test:8200",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "localhost@evil.test",
        "evil.test#localhost",
        "169.254.169.254",
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "2130706433",
        "0x7f000001",
        "",
        "localhost evil.test",
        "loca\u{0}lhost",
    ];
    let marks = [
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Forwarded-For:\r\n",
        "Forwarded: for=127.0.0.1\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:3000\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Host: evil.test\r\n",
        "Host: localhost\r\n",
    ];
    let raw = [
        "GET /v1/secret/a HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET http://evil.test/v1/secret/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET http://localhost/v1/secret/a HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n",
        "GET http://localhost@evil.test/v1/secret/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "CONNECT localhost:8200 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "OPTIONS /v1/secret/a HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.test\r\n\
         Access-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n",
        // gopher: nothing comes before it but a line's end.
        "\r\nGET /v1/secret/a HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /v1/secret/a\r\n",
        "GET /v1/secret/a HTTP/2.0\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "EHLO evil.test\r\nMAIL FROM:<a@evil.test>\r\n",
        "\u{16}\u{3}\u{1}\u{0}\u{5}\u{1}\r\n\r\n",
        "GET /v1/secret/a HTTP/1.1\tHost: localhost\r\nConnection: close\r\n\r\n",
    ];
    let crafted = hosts.into_iter().map(host);
    let crafted = crafted.chain(marks.into_iter().map(get));
    let crafted: Vec<_> = crafted.chain(raw.map(str::to_owned)).collect();
    assert!(crafted.len() > 30, "{}", crafted.len());
    for request in crafted {
        let answer = lone.say(request.as_bytes())?;
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{request:?}: {answer}");
        assert_eq!(lone.seen(), Vec::<String>::new(), "{request:?}");
    }
    let good = lone.say(get("").as_bytes())?;
    assert_eq!(statuses(&good), ["200"], "{good}");
    Ok(())
}

/// A service that fetches URLs can seldom be made to send a header of choice.
#[test]
fn where_the_request_header_is_demanded_nothing_goes_without_it() -> anyhow::Result<()> {
    let keys = json!({
        "require_request_header": true, "allow_forwarded": true, "agent_api": { "enable_quit": true },
    });
    let lone = Lone::with(keys, ok)?;
    for lines in [
        "",
        "X-Vault-Request: TRUE\r\n",
        "X-Vault-Request: 1\r\n",
        "X-Vault-Request:\r\n",
        "X-Vault-Request: true, true\r\n",
        "X-Vault-Request: true\r\nX-Vault-Request: true\r\n",
        "X-Vault-Request: true\r\nX-Vault-Request: false\r\n",
        "X-Vault-Request2: true\r\n",
        "X-Vault_Request: true\r\n",
    ] {
        for (method, path) in [
            ("GET", "/v1/secret/a"),
            ("GET", "/v1/secret/a?X-Vault-Request=true"),
            ("GET", "/agent/v1/metrics"),
            ("POST", "/agent/v1/cache-clear"),
            ("POST", "/agent/v1/quit"),
            ("POST", "/proxy/v1/quit"),
        ] {
            let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
            let request = format!("{head}Connection: close\r\n{lines}\r\n");
            let answer = lone.say(request.as_bytes())?;
            assert!(answer.starts_with("HTTP/1.1 412"), "{request:?}: {answer}");
        }
    }
    assert_eq!(lone.seen(), Vec::<String>::new());
    let good = lone.say(get("X-Vault-Request: true\r\n").as_bytes())?;
    assert_eq!(statuses(&good), ["200"], "{good}");
    Ok(())
}

#[test]
fn a_page_cannot_end_the_agent() -> anyhow::Result<()> {
    let lone = Lone::with(json!({ "agent_api": { "enable_quit": true } }), ok)?;
    for lines in [
        "Host: evil.test\r\n",
        "Host: localhost\r\nOrigin: http://evil.test\r\n",
        "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: localhost\r\nX-Forwarded-For: 10.0.0.1\r\n",
    ] {
        for path in ["/agent/v1/quit", "/proxy/v1/quit"] {
            let request = format!(
                "POST {path} HTTP/1.1\r\n{lines}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let answer = lone.say(request.as_bytes())?;
            assert!(answer.starts_with("HTTP/1.1 403"), "{request:?}: {answer}");
        }
    }
    assert_eq!(lone.agent.child.events("quit").len(), 0);
    Ok(())
}

/// What would be a request of its own if somebody read the one before it differently.
const HIDDEN: &str = "GET /v1/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[rustfmt::skip]
fn ambiguous() -> Vec<String> {
    let chunks = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    vec![
        // Two lengths, or one that is none.
        post("Content-Length: 0\r\nContent-Length: 52\r\n", HIDDEN),
        post("Content-Length: 0, 52\r\n", HIDDEN),
        post("Content-Length: +0\r\n", HIDDEN),
        post("Content-Length: -1\r\n", HIDDEN),
        post("Content-Length: 0x10\r\n", HIDDEN),
        post("Content-Length: 1_0\r\n", HIDDEN),
        post("Content-Length: 18446744073709551617\r\n", HIDDEN),
        post("Content-Length:\r\n", HIDDEN),
        // Chunked, or perhaps not.
        post("Transfer-Encoding: xchunked\r\n", HIDDEN),
        post("Transfer-Encoding: chunked, identity\r\n", HIDDEN),
        post("Transfer-Encoding: identity\r\n", HIDDEN),
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            HIDDEN,
        ),
        post("Transfer-Encoding: \u{b}chunked\r\n", HIDDEN),
        post("Transfer-Encoding: chunked;q=1\r\n", HIDDEN),
        format!(
            "POST /v1/secret/a HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
        ),
        // A name or a line that other readers see differently.
        post("Content-Length : 0\r\n", HIDDEN),
        post("Transfer-Encoding : chunked\r\n", HIDDEN),
        post("Content-Length\t: 0\r\n", HIDDEN),
        post("X-A: b\r\n Content-Length: 0\r\n", HIDDEN),
        post("X-A: b\r\n\tTransfer-Encoding: chunked\r\n", HIDDEN),
        post(" Content-Length: 0\r\n", HIDDEN),
        post("X-A: b\rContent-Length: 0\r\n", HIDDEN),
        post("X-A: b\u{0}\r\n", HIDDEN),
        post("X-A\u{0}: b\r\n", HIDDEN),
        post("Content-Length\r\n", HIDDEN),
        post("\u{e9}: b\r\n", HIDDEN),
        post(": b\r\n", HIDDEN),
        // Chunks.
        chunks(&format!("0x0\r\n\r\n{HIDDEN}"),
        ),
        chunks(&format!("+0\r\n\r\n{HIDDEN}"),
        ),
        chunks(&format!("-1\r\n\r\n{HIDDEN}"),
        ),
        chunks(&format!("\r\n\r\n{HIDDEN}"),
        ),
        chunks(&format!("10000000000000000\r\n\r\n{HIDDEN}"),
        ),
        chunks(&format!("1\r\naa\r\n0\r\n\r\n{HIDDEN}"),
        ),
        chunks(&format!("0;a=\n\r\n\r\n{HIDDEN}"),
        ),
        chunks(&format!("0;{}\r\n\r\n{HIDDEN}", "a".repeat(1 << 20)),
        ),
        chunks(&format!("5\r\n{HIDDEN}")),
        // The first line.
        format!("GET /v1/secret/a HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}"),
        format!("GET\t/v1/secret/a HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}"),
        format!("GET /v1/secret/a\u{0} HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}"),
        format!("G\u{0}ET /v1/secret/a HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}"),
        format!(" GET /v1/secret/a HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}"),
        format!("GET /v1/secret/a HTTP/1.1\r\r\nHost: localhost\r\n\r\n{HIDDEN}"),
    ]
}

/// The server gets exactly the requests that the agent has parsed, framed anew, or nothing.
#[test]
fn a_request_that_can_be_read_in_two_ways_reaches_nobody() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), ok)?;
    let refused = ambiguous();
    for request in refused {
        let answer = lone.say(request.as_bytes())?;
        let short: String = request.chars().take(200).collect();
        let statuses = statuses(&answer);
        let is_refused = statuses.iter().all(|status| status.starts_with('4'));
        assert!(is_refused && statuses.len() <= 1, "{short:?}: {answer}");
        assert_eq!(lone.seen(), Vec::<String>::new(), "{short:?}: {answer}");
    }
    // A body that ends too soon is no body.
    let short = post(
        &format!("Content-Length: {}\r\n", HIDDEN.len() + 100),
        HIDDEN,
    );
    let answer = lone.say_and_leave(short.as_bytes())?;
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(lone.seen(), Vec::<String>::new());
    Ok(())
}

#[test]
fn no_request_hides_in_another() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), ok)?;
    let hidden = HIDDEN.len();
    for (request, body) in [
        // What looks like a second request is the first one's body.
        (
            get(&format!("Content-Length: {hidden}\r\n")) + HIDDEN,
            HIDDEN,
        ),
        (
            post(&format!("Content-Length: {hidden}\r\n"), HIDDEN),
            HIDDEN,
        ),
        (
            post(
                "Transfer-Encoding: chunked\r\n",
                &format!("{hidden:x};a=b\r\n{HIDDEN}\r\n0\r\n\r\n"),
            ),
            HIDDEN,
        ),
        // A connection's header takes no length along with it.
        (
            post(
                &format!("Connection: content-length\r\nContent-Length: {hidden}\r\n"),
                HIDDEN,
            ),
            HIDDEN,
        ),
        (
            post(
                "Connection: transfer-encoding, close\r\nTransfer-Encoding: chunked\r\n",
                &format!("{hidden:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
            ),
            HIDDEN,
        ),
        // With both, chunked counts, and the length goes no further.
        (
            post(
                "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
                "0\r\n\r\nG",
            ),
            "",
        ),
        (
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
                "0\r\n\r\nG",
            ),
            "",
        ),
        (get("Content-Length: 0\r\nContent-Length: 0\r\n"), ""),
    ] {
        lone.tap.clear();
        let answer = lone.say(request.as_bytes())?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{request:?}: {answer}");
        assert_eq!(lone.seen(), ["/v1/secret/a"], "{request:?}: {answer}");
        let requests = lone.tap.requests();
        let seen = requests.iter().find(|seen| seen.path == "/v1/secret/a");
        let seen = seen.map(|seen| {
            (
                seen.body.clone(),
                seen.header("content-length").is_some()
                    && seen.header("transfer-encoding").is_some(),
            )
        });
        assert_eq!(seen, Some((Bytes::from(body), false)), "{request:?}");
    }
    Ok(())
}

/// RFC 9112 §6.3: what has both lengths is the last request of its connection, whoever made it.
#[test]
fn after_two_lengths_the_connection_is_over() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), ok)?;
    for lengths in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    ] {
        lone.tap.clear();
        let head = format!("POST /v1/secret/a HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n");
        let answer = lone.say(format!("{head}0\r\n\r\n{HIDDEN}").as_bytes())?;
        assert_eq!(statuses(&answer), ["200"], "{answer}");
        assert_eq!(lone.seen(), ["/v1/secret/a"]);
    }
    Ok(())
}

#[test]
fn no_header_comes_out_of_a_path_or_a_value() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), ok)?;
    for path in [
        "/v1/secret/a%0d%0aX-Evil:%201",
        "/v1/secret/a?b=%0d%0aX-Evil:%201",
        "/v1/secret/a%0aX-Evil:1",
        "/v1/secret/a%E5%98%8A%E5%98%8DX-Evil:1",
    ] {
        let answer = lone.say(
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )?;
        assert!(
            !answer.to_lowercase().contains("\nx-evil"),
            "{path}: {answer}"
        );
    }
    // Bytes above ASCII are allowed in values, and stay in theirs.
    lone.say(get("X-A: \u{10a}\u{10d}X-Evil: 1\r\n").as_bytes())?;
    for request in lone.tap.requests() {
        assert_eq!(request.header("x-evil"), None, "{request:?}");
    }
    Ok(())
}

#[test]
fn bombs_of_headers_are_refused() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), ok)?;
    let before = lone.agent.child.resident_bytes()?;
    let many = many_headers();
    let large = format!("X-A: {}\r\n", "a".repeat(8 << 20));
    let name = format!("{}: a\r\n", "a".repeat(1 << 20));
    let tokens = format!("X-Vault-Token: {}\r\n", "a".repeat(60 << 10));
    for lines in [&many, &large, &name, &tokens] {
        let answer = lone.say(get(lines).as_bytes())?;
        // Whoever goes on sending may be cut off before the answer is read.
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    let target = format!("/v1/secret/{}", "a".repeat(8 << 20));
    let answer =
        lone.say(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    assert_eq!(lone.seen(), Vec::<String>::new());
    let grown = lone.agent.child.resident_bytes()?.saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    Ok(())
}

/// What must be read to be understood is not read without end.
#[test]
fn bombs_of_bodies_are_refused_and_take_no_room() -> anyhow::Result<()> {
    const PARTS: usize = 1024;
    let lone = Lone::with(json!({}), ok)?;
    let before = lone.agent.child.resident_bytes()?;
    let part = vec![b'a'; 1 << 20];
    for path in ["/agent/v1/cache-clear", "/v1/sys/leases/revoke"] {
        let mut stream = lone.connect()?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        for _ in 0..PARTS {
            let sent = write!(stream, "{:x}\r\n", part.len())
                .and_then(|()| stream.write_all(&part))
                .and_then(|()| stream.write_all(b"\r\n"));
            if sent.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 413"),
            "{answer}"
        );
    }
    let sized = "POST /v1/sys/leases/revoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n";
    let mut stream = lone.connect()?;
    stream.write_all(sized.as_bytes())?;
    stream.write_all(&part)?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(lone.seen(), Vec::<String>::new());
    let grown = lone.agent.child.resident_bytes()?.saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    Ok(())
}

/// In requests and in answers: what reads JSON neither overflows its stack nor takes for ever.
#[test]
fn deep_and_wide_json_harms_nobody() -> anyhow::Result<()> {
    let deep = format!("{}1{}", "[".repeat(300_000), "]".repeat(300_000));
    let deeper = "{\"a\":".repeat(150_000);
    let wide: Vec<_> = (0..60_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let same = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(100_000));
    let bodies = [deep, deeper, wide, same];
    let served = bodies.clone();
    let lone = Lone::with(json!({}), move |request| {
        let index = request
            .path
            .rsplit('/')
            .next()
            .and_then(|last| last.parse::<usize>().ok());
        Action::ok(
            index
                .and_then(|index| served.get(index))
                .cloned()
                .unwrap_or_else(|| "{}".to_owned()),
        )
    })?;
    let proxy = lone.proxy()?.with_token("mine")?;
    for (index, body) in bodies.iter().enumerate() {
        for path in ["/v1/auth/approle/login", "/v1/database/creds/a"] {
            let request = Request::post(path).body(Bytes::from(body.clone()))?;
            assert_eq!(
                proxy.send(request)?.status(),
                StatusCode::OK,
                "{index} {path}"
            );
        }
        for path in [
            "/agent/v1/cache-clear",
            "/v1/sys/leases/revoke",
            "/v1/auth/token/revoke",
        ] {
            let request = Request::post(path).body(Bytes::from(body.clone()))?;
            let status = proxy.send(request)?.status();
            assert!(status.is_client_error(), "{index} {path}: {status}");
        }
        let answered = proxy.get(&format!("/v1/database/creds/{index}"))?;
        assert_eq!(answered.status(), StatusCode::OK, "{index}");
        assert!(answered.body() == body.as_bytes(), "{index}");
        let answered = proxy.get(&format!("/v1/auth/token/lookup-self/{index}"))?;
        assert_eq!(answered.status(), StatusCode::OK, "{index}");
    }
    Ok(())
}

/// A server that lies about time gets its answers passed on, and nothing else.
#[test]
fn strange_lifetimes_are_passed_on_and_do_no_harm() -> anyhow::Result<()> {
    let numbers = [
        "-1",
        "-9223372036854775808",
        "9223372036854775807",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "1e-300",
        "1.5",
        "0",
        "-0",
        "NaN",
        "Infinity",
        "null",
        "true",
        "\"3600\"",
        "\"\"",
        "[]",
        "{}",
        "00",
        "1e999999999",
    ];
    let lone = Lone::with(json!({}), move |request| {
        let mut parts = request.path.split('/').rev();
        let index = parts.next().and_then(|last| last.parse::<usize>().ok());
        let Some(number) = index.and_then(|index| numbers.get(index)) else {
            return Action::ok("{}");
        };
        Action::ok(match parts.next() {
            Some("login") => format!(
                r#"{{"auth":{{"client_token":"s.{number}","accessor":"a","lease_duration":{number},"renewable":true}}}}"#
            ),
            _ => format!(
                r#"{{"lease_id":"database/creds/a/b","lease_duration":{number},"renewable":true,"data":{{}}}}"#
            ),
        })
    })?;
    let proxy = lone.proxy()?.with_token("mine")?;
    for (index, number) in numbers.iter().enumerate() {
        for path in [
            format!("/v1/database/creds/{index}"),
            format!("/v1/auth/a/login/{index}"),
        ] {
            for _ in 0..2 {
                let answered = proxy.get(&path)?;
                assert_eq!(answered.status(), StatusCode::OK, "{path} {number}");
                assert!(!answered.body().is_empty(), "{path} {number}");
            }
        }
    }
    assert_eq!(lone.agent.child.events("connection_panicked").len(), 0);
    assert_eq!(proxy.get("/agent/v1/metrics")?.status(), StatusCode::OK);
    Ok(())
}

/// A server that answers every connection with these bytes, whatever it is asked.
fn raw_server(answer: Vec<u8>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || told(stream, &answer));
        }
    });
    Ok(address)
}

fn told(mut stream: TcpStream, answer: &[u8]) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.extend(byte),
            _ => return,
        }
    }
    let health = head.starts_with(b"GET /v1/sys/health");
    let good = &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"[..];
    stream.write_all(if health { good } else { answer }).ok();
    stream.shutdown(Shutdown::Write).ok();
    // What a client still sends keeps the answer from being reset.
    stream.set_read_timeout(Some(poll::LIMIT)).ok();
    std::io::copy(&mut stream, &mut std::io::sink()).ok();
}

#[test]
fn answers_that_two_readers_could_take_differently_are_not_passed_on() -> anyhow::Result<()> {
    let split = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    let many = many_headers();
    for (head, rest) in [
        ("X-A: b\rX-Evil: 1\r\nContent-Length: 2\r\n", "{}"),
        ("X-A: b\0\r\nContent-Length: 2\r\n", "{}"),
        ("X-A: b\r\n X-Evil: 1\r\nContent-Length: 2\r\n", "{}"),
        ("Content-Length: 2\r\nContent-Length: 40\r\n", split),
        ("Content-Length: -1\r\n", split),
        ("Transfer-Encoding: chunked\r\n", "x\r\n"),
        ("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"),
        (many.as_str(), ""),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{rest}");
        let server = raw_server(answer.into_bytes())?;
        let lone = Lone::before(&format!("http://{server}"), json!({}))?;
        let told = lone.say(get("").as_bytes())?;
        let short: String = head.chars().take(60).collect();
        assert!(
            !told.contains("EVIL") && !told.to_lowercase().contains("\nx-evil"),
            "{short:?}: {told}"
        );
        let status = statuses(&told);
        assert!(status.len() <= 1, "{short:?}: {told}");
    }
    Ok(())
}

#[test]
fn what_comes_after_an_answer_is_nobodys() -> anyhow::Result<()> {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{{}}{evil}{evil}");
    let server = raw_server(answer.into_bytes())?;
    let lone = Lone::before(&format!("http://{server}"), json!({}))?;
    for _ in 0..20 {
        let told = lone.say(get("").as_bytes())?;
        assert!(!told.contains("EVIL"), "{told}");
    }
    Ok(())
}

#[test]
fn a_header_of_the_server_without_end_takes_no_room() -> anyhow::Result<()> {
    let mut answer = b"HTTP/1.1 200 OK\r\nX-A: ".to_vec();
    answer.resize(64 << 20, b'a');
    let server = raw_server(answer)?;
    let lone = Lone::before(&format!("http://{server}"), json!({}))?;
    let before = lone.agent.child.resident_bytes()?;
    let told = lone.say(get("").as_bytes())?;
    assert_eq!(statuses(&told), ["502"], "{told}");
    let grown = lone.agent.child.resident_bytes()?.saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    Ok(())
}

/// CVE-2026-4525: a plugin that is asked to log somebody in must not be shown a token.
#[test]
fn of_two_credentials_only_the_one_that_vault_reads_goes_on() -> anyhow::Result<()> {
    let world = World::new()?;
    let mut agent = world.started()?;
    let own = world.sink()?;
    let proxy = agent.proxy()?;
    world.tap.rule(|_| Action::ok("{}"));
    let inline = ("x-vault-inline-auth-path", "auth/a/login");
    let both = [("x-vault-token", "mine"), ("authorization", "Bearer other")];
    for (path, headers, token, authorization) in [
        ("/v1/secret/a", &both[..], Some("mine"), None),
        ("/v1/auth/a/login", &both[..], Some("mine"), None),
        (
            "/v1/secret/a",
            &[("authorization", "Bearer other")][..],
            None,
            Some("Bearer other"),
        ),
        (
            "/v1/secret/a",
            &[("authorization", "Negotiate YII=")][..],
            None,
            Some("Negotiate YII="),
        ),
        ("/v1/secret/a", &[inline][..], None, None),
        ("/v1/auth/a/login", &[][..], None, None),
        ("/v1/auth/a/login", &[inline][..], None, None),
    ] {
        world.tap.clear();
        let mut client = proxy.clone();
        for (name, value) in headers {
            client = client.with_header(name, value)?;
        }
        let answered = client.post(path, &json!({}))?;
        assert_eq!(answered.status(), StatusCode::OK);
        let requests = world.tap.requests();
        let seen = requests.iter().find(|request| request.path == path);
        let seen = seen.map(|seen| (seen.header("x-vault-token"), seen.header("authorization")));
        assert_eq!(seen, Some((token, authorization)), "{path} {headers:?}");
        let decision = answered.headers().get("x-keyside-cache");
        let decision = decision
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        assert!(
            decision.starts_with("skip-"),
            "{path} {headers:?}: {decision}"
        );
        assert!(
            !format!("{requests:?}").contains(&own),
            "{path} {headers:?}"
        );
    }
    Ok(())
}

/// A request that is made with two identities, or with a strange one, is nobody's.
#[test]
fn an_answer_is_kept_for_whoever_asked_and_for_no_other() -> anyhow::Result<()> {
    let lone = Lone::with(json!({}), |request| {
        let who = request
            .header("x-vault-token")
            .or(request.header("authorization"));
        let body = json!({
            "lease_id": "database/creds/a/b", "lease_duration": 3600, "renewable": true,
            "data": { "for": who },
        });
        Action::json(body.to_string())
    })?;
    let proxy = lone.proxy()?;
    let path = "/v1/database/creds/a";
    let ask = |headers: &[(&str, &str)]| {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answered = proxy.send(request.body(Bytes::new())?)?;
        let hit = answered
            .headers()
            .get("x-cache")
            .is_some_and(|value| value == "HIT");
        anyhow::Ok((hit, web::json(&answered)?["data"]["for"].clone()))
    };
    let first = [("x-vault-token", "a")];
    assert_eq!(ask(&first)?, (false, json!("a")));
    assert_eq!(ask(&first)?, (true, json!("a")));
    for (headers, who) in [
        (&[][..], json!(null)),
        (&[("x-vault-token", "b")][..], json!("b")),
        (
            &[
                ("x-vault-token", "a"),
                ("x-vault-inline-auth-path", "auth/x"),
            ][..],
            json!("a"),
        ),
        (
            &[("x-vault-token", "a"), ("x-vault-mfa", "m:1")][..],
            json!("a"),
        ),
        (
            &[("x-vault-token", "a"), ("x-vault-wrap-ttl", "60")][..],
            json!("a"),
        ),
        (
            &[("x-vault-token", "a"), ("x-vault-namespace", "ns1")][..],
            json!("a"),
        ),
        (&[("authorization", "Basic YQ==")][..], json!("Basic YQ==")),
    ] {
        assert_eq!(ask(headers)?, (false, who), "{headers:?}");
    }
    let listed = Method::from_bytes(b"LIST")?;
    let listed = Request::builder()
        .method(listed)
        .uri(path)
        .header("x-vault-token", "a");
    let listed = proxy.send(listed.body(Bytes::new())?)?;
    assert!(
        listed
            .headers()
            .get("x-cache")
            .is_none_or(|value| value != "HIT")
    );
    Ok(())
}
