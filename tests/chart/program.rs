//! The real injector, started as the chart starts it, against an API server that holds what the chart installs.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use base64::Engine as _;
use keyside_harness::{kube, pki, poll, process, web};
use serde_json::{Value, json};

use crate::helm::{Objects, Release};
use crate::values;

const CONTAINER: &str = "/spec/template/spec/containers/0";
pub(crate) const NAMESPACE: &str = "platform";

#[test]
fn the_installed_injector_becomes_ready() -> anyhow::Result<()> {
    becomes_ready(json!({}))
}

#[test]
fn the_injector_knows_every_setting_of_the_chart() -> anyhow::Result<()> {
    becomes_ready(values::everything()?)
}

#[test]
fn it_serves_what_cert_manager_made() -> anyhow::Result<()> {
    let installed = Installed::start(json!({"certificate": {"mode": "certManager"}}), &[])?;
    installed.wait_until_ready()
}

#[test]
fn it_publishes_the_authority_of_a_given_secret_where_that_is_asked() -> anyhow::Result<()> {
    let given = json!({"mode": "given", "given": {"secret": "mine", "publish": true}});
    becomes_ready(json!({ "certificate": given }))
}

fn becomes_ready(values: Value) -> anyhow::Result<()> {
    let installed = Installed::start(values, &[])?;
    installed.wait_until_ready()?;

    // Ready means: the API server can verify the certificate under the name by which it calls the Service.
    let ask = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "a-uid",
        "resource": {"group": "", "version": "v1", "resource": "services"},
        "operation": "CREATE",
    }});
    if installed.is_guarded() {
        // It wants a certificate that this test does not have.
        return Ok(());
    }
    assert_eq!(*at(&installed.admit(&ask)?, "/allowed"), true);
    Ok(())
}

/// What [`Installed`] installs.
pub(crate) fn release(values: Value) -> Release {
    Release {
        name: "prod",
        namespace: NAMESPACE,
        values,
        ..Release::default()
    }
}

/// The injector as the chart installs it.
pub(crate) struct Installed {
    pub(crate) objects: Objects,
    pub(crate) api: kube::ApiServer,
    _injector: process::Child,
    webhook: String,
    health: web::Client,
    _files: tempfile::TempDir,
}

impl Installed {
    pub(crate) fn start(values: Value, flags: &[&str]) -> anyhow::Result<Self> {
        let objects = release(values).objects()?;
        let api = kube::ApiServer::start()?;
        let webhook = objects.the("MutatingWebhookConfiguration")?;
        let path = kube::webhook(name_of(at(webhook, "/metadata"))?);
        drop(api.put(&path, webhook.clone()));

        let files = tempfile::tempdir()?;
        let mut command = command(&objects, &api, files.path())?;
        command.args(["--listen", "127.0.0.1:0"]).args(flags);
        let mut injector = process::Child::spawn("injector", command)?;
        Ok(Self {
            webhook: injector.listening("webhook")?,
            health: web::Client::new(&injector.listening("health")?, None)?,
            objects,
            api,
            _injector: injector,
            _files: files,
        })
    }

    pub(crate) fn wait_until_ready(&self) -> anyhow::Result<()> {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let path = format!("{CONTAINER}/{probe}/httpGet/path");
            let path = self.objects.at("Deployment", &path)?;
            let path = path.as_str().context("a path")?;
            poll::until(probe, poll::LIMIT, || {
                let answer = self.health.get(path);
                let answer = answer.map_err(|error| format!("{error:#}"))?;
                match answer.status().as_u16() {
                    200 => Ok(()),
                    _ => Err(format!("{path}: {answer:?}")),
                }
            })?;
        }
        Ok(())
    }

    /// What Prometheus reads.
    pub(crate) fn metrics(&self) -> anyhow::Result<String> {
        let answer = self.health.get("/metrics")?;
        Ok(String::from_utf8(answer.body().to_vec())?)
    }

    fn is_guarded(&self) -> bool {
        let environment = self.objects.at("Deployment", &format!("{CONTAINER}/env"));
        environment.is_ok_and(|found| found.to_string().contains("KEYSIDE_INJECTOR_CLIENT_CA"))
    }

    /// Asks as the API server does, which trusts what is published; answers the response of the review.
    pub(crate) fn admit(&self, review: &Value) -> anyhow::Result<Value> {
        let webhook = self.objects.the("MutatingWebhookConfiguration")?;
        let path = kube::webhook(name_of(at(webhook, "/metadata"))?);
        let published = self
            .api
            .object(&path)
            .context("the configuration is gone")?;
        let client = at(&published, "/webhooks/0/clientConfig");
        let bundle = String::from_utf8(decode(at(client, "/caBundle"))?)?;
        let text = |pointer| at(client, pointer).as_str().context("a name");
        let host = format!(
            "{}.{}.svc",
            text("/service/name")?,
            text("/service/namespace")?
        );
        let address = format!("https://{}", self.webhook);
        let client = web::Client::new(&address, Some(&bundle))?.with_server_name(&host);
        let answer = client.post("/mutate", review)?;
        Ok(at(&web::success(&answer)?, "/response").clone())
    }
}

