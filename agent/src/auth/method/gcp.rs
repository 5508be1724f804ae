//! `gcp`: Google's word for who runs here, as a JSON Web Token: of the instance (`gce`), or of a service account
//! (`iam`), whose own key or Google signs it.
//!
//! Sources: docs/auth/gcp of Vault ("Generating JWTs"); the metadata server and `projects.serviceAccounts.signJwt` of
//! Google; RFC 7523 for the grant by which a key becomes an access token.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use http::header::AUTHORIZATION;
use keyside_config::model::auto_auth::{Gcp as Config, GcpType, GoogleKey};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::access_key::Environment;
use super::password::escaped;
use super::{Error, cloud, read};
use crate::clock::Moment;
use crate::vault::wire;
use crate::web::{self, Web};

const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long the grant for an access token may be asked for.
const ASSERTED: Duration = Duration::from_mins(10);
const TOKEN_ENDPOINT: &str = "https://oauth2.googleapis.com/token";

pub(crate) struct Gcp {
    config: Config,
    environment: Environment,
    web: Web,
    /// Of the instance's own service accounts at the metadata server.
    accounts: String,
    /// Of the IAM Credentials API.
    iam: String,
}

impl Gcp {
    /// The environment says where the services are, by the names that Google's own programs know.
    pub(super) fn new(config: &Config, environment: Environment) -> Self {
        let metadata = cloud::base(
            &environment,
            "GCE_METADATA_HOST",
            "metadata.google.internal",
        );
        Self {
            config: config.clone(),
            web: Web::default(),
            accounts: format!("http://{metadata}/computeMetadata/v1/instance/service-accounts"),
            iam: cloud::base(
                &environment,
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS",
                "https://iamcredentials.googleapis.com",
            ),
            environment,
        }
    }

    pub(super) async fn credential(&self) -> Result<wire::Body, Error> {
        let mut jwt = match self.config.of {
            GcpType::Gce => self.identity().await?,
            GcpType::Iam => self.signed().await?,
        };
        Ok(wire::Body(
            json!({ "role": self.config.role, "jwt": std::mem::take(&mut *jwt) }),
        ))
    }

    /// What the metadata server says of the instance, signed by Google.
    async fn identity(&self) -> Result<Zeroizing<String>, Error> {
        let account = self.config.service_account.as_deref();
        let audience = format!("http://vault/{}", self.config.role);
        let query = cloud::query(&[("audience", &audience), ("format", "full")]);
        let what = format!("identity?{}", *query);
        self.metadata(account.unwrap_or("default"), &what).await
    }

    /// One line of text of the metadata server.
    async fn metadata(&self, account: &str, what: &str) -> Result<Zeroizing<String>, Error> {
        let uri = format!("{}/{}/{what}", self.accounts, escaped(account));
        let request = cloud::get(&uri, FLAVOR, "Google")?;
        let target = web::target(request.uri());
        let body = cloud::fetch(&self.web, request, &[]).await?;
        let text = std::str::from_utf8(&body).unwrap_or_default().trim();
        if cloud::is_sendable(text) {
            return Ok(Zeroizing::new(text.to_owned()));
        }
        Err(cloud::lacks(target, "one line of text"))
    }

    /// The service account's word. A key signs for its own account; for another one Google does, if it may.
    async fn signed(&self) -> Result<Zeroizing<String>, Error> {
        let configured = self.config.service_account.as_deref();
        let Some(key) = self.key()? else {
            let account = match configured {
                Some(account) => account.to_owned(),
                None => self.metadata("default", "email").await?.to_string(),
            };
            return self
                .sign_remotely(&self.instance_token().await?, &account)
                .await;
        };
        match configured.filter(|account| *account != key.email) {
            None => key.sign(&self.claims(&key.email)),
            Some(account) => {
                let token = key.access_token(&self.web).await?;
                self.sign_remotely(&token, account).await
            }
        }
    }

    fn claims(&self, account: &str) -> Value {
        let expires = Moment::now().plus(self.config.jwt_exp).0;
        json!({ "aud": format!("vault/{}", self.config.role), "exp": expires, "sub": account })
    }

