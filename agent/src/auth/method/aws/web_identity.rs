//! A token of an identity provider for a temporary key: what a Kubernetes service account has on EKS.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode, Uri};

use crate::auth::method::access_key::{AccessKey, Environment, Error, address, request};
use crate::auth::method::password::escaped;
use crate::auth::method::read;
use crate::clock::Moment;
use crate::web::{self, Web};

const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// `None` where the environment names no token. The file is read each time: the token in it rotates.
pub(super) async fn key(
    web: &Web,
    environment: &Environment,
    region: &str,
) -> Result<Option<AccessKey>, Error> {
    // The role alone is nothing unusual: other tools read it, too.
    let Some(file) = environment.text(FILE) else {
        return Ok(None);
    };
    let role = environment.text(ROLE).ok_or(Error::Half(FILE, ROLE))?;
    let token = read(file.as_ref())?;
    let session = environment.text("AWS_ROLE_SESSION_NAME");
    let form = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={}&RoleSessionName={}&WebIdentityToken={}",
        escaped(&role),
        escaped(session.as_deref().unwrap_or("keyside-agent")),
        escaped(&token),
    );
    let uri = endpoint(environment, region)?;
    let target = web::target(&uri);
    let mut request = request(Method::POST, uri, &[])?;
    let form_type = http::HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form_type);
    *request.body_mut() = Bytes::from(form);
    let response = web.send(request).await?;
    let text = String::from_utf8_lossy(response.body());
    if response.status() != StatusCode::OK {
        let (status, said) = (response.status(), said(&text));
        return Err(Error::Refused {
            target,
            status,
            said,
        });
    }
    answered(&text)
        .map(Some)
        .ok_or_else(|| Error::no_key(target))
}

fn endpoint(environment: &Environment, region: &str) -> Result<Uri, Error> {
    let named = |names: [&'static str; 2]| {
        let mut found = names.into_iter();
        found.find_map(|name| Some((name, environment.text(name)?)))
    };
    if let Some((name, url)) = named(ENDPOINTS) {
        return address(name, &url, "/");
    }
    let (name, region) = named(REGIONS).unwrap_or(("region", region.to_owned()));
    address(name, &format!("https://{}", super::host(&region)), "/")
}

/// Of the answer's XML only four elements count, none of which has attributes, children or escapes.
fn answered(xml: &str) -> Option<AccessKey> {
    let credentials = element(xml, "Credentials")?;
    let text = |name| {
        let text = element(credentials, name)?;
        (!text.is_empty() && !text.contains(['<', '&'])).then_some(text)
    };
    let (id, secret) = (text("AccessKeyId")?, text("SecretAccessKey")?);
    let mut key = AccessKey::new(id, secret, Some(text("SessionToken")?));
    key.until = text("Expiration").and_then(Moment::parse);
    Some(key)
}

/// Only the code of an error: its message may hold what was sent.
fn said(xml: &str) -> String {
    let code = element(xml, "Error").and_then(|error| element(error, "Code"));
    let plain =
        |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let code = code.filter(plain);
    code.map(|code| format!(": {code}")).unwrap_or_default()
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}
