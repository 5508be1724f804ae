//! The injector, beside an API server that is played: it keeps objects, and asks the webhook as a real one does.

use std::process::Command;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use keyside_harness::{kube, poll, process, tools, web};
use serde::Deserialize as _;
use serde_json::Value;

use super::review;
use super::world::{AUDIENCE, World};
use crate::console;
use crate::release::Binary;

pub(super) struct Cluster {
    pub(super) injector: process::Child,
    webhook: web::Client,
    path: String,
    /// The injector's until the end.
    _api: kube::ApiServer,
}

impl Cluster {
    pub(super) fn start(world: &World, binary: &Binary) -> anyhow::Result<Self> {
        console::step("Start the injector");
        let api = kube::ApiServer::start()?;
        let configuration = configuration()?;
        let text = |pointer: &str| {
            configuration
                .pointer(pointer)
                .and_then(Value::as_str)
                .context("no service")
        };
        let name = text("/metadata/name")?.to_owned();
        let service = text("/webhooks/0/clientConfig/service/name")?.to_owned();
        let namespace = text("/webhooks/0/clientConfig/service/namespace")?.to_owned();
        let path = text("/webhooks/0/clientConfig/service/path")?.to_owned();
        let object = kube::webhook(&name);
        let _stored = api.put(&object, configuration);
        console::note(
            "The API server is played here; its webhook configuration is the one in manifests/.",
        );

        let mut command = Command::new(&binary.path);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--health",
            "127.0.0.1:0",
            "--log-format",
            "json",
        ]);
        command.args([
            "--namespace",
            &namespace,
            "--service",
            &service,
            "--webhook",
            &name,
        ]);
        command.args([
            "--agent-image",
            "keyside-agent:demo",
            "--audience",
            AUDIENCE,
        ]);
        command.arg("--vault-address").arg(world.tap.address());
        command.arg("--vault-ca-file").arg(world.vault.ca_path());
        command.arg("--kubeconfig").arg(api.kubeconfig());
        let mut injector = process::Child::spawn("keyside-injector", command)?;
        let address = injector.listening("webhook")?;
        console::seen(&format!("it listens on {address}"));
        let ca = published(&api, &object)?;
        wait_until_ready(&mut injector)?;
        console::seen(
            "it has made a CA and a certificate, and published the CA in its webhook configuration",
        );
        let webhook = web::Client::new(&format!("https://{address}"), Some(&ca))?
            .with_server_name(&format!("{service}.{namespace}.svc"));
        Ok(Self {
            injector,
            webhook,
            path,
            _api: api,
        })
    }

    /// What becomes of a pod that someone creates.
    pub(super) fn create(&self, pod: &Value) -> anyhow::Result<Value> {
        console::step(
            "Create the example pod: the API server sends an AdmissionReview, and applies the JSON Patch",
        );
        let annotations = pod
            .pointer("/metadata/annotations")
            .and_then(Value::as_object);
        for (key, value) in annotations.into_iter().flatten() {
            console::quote(&format!("{key}: {value}"));
        }
        let answer = self.review(pod)?;
        console::seen(
            "the webhook answers over HTTPS, with a certificate that the published CA has signed",
        );
        for operation in &answer.patch.0 {
            let operation = serde_json::to_value(operation)?;
            let text = |key: &str| {
                operation
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            console::quote(&format!("{:<7} {}", text("op"), text("path")));
        }
        for warning in &answer.warnings {
            console::note(&format!("warning: {warning}"));
        }
        let again = self.review(&answer.pod)?.patch;
        anyhow::ensure!(
            again.0.is_empty(),
            "injecting the patched pod again changes it: {again}"
        );
        console::seen("injecting the patched pod again changes nothing");
        Ok(answer.pod)
    }

    /// As [`Cluster::create`], without telling.
    pub(super) fn create_quietly(&self, pod: &Value) -> anyhow::Result<Value> {
        Ok(self.review(pod)?.pod)
    }

    fn review(&self, pod: &Value) -> anyhow::Result<review::Answer> {
        let request = review::request(pod)?;
        let response = self
            .webhook
            .post(&format!("{}?timeout=5s", self.path), &request)?;
        review::answer(&request, &web::success(&response)?)
    }

    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.injector.terminate()?;
        anyhow::ensure!(status.success(), "the injector ended with {status}");
        console::seen("the injector has drained and ended with status 0");
        Ok(())
    }
}

/// The webhook configuration that an installation applies.
fn configuration() -> anyhow::Result<Value> {
    let path = tools::root()?.join("manifests/keyside.yaml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object =
            Value::deserialize(document).with_context(|| format!("read {}", path.display()))?;
        if object.get("kind").and_then(Value::as_str) == Some("MutatingWebhookConfiguration") {
            return Ok(object);
        }
    }
    anyhow::bail!("no webhook configuration in {}", path.display())
}

/// Until then no API server sends it anything.
fn wait_until_ready(injector: &mut process::Child) -> anyhow::Result<()> {
    let health = web::Client::new(&injector.listening("health")?, None)?;
    poll::until("the injector's readiness", poll::LIMIT, || {
        let response = health.get("/readyz")?;
        let body = String::from_utf8_lossy(response.body()).into_owned();
        anyhow::ensure!(
            response.status().is_success(),
            "{}: {body}",
            response.status()
        );
        Ok(())
    })
}

/// The CA that the injector has published.
fn published(api: &kube::ApiServer, object: &str) -> anyhow::Result<String> {
    let bundle = poll::until("the published CA", poll::LIMIT, || {
        let object = api.object(object).unwrap_or_default();
        let bundle = object
            .pointer("/webhooks/0/clientConfig/caBundle")
            .and_then(Value::as_str);
        bundle.map(str::to_owned).ok_or("no caBundle")
    })?;
    Ok(String::from_utf8(BASE64_STANDARD.decode(bundle)?)?)
}