    /// What may ask Google's interfaces in the name of the instance's service account.
    async fn instance_token(&self) -> Result<Zeroizing<String>, Error> {
        let uri = format!("{}/default/token", self.accounts);
        let request = cloud::get(&uri, FLAVOR, "Google")?;
        cloud::fetch_field(&self.web, request, &[], "access_token").await
    }

    async fn sign_remotely(&self, token: &str, account: &str) -> Result<Zeroizing<String>, Error> {
        let (iam, resource) = (&self.iam, escaped(account));
        let uri = format!("{iam}/v1/projects/-/serviceAccounts/{resource}:signJwt");
        let claims = self.claims(account).to_string();
        let body = Zeroizing::new(json!({ "payload": claims }).to_string());
        let mut request = cloud::post(&uri, "application/json", body)?;
        let bearer = Zeroizing::new(format!("Bearer {token}"));
        let bearer = cloud::sensitive(&bearer)?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        cloud::fetch_field(&self.web, request, &[token], "signedJwt").await
    }

    /// The configured key, or the one that the environment names. Read again each time: keys rotate.
    fn key(&self) -> Result<Option<Key>, Error> {
        let from_file = |path: &Path| Ok::<_, Error>((path.display().to_string(), read(path)?));
        let (place, text) = match &self.config.credentials {
            Some(GoogleKey::File(path)) => from_file(path)?,
            Some(GoogleKey::Text(key)) => {
                ("`credentials`".to_owned(), Zeroizing::new(key.0.clone()))
            }
            None => match self.environment.text("GOOGLE_APPLICATION_CREDENTIALS") {
                Some(path) => from_file(Path::new(&path))?,
                None => return Ok(None),
            },
        };
        let key = Key::new(&text).map_err(|what| Error::Key { place, what });
        key.map(Some)
    }
}

/// Of a service account, as Google hands it out.
struct Key {
    email: String,
    id: String,
    token_uri: String,
    pair: RsaKeyPair,
}

impl Key {
    /// From the file's text; or what is wrong with it.
    fn new(text: &str) -> Result<Self, &'static str> {
        // A parser's message may quote what it read.
        let file: Value = serde_json::from_str(text).map_err(|_error| "it is not JSON")?;
        let field = |name: &str| {
            file.get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        if field("type") != Some("service_account") {
            return Err("its `type` is not `service_account`");
        }
        let pem = field("private_key").ok_or("it has no `private_key`")?;
        let unreadable = "its `private_key` is no RSA key in PEM";
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_error| unreadable)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(unreadable),
        };
        Ok(Self {
            email: field("client_email")
                .ok_or("it has no `client_email`")?
                .to_owned(),
            id: field("private_key_id").unwrap_or_default().to_owned(),
            token_uri: field("token_uri").unwrap_or(TOKEN_ENDPOINT).to_owned(),
            pair: pair.map_err(|_rejected| unreadable)?,
        })
    }

    /// A JSON Web Token (RS256, RFC 7515 and 7518).
    fn sign(&self, claims: &Value) -> Result<Zeroizing<String>, Error> {
        let header = json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" });
        let mut token = Zeroizing::new(String::new());
        URL_SAFE_NO_PAD.encode_string(header.to_string(), &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let signed = self.pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            token.as_bytes(),
            &mut signature,
        );
        signed.map_err(|_unspecified| Error::Signature)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(token)
    }

    /// What may ask Google's interfaces in the name of the key's account.
    async fn access_token(&self, web: &Web) -> Result<Zeroizing<String>, Error> {
        let now = Moment::now();
        let assertion = self.sign(&json!({
            "aud": self.token_uri, "exp": now.plus(ASSERTED).0, "iat": now.0, "iss": self.email, "scope": SCOPE,
        }))?;
        let fields = [("grant_type", GRANT), ("assertion", &assertion)];
        let request = cloud::post_form(&self.token_uri, &fields)?;
        cloud::fetch_field(web, request, &[&assertion], "access_token").await
    }
}

#[cfg(test)]
mod tests;
