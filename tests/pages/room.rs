//! Where a page's commands run: a folder of its own with the examples and what the page takes for granted
//! (`tests/pages/rooms/PAGE`), both binaries, and an OpenBao server of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::{jwt, openbao, poll, postgres, process, tools};
use serde_json::{Value, json};

/// A command that takes longer does not belong on a page, or says that it needs a cluster.
const LIMIT: Duration = Duration::from_secs(50);

/// Runs a block, and notes each command that fails with its status.
const SCRIPT: &str = r#"set -uo pipefail
trap 'printf "%s %s\n" "$?" "$BASH_COMMAND" >> "$FAILED"' ERR
"#;

const POLICY: &str = r#"
path "database/creds/shop" { capabilities = ["read"] }
path "secret/*"            { capabilities = ["read"] }
"#;

pub(crate) struct Room {
    folder: tempfile::TempDir,
    server: openbao::Server,
    issuer: jwt::Issuer,
    postgres: Option<postgres::Server>,
    serving: Vec<process::Child>,
    /// Of the agent beside the application.
    proxy: Option<String>,
}

/// What a block said, and which of its commands failed.
pub(crate) struct Said {
    pub(crate) lines: Vec<String>,
    pub(crate) failed: Vec<String>,
}

impl Room {
    pub(crate) fn new(page: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = tools::root()?;
        copy(&root.join("examples"), &folder.path().join("examples"))?;
        let stem = Path::new(page).file_stem().context("a page's name")?;
        let own = root.join("tests/pages/rooms").join(stem);
        if own.is_dir() {
            copy(&own, folder.path())?;
        }
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin)?;
        let injector = PathBuf::from(env!("CARGO_BIN_EXE_keyside-injector"));
        for (name, target) in [
            ("keyside-agent", agent()?),
            ("keyside-injector", injector),
            ("bao", tools::bao()?),
            ("vault", tools::bao()?),
        ] {
            std::os::unix::fs::symlink(target, bin.join(name))?;
        }
        let server = openbao::Server::start(openbao::Options {
            tls: false,
            ..openbao::Options::default()
        })?;
        let root = server.root();
        root.write("sys/auth/kubernetes", &json!({ "type": "kubernetes" }))?;
        root.write("sys/auth/approle", &json!({ "type": "approle" }))?;
        let token = root.write("auth/token/create", &json!({ "ttl": "1h" }))?;
        let token = token.pointer("/auth/client_token").and_then(Value::as_str);
        std::fs::write(
            folder.path().join("vault-token"),
            token.context("no token")?,
        )?;
        Ok(Self {
            folder,
            issuer: jwt::Issuer::new()?,
            server,
            postgres: None,
            serving: Vec::new(),
            proxy: None,
        })
    }

    pub(crate) fn run(&mut self, text: &str, as_application: bool) -> anyhow::Result<Said> {
        if as_application && self.proxy.is_none() {
            self.inject()?;
        }
        let failed = self.path("failed");
        std::fs::write(&failed, "")?;
        let mut command = self.command("bash");
        let text = if as_application {
            text.replace("/keyside/", &format!("{}/", self.path("keyside").display()))
        } else {
            text.to_owned()
        };
        command.args(["-c", &format!("{SCRIPT}{text}")]);
        command.env("FAILED", &failed);
        if as_application {
            let proxy = self.proxy.as_deref().context("no proxy")?;
            command.env_remove("VAULT_TOKEN");
            for name in ["VAULT_ADDR", "BAO_ADDR"] {
                command.env(name, proxy);
            }
        }
        let mut child = process::Child::spawn("bash", command)?;
        let status = child.wait(LIMIT)?;
        let failed = std::fs::read_to_string(&failed)?;
        let mut failed: Vec<String> = failed.lines().map(str::to_owned).collect();
        if !status.success() && failed.is_empty() {
            failed.push(status.to_string());
        }
        Ok(Said {
            lines: child.lines(),
            failed,
        })
    }

    /// A file that the page shows.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.path(name), text)?)
    }

    /// Starts what goes on running, and waits until it is up.
    pub(crate) fn serve(&mut self, text: &str) -> anyhow::Result<()> {
        let mut command = self.command("bash");
        command.args(["-c", &format!("exec {}", text.trim())]);
        let mut child = process::Child::spawn("served", command)?;
        child.wait_for_line("its start", |line| line.contains("every part is up"))?;
        self.serving.push(child);
        Ok(())
    }

    /// Ends what was served; it has to end well.
    pub(crate) fn close(mut self) -> anyhow::Result<()> {
        for child in &mut self.serving {
            let status = child.terminate()?;
            anyhow::ensure!(status.success(), "{}: {status}", child.name());
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            self.path("bin").display()
        );
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("NO_COLOR", "1")
            .env("VAULT_ADDR", self.server.address())
            .env("VAULT_TOKEN", self.server.root().token())
            .current_dir(self.folder.path());
        command
    }

    /// Starts the agent as the example's pod gets it, with folders and a port of this room's.
    fn inject(&mut self) -> anyhow::Result<()> {
        self.server.root().delete("sys/auth/kubernetes")?;
        self.server.trust(&self.issuer)?;
        self.server.policy("shop", POLICY)?;
        self.server.kubernetes_role(&openbao::Role {
            name: "shop",
            policies: &["default", "shop"],
            ..openbao::Role::default()
        })?;
        let postgres = postgres::Server::start()?;
        self.server.database(&postgres)?;
        self.server.database_role(&openbao::DatabaseRole {
            name: "shop",
            ttl: 3600,
            max_ttl: 86400,
        })?;
        self.postgres = Some(postgres);
        for folder in ["keyside", "run"] {
            std::fs::create_dir(self.path(folder))?;
        }
        let token = self.issuer.token(&jwt::Claims::default())?;
        std::fs::write(self.path("service-account-token"), token)?;

        let mut command = self.command("keyside-agent");
        command.env_remove("VAULT_ADDR").env_remove("VAULT_TOKEN");
        command.env("KEYSIDE_CONFIG", self.config()?);
        let mut agent = process::Child::spawn("keyside-agent", command)?;
        let address = agent.listening("tcp")?;
        agent.wait_for_event("started")?;
        self.serving.push(agent);
        self.proxy = Some(format!("http://{address}"));
        Ok(())
    }

    fn config(&self) -> anyhow::Result<String> {
        let address = self.server.address();
        let output = self
            .command("keyside-injector")
            .args([
                "inject",
                "-f",
                "examples/pod.yaml",
                "--agent-log-format",
                "json",
            ])
            .args(["--vault-address", &address])
            .output()?;
        let pod: Value = serde_yaml::from_slice(&output.stdout)?;
        let config = pod
            .pointer("/spec/initContainers/0/env/0/value")
            .and_then(Value::as_str)
            .context("no configuration")?;
        let here = |name: &str| self.path(name).display().to_string();
        let config = config
            .replace(
                "/var/run/secrets/keyside.dev/serviceaccount/token",
                &here("service-account-token"),
            )
            .replace("\"/run/keyside/", &format!("\"{}/", here("run")))
            .replace("\"/keyside/", &format!("\"{}/", here("keyside")))
            .replace("localhost:8200", "127.0.0.1:0");
        Ok(config)
    }
}

