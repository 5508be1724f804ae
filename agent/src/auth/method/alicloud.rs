//! `alicloud`: a signed request for the caller's identity, which Vault sends on to Alibaba Cloud.
//!
//! The request is made and signed here, and never sent from here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyside_config::model::access_key;
use serde_json::{Value, json};

use super::Error;
use super::access_key::{AccessKey, Environment};
use crate::clock::Moment;
use crate::vault::wire;
use crate::web::Web;

mod instance;
mod sign;

pub(crate) struct AliCloud {
    config: access_key::AliCloud,
    environment: Environment,
    web: Web,
    /// The last temporary key: it is asked for again shortly before its end.
    kept: Option<AccessKey>,
}

impl AliCloud {
    pub(super) fn new(config: &access_key::AliCloud, environment: Environment) -> Self {
        Self {
            config: config.clone(),
            environment,
            web: Web::default(),
            kept: None,
        }
    }

    pub(super) async fn credential(&mut self) -> Result<wire::Body, Error> {
        let key = self.key(Moment::now()).await;
        let key = key.map_err(|source| Error::AccessKey {
            cloud: "Alibaba Cloud",
            source: Box::new(source),
        })?;
        let nonce = format!("{:032x}", fastrand::u128(..));
        Ok(wire::Body(login(&self.config, &key, &nonce, Moment::now())))
    }

    async fn key(&mut self, now: Moment) -> Result<AccessKey, super::access_key::Error> {
        if let Some(kept) = self.kept.as_ref().filter(|key| key.lasts(now)) {
            return Ok(kept.clone());
        }
        let key = self.find().await?;
        self.kept = Some(key.clone());
        Ok(key)
    }

    /// The environment first, as in Vault Agent: it is there to override.
    async fn find(&self) -> Result<AccessKey, super::access_key::Error> {
        let sets = [
            [
                "ALICLOUD_ACCESS_KEY",
                "ALICLOUD_SECRET_KEY",
                "ALICLOUD_ACCESS_KEY_STS_TOKEN",
            ],
            [
                "ALIBABA_CLOUD_ACCESS_KEY_ID",
                "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
                "ALIBABA_CLOUD_SECURITY_TOKEN",
            ],
        ];
        for set in sets {
            if let Some(key) = AccessKey::variables(&self.environment, set)? {
                return Ok(key);
            }
        }
        if let Some(key) = &self.config.key {
            return Ok(AccessKey::configured(key));
        }
        instance::key(
            &self.web,
            &self.environment,
            self.config.role_name.as_deref(),
        )
        .await
    }
}

/// What Vault wants to know.
fn login(config: &access_key::AliCloud, key: &AccessKey, nonce: &str, now: Moment) -> Value {
    let time = now.extended();
    let mut query = vec![
        ("AccessKeyId", key.id.as_str()),
        ("Action", "GetCallerIdentity"),
        ("Format", "JSON"),
        ("RegionId", &config.region),
    ];
    query.extend(
        key.token
            .as_ref()
            .map(|token| ("SecurityToken", token.as_str())),
    );
    query.extend([
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureNonce", nonce),
        ("SignatureVersion", "1.0"),
        ("Timestamp", &time),
        ("Version", "2015-04-01"),
    ]);
    // Vault finds the region in the query, and sends nothing to another host than that of the region.
    let host = format!("sts.{}.aliyuncs.com", config.region);
    let query = sign::signed("POST", &query, &key.secret);
    let headers = json!({
        "Accept": ["application/json"],
        "Content-Type": ["application/x-www-form-urlencoded"],
    });
    json!({
        "role": config.role,
        "identity_request_url": STANDARD.encode(format!("https://{host}/?{query}")),
        "identity_request_headers": STANDARD.encode(headers.to_string()),
    })
}

#[cfg(test)]
mod tests;
