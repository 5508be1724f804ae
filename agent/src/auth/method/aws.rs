//! `aws`, type `iam`: a signed request for the caller's identity, which Vault sends on to AWS.
//!
//! The request is made and signed here, and never sent from here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyside_config::model::access_key;
use serde_json::{Map, Value, json};

use super::Error;
use super::access_key::{AccessKey, Environment};
use crate::clock::Moment;
use crate::vault::wire;
use crate::web::Web;

mod container;
mod instance;
mod profile;
mod sign;
mod web_identity;

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// What metadata services call the secret and the token.
const NAMES: [&str; 2] = ["SecretAccessKey", "Token"];

pub(crate) struct Aws {
    config: access_key::Aws,
    environment: Environment,
    web: Web,
    /// The last temporary key: it is asked for again shortly before its end.
    kept: Option<AccessKey>,
}

impl Aws {
    pub(super) fn new(config: &access_key::Aws, environment: Environment) -> Self {
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
            cloud: "AWS",
            source: Box::new(source),
        })?;
        Ok(wire::Body(login(&self.config, &key, Moment::now())))
    }

    async fn key(&mut self, now: Moment) -> Result<AccessKey, super::access_key::Error> {
        if let Some(kept) = self.kept.as_ref().filter(|key| key.lasts(now)) {
            return Ok(kept.clone());
        }
        let key = self.find().await?;
        self.kept = Some(key.clone());
        Ok(key)
    }

    /// The first place that is set up decides, even where it fails: a login as somebody else would be no help.
    async fn find(&self) -> Result<AccessKey, super::access_key::Error> {
        let (web, environment) = (&self.web, &self.environment);
        if let Some(key) = &self.config.key {
            return Ok(AccessKey::configured(key));
        }
        let variables = [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ];
        if let Some(key) = AccessKey::variables(environment, variables)? {
            return Ok(key);
        }
        if let Some(key) = web_identity::key(web, environment, &self.config.region).await? {
            return Ok(key);
        }
        if let Some(key) = profile::key(environment)? {
            return Ok(key);
        }
        if let Some(key) = container::key(web, environment).await? {
            return Ok(key);
        }
        instance::key(web, environment).await
    }
}

/// What Vault wants to know.
fn login(config: &access_key::Aws, key: &AccessKey, now: Moment) -> Value {
    let host = host(&config.region);
    let mut headers = vec![
        (
            "Content-Type",
            "application/x-www-form-urlencoded; charset=utf-8".to_owned(),
        ),
        ("Host", host.clone()),
        ("X-Amz-Date", now.basic()),
    ];
    if let Some(token) = &key.token {
        headers.push(("X-Amz-Security-Token", token.to_string()));
    }
    if let Some(value) = &config.header_value {
        headers.push(("X-Vault-AWS-IAM-Server-ID", value.clone()));
    }
    let request = sign::Request {
        method: "POST",
        query: "",
        headers: &headers,
        body: BODY,
    };
    let authorization = sign::authorization(&request, key, &config.region, "sts", now);
    headers.push(("Authorization", authorization));
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), json!([value])));
    let headers = Value::Object(headers.collect::<Map<_, _>>());
    json!({
        "role": config.role,
        "iam_http_request_method": "POST",
        "iam_request_url": STANDARD.encode(format!("https://{host}/")),
        "iam_request_body": STANDARD.encode(BODY),
        "iam_request_headers": STANDARD.encode(headers.to_string()),
    })
}

/// Where the region's Security Token Service is. Vault's default is the global one, which is that of `us-east-1`.
fn host(region: &str) -> String {
    const ELSEWHERE: [(&str, &str); 6] = [
        ("cn-", "amazonaws.com.cn"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("eusc-", "amazonaws.eu"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
    ];
    if region == "us-east-1" {
        return "sts.amazonaws.com".to_owned();
    }
    let mut elsewhere = ELSEWHERE.iter();
    let found = elsewhere.find(|(prefix, _)| region.starts_with(prefix));
    let domain = found.map_or("amazonaws.com", |(_, domain)| domain);
    format!("sts.{region}.{domain}")
}

#[cfg(test)]
mod tests;
