//! What the API server trusts: the `caBundle` of every entry of one `MutatingWebhookConfiguration`.
//!
//! Invariant: a change says which version of the configuration it was made for. Whoever reads the configuration first,
//! then the Secret, and then publishes, can therefore not put back an older bundle than another replica published.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;
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
    #[error("writing a request for MutatingWebhookConfiguration {name}")]
    Request { name: String, source: http::Error },
}

impl Trust {
    pub(crate) fn new(client: kube::Client, name: &str) -> Self {
        Self {
            client,
            name: name.to_owned(),
        }
    }

    pub(crate) async fn read(&self) -> Result<Published, Error> {
        let name = || self.name.clone();
        let found = Api::all(self.client.clone()).get_opt(&self.name).await;
        let found: Option<MutatingWebhookConfiguration> = found.map_err(|source| Error::Read {
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
        let name = || self.name.clone();
        let path = format!(
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{}",
            self.name
        );
        let request = http::Request::patch(path)
            .header(http::header::CONTENT_TYPE, "application/json-patch+json")
            .body(published.patch(bundle).to_string().into_bytes())
            .map_err(|source| Error::Request {
                name: name(),
                source,
            })?;
        let answer = self
            .client
            .request::<MutatingWebhookConfiguration>(request)
            .await;
        match answer {
            Ok(_changed) => Ok(Written::Done),
            // 422 is what a failing `test` operation gets; 409 is a change while the patch was applied.
            Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) => {
                tracing::debug!(event = "publication_outrun", message = status.message);
                Ok(Written::Outrun)
            }
            Err(source) => Err(Error::Publish {
                name: name(),
                source: Box::new(source),
            }),
        }
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

    fn patch(&self, bundle: &[u8]) -> Value {
        let bundle = ByteString(bundle.to_vec());
        let mut operations = vec![
            json!({"op": "test", "path": "/metadata/resourceVersion", "value": self.0.metadata.resource_version}),
        ];
        operations.extend(self.bundles().enumerate().filter(|(_, found)| *found != bundle.0).map(|(index, _)| {
            // RFC 6902: `add` replaces a member that is there.
            json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": bundle})
        }));
        Value::Array(operations)
    }
}
