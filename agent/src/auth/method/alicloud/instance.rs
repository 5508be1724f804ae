//! The metadata service of an ECS instance: a token first, then the RAM role, then its key.

use http::{Method, Uri};

use crate::auth::method::access_key::{
    AccessKey, Environment, Error, address, ask, ask_for_key, request,
};
use crate::auth::method::password::escaped;
use crate::web::{self, Web};

/// Keyside's own.
const ENDPOINT: &str = "ALIBABA_CLOUD_ECS_METADATA_ENDPOINT";
const DISABLED: &str = "ALIBABA_CLOUD_ECS_METADATA_DISABLED";
const TOKEN_REQUIRED: &str = "ALIBABA_CLOUD_IMDSV1_DISABLED";
const ROLE_NAMES: [&str; 2] = ["ALICLOUD_ROLE_NAME", "ALIBABA_CLOUD_ECS_METADATA"];

const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// The token is for the two requests that follow.
const TOKEN_SECONDS: &str = "60";
/// What the service calls the secret and the token.
const NAMES: [&str; 2] = ["AccessKeySecret", "SecurityToken"];

const NOWHERE: &str = "the environment has none, and the instance's metadata service is switched off by \
                       ALIBABA_CLOUD_ECS_METADATA_DISABLED";
const HINT: &str =
    "; it was asked last, because neither the environment nor the configuration has a key";

/// The environment may name the role, and so may the configuration; else the service is asked for it, too.
pub(super) async fn key(
    web: &Web,
    environment: &Environment,
    role: Option<&str>,
) -> Result<AccessKey, Error> {
    if environment.is_true(DISABLED) {
        return Err(Error::None(NOWHERE));
    }
    let base = environment.text(ENDPOINT);
    let base = base.as_deref().unwrap_or("http://100.100.100.200");
    let token = token(
        web,
        environment,
        address(ENDPOINT, base, "/latest/api/token")?,
    )
    .await?;
    let token = token.as_deref();
    let header = token.map(|token| ("x-aliyun-ecs-metadata-token", token));
    let get = |uri: Uri| request(Method::GET, uri, header.as_slice());

    let named = ROLE_NAMES.iter().find_map(|name| environment.text(name));
    let role = if let Some(role) = named.or_else(|| role.map(str::to_owned)) {
        role
    } else {
        let roles = ask(web, get(address(ENDPOINT, base, ROLES)?)?, HINT).await?;
        String::from_utf8_lossy(&roles).trim().to_owned()
    };
    let uri = address(ENDPOINT, base, &format!("{ROLES}{}", escaped(&role)))?;
    ask_for_key(web, get(uri)?, NAMES, HINT).await
}

/// An instance whose metadata service knows no tokens is asked without one, unless that is ruled out.
async fn token(web: &Web, environment: &Environment, uri: Uri) -> Result<Option<String>, Error> {
    let lifetime = ("x-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_SECONDS);
    match ask(web, request(Method::PUT, uri, &[lifetime])?, HINT).await {
        Ok(token) => Ok(Some(String::from_utf8_lossy(&token).trim().to_owned())),
        Err(Error::Web(web::Error::Status { .. })) if !environment.is_true(TOKEN_REQUIRED) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
