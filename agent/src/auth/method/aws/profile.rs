//! The shared credentials file: sections of keys, one per profile.

use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::auth::method::access_key::{AccessKey, Environment, Error};
use crate::auth::method::{self, read};

const FILE: &str = "AWS_SHARED_CREDENTIALS_FILE";
const PROFILE: &str = "AWS_PROFILE";

/// `None` where there is no such file or profile, and none was asked for by name. Read again each time.
pub(super) fn key(environment: &Environment) -> Result<Option<AccessKey>, Error> {
    let (file, profile) = (environment.text(FILE), environment.text(PROFILE));
    let asked = file.is_some() || profile.is_some();
    let Some(path) = file.map(PathBuf::from).or_else(|| at_home(environment)) else {
        return Ok(None);
    };
    let profile = profile.as_deref().unwrap_or("default");
    let text = match read(&path) {
        Err(method::Error::Read { source, .. }) if !asked && is_missing(&source) => {
            return Ok(None);
        }
        Err(method::Error::Empty { .. }) if !asked => return Ok(None),
        text => text?,
    };
    match section(&text, profile) {
        Some(keys) => of(&keys, &path, profile).map(Some),
        None if asked => Err(wrong(&path, profile, "is not there")),
        None => Ok(None),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn at_home(environment: &Environment) -> Option<PathBuf> {
    let home = environment.text("HOME")?;
    Some(Path::new(&home).join(".aws/credentials"))
}

fn of(keys: &[(&str, &str)], path: &Path, profile: &str) -> Result<AccessKey, Error> {
    // The last one counts, as in the tools of AWS.
    let value = |name| keys.iter().rev().find(|(key, _)| *key == name);
    let value = |name| value(name).map(|(_, value)| *value);
    let value = |name| value(name).filter(|value| !value.is_empty());
    match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(AccessKey::new(id, secret, value("aws_session_token"))),
        (None, None) => Err(wrong(
            path,
            profile,
            "has no aws_access_key_id; roles, processes and single sign-on of a profile are not supported",
        )),
        (Some(_), None) => Err(wrong(path, profile, "lacks aws_secret_access_key")),
        (None, Some(_)) => Err(wrong(path, profile, "lacks aws_access_key_id")),
    }
}

fn wrong(path: &Path, profile: &str, what: &str) -> Error {
    Error::Content {
        path: path.to_owned(),
        wrong: format!("is read, and its profile {profile:?} {what}"),
    }
}

/// The settings of a section. A line that sets nothing counts as none.
fn section<'a>(text: &'a Zeroizing<String>, name: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut found = None;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            inside = title.split(']').next().map(str::trim) == Some(name);
            if inside {
                found.get_or_insert_with(Vec::new);
            }
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            found
                .get_or_insert_default()
                .push((key.trim(), value.trim()));
        }
    }
    found
}
