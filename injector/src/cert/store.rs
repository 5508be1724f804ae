//! The Secret in which all replicas find the same certificates.
//!
//! Invariant: a write says which version it replaces, so of two replicas that rotate at once one is told to look again.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use crate::owner;

pub(crate) struct Store {
    secrets: Api<Secret>,
    namespace: String,
    name: String,
}

/// The Secret as it was read, to be replaced by [`Store::write`] only while it is still the same.
pub(crate) struct Stored(Secret);

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Done,
    /// Another replica was faster; what it wrote has to be read.
    Outrun,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reading Secret {namespace}/{name}")]
    Read {
        namespace: String,
        name: String,
        source: Box<kube::Error>,
    },
    #[error("writing Secret {namespace}/{name}")]
    Write {
        namespace: String,
        name: String,
        source: Box<kube::Error>,
    },
}

impl Store {
    pub(crate) fn new(client: kube::Client, namespace: &str, name: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) async fn read(&self) -> Result<Option<Stored>, Error> {
        let secret = self
            .secrets
            .get_opt(&self.name)
            .await
            .map_err(|source| Error::Read {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                source: Box::new(source),
            })?;
        Ok(secret.map(Stored))
    }

    /// Creates the Secret, or replaces the one that was read, keeping what else others wrote into it. It goes when its
    /// owner does, so that nothing is left of an installation.
    pub(crate) async fn write(
        &self,
        stored: Option<Stored>,
        data: &BTreeMap<String, Vec<u8>>,
        owner: Option<OwnerReference>,
    ) -> Result<Written, Error> {
        let is_new = stored.is_none();
        let mut secret = stored.map_or_else(|| self.blank(), |Stored(secret)| secret);
        let keys = secret.data.get_or_insert_default();
        keys.extend(
            data.iter()
                .map(|(key, value)| (key.clone(), ByteString(value.clone()))),
        );
        let orphan = secret.clone();
        let is_owned = owner.is_some_and(|owner| owner::name(&mut secret.metadata, owner));
        let result = match self.put(is_new, &secret).await {
            // A Secret that stays behind is better than no certificate.
            Err(kube::Error::Api(status)) if is_owned && owner::is_refused(&status) => {
                tracing::debug!(event = "owner_refused", message = status.message);
                self.put(is_new, &orphan).await
            }
            result => result,
        };
        match result {
            Ok(_written) => Ok(Written::Done),
            // 409: created by another meanwhile, or changed; 404: deleted meanwhile.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                Ok(Written::Outrun)
            }
            Err(source) => Err(Error::Write {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                source: Box::new(source),
            }),
        }
    }

    async fn put(&self, is_new: bool, secret: &Secret) -> Result<Secret, kube::Error> {
        let params = PostParams::default();
        if is_new {
            self.secrets.create(&params, secret).await
        } else {
            self.secrets.replace(&self.name, &params, secret).await
        }
    }

    fn blank(&self) -> Secret {
        let labels = [
            ("app.kubernetes.io/managed-by", "keyside-injector"),
            ("app.kubernetes.io/name", "keyside"),
        ];
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(
                    labels
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .into(),
                ),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        }
    }
}

impl Stored {
    pub(crate) fn data(&self) -> BTreeMap<String, Vec<u8>> {
        let data = self.0.data.iter().flatten();
        data.map(|(key, ByteString(value))| (key.clone(), value.clone()))
            .collect()
    }
}
