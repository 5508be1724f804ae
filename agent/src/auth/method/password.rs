//! `userpass` and `ldap`: a name, which is part of the path, and a password.

use std::fmt::Write as _;

use keyside_config::model::auto_auth;
use serde_json::json;

use super::Error;
use super::remembered::{Remembered, Removal};
use crate::vault::wire;

pub(crate) struct Password {
    /// Of the method.
    pub(super) kind: &'static str,
    username: String,
    pub(super) file: Remembered,
}

impl Password {
    pub(super) fn new(kind: &'static str, config: &auto_auth::Password) -> Self {
        let removal = Removal::of(config.remove_after_reading, config.remove_follows_symlinks);
        let mut file = Remembered::new(&config.path, removal);
        // Blanks may be part of a password; the end of the line is the editor's.
        file.trim = |text| text.trim_end_matches(['\r', '\n']);
        Self {
            kind,
            username: config.username.clone(),
            file,
        }
    }

    pub(super) fn path(&self, mount: &str) -> String {
        format!("{mount}/login/{}", escaped(&self.username))
    }

    pub(super) fn credential(&mut self) -> Result<wire::Body, Error> {
        Ok(wire::Body(json!({ "password": self.file.read()? })))
    }
}

/// One segment of a path, or one value of a query: all but the unreserved characters of RFC 3986 by their code.
pub(super) fn escaped(name: &str) -> String {
    let mut path = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("a String takes all that is written");
        }
    }
    path
}
