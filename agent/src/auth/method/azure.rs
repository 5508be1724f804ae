//! `azure`: Azure's word for who runs here, as an access token: of the machine's managed identity, or of what the
//! environment names; and which machine it is.
//!
//! Sources: docs/auth/azure of Vault; Azure's Instance Metadata Service; the client-credentials grant of the Microsoft
//! identity platform; the environment variables of Azure's own libraries, in their order.

use std::path::Path;

use http::HeaderName;
use keyside_config::model::auto_auth::Azure as Config;
use serde_json::{Value, json};
use tokio::time::{self, Duration};
use zeroize::Zeroizing;

use super::access_key::Environment;
use super::password::escaped;
use super::{Error, cloud, read};
use crate::vault::wire;
use crate::web::{self, Web};

const METADATA: HeaderName = HeaderName::from_static("metadata");
const IDENTITY: HeaderName = HeaderName::from_static("x-identity-header");
/// Of the metadata service, for both of its answers.
const VERSION: &str = "2018-02-01";
/// Of the endpoint that a platform without machines (App Service, Container Apps) has instead.
const PLATFORM_VERSION: &str = "2019-08-01";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What the metadata service gets where its answer may be missing: pods are often cut off from it.
const PATIENCE: Duration = Duration::from_secs(2);

/// What Vault calls a thing, and where the metadata service has it.
const INSTANCE: [(&str, &str); 4] = [
    ("resource_group_name", "/compute/resourceGroupName"),
    ("subscription_id", "/compute/subscriptionId"),
    ("vm_name", "/compute/name"),
    ("vmss_name", "/compute/vmScaleSetName"),
];

pub(crate) struct Azure {
    config: Config,
    environment: Environment,
    web: Web,
    /// The metadata service.
    machine: String,
    /// Where Azure's directory gives tokens out.
    authority: String,
}

/// Who a token of the managed identity is for, where a machine has several.
#[derive(Default)]
struct Who<'a> {
    object_id: Option<&'a str>,
    client_id: Option<&'a str>,
}

impl Azure {
    pub(super) fn new(config: &Config, environment: Environment) -> Self {
        let base = |name, default| cloud::base(&environment, name, default);
        Self {
            config: config.clone(),
            web: Web::default(),
            machine: base(
                "AZURE_POD_IDENTITY_AUTHORITY_HOST",
                "http://169.254.169.254",
            ),
            authority: base("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com"),
            environment,
        }
    }

    pub(super) async fn credential(&self) -> Result<wire::Body, Error> {
        let (mut jwt, instance) = if self.config.from_environment {
            (self.environment().await?, self.instance_if_there().await)
        } else {
            let who = Who {
                object_id: self.config.object_id.as_deref(),
                client_id: self.config.client_id.as_deref(),
            };
            (
                self.managed(&self.config.resource, &who).await?,
                self.instance().await?,
            )
        };
        let mut body = json!({ "role": self.config.role, "jwt": std::mem::take(&mut *jwt) });
        for (name, place) in INSTANCE {
            let found = instance.pointer(place).and_then(Value::as_str);
            if let (Some(found), Some(fields)) = (found, body.as_object_mut()) {
                fields.insert(name.to_owned(), found.into());
            }
        }
        Ok(wire::Body(body))
    }

    /// What the metadata service knows of the machine.
    async fn instance(&self) -> Result<Value, Error> {
        let uri = format!("{}/metadata/instance?api-version={VERSION}", self.machine);
        let request = cloud::get(&uri, METADATA, "true")?;
        let target = web::target(request.uri());
        let body = self.web.fetch(request).await.map_err(Error::Web)?;
        let instance = serde_json::from_slice(&body);
        instance.map_err(|_error| cloud::lacks(target, "JSON"))
    }

    /// A workload that has a token of its own may be no machine: a role that is not bound to machines needs none.
    async fn instance_if_there(&self) -> Value {
        let answer = time::timeout(PATIENCE, self.instance()).await;
        let cause = match answer {
            Ok(Ok(instance)) => return instance,
            Ok(Err(error)) => keyside_lifecycle::error::chain(&error),
            Err(_elapsed) => format!("no answer within {PATIENCE:?}"),
        };
        tracing::debug!(
            event = "no_instance_metadata",
            cause,
            "logging in without the machine's name"
        );
        Value::Null
    }

