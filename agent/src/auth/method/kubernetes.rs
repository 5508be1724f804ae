//! `kubernetes`: the pod's service-account token.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Error, read};
use crate::vault::wire;

pub(crate) struct Kubernetes {
    role: String,
    path: PathBuf,
}

impl Kubernetes {
    pub(super) fn new(role: &str, path: &Path) -> Self {
        Self {
            role: role.to_owned(),
            path: path.to_owned(),
        }
    }

    /// The kubelet replaces the token long before it ends, so it is read again for each login.
    pub(super) fn credential(&self) -> Result<wire::Body, Error> {
        let token = read(&self.path)?;
        Ok(wire::Body(
            json!({ "role": self.role, "jwt": token.as_str() }),
        ))
    }

    /// Nine refusals in ten are about the audience, and Vault's answer seldom says so.
    pub(super) fn hint(&self) -> Option<String> {
        let token = read(&self.path).ok()?;
        let audience = audience(&token)?;
        Some(format!(
            "if the method is mounted there: the service-account token is for {audience}, `audience` of the role \
             {role:?} must name that or be empty (the annotation keyside.dev/audience sets the token's), and a token \
             that is not for the API server needs a Vault with a `token_reviewer_jwt` of its own, or the jwt method at \
             this mount",
            role = self.role,
        ))
    }
}

/// `aud` of a JWT, unverified, for people to read.
fn audience(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let text = match claims.get("aud") {
        None => "no audience".to_owned(),
        Some(audience) => format!("the audience {audience}"),
    };
    Some(text.chars().take(300).collect())
}