/// The agent's binary, which cargo makes beside the injector's. It is none of this package's, so that cargo does not see
/// to it that it is the one of these sources: its list of sources tells.
pub(crate) fn agent() -> anyhow::Result<PathBuf> {
    let injector = Path::new(env!("CARGO_BIN_EXE_keyside-injector"));
    let agent = injector.with_file_name("keyside-agent");
    let advice = "run `cargo build -p keyside-agent` first";
    let made = |path: &Path| {
        let data = path.metadata();
        data.and_then(|data| data.modified())
            .with_context(|| format!("{} is not there: {advice}", path.display()))
    };
    let made_at = made(&agent)?;
    // cargo writes it where the program is asked for, and not where tests of its package are, which bring it up to date.
    let list = std::fs::read_to_string(agent.with_extension("d")).unwrap_or_default();
    let sources = list.split_once(':').map_or("", |(_, sources)| sources);
    for source in sources.split_whitespace() {
        anyhow::ensure!(
            made(Path::new(source))? <= made_at,
            "{} is older than {source}: {advice}",
            agent.display()
        );
    }
    Ok(agent)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn a_block_that_fails_is_noticed() -> anyhow::Result<()> {
    let mut room = Room::new("docs/none.md")?;
    let said = room.run("echo one\nls /nowhere 2>/dev/null\necho two", false)?;
    assert_eq!(said.lines, ["one", "two"]);
    assert_eq!(said.failed, ["2 ls /nowhere 2> /dev/null"]);
    poll::until("the server", poll::LIMIT, || {
        room.server.root().read("sys/mounts")
    })?;
    room.close()
}
