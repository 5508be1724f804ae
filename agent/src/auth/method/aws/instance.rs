//! The metadata service of an EC2 instance, version 2: a token first, then the role, then its key.

use http::{Method, StatusCode};

use crate::auth::method::access_key::{
    AccessKey, Environment, Error, address, ask, ask_for_key, request,
};
use crate::web::{self, Web};

const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// The token is for the two requests that follow.
const TOKEN_SECONDS: &str = "60";

const NOWHERE: &str = "the environment and ~/.aws/credentials have none, and the instance's metadata service is \
                       switched off by AWS_EC2_METADATA_DISABLED";
const NO_ROLE: &str =
    "the environment and ~/.aws/credentials have none, and the instance has no role";
const HINT: &str = "; it was asked last, because neither the configuration nor the environment nor ~/.aws/credentials \
                    has a key; for a container, the instance's metadata hop limit must be 2 or more";

pub(super) async fn key(web: &Web, environment: &Environment) -> Result<AccessKey, Error> {
    if environment.is_true(DISABLED) {
        return Err(Error::None(NOWHERE));
    }
    let base = environment.text(ENDPOINT).unwrap_or_else(|| {
        let ipv6 = environment.text(MODE);
        let ipv6 = ipv6.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let host = if ipv6 {
            "[fd00:ec2::254]"
        } else {
            "169.254.169.254"
        };
        format!("http://{host}")
    });
    let lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
    let uri = address(ENDPOINT, &base, "/latest/api/token")?;
    let token = ask(web, request(Method::PUT, uri, &[lifetime])?, HINT).await?;
    let token = String::from_utf8_lossy(&token);
    let token = ("x-aws-ec2-metadata-token", token.trim());

    let uri = address(ENDPOINT, &base, ROLES)?;
    let roles = match ask(web, request(Method::GET, uri, &[token])?, HINT).await {
        Err(Error::Web(web::Error::Status { status, .. })) if status == StatusCode::NOT_FOUND => {
            return Err(Error::None(NO_ROLE));
        }
        roles => roles?,
    };
    let roles = String::from_utf8_lossy(&roles);
    // An instance has one role at most.
    let role = roles.lines().next().unwrap_or_default().trim();
    let uri = address(ENDPOINT, &base, &format!("{ROLES}{role}"))?;
    let request = request(Method::GET, uri, &[token])?;
    ask_for_key(web, request, super::NAMES, HINT).await
}
