//! The endpoint that ECS and EKS (Pod Identity) give to a container.
//!
//! Invariant: its token goes to nobody but the container's host, unless the way there is encrypted.

use http::Uri;

use crate::auth::method::access_key::{
    AccessKey, Environment, Error, address, ask_for_key, request,
};
use crate::auth::method::read;
use crate::web::Web;

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

const ECS: &str = "http://169.254.170.2";

/// `None` where the environment names no endpoint.
pub(super) async fn key(web: &Web, environment: &Environment) -> Result<Option<AccessKey>, Error> {
    let Some(uri) = endpoint(environment)? else {
        return Ok(None);
    };
    // Read again each time: it rotates.
    let token = match environment.text(TOKEN_FILE) {
        Some(file) => Some(read(file.as_ref())?),
        None => environment.text(TOKEN).map(Into::into),
    };
    let header = token
        .as_ref()
        .map(|token| ("authorization", token.as_str()));
    let request = request(http::Method::GET, uri, header.as_slice())?;
    ask_for_key(web, request, super::NAMES, "").await.map(Some)
}

pub(super) fn endpoint(environment: &Environment) -> Result<Option<Uri>, Error> {
    if let Some(path) = environment.text(RELATIVE) {
        let separator = if path.starts_with('/') { "" } else { "/" };
        return address(RELATIVE, ECS, &format!("{separator}{path}")).map(Some);
    }
    let Some(uri) = environment.text(FULL) else {
        return Ok(None);
    };
    let uri = address(FULL, &uri, "")?;
    if uri.scheme_str() == Some("https") || uri.host().is_some_and(is_near) {
        return Ok(Some(uri));
    }
    Err(Error::Variable {
        name: FULL,
        wrong: "is neither https nor the address of this host, of ECS or of EKS",
    })
}

/// An address of the host itself, of ECS, or of EKS.
fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let near = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback() || near.iter().any(|near| near.parse() == Ok(address)),
        Err(_) => host == "localhost",
    }
}
