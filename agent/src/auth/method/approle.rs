//! `approle`: a role id and, where the role wants one, a secret id.

use std::path::Path;

use serde_json::json;

use super::{Error, Remembered};
use crate::vault::wire;

pub(crate) struct AppRole {
    role_id: Remembered,
    secret_id: Option<Remembered>,
}

impl AppRole {
    /// The role id is no secret and stays; the secret id goes after reading where `remove` says so.
    pub(super) fn new(role_id: &Path, secret_id: Option<&Path>, remove: bool) -> Self {
        Self {
            role_id: Remembered::new(role_id, false),
            secret_id: secret_id.map(|path| Remembered::new(path, remove)),
        }
    }

    pub(super) fn credential(&mut self) -> Result<wire::Body, Error> {
        let mut body = json!({ "role_id": self.role_id.read()? });
        if let (Some(secret_id), Some(fields)) = (&mut self.secret_id, body.as_object_mut()) {
            fields.insert("secret_id".to_owned(), secret_id.read()?.into());
        }
        Ok(wire::Body(body))
    }
}
