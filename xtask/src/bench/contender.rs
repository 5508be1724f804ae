//! The two agents, and the ground on which they meet.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyside_harness::{jwt, openbao, poll, process};
use serde_json::{Value, json};

use super::place::{On, pinned};

const READER: &str = r#"
    path "auth/token/create" { capabilities = ["create", "update"] }
    path "database/creds/*"  { capabilities = ["read"] }
    path "secret/*"          { capabilities = ["read"] }
"#;

/// An agent's program.
pub(super) struct Contender {
    pub(super) name: &'static str,
    program: PathBuf,
    /// What runs the program, where it does not run by itself.
    under: Vec<OsString>,
    /// What only this one understands, or needs.
    own: fn(&Path) -> Value,
    verb: &'static str,
}

impl Contender {
    pub(super) fn keyside(program: PathBuf) -> Self {
        Self {
            name: "keyside-agent",
            program,
            under: Vec::new(),
            own: |folder| json!({ "admin": { "socket": folder.join("admin.sock") } }),
            verb: "run",
        }
    }

    /// This one, run by another program.
    pub(super) fn under(self, command: Vec<OsString>) -> Self {
        Self {
            under: command,
            ..self
        }
    }

    pub(super) fn bao(program: PathBuf) -> Self {
        Self {
            name: "bao agent",
            program,
            under: Vec::new(),
            own: |_| json!({}),
            verb: "agent",
        }
    }
}

/// A server that believes a service account, whose token lies in a file.
pub(super) struct Ground {
    server: openbao::Server,
    folder: tempfile::TempDir,
    token: String,
}

/// A folder of an agent's own, with its configuration.
pub(super) struct Place {
    folder: tempfile::TempDir,
    /// Of the listener: host and port.
    address: String,
}

/// A running agent, on the processor of what is measured.
pub(super) struct Agent {
    pub(super) child: process::Child,
    /// Host and port of its listener.
    pub(super) address: String,
    /// Whether it has a token of its own.
    pub(super) logs_in: bool,
    place: Place,
}

impl Ground {
    pub(super) fn new() -> anyhow::Result<Self> {
        let server = openbao::Server::start(openbao::Options::default())?;
        let issuer = jwt::Issuer::new()?;
        server.trust(&issuer)?;
        let folder = tempfile::tempdir()?;
        let token = issuer.token(&jwt::Claims::default())?;
        std::fs::write(folder.path().join("service-account-token"), &token)?;
        Ok(Self {
            server,
            folder,
            token,
        })
    }

    pub(super) fn server(&self) -> &openbao::Server {
        &self.server
    }

    /// A role whose tokens live for this many seconds from each renewal on.
    pub(super) fn role(&self, name: &str, ttl: u64) -> anyhow::Result<()> {
        self.server.kubernetes_role(&openbao::Role {
            name,
            ttl,
            ..openbao::Role::default()
        })
    }

    /// A role whose tokens may have database users and further tokens, and read secrets.
    pub(super) fn reader(&self, name: &str) -> anyhow::Result<()> {
        self.server.policy(name, READER)?;
        self.server.kubernetes_role(&openbao::Role {
            name,
            ttl: 86_400,
            policies: &["default", name],
            ..openbao::Role::default()
        })
    }

    /// What an agent sends to log in.
    pub(super) fn login(&self, role: &str) -> Value {
        json!({ "role": role, "jwt": self.token })
    }

    /// As a pod has it: login by the service account, a token file, and a listener that attaches the token and caches.
    pub(super) fn place(&self, contender: &Contender, role: &str) -> anyhow::Result<Place> {
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let config = json!({
            "vault": { "address": self.server.address(), "ca_cert": self.server.ca_path() },
            "auto_auth": {
                "method": {
                    "type": "kubernetes",
                    "config": { "role": role, "token_path": self.folder.path().join("service-account-token") },
                },
                "sink": [{ "type": "file", "config": { "path": folder.path().join(Place::SINK) } }],
            },
            "api_proxy": { "use_auto_auth_token": true },
            "cache": {},
            "listener": [{ "type": "tcp", "address": address, "tls_disable": true }],
        });
        Place::write(contender, folder, address, config)
    }

    /// Starts an agent and waits until it has its token and listens.
    pub(super) fn agent(&self, contender: &Contender, role: &str) -> anyhow::Result<Agent> {
        let mut agent = self.place(contender, role)?.start(contender)?;
        agent.logs_in = true;
        let what = format!("a token of {}", contender.name);
        poll::until(&what, poll::LIMIT, || {
            let token = agent.place.token().map(drop);
            token.ok_or_else(|| agent.child.lines().join("\n"))
        })?;
        Ok(agent)
    }
}

/// An address of loopback that nobody has. Somebody may take it before the agent does; then the agent says so.
fn free_address() -> anyhow::Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

impl Place {
    const SINK: &'static str = "token";

    /// For an agent without a login, in front of a Vault at `vault` that is played.
    pub(super) fn without_login(
        contender: &Contender,
        vault: &str,
        further: Value,
    ) -> anyhow::Result<Self> {
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let mut config = json!({
            "vault": { "address": vault },
            "cache": {},
            "listener": [{ "type": "tcp", "address": address, "tls_disable": true }],
        });
        if let (Some(config), Value::Object(further)) = (config.as_object_mut(), further) {
            config.extend(further);
        }
        Self::write(contender, folder, address, config)
    }

    fn write(
        contender: &Contender,
        folder: tempfile::TempDir,
        address: String,
        mut config: Value,
    ) -> anyhow::Result<Self> {
        if let (Some(config), Value::Object(own)) =
            (config.as_object_mut(), (contender.own)(folder.path()))
        {
            config.extend(own);
        }
        std::fs::write(folder.path().join("config.json"), config.to_string())?;
        Ok(Self { folder, address })
    }

    /// Starts the agent on the processor of what is measured, and waits until it listens.
    pub(super) fn start(self, contender: &Contender) -> anyhow::Result<Agent> {
        let child = pinned(On::First, || self.spawn(contender))??;
        let what = format!("{} listens on {}", contender.name, self.address);
        poll::until(&what, poll::LIMIT, || {
            let connected = std::net::TcpStream::connect(&self.address).map(drop);
            connected.map_err(|_refused| child.lines().join("\n"))
        })?;
        Ok(Agent {
            child,
            address: self.address.clone(),
            logs_in: false,
            place: self,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The token in the sink, once there is one.
    pub(super) fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder().join(Self::SINK)).ok()?;
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn spawn(&self, contender: &Contender) -> anyhow::Result<process::Child> {
        let under = contender.under.iter().map(OsString::as_os_str);
        let mut words = under.chain([contender.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command.env_clear().env("HOME", self.folder());
        command.arg(contender.verb).arg(format!(
            "-config={}",
            self.folder().join("config.json").display()
        ));
        process::Child::spawn(contender.name, command)
    }
}
