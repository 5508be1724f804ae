//! An agent in front of a server that is played, so that any answer can be had; nobody logs in.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use http::Method;
use keyside_harness::tap::{Action, Recorded, Tap};
use keyside_harness::{poll, web};
use serde_json::{Value, json};

use crate::world::{Agent, keyside_agent};

pub(crate) struct Lone {
    pub(crate) tap: Tap,
    pub(crate) agent: Agent,
    address: String,
    _folder: tempfile::TempDir,
}

impl Lone {
    /// An agent that has started, with one TCP listener with these keys and a server that answers so. Its health is
    /// always good.
    pub(crate) fn with(
        keys: Value,
        rule: impl Fn(&Recorded) -> Action + Send + 'static,
    ) -> anyhow::Result<Self> {
        let tap = Tap::played(move |request| {
            if request.is(&Method::GET, "/v1/sys/health") {
                Action::ok("{}")
            } else {
                rule(request)
            }
        })?;
        Self::start(tap, keys, None)
    }

    /// The same in front of another server; nobody asks the one that is played.
    pub(crate) fn before(server: &str, keys: Value) -> anyhow::Result<Self> {
        Self::start(Tap::played(|_| Action::Reset)?, keys, Some(server))
    }

    fn start(tap: Tap, keys: Value, server: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut listener = json!({ "type": "tcp", "address": "127.0.0.1:0", "tls_disable": true });
        if let (Some(all), Value::Object(keys)) = (listener.as_object_mut(), keys) {
            all.extend(keys);
        }
        let socket = folder.path().join("admin.sock");
        let config = json!({
            "vault": { "address": server.map_or_else(|| tap.address(), str::to_owned) },
            "cache": {},
            "listener": [listener],
            "admin": { "socket": socket },
            "log_format": "json",
        });
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string())?;
        let mut command = keyside_agent();
        command.arg(format!("-config={}", path.display()));
        let mut agent = Agent::start(command, socket)?;
        agent.child.wait_for_event("started")?;
        let address = agent.child.listening("tcp")?;
        Ok(Self {
            tap,
            agent,
            address,
            _folder: folder,
        })
    }

    pub(crate) fn proxy(&self) -> anyhow::Result<web::Client> {
        web::Client::new(&self.address, None)
    }

    pub(crate) fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(poll::LIMIT))?;
        stream.set_write_timeout(Some(poll::LIMIT))?;
        Ok(stream)
    }

    /// What a connection that sends this gets until the agent closes it. A reset counts as the end.
    pub(crate) fn say(&self, bytes: &[u8]) -> anyhow::Result<String> {
        let mut stream = self.connect()?;
        // The agent may have heard enough before all is sent.
        stream.write_all(bytes).ok();
        heard(&mut stream)
    }

    /// The same where the client leaves in the middle.
    pub(crate) fn say_and_leave(&self, bytes: &[u8]) -> anyhow::Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(bytes).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        heard(&mut stream)
    }

    /// Paths of the requests that the server got, in order, its health aside.
    pub(crate) fn seen(&self) -> Vec<String> {
        let requests = self.tap.requests().into_iter();
        let paths = requests.map(|request| request.path);
        paths.filter(|path| path != "/v1/sys/health").collect()
    }

    /// A value of the agent's metrics, over the admin socket, which nobody crowds.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let metrics = self.agent.admin().get("/metrics")?;
        let text = String::from_utf8_lossy(metrics.body()).into_owned();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        anyhow::Context::context(line, format!("no {name}"))?
            .parse()
            .map_err(Into::into)
    }

    /// Waits until the listener has at most this many connections.
    pub(crate) fn wait_for_connections(&self, most: f64) -> anyhow::Result<()> {
        poll::until("connections to be closed", poll::LIMIT, || {
            match self.metric("keyside_agent_proxy_connections") {
                Ok(open) if open <= most => Ok(()),
                Ok(open) => Err(format!("{open} are open")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
    }
}

fn heard(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            anyhow::bail!("still open after {}", String::from_utf8_lossy(&answer))
        }
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}
