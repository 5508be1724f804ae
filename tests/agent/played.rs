//! A Vault that is played byte for byte, an agent in front of it that asks nothing by itself, and clients that write
//! what they like.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::poll;
use serde_json::{Value, json};

use crate::world::{Agent, keyside_agent};

pub(crate) struct Played {
    pub(crate) agent: Agent,
    listener: TcpListener,
    _folder: tempfile::TempDir,
}

impl Played {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::with(|_| ())
    }

    /// Starts an agent with a cache and one TCP listener, on a configuration that `change` has the last word on.
    pub(crate) fn with(change: impl FnOnce(&mut Value)) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let socket = folder.path().join("admin.sock");
        let mut config = json!({
            "vault": { "address": format!("http://{}", listener.local_addr()?) },
            "cache": {},
            "listener": [{ "type": "tcp", "address": "127.0.0.1:0", "tls_disable": true }],
            "admin": { "socket": socket },
            "log_format": "json",
            "log_level": "debug",
        });
        change(&mut config);
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string())?;
        let mut command = keyside_agent();
        command
            .arg("run")
            .arg(format!("-config={}", path.display()));
        let mut agent = Agent::start(command, socket)?;
        agent.child.wait_for_event("started")?;
        Ok(Self {
            agent,
            listener,
            _folder: folder,
        })
    }

    /// `127.0.0.1:port` of the Vault that is played.
    pub(crate) fn address(&self) -> anyhow::Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// For who accepts connections by itself.
    pub(crate) fn listener(&self) -> anyhow::Result<TcpListener> {
        Ok(self.listener.try_clone()?)
    }

    /// A client's connection to the agent.
    pub(crate) fn client(&mut self) -> anyhow::Result<Wire> {
        Wire::new(TcpStream::connect(self.agent.child.listening("tcp")?)?)
    }

    /// A connection of the agent, as Vault has it.
    pub(crate) fn vault(&self) -> anyhow::Result<Wire> {
        accept(&self.listener)
    }

    /// The same, if there is one by now.
    pub(crate) fn vault_if_any(&self) -> anyhow::Result<Option<Wire>> {
        self.listener.set_nonblocking(true)?;
        let accepted = self.listener.accept();
        self.listener.set_nonblocking(false)?;
        match accepted {
            Ok((stream, _)) => Ok(Some(Wire::new(stream)?)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The next connection, within a limit.
pub(crate) fn accept(listener: &TcpListener) -> anyhow::Result<Wire> {
    listener.set_nonblocking(true)?;
    let accepted = poll::until("a connection", poll::LIMIT, || listener.accept());
    listener.set_nonblocking(false)?;
    Wire::new(accepted?.0)
}

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Read, and not yet asked for.
    ahead: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(poll::LIMIT))?;
        stream.set_write_timeout(Some(poll::LIMIT))?;
        Ok(Self {
            stream,
            ahead: Vec::new(),
        })
    }

    pub(crate) fn write(&mut self, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
        Ok(self.stream.write_all(text.as_ref())?)
    }

    /// Reads up to and with `end`.
    pub(crate) fn until(&mut self, end: &str) -> anyhow::Result<String> {
        let end = end.as_bytes();
        loop {
            let found = self.ahead.windows(end.len()).position(|part| part == end);
            if let Some(at) = found {
                let rest = self.ahead.split_off(at + end.len());
                let read = std::mem::replace(&mut self.ahead, rest);
                return Ok(String::from_utf8_lossy(&read).into_owned());
            }
            anyhow::ensure!(
                self.more()?,
                "closed after {:?}",
                String::from_utf8_lossy(&self.ahead)
            );
        }
    }

    /// Reads a head, in small letters.
    pub(crate) fn head(&mut self) -> anyhow::Result<String> {
        Ok(self.until("\r\n\r\n")?.to_ascii_lowercase())
    }

    /// Reads to the end of the connection.
    pub(crate) fn rest(&mut self) -> anyhow::Result<String> {
        while self.more()? {}
        Ok(String::from_utf8_lossy(&self.ahead).into_owned())
    }

    /// Reads so many bytes and forgets them; fewer at the end of the connection. Says how many there were.
    pub(crate) fn skip(&mut self, bytes: u64) -> anyhow::Result<u64> {
        let mut skipped = self.ahead.len() as u64;
        anyhow::ensure!(skipped <= bytes, "more was read ahead");
        self.ahead.clear();
        let mut buffer = vec![0; 256 << 10];
        while skipped < bytes {
            let most = usize::try_from(bytes - skipped).unwrap_or(buffer.len());
            let most = most.min(buffer.len());
            let part = buffer.get_mut(..most).context("a part")?;
            let read = self.stream.read(part)?;
            if read == 0 {
                break;
            }
            skipped += read as u64;
        }
        Ok(skipped)
    }

    /// Whether nothing comes for so long.
    pub(crate) fn is_silent(&mut self, time: Duration) -> anyhow::Result<bool> {
        if !self.ahead.is_empty() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(time))?;
        let mut byte = [0];
        let silent = match self.stream.peek(&mut byte) {
            Ok(_) => false,
            Err(error) => {
                let kind = error.kind();
                let waited = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                anyhow::ensure!(waited.contains(&kind), "{error}");
                true
            }
        };
        self.stream.set_read_timeout(Some(poll::LIMIT))?;
        Ok(silent)
    }

    /// Whether the other end closes the connection, in whatever manner, without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.ahead.is_empty() && !matches!(self.more(), Ok(true))
    }

    /// Another handle of the same connection, for another thread.
    pub(crate) fn again(&self) -> anyhow::Result<Self> {
        Self::new(self.stream.try_clone()?)
    }

    fn more(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 4096];
        let read = self.stream.read(&mut buffer)?;
        self.ahead
            .extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(read > 0)
    }
}