    /// A token of the machine's managed identity.
    async fn managed(&self, resource: &str, who: &Who<'_>) -> Result<Zeroizing<String>, Error> {
        let uri = format!("{}/metadata/identity/oauth2/token", self.machine);
        self.of_identity(&uri, VERSION, (METADATA, "true"), resource, who)
            .await
    }

    async fn of_identity(
        &self,
        uri: &str,
        version: &str,
        (header, value): (HeaderName, &str),
        resource: &str,
        who: &Who<'_>,
    ) -> Result<Zeroizing<String>, Error> {
        let mut fields = vec![("api-version", version), ("resource", resource)];
        fields.extend(who.object_id.map(|id| ("object_id", id)));
        fields.extend(who.client_id.map(|id| ("client_id", id)));
        let uri = format!("{uri}?{}", *cloud::query(&fields));
        let request = cloud::get(&uri, header, value)?;
        cloud::fetch_field(&self.web, request, &[value], "access_token").await
    }

    /// A token for what the environment names: a client with a secret, a workload with a token of its cluster, or else
    /// the managed identity.
    async fn environment(&self) -> Result<Zeroizing<String>, Error> {
        let tenant = self.environment.text("AZURE_TENANT_ID");
        let client = self.environment.text("AZURE_CLIENT_ID");
        let secret = self
            .environment
            .text("AZURE_CLIENT_SECRET")
            .map(Zeroizing::new);
        let file = self.environment.text("AZURE_FEDERATED_TOKEN_FILE");
        if secret.is_none() && file.is_none() {
            return self.platform(client.as_deref()).await;
        }
        let (Some(tenant), Some(client)) = (tenant, client) else {
            return Err(Error::Environment(
                "AZURE_TENANT_ID and AZURE_CLIENT_ID are to say whose AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE it is",
            ));
        };
        match (secret, file) {
            (Some(secret), _) => {
                let proof = [("client_secret", secret.as_str())];
                self.granted(&tenant, &client, &proof, &secret).await
            }
            (None, file) => {
                // The kubelet replaces it: it is read again for each login.
                let assertion = read(Path::new(&file.unwrap_or_default()))?;
                let proof = [
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", assertion.as_str()),
                ];
                self.granted(&tenant, &client, &proof, &assertion).await
            }
        }
    }

    /// Of the client-credentials grant.
    async fn granted(
        &self,
        tenant: &str,
        client: &str,
        proof: &[(&str, &str)],
        secret: &str,
    ) -> Result<Zeroizing<String>, Error> {
        let (authority, tenant) = (&self.authority, escaped(tenant));
        let uri = format!("{authority}/{tenant}/oauth2/v2.0/token");
        let scope = self.scope();
        let mut fields = vec![
            ("client_id", client),
            ("grant_type", "client_credentials"),
            ("scope", &scope),
        ];
        fields.extend_from_slice(proof);
        let request = cloud::post_form(&uri, &fields)?;
        cloud::fetch_field(&self.web, request, &[secret], "access_token").await
    }

    /// Of the managed identity, at the endpoint that the platform names or at the machine's.
    async fn platform(&self, client: Option<&str>) -> Result<Zeroizing<String>, Error> {
        let scope = self.scope();
        let resource = scope.strip_suffix("/.default").unwrap_or(&scope);
        let who = Who {
            client_id: client,
            ..Who::default()
        };
        let endpoint = self.environment.text("IDENTITY_ENDPOINT");
        let header = self.environment.text("IDENTITY_HEADER").map(Zeroizing::new);
        let (Some(endpoint), Some(header)) = (endpoint, header) else {
            return self.managed(resource, &who).await;
        };
        let header = (IDENTITY, header.as_str());
        self.of_identity(&endpoint, PLATFORM_VERSION, header, resource, &who)
            .await
    }

    fn scope(&self) -> String {
        let scope = self.config.scope.clone();
        scope.unwrap_or_else(|| format!("{}/.default", self.config.resource))
    }
}

#[cfg(test)]
mod tests;
