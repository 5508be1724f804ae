//! What the API server trusts: the `caBundle` of every entry of one `MutatingWebhookConfiguration`.
//!
//! The field is ours by server-side apply: Helm and whatever else owns the rest leave it alone, and the object's
//! `managedFields` say whose it is.
//!
//! Invariant: a change says which version of the configuration it was made for. Whoever reads the configuration first,
//! then the Secret, and then publishes, can therefore not put back an older bundle than another replica published.

use std::time::Duration;

use http_body_util::BodyExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use keyside_lifecycle::error;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::store::Written;

pub(crate) struct Trust {
    client: kube::Client,
    name: String,
}

/// The configuration as it was read.
pub(crate) struct Published(MutatingWebhookConfiguration);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("MutatingWebhookConfiguration {name} does not exist")]
    Missing { name: String },
    #[error("MutatingWebhookConfiguration {name} has no webhooks")]
    Empty { name: String },
    #[error("reading MutatingWebhookConfiguration {name}")]
    Read {
        name: String,
        source: Box<kube::Error>,
    },
    #[error("publishing the caBundle in MutatingWebhookConfiguration {name}")]
    Publish {
        name: String,
        source: Box<kube::Error>,
    },
}

/// Under which the API server notes whose the field is.
const OWNER: &str = "keyside-injector";

const PATH: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

impl Trust {
    pub(crate) fn new(client: kube::Client, name: &str) -> Self {
        Self {
            client,
            name: name.to_owned(),
        }
    }

    pub(crate) async fn read(&self) -> Result<Published, Error> {
        let name = || self.name.clone();
        let found = self.api().get_opt(&self.name).await;
        let found = found.map_err(|source| Error::Read {
            name: name(),
            source: Box::new(source),
        })?;
        let found = found.ok_or_else(|| Error::Missing { name: name() })?;
        if found.webhooks.iter().flatten().next().is_none() {
            return Err(Error::Empty { name: name() });
        }
        Ok(Published(found))
    }

    /// Puts `bundle` into every entry, unless the configuration changed since it was read.
    pub(crate) async fn publish(
        &self,
        published: &Published,
        bundle: &[u8],
    ) -> Result<Written, Error> {
        let params = PatchParams::apply(OWNER).force();
        let change = Patch::Apply(published.applied(bundle));
        match self.api().patch(&self.name, &params, &change).await {
            Ok(_changed) => Ok(Written::Done),
            // 409 is what a version that is not the newest gets; an entry that is gone is incomplete, which is 422.
            Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) => {
                tracing::debug!(event = "publication_outrun", message = status.message);
                Ok(Written::Outrun)
            }
            Err(source) => Err(Error::Publish {
                name: self.name.clone(),
                source: Box::new(source),
            }),
        }
    }

    /// Resolves when the configuration is no longer what it was at `version`; never where it does not change within
    /// `limit`, or cannot be watched: then the next look finds out.
    pub(crate) async fn changes(&self, version: &str, limit: Duration) {
        match self.change(version, limit).await {
            Ok(true) => tracing::debug!(event = "configuration_changed"),
            Ok(false) => std::future::pending::<()>().await,
            Err(cause) => {
                tracing::debug!(event = "watch_failed", error = error::chain(&*cause));
                std::future::pending::<()>().await;
            }
        }
    }

    /// The first piece of the answer to a watch is enough: whatever it says, the configuration is read anew.
    async fn change(
        &self,
        version: &str,
        limit: Duration,
    ) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
        let seconds = limit.as_secs() + 1;
        let name = &self.name;
        let uri = format!(
            "{PATH}?watch=true&fieldSelector=metadata.name%3D{name}&resourceVersion={version}&timeoutSeconds={seconds}"
        );
        let request = http::Request::get(uri).body(kube::client::Body::empty())?;
        let answer = self.client.send(request).await?;
        if answer.status() != http::StatusCode::OK {
            return Err(format!("the API server answers {}", answer.status()).into());
        }
        let first = answer.into_body().frame().await.transpose()?;
        Ok(first.is_some())
    }

    fn api(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }
}

impl Published {
    /// Whether every entry holds exactly `bundle`.
    pub(crate) fn holds(&self, bundle: &[u8]) -> bool {
        self.bundles().all(|found| found == bundle)
    }

    /// The bundle of each entry, empty where there is none.
    pub(crate) fn bundles(&self) -> impl Iterator<Item = &[u8]> {
        let entries = self.0.webhooks.iter().flatten();
        entries.map(|entry| {
            entry
                .client_config
                .ca_bundle
                .as_ref()
                .map_or(&[][..], |ByteString(bundle)| bundle)
        })
    }

    pub(crate) fn version(&self) -> String {
        self.0.metadata.resource_version.clone().unwrap_or_default()
    }

    /// By which the Secret goes with the configuration, as the garbage collector has it.
    pub(crate) fn owner(&self) -> Option<OwnerReference> {
        Some(OwnerReference {
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: "MutatingWebhookConfiguration".to_owned(),
            name: self.0.metadata.name.clone()?,
            uid: self.0.metadata.uid.clone()?,
            ..OwnerReference::default()
        })
    }

    /// All entries, for one that is not named in an apply is given up.
    fn applied(&self, bundle: &[u8]) -> Value {
        let bundle = ByteString(bundle.to_vec());
        let entries = self.0.webhooks.iter().flatten();
        let entries =
            entries.map(|entry| json!({"name": entry.name, "clientConfig": {"caBundle": bundle}}));
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {
                "name": self.0.metadata.name,
                "resourceVersion": self.0.metadata.resource_version,
            },
            "webhooks": entries.collect::<Vec<_>>(),
        })
    }
}
