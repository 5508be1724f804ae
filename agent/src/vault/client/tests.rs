use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use http::Method;
use hyper::body::Frame;
use keyside_config::model::Limits;
use keyside_config::model::listener::HostPort;
use keyside_config::model::vault::SingleUse;
use prometheus::Registry;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::fake::{self, Fake, Reply};
use super::super::gate::metrics::Metrics;
use super::*;
use crate::vault::error::Retry;
use crate::vault::wire;

fn client(port: u16, prefix: &str) -> Client {
    let vault = Vault {
        address: Address::Tcp {
            tls: false,
            at: HostPort {
                host: "127.0.0.1".to_owned(),
                port,
            },
            prefix: prefix.to_owned(),
        },
        timeout: Duration::from_secs(20),
        ..Vault::default()
    };
    Client::new(&vault, gate()).unwrap()
}

/// `disable_keep_alives` asks the server to close, as Go's transport does.
#[tokio::test]
async fn what_keeps_no_connection_says_so() {
    let uses = |auto_auth, caching, proxying| SingleUse {
        auto_auth,
        caching,
        proxying,
    };
    for (single_use, closing) in [
        (uses(false, false, false), [false, false, false]),
        (uses(true, false, false), [true, false, false]),
        (uses(false, true, false), [false, true, false]),
        (uses(false, false, true), [false, false, true]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut vault = client(port, "").0.vault.clone();
        vault.single_use = single_use;
        let client = Client::new(&vault, gate()).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let call = |reason| client.call(reason, Call::default());
            drop(call(Reason::LookUp).await.unwrap());
            drop(call(Reason::LeaseRenew).await.unwrap());
            drop(client.forward(request(Method::GET, "/v1/x", "")).await);
        });
        let mut seen = Vec::new();
        let (mut stream, _) = listener.accept().await.unwrap();
        while seen.len() < 3 {
            let head = read(&mut stream).await;
            if head.is_empty() {
                stream = listener.accept().await.unwrap().0;
                continue;
            }
            seen.push(
                head.to_ascii_lowercase()
                    .contains("\r\nconnection: close\r\n"),
            );
            stream.write_all(EMPTY).await.unwrap();
        }
        assert_eq!(seen, closing);
    }
}

#[test]
fn a_reload_reaches_the_clients_with_certificates_of_their_own() {
    let common = client(1, "");
    let own = ClientCertificate {
        certificate: "/own.crt".into(),
        key: "/own.key".into(),
    };
    let derived = common
        .with_certificates(Some(Path::new("/own-ca.pem")), Some(&own))
        .unwrap();
    let mut wanted = common.trusting();
    wanted.ca_cert = Some("/new-ca.pem".into());
    wanted.tls_server_name = Some("new".to_owned());
    common.reload(&wanted).unwrap();
    assert_eq!(common.trusting(), wanted);
    let trusting = derived.trusting();
    assert_eq!(trusting.ca_cert.as_deref(), Some(Path::new("/own-ca.pem")));
    assert_eq!(trusting.client_certificate, Some(own));
    assert_eq!(trusting.tls_server_name.as_deref(), Some("new"));
}

fn gate() -> Gate {
    Gate::new(&Limits::default(), Metrics::new(&Registry::new()).unwrap())
}

fn request(method: Method, path: &str, body: &'static str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "127.0.0.1:8200")
        .body(Body::full(body))
        .unwrap()
}

/// Reads one request whose body is at most one segment: its head and what came with it.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.windows(4).any(|window| window == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8(text).unwrap()
}

const EMPTY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn forward_keeps_the_path_byte_for_byte_and_sets_the_host() {
    for (path, prefix, expected) in [
        ("/v1/secret/a%2Fb//c/", "", "/v1/secret/a%2Fb//c/"),
        (
            "/v1/kv/x;y?list=true&list=%41&",
            "",
            "/v1/kv/x;y?list=true&list=%41&",
        ),
        ("/v1/../%2e%2e/%zz?", "/base", "/base/v1/../%2e%2e/%zz?"),
        ("//v1", "", "//v1"),
        ("/", "/base", "/base/"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = client(port, prefix);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = read(&mut stream).await;
            stream.write_all(EMPTY).await.unwrap();
            seen
        });
        // A client may be of the last century; the connection to Vault is kept all the same.
        let mut asked = request(Method::GET, path, "");
        *asked.version_mut() = http::Version::HTTP_10;
        client.forward(asked).await.unwrap();
        let seen = tasks.join_next().await.unwrap().unwrap();
        assert!(
            seen.starts_with(&format!("GET {expected} HTTP/1.1\r\n")),
            "{seen}"
        );
        assert!(
            seen.contains(&format!("host: 127.0.0.1:{port}\r\n")),
            "{seen}"
        );
    }
}

