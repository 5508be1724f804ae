//! What the quick start sets up in OpenBao, on a real server in development mode, as its own manifest starts it.

use std::process::Command;

use anyhow::Context as _;
use keyside_harness::{pki, poll, process, tools, web};
use serde::Deserialize as _;
use serde_json::Value;

const MANIFEST: &str = "examples/quick-start.yaml";

struct Manifest(Vec<Value>);

impl Manifest {
    fn read() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(tools::root()?.join(MANIFEST))?;
        let objects = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
        Ok(Self(objects.collect::<Result<_, _>>()?))
    }

    /// What the first container of an object's pod runs.
    fn command(&self, kind: &str) -> anyhow::Result<Vec<String>> {
        let object = self
            .0
            .iter()
            .find(|object| object.get("kind").is_some_and(|it| it == kind));
        let object = object.with_context(|| format!("no {kind}"))?;
        let found = [
            "/spec/containers/0/command",
            "/spec/template/spec/containers/0/command",
        ];
        let command = found.iter().find_map(|pointer| object.pointer(pointer));
        Ok(serde_json::from_value(
            command.context("no command")?.clone(),
        )?)
    }
}

#[test]
fn the_job_sets_up_a_server_in_development_mode() -> anyhow::Result<()> {
    let manifest = Manifest::read()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let mut server = Command::new(tools::bao()?);
    let home = tempfile::tempdir()?;
    server.env_clear().env("HOME", home.path());
    for argument in manifest.command("Deployment")?.iter().skip(1) {
        server.arg(argument.replace("0.0.0.0:8200", &format!("127.0.0.1:{port}")));
    }
    let _server = process::Child::spawn("openbao", server)?;
    let address = format!("http://127.0.0.1:{port}");

    let bin = home.path().join("bin");
    std::fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(tools::bao()?, bin.join("bao"))?;
    let pki = pki::Pki::new()?;
    // The Job may run again.
    for _ in 0..2 {
        let [shell, arguments @ ..] = &*manifest.command("Job")? else {
            anyhow::bail!("no command");
        };
        let mut job = Command::new(shell);
        // In a pod the server finds the cluster's CA in its service account's folder.
        let host = "kubernetes_host=https://kubernetes.default.svc";
        let ca = pki.ca_path();
        let lone = format!(
            "{host} disable_local_ca_jwt=true kubernetes_ca_cert=@{}",
            ca.display()
        );
        job.args(arguments.iter().map(|text| text.replace(host, &lone)))
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("BAO_ADDR", &address)
            .env("BAO_TOKEN", "root");
        let mut job = process::Child::spawn("job", job)?;
        let status = job.wait(poll::LIMIT)?;
        anyhow::ensure!(status.success(), "{status}: {}", job.lines().join("\n"));
    }

    let client = web::Client::new(&address, None)?.with_token("root")?;
    let read = |path: &str| web::success(&client.get(path)?);
    let role = read("/v1/auth/kubernetes/role/shop")?;
    let names = role.pointer("/data/bound_service_account_names/0");
    assert_eq!(names.and_then(Value::as_str), Some("shop"), "{role}");
    let policy = read("/v1/sys/policies/acl/shop")?.to_string();
    assert!(policy.contains("secret/data/shop"), "{policy}");
    let secret = read("/v1/secret/data/shop")?;
    let greeting = secret.pointer("/data/data/greeting");
    assert_eq!(greeting.and_then(Value::as_str), Some("hello"), "{secret}");
    Ok(())
}
