//! A real OpenBao server of a test's own, and clients of it.
//!
//! It is initialised and unsealed through its API, as an operator would, so that it can be stopped and started again.

mod setup;

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response};
use rustix::process::Signal;
use serde_json::{Value, json};

pub use self::setup::{AppRole, DatabaseRole, Role};
use crate::{pki, poll, process, tools, web};

/// How often another port is tried when somebody took the one that was free a moment ago.
const ATTEMPTS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Gone when the server stops; starts in about 0.3 s.
    Memory,
    /// Survives [`Server::restart`]; the first start takes a few seconds, because Raft elects a leader.
    Durable,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub tls: bool,
    pub storage: Storage,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls: true,
            storage: Storage::Memory,
        }
    }
}

/// A running, unsealed server.
pub struct Server {
    process: process::Child,
    port: u16,
    options: Options,
    pki: pki::Pki,
    config: PathBuf,
    folder: tempfile::TempDir,
    unseal_key: String,
    root: Client,
}

impl Server {
    /// Starts a server and unseals it.
    ///
    /// # Errors
    /// When the tools are missing, or the server does not come up; its log is in the error.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let pki = pki::Pki::new()?;
        let leaf = pki.server("openbao", &["vault.example"])?;
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config.json");
        let (process, port) = launch_anywhere(|port| {
            let text = configuration(options, port, &folder, &leaf).to_string();
            std::fs::write(&config, text)?;
            launch(&config)
        })?;
        let address = address(options, port);
        let web = web::Client::new(&address, Some(&pki.ca()))?;
        let (unseal_key, token) = initialize(&web)?;
        let root = Client {
            web: web.with_token(&token)?,
            token,
        };
        let server = Self {
            process,
            port,
            options,
            pki,
            config,
            folder,
            unseal_key,
            root,
        };
        server.unseal()?;
        Ok(server)
    }

    /// `https://127.0.0.1:port`, or `http://…` without TLS.
    #[must_use]
    pub fn address(&self) -> String {
        address(self.options, self.port)
    }

    /// The CA of the server's certificate, in PEM.
    #[must_use]
    pub fn ca(&self) -> String {
        self.pki.ca()
    }

    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.pki.ca_path()
    }

    /// The authority that signed the server's certificate: for others that shall be trusted alike.
    #[must_use]
    pub fn pki(&self) -> &pki::Pki {
        &self.pki
    }

    /// A client with the root token.
    #[must_use]
    pub fn root(&self) -> &Client {
        &self.root
    }

    /// A client with another token.
    ///
    /// # Errors
    /// When the token cannot be a header's value.
    pub fn client(&self, token: &str) -> anyhow::Result<Client> {
        let web = web::Client::new(&self.address(), Some(&self.ca()))?.with_token(token)?;
        Ok(Client {
            web,
            token: token.to_owned(),
        })
    }

    /// Stops the server: connections are refused from now on.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process.terminate()?;
        Ok(())
    }

    /// Starts the server again on the same port and unseals it. Its state is there only if its storage is durable.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.options.storage == Storage::Durable,
            "a server in memory has nothing to start again with"
        );
        self.process.kill();
        self.process = launch(&self.config)?;
        self.unseal()
    }

    /// Stops the server in its tracks: the kernel goes on accepting connections, and nothing answers.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Presents another certificate on new connections, after a moment.
    ///
    /// # Errors
    /// When its files cannot be written or the server is gone.
    pub fn present(&self, leaf: &pki::Leaf) -> anyhow::Result<()> {
        let file = |name: &str| self.pki.folder().join(name);
        std::fs::write(file("openbao.crt"), &leaf.certificate)?;
        std::fs::write(file("openbao.key"), &leaf.key)?;
        self.process.signal(Signal::HUP)
    }

    /// Seals the server: it answers 503 until [`Server::unseal`].
    ///
    /// # Errors
    /// When the server refuses.
    pub fn seal(&self) -> anyhow::Result<()> {
        self.root.write("sys/seal", &Value::Null).map(drop)
    }

    /// Unseals the server and waits until it is active.
    ///
    /// # Errors
    /// When it does not become active.
    pub fn unseal(&self) -> anyhow::Result<()> {
        poll::until("an unsealed OpenBao", poll::LIMIT, || {
            self.root
                .write("sys/unseal", &json!({ "key": self.unseal_key }))?;
            let health = self.root.request(Method::GET, "sys/health", None)?;
            anyhow::ensure!(health.status() == 200, "health {}", health.status());
            // The active node serves a little later than its health says.
            self.root.read("sys/mounts").map(drop)
        })
        .with_context(|| self.process.lines().join("\n"))
    }

    /// The server's process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Everything that the server has logged so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.process.lines()
    }

    /// Where the server keeps its files.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// A client of OpenBao's API with a token. Paths are below `/v1/`.
#[derive(Clone)]
pub struct Client {
    web: web::Client,
    token: String,
}

impl Client {
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// # Errors
    /// When there is no answer, or it is no success.
    pub fn read(&self, path: &str) -> anyhow::Result<Value> {
        self.success(Method::GET, path, None)
    }

    /// # Errors
    /// When there is no answer, or it is no success.
    pub fn write(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.success(Method::PUT, path, Some(body))
    }

