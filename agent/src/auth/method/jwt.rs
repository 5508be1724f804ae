//! `jwt`: a JSON Web Token that something else puts into a file.

use std::path::Path;

use serde_json::json;

use super::Error;
use super::remembered::{Remembered, Removal};
use crate::vault::wire;

pub(crate) struct Jwt {
    role: String,
    pub(super) token: Remembered,
}

impl Jwt {
    pub(super) fn new(role: &str, path: &Path, removal: Removal) -> Self {
        Self {
            role: role.to_owned(),
            token: Remembered::new(path, removal),
        }
    }

    pub(super) fn credential(&mut self) -> Result<wire::Body, Error> {
        let token = self.token.read()?;
        Ok(wire::Body(json!({ "role": self.role, "jwt": token })))
    }
}
