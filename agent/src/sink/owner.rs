//! Users and groups by name or number, read from `/etc/passwd` and `/etc/group`.
//!
//! The C library would ask whatever `nsswitch.conf` names, which a static binary cannot load; an image `FROM
//! scratch` has neither file, and numbers are what it uses.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("read {path} to find {name:?}")]
    Read {
        path: PathBuf,
        name: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} has no {name:?}; a number works everywhere")]
    Unknown { path: PathBuf, name: String },
}

/// The number of a user.
pub(crate) fn user(name: &str) -> Result<u32, Error> {
    number(name, Path::new("/etc/passwd"))
}

/// The number of a group.
pub(crate) fn group(name: &str) -> Result<u32, Error> {
    number(name, Path::new("/etc/group"))
}

fn number(name: &str, path: &Path) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        name: name.to_owned(),
        source,
    })?;
    find(&text, name).ok_or_else(|| Error::Unknown {
        path: path.to_owned(),
        name: name.to_owned(),
    })
}

/// Both files have the name in the first field and the number in the third.
fn find(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        fields.nth(1)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_number_by_name() {
        let text = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\napp:x:65532:65532::/:\nodd:x:many:1::/:\n";
        for (name, expected) in [
            ("root", Some(0)),
            ("app", Some(65532)),
            ("odd", None),
            ("broken", None),
            ("ap", None),
            ("", None),
        ] {
            assert_eq!(find(text, name), expected, "{name}");
        }
    }

    #[test]
    fn a_number_needs_no_file() {
        assert_eq!(number("65532", Path::new("/nonexistent")).unwrap(), 65532);
        let error = number("app", Path::new("/nonexistent")).unwrap_err();
        assert_eq!(error.to_string(), r#"read /nonexistent to find "app""#);
    }
}
