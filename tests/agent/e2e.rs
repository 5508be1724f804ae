//! The scripts that `cargo xtask e2e` runs in a cluster, here on the same real parts: what an operator sets up, and an
//! application that uses it through the agent.

use std::process::Command;

use anyhow::Context as _;
use keyside_harness::{postgres, tools};
use serde_json::{Value, json};

use crate::world::{Agent, World, run};

struct Scripts {
    world: World,
    postgres: postgres::Server,
}

impl Scripts {
    fn new() -> anyhow::Result<Self> {
        let world = World::new()?;
        // The method that tests believe tokens by: the script mounts the real one there.
        world.server.root().delete("sys/auth/kubernetes")?;
        Ok(Self {
            world,
            postgres: postgres::Server::start()?,
        })
    }

    fn set_up(&self) -> anyhow::Result<()> {
        let bao = tools::bao()?;
        let folder = bao.parent().context("a folder")?;
        let server = &self.world.server;
        let mut command = Command::new("sh");
        command
            .arg(tools::root()?.join("tests/e2e/setup.sh"))
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
            .env("BAO_ADDR", server.address())
            .env("BAO_CACERT", server.ca_path())
            .env("BAO_TOKEN", server.root().token())
            .env("KUBERNETES_HOST", "https://kubernetes.default.svc")
            .env("KUBERNETES_CA", server.ca())
            .env("NAMESPACES", "apps,restricted")
            .env("POSTGRES", self.postgres.address())
            .env("POSTGRES_PASSWORD", self.postgres.password());
        let (status, out, error) = run(command)?;
        anyhow::ensure!(status == 0, "setup.sh: {status}\n{out}\n{error}");
        Ok(())
    }

    /// An agent with the policy that pods get.
    fn agent(&self) -> anyhow::Result<Agent> {
        let settings = json!({ "token_policies": ["e2e"] });
        let role = self.world.server.approle("app", &settings)?;
        std::fs::write(self.world.path("role-id"), &role.role_id)?;
        std::fs::write(self.world.path("secret-id"), &role.secret_id)?;
        let mut config = self.world.config();
        *config
            .pointer_mut("/auto_auth/method")
            .context("no method")? = json!({
            "type": "approle",
            "config": {
                "role_id_file_path": self.world.path("role-id"),
                "secret_id_file_path": self.world.path("secret-id"),
            },
        });
        let mut agent = self.world.agent(&config)?;
        agent.child.wait_for_event("started")?;
        Ok(agent)
    }

    /// Exit status, standard output and standard error of the application.
    fn application(&self, agent: &mut Agent, token: &str) -> anyhow::Result<(i32, String, String)> {
        let address = self.postgres.address();
        let (host, port) = address.split_once(':').context("a port")?;
        let mut command = Command::new("bash");
        command
            .arg(tools::root()?.join("tests/e2e/use.sh"))
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", tools::postgres()?.display()),
            )
            .env(
                "VAULT_ADDR",
                format!("http://{}", agent.child.listening("tcp")?),
            )
            .env("TOKEN_FILE", self.world.path(token))
            .env("PGHOST", host)
            .env("PGPORT", port);
        run(command)
    }
}

#[test]
fn an_application_uses_what_was_set_up() -> anyhow::Result<()> {
    let scripts = Scripts::new()?;
    scripts.set_up()?;
    // A Job that failed halfway runs again.
    scripts.set_up()?;
    let root = scripts.world.server.root();
    let role = root.read("auth/kubernetes/role/e2e")?;
    let at = |pointer: &str| role.pointer(pointer).cloned().unwrap_or(Value::Null);
    assert_eq!(at("/data/bound_service_account_names"), json!(["app"]));
    assert_eq!(
        at("/data/bound_service_account_namespaces"),
        json!(["apps", "restricted"])
    );
    assert_eq!(at("/data/audience"), "vault");

    let mut agent = scripts.agent()?;
    let (status, out, error) = scripts.application(&mut agent, "token")?;
    assert_eq!(status, 0, "{out}\n{error}");
    assert!(out.starts_with("e2e: PostgreSQL let v-"), "{out}");
    Ok(())
}

#[test]
fn an_application_without_a_token_or_a_credential_says_so() -> anyhow::Result<()> {
    let scripts = Scripts::new()?;
    scripts.set_up()?;
    let mut agent = scripts.agent()?;
    let (status, _, error) = scripts.application(&mut agent, "no-such-file")?;
    assert_eq!(
        (status, error.contains("no token in")),
        (1, true),
        "{error}"
    );

    let root = scripts.world.server.root();
    root.delete("database/roles/e2e")?;
    let (status, _, error) = scripts.application(&mut agent, "token")?;
    assert_eq!(
        (status, error.contains("no credential: HTTP/1.")),
        (1, true),
        "{error}"
    );
    Ok(())
}
