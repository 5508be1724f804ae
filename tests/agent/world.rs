//! What nearly every test needs: a server that believes a service account, a tap in front of it, and agents.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::{jwt, openbao, process, tap, web};
use serde_json::{Value, json};

/// The role that [`World::new`] makes.
pub(crate) const ROLE: &str = "cart";

/// A server with a tap in front of it, and a folder with a service-account token.
pub(crate) struct World {
    pub(crate) server: openbao::Server,
    pub(crate) tap: tap::Tap,
    pub(crate) issuer: jwt::Issuer,
    folder: tempfile::TempDir,
}

impl World {
    /// A server in memory with the role [`ROLE`]: its tokens live as long as the server's default.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::with(
            openbao::Options::default(),
            &openbao::Role {
                name: ROLE,
                ..Default::default()
            },
        )
    }

    /// As [`World::new`], on another server and with another role.
    pub(crate) fn with(options: openbao::Options, role: &openbao::Role) -> anyhow::Result<Self> {
        let server = openbao::Server::start(options)?;
        let issuer = jwt::Issuer::new()?;
        server.trust(&issuer)?;
        server.kubernetes_role(role)?;
        let world = Self {
            tap: tap::Tap::in_front_of(&server)?,
            folder: tempfile::tempdir()?,
            server,
            issuer,
        };
        world.write_service_account_token()?;
        Ok(world)
    }

    /// A file in the test's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a fresh service-account token to where the agent reads it.
    pub(crate) fn write_service_account_token(&self) -> anyhow::Result<()> {
        let token = self.issuer.token(&jwt::Claims::default())?;
        Ok(std::fs::write(self.path("service-account-token"), token)?)
    }

    /// The usual configuration: `kubernetes` login through the tap, the sink `token`, the admin socket `admin.sock`,
    /// one TCP listener on a free port that attaches the token, and a cache. Change it before it is used.
    pub(crate) fn config(&self) -> Value {
        json!({
            "vault": { "address": self.tap.address(), "ca_cert": self.tap.ca_path() },
            "auto_auth": {
                "method": {
                    "type": "kubernetes",
                    "min_backoff": "100ms",
                    "config": { "role": ROLE, "token_path": self.path("service-account-token") },
                },
                "sink": [{ "type": "file", "config": { "path": self.path("token") } }],
            },
            "api_proxy": { "use_auto_auth_token": true },
            "cache": {},
            "listener": [{ "type": "tcp", "address": "127.0.0.1:0", "tls_disable": true }],
            "admin": { "socket": self.path("admin.sock") },
            "log_format": "json",
            "log_level": "debug",
        })
    }

    /// Starts an agent on this configuration, from a file.
    pub(crate) fn agent(&self, config: &Value) -> anyhow::Result<Agent> {
        Agent::start(self.command(config)?, self.path("admin.sock"))
    }

    /// What [`World::agent`] starts.
    pub(crate) fn command(&self, config: &Value) -> anyhow::Result<Command> {
        let path = self.path("config.json");
        std::fs::write(&path, config.to_string())?;
        let mut command = keyside_agent();
        command
            .arg("run")
            .arg(format!("-config={}", path.display()));
        Ok(command)
    }

    /// An agent on the usual configuration that has started.
    pub(crate) fn started(&self) -> anyhow::Result<Agent> {
        let mut agent = self.agent(&self.config())?;
        agent.child.wait_for_event("started")?;
        Ok(agent)
    }

    /// The token in the sink.
    pub(crate) fn sink(&self) -> anyhow::Result<String> {
        let path = self.path("token");
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Whether Vault knows the token in the sink.
    pub(crate) fn sink_lives(&self) -> anyhow::Result<bool> {
        let client = self.server.client(&self.sink()?)?;
        Ok(client.look_up_self()?.is_some())
    }
}

/// A running agent.
pub(crate) struct Agent {
    pub(crate) child: process::Child,
    socket: PathBuf,
}

impl Agent {
    /// Starts `command`, whose admin socket is or would be at `socket`.
    pub(crate) fn start(command: Command, socket: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            child: process::Child::spawn("keyside-agent", command)?,
            socket,
        })
    }

    /// A client of its admin socket.
    pub(crate) fn admin(&self) -> web::Client {
        web::Client::unix(&self.socket)
    }

    /// A client of its (first) TCP listener, without a token.
    pub(crate) fn proxy(&mut self) -> anyhow::Result<web::Client> {
        web::Client::new(&self.child.listening("tcp")?, None)
    }

    /// Runs a verb against its admin socket: exit status and standard output.
    pub(crate) fn ask(&self, verb: &[&str]) -> anyhow::Result<(i32, String)> {
        let mut command = keyside_agent();
        command
            .args(verb)
            .arg(format!("-socket={}", self.socket.display()));
        let (status, stdout, _) = run(command)?;
        Ok((status, stdout))
    }
}

/// The binary under test, without what the machine's environment says of Vault.
pub(crate) fn keyside_agent() -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_keyside-agent")));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if ["VAULT_", "BAO_", "KEYSIDE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end: exit status, standard output, standard error.
pub(crate) fn run(mut command: Command) -> anyhow::Result<(i32, String, String)> {
    let output = command.output().context("run the agent")?;
    let status = output.status.code().context("the agent was killed")?;
    Ok((
        status,
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}