/// The container's command as the kubelet would run it, but for the ports, which the kernel picks, the way to the API,
/// and the root of what is mounted, which is `files`.
pub(crate) fn command(
    objects: &Objects,
    api: &kube::ApiServer,
    files: &Path,
) -> anyhow::Result<Command> {
    let container = objects.at("Deployment", CONTAINER)?;
    let mounts = mount(objects, &container, files)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
    command.env_clear();
    for argument in at(&container, "/args").as_array().into_iter().flatten() {
        command.arg(argument.as_str().context("an argument")?);
    }
    for variable in at(&container, "/env").as_array().into_iter().flatten() {
        let mut value = match at(variable, "/valueFrom/fieldRef/fieldPath").as_str() {
            Some("metadata.namespace") => NAMESPACE.to_owned(),
            Some("metadata.name") => "a-pod".to_owned(),
            Some("metadata.uid") => "a-uid".to_owned(),
            Some(other) => anyhow::bail!("the test knows no {other}"),
            None => at(variable, "/value")
                .as_str()
                .context("a value")?
                .to_owned(),
        };
        if mounts.iter().any(|mount| value.starts_with(mount)) {
            value.insert_str(0, files.to_str().context("a path")?);
        }
        command.env(name_of(variable)?, value);
    }
    command
        .args(["--health", "127.0.0.1:0", "--log-format", "json"])
        .arg("--kubeconfig")
        .arg(api.kubeconfig());
    Ok(command)
}

/// Lays out the container's mounts below `root`; answers their paths. They come from the chart's `ConfigMap`s, or from one
/// that the operator made, or from the Secret with the certificate.
fn mount(objects: &Objects, container: &Value, root: &Path) -> anyhow::Result<Vec<String>> {
    let volumes = objects.at("Deployment", "/spec/template/spec/volumes")?;
    let mut paths = Vec::new();
    for mount in at(container, "/volumeMounts")
        .as_array()
        .into_iter()
        .flatten()
    {
        let mut all = volumes.as_array().into_iter().flatten();
        let volume = all.find(|volume| volume.get("name") == mount.get("name"));
        let volume = volume.context("no such volume")?;
        let path = at(mount, "/mountPath").as_str().context("a path")?;
        let folder = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(&folder)?;
        if volume.get("secret").is_some() {
            certificate(objects, &folder)?;
        }
        let source = at(volume, "/configMap/name");
        let data = if source == "callers" {
            json!({ "api.pem": values::CA })
        } else if source.is_null() {
            json!({})
        } else {
            let mut all = objects.iter();
            let map = all
                .find(|one| at(one, "/kind") == "ConfigMap" && at(one, "/metadata/name") == source)
                .with_context(|| format!("no ConfigMap {source}"))?;
            at(map, "/data").clone()
        };
        for (file, text) in data.as_object().context("data")? {
            std::fs::write(folder.join(file), text.as_str().context("text")?)?;
        }
        paths.push(path.to_owned());
    }
    Ok(paths)
}

/// What cert-manager, or whoever gives a certificate, puts into the Secret.
fn certificate(objects: &Objects, folder: &Path) -> anyhow::Result<()> {
    let service = objects.at("Service", "/metadata/name")?;
    let host = format!("{}.{NAMESPACE}.svc", service.as_str().context("a name")?);
    let pki = pki::Pki::new()?;
    let leaf = pki.server("leaf", &[&host])?;
    std::fs::write(folder.join("tls.crt"), leaf.certificate)?;
    std::fs::write(folder.join("tls.key"), leaf.key)?;
    std::fs::write(folder.join("ca.crt"), pki.ca())?;
    Ok(())
}

fn name_of(object: &Value) -> anyhow::Result<&str> {
    at(object, "/name").as_str().context("a name")
}

fn decode(text: &Value) -> anyhow::Result<Vec<u8>> {
    let text = text.as_str().context("nothing is published")?;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}

/// What is at a JSON pointer; null where there is nothing.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
