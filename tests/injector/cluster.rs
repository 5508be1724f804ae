//! A cluster as the injector sees it: the webhook configuration that the chart installs, and an API to change it.

use std::process::Command;
use std::str::FromStr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyside_harness::kube::{self, ApiServer};
use keyside_harness::poll;
use keyside_harness::process::Child;
use keyside_harness::web;
use serde_json::{Value, json};

use crate::caller::Caller;

pub(crate) const NAMESPACE: &str = "keyside-system";
pub(crate) const SERVICE: &str = "keyside-injector.keyside-system.svc";
pub(crate) const SECRET: &str = "keyside-injector-certificate";

pub(crate) struct Cluster {
    pub api: ApiServer,
}

pub(crate) struct Injector {
    pub child: Child,
    pub webhook: String,
    pub health: String,
}

impl Cluster {
    /// With a webhook configuration of two entries, none of which has a `caBundle` yet.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let cluster = Self::without_webhook()?;
        cluster.install_webhook();
        Ok(cluster)
    }

    pub(crate) fn without_webhook() -> anyhow::Result<Self> {
        Ok(Self {
            api: ApiServer::start()?,
        })
    }

    pub(crate) fn install_webhook(&self) {
        let entry = |name: &str| {
            json!({
                "name": name,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {
                    "service": { "name": "keyside-injector", "namespace": NAMESPACE, "path": "/mutate", "port": 443 },
                },
            })
        };
        let stored = self.api.put(
            &webhook_path(),
            json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": { "name": "keyside-injector" },
                "webhooks": [entry("inject.keyside.dev"), entry("compat.keyside.dev")],
            }),
        );
        assert!(stored["metadata"]["resourceVersion"].is_string());
    }

    /// Starts a replica.
    pub(crate) fn injector(&self, flags: &[&str]) -> anyhow::Result<Injector> {
        let kubeconfig = format!("--kubeconfig={}", self.api.kubeconfig().display());
        Injector::start(&[&[kubeconfig.as_str()], flags].concat())
    }

    /// What each entry of the webhook configuration trusts.
    pub(crate) fn bundles(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let configuration = self
            .api
            .object(&webhook_path())
            .context("no configuration")?;
        let entries = configuration["webhooks"]
            .as_array()
            .context("no webhooks")?;
        let bundle = |entry: &Value| {
            let text = entry["clientConfig"]["caBundle"].as_str();
            STANDARD
                .decode(text.unwrap_or_default())
                .context("caBundle is not base64")
        };
        entries.iter().map(bundle).collect()
    }

    /// The one bundle that all entries have.
    pub(crate) fn bundle(&self) -> anyhow::Result<Vec<u8>> {
        let mut bundles = self.bundles()?;
        let last = bundles.pop().context("no entries")?;
        anyhow::ensure!(!last.is_empty(), "nothing published");
        anyhow::ensure!(
            bundles.iter().all(|bundle| *bundle == last),
            "entries differ"
        );
        Ok(last)
    }

    /// One value of the Secret.
    pub(crate) fn secret(&self, key: &str) -> anyhow::Result<Vec<u8>> {
        let secret = self.api.object(&secret_path()).context("no Secret")?;
        let value = secret["data"][key]
            .as_str()
            .with_context(|| format!("no {key}"))?;
        Ok(STANDARD.decode(value)?)
    }

    /// Calls `injector` as the API server would now.
    pub(crate) fn caller(&self, injector: &Injector) -> anyhow::Result<Caller> {
        Caller::new(&injector.webhook, &self.bundle()?, SERVICE)
    }
}

impl Injector {
    /// A replica on ports of its own that looks often and ends fast, unless `flags` say otherwise.
    pub(crate) fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
        command.env_clear();
        for (setting, value) in [
            ("LISTEN", "127.0.0.1:0"),
            ("HEALTH", "127.0.0.1:0"),
            ("LOG_FORMAT", "json"),
            ("NAMESPACE", NAMESPACE),
            ("RECHECK", "50ms"),
            ("DRAIN", "0s"),
        ] {
            command.env(format!("KEYSIDE_INJECTOR_{setting}"), value);
        }
        command.arg("serve").args(flags);
        let mut child = Child::spawn("keyside-injector", command)?;
        let webhook = child.listening("webhook")?;
        let health = child.listening("health")?;
        Ok(Self {
            child,
            webhook,
            health,
        })
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let response = web::Client::new(&self.health, None)?.get(path)?;
        let text = String::from_utf8(response.body().to_vec())?;
        Ok((response.status().as_u16(), text))
    }

    pub(crate) fn wait_until_ready(&self) -> anyhow::Result<()> {
        self.wait_for_readiness(|status, _| status == 200)
    }

    pub(crate) fn wait_for_readiness(
        &self,
        wanted: impl Fn(u16, &str) -> bool,
    ) -> anyhow::Result<()> {
        poll::until("/readyz", poll::LIMIT, || match self.get("/readyz") {
            Ok((status, text)) if wanted(status, &text) => Ok(()),
            other => Err(format!("{other:?}")),
        })
    }

    /// The value of a metric, by name and labels as written.
    pub(crate) fn metric<T>(&self, name: &str) -> anyhow::Result<T>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let (_, text) = self.get("/metrics")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line
            .with_context(|| format!("no {name} in {text}"))?
            .parse()?)
    }
}

pub(crate) fn webhook_path() -> String {
    kube::webhook("keyside-injector")
}

pub(crate) fn secret_path() -> String {
    kube::secret(NAMESPACE, SECRET)
}

/// The recorded reviews, by name.
pub(crate) fn recordings() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/injector/data/admission"
    );
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).context(folder)? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path
            .file_stem()
            .context("no name")?
            .to_string_lossy()
            .into_owned();
        found.push((name, std::fs::read(&path)?));
    }
    anyhow::ensure!(found.len() == 10, "{} recordings in {folder}", found.len());
    Ok(found)
}

pub(crate) fn recording(name: &str) -> anyhow::Result<Vec<u8>> {
    let found = recordings()?.into_iter().find(|(found, _)| found == name);
    Ok(found.with_context(|| format!("no recording {name}"))?.1)
}
