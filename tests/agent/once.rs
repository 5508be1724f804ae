//! A request that may have reached Vault is never sent a second time by the agent: the connection breaks at each byte
//! of the request and of the answer's head.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use keyside_harness::poll;

use crate::played::{Played, Wire};

const BODY: &str = r#"{"a":1}"#;
const ANSWER: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

/// Where to break the connection.
#[derive(Clone, Copy)]
enum Break {
    /// After so many bytes of the request were read.
    Request(usize),
    /// After so many bytes of the answer were written.
    Answer(usize),
    Never,
}

/// A Vault that answers probes and what warms a connection up, and breaks off where it is told to.
#[derive(Clone)]
struct Fragile {
    at: Arc<Mutex<Break>>,
    /// How much was read of each request of which there was anything.
    seen: Arc<Mutex<Vec<usize>>>,
}

impl Fragile {
    fn serve(&self, listener: TcpListener) {
        let fragile = self.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let fragile = fragile.clone();
                // What breaks is told by the client's answer.
                std::thread::spawn(move || drop(fragile.connection(stream)));
            }
        });
    }

    fn note(&self, read: usize) -> anyhow::Result<()> {
        self.seen.lock().ok().context("a lock")?.push(read);
        Ok(())
    }

    /// From now on connections break there, and nothing was seen.
    fn meets(&self, at: Break) -> anyhow::Result<()> {
        *self.at.lock().ok().context("a lock")? = at;
        self.seen.lock().ok().context("a lock")?.clear();
        Ok(())
    }

    fn seen(&self) -> anyhow::Result<Vec<usize>> {
        Ok(self.seen.lock().ok().context("a lock")?.clone())
    }

    fn connection(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        loop {
            let mut first = [0; 4];
            poll::until("the start of a request", poll::LIMIT, || {
                match stream.peek(&mut first) {
                    Ok(0) => Err("closed"),
                    Ok(4) => Ok(()),
                    _ => Err("nothing yet"),
                }
            })?;
            if &first == b"POST" {
                let at = *self.at.lock().ok().context("a lock")?;
                if let Break::Request(bytes) = at {
                    self.note(bytes)?;
                    return Ok(stream.read_exact(&mut vec![0; bytes])?);
                }
                self.note(request(&mut stream, BODY)?)?;
                match at {
                    Break::Answer(bytes) => {
                        let part = ANSWER.as_bytes().get(..bytes).context("a part")?;
                        return Ok(stream.write_all(part)?);
                    }
                    _ => stream.write_all(ANSWER.as_bytes())?,
                }
            } else {
                request(&mut stream, "\r\n\r\n")?;
                stream.write_all(ANSWER.as_bytes())?;
            }
        }
    }
}

/// Reads a request up to its last bytes, and says how long it was.
fn request(stream: &mut TcpStream, end: &str) -> anyhow::Result<usize> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(end.as_bytes()) {
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    Ok(request.len())
}

/// Asks for something of which the answer may be kept, or streams; the head of the answer.
fn post(client: &mut Wire, streams: bool) -> anyhow::Result<String> {
    let length = BODY.len();
    let streaming = if streams {
        "X-Vault-Wrap-TTL: 9\r\n"
    } else {
        ""
    };
    client.write(format!(
        "POST /v1/auth/token/create HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: mine\r\n{streaming}Content-Length: {length}\r\n\r\n{BODY}"
    ))?;
    client.head()
}

fn warm(client: &mut Wire) -> anyhow::Result<()> {
    client.write("GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: mine\r\n\r\n")?;
    let head = client.until("\r\n\r\n{}")?;
    anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(())
}

#[test]
fn wherever_the_connection_breaks_there_is_no_second_request() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    let fragile = Fragile {
        at: Arc::new(Mutex::new(Break::Never)),
        seen: Arc::default(),
    };
    fragile.serve(played.listener()?);
    for streams in [false, true] {
        fragile.meets(Break::Never)?;
        let whole = post(&mut played.client()?, streams)?;
        assert!(whole.starts_with("http/1.1 200 "), "{whole}");
        let length = *fragile.seen()?.first().context("no request")?;
        let places = (0..=length)
            .map(Break::Request)
            .chain((0..ANSWER.len() - 2).map(Break::Answer));
        for (number, place) in places.enumerate() {
            fragile.meets(place)?;
            let mut client = played.client()?;
            // On a connection that was used before, and on one of its own.
            if number % 2 == 0 {
                warm(&mut client)?;
            }
            let answer = post(&mut client, streams)?;
            assert!(answer.starts_with("http/1.1 502 "), "{number}: {answer}");
            assert_eq!(fragile.seen()?.len(), 1, "{number}");
        }
    }
    Ok(())
}

#[test]
fn what_found_its_connection_closed_is_sent_on_another() -> anyhow::Result<()> {
    let mut played = Played::start()?;
    for _ in 0..20 {
        let mut client = played.client()?;
        client.write("GET /v1/a HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: mine\r\n\r\n")?;
        let mut vault = played.vault()?;
        vault.head()?;
        vault.write(ANSWER)?;
        client.until("{}")?;
        // Idle now, and closed by the server while the next request is on its way.
        drop(vault);
        let length = BODY.len();
        client.write(format!(
            "POST /v1/a HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: mine\r\nContent-Length: {length}\r\n\r\n{BODY}"
        ))?;
        let mut vault = played.vault()?;
        vault.until(BODY)?;
        vault.write(ANSWER)?;
        let answer = client.until("{}")?;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop((client, vault));
    }
    Ok(())
}
