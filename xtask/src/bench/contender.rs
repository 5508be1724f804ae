//! The two agents, and the ground on which they meet.

use std::path::{Path, PathBuf};
use std::process::Command;

use keyside_harness::{jwt, openbao, process};
use serde_json::{Value, json};

/// An agent's program.
pub(super) struct Contender {
    pub(super) name: &'static str,
    program: PathBuf,
    /// What only this one understands, or needs.
    own: fn(&Path) -> Value,
    verb: &'static str,
}

impl Contender {
    pub(super) fn keyside(program: PathBuf) -> Self {
        Self {
            name: "keyside-agent",
            program,
            own: |folder| json!({ "admin": { "socket": folder.join("admin.sock") } }),
            verb: "run",
        }
    }

    pub(super) fn bao(program: PathBuf) -> Self {
        Self {
            name: "bao agent",
            program,
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

    /// What an agent sends to log in.
    pub(super) fn login(&self, role: &str) -> Value {
        json!({ "role": role, "jwt": self.token })
    }

    /// As a pod has it: login by the service account, a token file, and a listener that attaches the token and caches.
    pub(super) fn place(&self, contender: &Contender, role: &str) -> anyhow::Result<Place> {
        let folder = tempfile::tempdir()?;
        let mut config = json!({
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
            "listener": [{ "type": "tcp", "address": "127.0.0.1:0", "tls_disable": true }],
        });
        if let (Some(config), Value::Object(own)) =
            (config.as_object_mut(), (contender.own)(folder.path()))
        {
            config.extend(own);
        }
        std::fs::write(folder.path().join("config.json"), config.to_string())?;
        Ok(Place { folder })
    }
}

impl Place {
    const SINK: &'static str = "token";

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The token in the sink, once there is one.
    pub(super) fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder().join(Self::SINK)).ok()?;
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn spawn(&self, contender: &Contender) -> anyhow::Result<process::Child> {
        let mut command = Command::new(&contender.program);
        command.env_clear().env("HOME", self.folder());
        command.arg(contender.verb).arg(format!(
            "-config={}",
            self.folder().join("config.json").display()
        ));
        process::Child::spawn(contender.name, command)
    }
}
