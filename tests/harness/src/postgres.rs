//! A real PostgreSQL server of a test's own, for dynamic credentials.
//!
//! PostgreSQL refuses to run as root, so where the test does, the server runs as `nobody`.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::{openbao, poll, process, tools};

/// The user with all rights.
pub const ADMINISTRATOR: &str = "postgres";

const NOBODY: u32 = 65534;

const SHUTDOWN: Duration = Duration::from_secs(5);

pub struct Server {
    process: process::Child,
    programs: PathBuf,
    port: u16,
    password: String,
    folder: tempfile::TempDir,
}

impl Server {
    /// Makes a database cluster and starts a server on it that takes passwords over TCP on loopback.
    ///
    /// # Errors
    /// When the tools are missing, or the server does not come up; its log is in the error.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        give_away(folder.path())?;
        let programs = reachable_programs(folder.path())?;
        let password = "the administrator's".to_owned();
        initialize(&programs, folder.path(), &password)?;
        let port = openbao::free_port()?;
        let process = launch(&programs, folder.path(), port)?;
        let server = Self {
            process,
            programs,
            port,
            password,
            folder,
        };
        poll::until("PostgreSQL's first answer", poll::LIMIT, || {
            server
                .select(ADMINISTRATOR, &server.password, "SELECT 1")
                .map(drop)
        })
        .with_context(|| server.process.lines().join("\n"))?;
        Ok(server)
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Runs one statement as this user and gives what it answers: a row per line, columns apart by `|`.
    ///
    /// # Errors
    /// When the server refuses user, password or statement; the error has its words.
    pub fn select(&self, user: &str, password: &str, statement: &str) -> anyhow::Result<String> {
        let output = Command::new(self.programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--tuples-only",
                "--no-align",
                "--host=127.0.0.1",
                "--dbname=postgres",
            ])
            .arg(format!("--port={}", self.port))
            .arg(format!("--username={user}"))
            .arg(format!("--command={statement}"))
            .env("PGPASSWORD", password)
            .env("PGCONNECT_TIMEOUT", "10")
            .current_dir(self.folder.path())
            .output()
            .context("run psql")?;
        let error = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "PostgreSQL, as {user}: {}",
            error.trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Everything that the server has logged so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.process.lines()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A server that is killed leaves shared memory behind. If it does not stop, dropping the child kills it.
        if self.process.signal(Signal::INT).is_ok() {
            self.process.wait(SHUTDOWN).ok();
        }
    }
}

fn initialize(programs: &Path, folder: &Path, password: &str) -> anyhow::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(password.as_bytes())?;
    give_away(file.path())?;
    let output = command(programs, "initdb", folder)
        .arg("--pgdata")
        .arg(folder.join("data"))
        .arg("--pwfile")
        .arg(file.path())
        .arg(format!("--username={ADMINISTRATOR}"))
        .args([
            "--auth=scram-sha-256",
            "--no-sync",
            "--no-locale",
            "--encoding=UTF8",
        ])
        .output()
        .context("run initdb")?;
    let error = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "initdb: {}", error.trim());
    Ok(())
}

fn launch(programs: &Path, folder: &Path, port: u16) -> anyhow::Result<process::Child> {
    let mut command = command(programs, "postgres", folder);
    command.arg("-D").arg(folder.join("data"));
    for setting in [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "shared_buffers=16MB",
        // In the data folder, so that even a killed server leaves nothing behind there.
        "dynamic_shared_memory_type=mmap",
        // What is lost with the machine is a test's.
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
    ] {
        command.arg("-c").arg(setting);
    }
    let mut process = process::Child::spawn("postgres", command)?;
    process.wait_for_line("PostgreSQL's start", |line| {
        line.contains("ready to accept connections")
    })?;
    Ok(process)
}

fn command(programs: &Path, program: &str, folder: &Path) -> Command {
    let mut command = Command::new(programs.join(program));
    command
        .current_dir(folder)
        .env_remove("PGDATA")
        .env("LC_ALL", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// The programs where the server's user can run them: `nobody` cannot where the repository is below, say, `/root`.
fn reachable_programs(folder: &Path) -> anyhow::Result<PathBuf> {
    let programs = tools::postgres()?.canonicalize()?;
    let open = |path: &Path| {
        path.metadata()
            .is_ok_and(|data| data.permissions().mode() & 0o005 == 0o005)
    };
    if !is_root() || programs.ancestors().all(open) {
        return Ok(programs);
    }
    let package = programs
        .ancestors()
        .nth(2)
        .context("PostgreSQL is not in a package")?;
    let target = folder.join("programs");
    std::fs::create_dir(&target)?;
    // The libraries lie beside the package, and the programs look for them there.
    for source in [package.to_owned(), package.with_extension("libs")] {
        let status = Command::new("cp")
            .arg("-r")
            .arg(&source)
            .arg(&target)
            .status()
            .context("run cp")?;
        anyhow::ensure!(status.success(), "copy {}", source.display());
    }
    let inside = programs.strip_prefix(package.parent().context("a package at the root")?)?;
    Ok(target.join(inside))
}

fn give_away(path: &Path) -> anyhow::Result<()> {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY))
            .with_context(|| format!("give {} to nobody", path.display()))?;
    }
    Ok(())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openbao_makes_users_that_can_log_in_until_their_lease_is_revoked() {
        let postgres = Server::start().unwrap();
        let vault = openbao::Server::start(openbao::Options::default()).unwrap();
        vault.database(&postgres).unwrap();
        vault
            .database_role(&openbao::DatabaseRole {
                name: "cart",
                ttl: 60,
                max_ttl: 600,
            })
            .unwrap();
        let secret = vault.root().read("database/creds/cart").unwrap();
        let text = |pointer: &str| secret.pointer(pointer).unwrap().as_str().unwrap();
        let (user, password) = (text("/data/username"), text("/data/password"));
        assert_eq!(
            postgres
                .select(user, password, "SELECT current_user")
                .unwrap(),
            user
        );
        postgres.select(user, "another", "SELECT 1").unwrap_err();

        let lease = serde_json::json!({ "lease_id": text("/lease_id"), "sync": true });
        vault.root().write("sys/leases/revoke", &lease).unwrap();
        postgres.select(user, password, "SELECT 1").unwrap_err();
    }
}