#[tokio::test]
async fn a_request_that_reached_the_server_is_never_sent_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap().port(), "");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let mut tasks = JoinSet::new();
    // The second request of each connection is read, and the connection closed instead of an answer.
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let first = read(&mut stream).await;
            log.lock().unwrap().push(first);
            stream.write_all(EMPTY).await.unwrap();
            let second = read(&mut stream).await;
            log.lock().unwrap().push(second);
        }
    });
    client
        .forward(request(Method::POST, "/v1/first", ""))
        .await
        .unwrap();
    let outcome = client
        .forward(request(Method::POST, "/v1/second", "{}"))
        .await;
    assert!(
        matches!(outcome, Err(Error::Transport { .. })),
        "{outcome:?}"
    );
    let seen = seen.lock().unwrap();
    let second = |text: &&String| text.starts_with("POST /v1/second");
    assert_eq!(
        (seen.iter().filter(second).count(), seen.len()),
        (1, 2),
        "{seen:?}"
    );
}

/// A body whose parts the test sends one by one.
struct Parts(mpsc::Receiver<Bytes>);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(cx)
            .map(|part| part.map(|part| Ok(Frame::data(part))))
    }
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(listener.local_addr().unwrap().port(), "");
    let mut tasks = JoinSet::new();
    // Answers each part as soon as it is there, and ends when it gets "end".
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut seen = read(&mut stream).await;
        stream.write_all(head).await.unwrap();
        for part in ["one", "two", "end"] {
            while !seen.contains(part) {
                let mut buffer = [0; 4096];
                let count = stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "{part} never came: {seen}");
                seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            let chunk = format!("3\r\n{part}\r\n");
            stream.write_all(chunk.as_bytes()).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    });
    let (parts, receiver) = mpsc::channel(1);
    let request = Request::post("/v1/sys/storage/raft/snapshot")
        .body(Body::streamed(Parts(receiver)))
        .unwrap();
    parts.send(Bytes::from_static(b"one")).await.unwrap();
    let mut body = client.forward(request).await.unwrap().into_body();
    for (answer, next) in [("one", "two"), ("two", "end"), ("end", "")] {
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), answer);
        if !next.is_empty() {
            parts
                .send(Bytes::from_static(next.as_bytes()))
                .await
                .unwrap();
        }
    }
    drop(parts);
    assert!(body.frame().await.is_none());
}

async fn call(fake: &Fake) -> Result<Secret, Error> {
    let call = Call {
        method: Method::POST,
        path: "auth/jwt/login",
        namespace: None,
        token: None,
        body: Some(wire::Body(json!({"role": "app", "jwt": "the-jwt"}))),
        wrap_ttl: None,
    };
    fake.client().call(Reason::Login, call).await
}

#[tokio::test]
async fn a_refusal_is_told_without_the_credential() {
    let fake = Fake::start(|_| fake::error(400, "the-jwt is\n no token of app"));
    let error = call(&fake).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "auth/jwt/login was answered 400 Bad Request: (redacted) is no token of app"
    );
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn a_busy_vault_says_for_how_long() {
    let fake = Fake::start(|_| Reply(429, Some(7), json!({})));
    let after = Some(Duration::from_secs(7));
    assert_eq!(
        call(&fake).await.unwrap_err().retry(),
        Retry::Later { after }
    );
}

#[tokio::test]
async fn an_answer_without_measure_is_no_answer() {
    let fake = Fake::start(|_| Reply(200, None, json!("x".repeat(2 << 20))));
    let error = call(&fake).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    fake.answers(|_| Reply(200, None, json!("s.secret")));
    let error = call(&fake).await.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error:?}");
    assert!(!keyside_lifecycle::error::chain(&error).contains("secret"));
}

#[tokio::test]
async fn nobody_listening_is_told_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let outcome = client(port, "")
        .forward(request(Method::GET, "/", ""))
        .await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!("connect to http://127.0.0.1:{port}")
    );
}

#[tokio::test]
async fn an_address_is_written_as_http_wants_it() {
    for (host, port, tls, expected) in [
        (
            "vault.example",
            8200,
            true,
            "https://vault.example:8200/base/v1/x",
        ),
        (
            "vault.example",
            443,
            true,
            "https://vault.example/base/v1/x",
        ),
        ("vault.example", 80, false, "http://vault.example/base/v1/x"),
        ("::1", 8200, false, "http://[::1]:8200/base/v1/x"),
    ] {
        let vault = Vault {
            address: Address::Tcp {
                tls,
                at: HostPort {
                    host: host.to_owned(),
                    port,
                },
                prefix: "/base".to_owned(),
            },
            tls_skip_verify: true,
            ..Vault::default()
        };
        let client = Client::new(&vault, gate()).unwrap();
        assert_eq!(
            client
                .uri(PathAndQuery::from_static("/v1/x"))
                .unwrap()
                .to_string(),
            expected
        );
    }
}
