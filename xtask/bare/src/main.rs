//! What is left of a server when everything but hyper is taken away: one thread, and one answer to every request.
//!
//! `keyside-bare FILE` answers with what the file holds, a response as it goes over the wire, and prints its address.
//! `cargo xtask bench` measures the agent beside it, and lets it play a Vault that never keeps anybody waiting.

use std::convert::Infallible;
use std::io::Write as _;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What every request is answered with.
#[derive(Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1);
    let path = path.context("usage: keyside-bare FILE")?;
    let file = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let answer = Answer::read(&file).context("no response in the file")?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(answer))
}

async fn serve(answer: Answer) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(converse(stream, answer.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, answer: Answer) {
    let service = service_fn(move |_request| {
        let response = answer.response();
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away is no news.
    connection.await.ok();
}

impl Answer {
    /// Takes a response apart. hyper writes the date and the length by itself.
    fn read(file: &[u8]) -> Option<Self> {
        let end = file.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let (head, body) = (file.get(..end)?, file.get(end + 4..)?);
        let mut headers = HeaderMap::new();
        for line in std::str::from_utf8(head).ok()?.split("\r\n").skip(1) {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.parse().ok()?;
            if name != DATE && name != CONTENT_LENGTH {
                headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
            }
        }
        Some(Self {
            headers,
            body: Bytes::copy_from_slice(body),
        })
    }

    fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_keeps_its_headers_but_for_those_that_hyper_writes() {
        let file =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nage: 1\r\ncontent-length: 2\r\n\
            date: never\r\n\r\nok";
        let answer = Answer::read(file).unwrap();
        assert_eq!(answer.body, "ok");
        assert_eq!(answer.headers.len(), 2);
        assert_eq!(answer.headers["age"], "1");
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
