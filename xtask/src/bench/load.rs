//! A load that costs little: clients in a closed loop, all on one thread, each on a connection that it keeps.
//!
//! It shares the machine with what it loads, so it is no HTTP client: it knows where an answer ends, and its status.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::epoll;
use tokio::time::Instant;

/// As many as the table is about.
pub(super) const CLIENTS: usize = 32;
/// No answer takes this long unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a request into the buffer: the one with this number.
pub(super) type Write<'a> = dyn Fn(u64, &mut Vec<u8>) + 'a;

/// When it is enough.
#[derive(Clone, Copy)]
pub(super) struct Until {
    pub(super) time: Duration,
    pub(super) answers: u64,
}

impl Until {
    pub(super) fn time(time: Duration) -> Self {
        Self {
            time,
            answers: u64::MAX,
        }
    }

    pub(super) fn answers(answers: u64) -> Self {
        Self {
            time: Duration::MAX,
            answers,
        }
    }
}

/// What came of it.
pub(super) struct Outcome {
    took: Duration,
    /// In ascending order.
    latencies: Vec<Duration>,
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
    pub(super) fn answers(&self) -> f64 {
        self.latencies.len() as f64
    }

    pub(super) fn per_second(&self) -> f64 {
        self.answers() / self.took.as_secs_f64()
    }

    /// What one in a hundred takes longer than.
    pub(super) fn p99(&self) -> Duration {
        let place = self.latencies.len() * 99 / 100;
        self.latencies.get(place).copied().unwrap_or_default()
    }
}

/// Loads the server at `address` (host and port). Every answer has to be a success.
pub(super) fn run(
    address: &str,
    clients: usize,
    write: &Write<'_>,
    until: Until,
) -> anyhow::Result<Outcome> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut all = Vec::new();
    for number in 0..clients as u64 {
        let client = Client::connect(address)?;
        let data = epoll::EventData::new_u64(number);
        epoll::add(&poll, &client.stream, data, epoll::EventFlags::IN)?;
        all.push(client);
    }
    let start = Instant::now();
    let mut sent = 0;
    let mut latencies = Vec::new();
    let enough = |sent: u64| sent >= until.answers || start.elapsed() >= until.time;
    for client in &mut all {
        client.ask(write, &mut sent)?;
    }
    let mut waiting = all.len();
    let mut events = Vec::with_capacity(clients);
    while waiting > 0 {
        events.clear();
        let patience = rustix::event::Timespec::try_from(PATIENCE)?;
        let ready = rustix::buffer::spare_capacity(&mut events);
        let count = epoll::wait(&poll, ready, Some(&patience))?;
        anyhow::ensure!(count > 0, "no answer within {PATIENCE:?}");
        for event in &events {
            let number = usize::try_from(event.data.u64())?;
            let client = all.get_mut(number).context("a client of another load")?;
            if !client.hear()? {
                continue;
            }
            latencies.push(client.since.elapsed());
            if enough(sent) {
                waiting -= 1;
            } else {
                client.ask(write, &mut sent)?;
            }
        }
    }
    let took = start.elapsed();
    latencies.sort_unstable();
    Ok(Outcome { took, latencies })
}

/// Asks once, and returns the answer as it came over the wire.
pub(super) fn once(address: &str, request: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut client = Client::connect(address)?;
    client.stream.set_nonblocking(false)?;
    client.stream.set_read_timeout(Some(PATIENCE))?;
    client.ask(&|_, out| out.extend_from_slice(request), &mut 0)?;
    loop {
        anyhow::ensure!(client.read()?, "no answer within {PATIENCE:?}");
        if let Some(length) = length(&client.received)? {
            client.received.truncate(length);
            return Ok(client.received);
        }
    }
}

struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    received: Vec<u8>,
    since: Instant,
}

impl Client {
    fn connect(address: &str) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            request: Vec::new(),
            received: Vec::new(),
            since: Instant::now(),
        })
    }

    fn ask(&mut self, write: &Write<'_>, sent: &mut u64) -> anyhow::Result<()> {
        self.request.clear();
        self.received.clear();
        write(*sent, &mut self.request);
        *sent += 1;
        self.since = Instant::now();
        // A request is small, and the one before was answered: the socket's buffer is empty.
        self.stream
            .write_all(&self.request)
            .context("send a request")
    }

    /// Whether the answer is here.
    fn hear(&mut self) -> anyhow::Result<bool> {
        while self.read()? {
            if length(&self.received)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes what has come; `false` where that is nothing.
    fn read(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => anyhow::bail!("the server hung up"),
            Ok(count) => {
                self.received
                    .extend_from_slice(buffer.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).context("read an answer"),
        }
    }
}

/// How long the answer is; `None` while it is not whole. Fails unless it is a success.
fn length(received: &[u8]) -> anyhow::Result<Option<usize>> {
    let mut rest = received;
    let (mut content, mut chunked) = (0, false);
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        if line == b"\r\n" {
            let head = received.len() - rest.len();
            if !received.starts_with(b"HTTP/1.1 2") {
                anyhow::bail!("answered {}", String::from_utf8_lossy(received));
            }
            if chunked {
                return Ok(rest.ends_with(b"0\r\n\r\n").then_some(received.len()));
            }
            return Ok((rest.len() >= content).then_some(head + content));
        }
        if let Some(value) = value(line, b"content-length:") {
            content = value.trim().parse().context("read a length")?;
        } else if let Some(value) = value(line, b"transfer-encoding:") {
            chunked = value.trim() == "chunked";
        }
    }
    Ok(None)
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let (start, value) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_at_its_last_byte_and_not_before() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Some(40)),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no", None),
            ("HTTP/1.1 204 No Content\r\n\r\n", Some(27)),
            ("HTTP/1.1 200 OK\r\ncontent-le", None),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
                None,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                Some(59),
            ),
        ] {
            assert_eq!(length(answer.as_bytes()).unwrap(), expected, "{answer}");
        }
        length(b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n").unwrap_err();
    }
}