    /// # Errors
    /// When there is no answer, or it is no success.
    pub fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.success(Method::DELETE, path, None)
    }

    /// What Vault knows of a token, or `None` if it refuses it.
    ///
    /// # Errors
    /// When there is no answer, or neither of the two.
    pub fn look_up_self(&self) -> anyhow::Result<Option<Value>> {
        let response = self.request(Method::GET, "auth/token/lookup-self", None)?;
        if response.status() == 403 {
            return Ok(None);
        }
        web::success(&response).map(Some)
    }

    /// Any request, whatever its answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Response<Bytes>> {
        self.web
            .send(web::request(method, &format!("/v1/{path}"), body)?)
    }

    fn success(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        web::success(&self.request(method, path, body)?).with_context(|| what)
    }
}

fn address(options: Options, port: u16) -> String {
    let scheme = if options.tls { "https" } else { "http" };
    format!("{scheme}://127.0.0.1:{port}")
}

fn configuration(
    options: Options,
    port: u16,
    folder: &tempfile::TempDir,
    leaf: &pki::Leaf,
) -> Value {
    let storage = match options.storage {
        Storage::Memory => json!({ "inmem": {} }),
        Storage::Durable => json!({ "raft": {
            "path": folder.path(),
            "node_id": "one",
            // Elections in a cluster of one need not wait for anybody.
            "performance_multiplier": "1",
        }}),
    };
    let listener = json!({
        "address": format!("127.0.0.1:{port}"),
        "cluster_address": "127.0.0.1:0",
        "tls_disable": !options.tls,
        "tls_cert_file": leaf.certificate_path,
        "tls_key_file": leaf.key_path,
    });
    json!({
        "storage": storage,
        "listener": { "tcp": listener },
        "api_addr": address(options, port),
        "cluster_addr": "https://127.0.0.1:0",
        "log_level": "warn",
    })
}

/// Starts the server on a port that was free a moment ago; on another if it was taken since.
fn launch_anywhere(
    launch: impl Fn(u16) -> anyhow::Result<process::Child>,
) -> anyhow::Result<(process::Child, u16)> {
    let mut attempt = 1;
    loop {
        let port = free_port()?;
        match launch(port) {
            Ok(process) => return Ok((process, port)),
            Err(error)
                if attempt < ATTEMPTS
                    && format!("{error:#}").contains("address already in use") =>
            {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

fn launch(config: &std::path::Path) -> anyhow::Result<process::Child> {
    let mut command = Command::new(tools::bao()?);
    command.arg("server").arg("-config").arg(config);
    // The machine's own variables would override the file.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("VAULT_") || name.starts_with("BAO_"))
        {
            command.env_remove(name);
        }
    }
    let mut process = process::Child::spawn("openbao", command)?;
    process.wait_for_line("OpenBao's start", |line| line.contains("server started"))?;
    Ok(process)
}

/// Gives the unseal key and the root token.
fn initialize(web: &web::Client) -> anyhow::Result<(String, String)> {
    let request = web::request(
        Method::PUT,
        "/v1/sys/init",
        Some(&json!({ "secret_shares": 1, "secret_threshold": 1 })),
    )?;
    let answer = web::success(&web.send(request)?)?;
    let text = |pointer: &str| {
        let value = answer.pointer(pointer).and_then(Value::as_str);
        anyhow::Ok(
            value
                .with_context(|| format!("no {pointer} in the answer to sys/init"))?
                .to_owned(),
        )
    };
    Ok((text("/keys_base64/0")?, text("/root_token")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt;

    #[test]
    fn a_service_account_token_logs_in() {
        let server = Server::start(Options::default()).unwrap();
        let issuer = jwt::Issuer::new().unwrap();
        server.trust(&issuer).unwrap();
        server
            .kubernetes_role(&Role {
                name: "cart",
                ..Role::default()
            })
            .unwrap();
        let token = issuer.token(&jwt::Claims::default()).unwrap();
        let login = json!({ "role": "cart", "jwt": token });
        let secret = server
            .root()
            .write("auth/kubernetes/login", &login)
            .unwrap();
        let token = secret
            .pointer("/auth/client_token")
            .unwrap()
            .as_str()
            .unwrap();
        assert!(
            server
                .client(token)
                .unwrap()
                .look_up_self()
                .unwrap()
                .is_some()
        );

        let other = jwt::Issuer::new()
            .unwrap()
            .token(&jwt::Claims::default())
            .unwrap();
        server
            .root()
            .write(
                "auth/kubernetes/login",
                &json!({ "role": "cart", "jwt": other }),
            )
            .unwrap_err();
    }

    #[test]
    fn a_durable_server_knows_its_tokens_after_a_restart() {
        let mut server = Server::start(Options {
            storage: Storage::Durable,
            ..Options::default()
        })
        .unwrap();
        let secret = server
            .root()
            .write("auth/token/create", &json!({ "ttl": "1h" }))
            .unwrap();
        let token = secret
            .pointer("/auth/client_token")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        server.stop().unwrap();
        server.root().read("sys/mounts").unwrap_err();
        server.restart().unwrap();
        assert!(
            server
                .client(&token)
                .unwrap()
                .look_up_self()
                .unwrap()
                .is_some()
        );
    }
}
