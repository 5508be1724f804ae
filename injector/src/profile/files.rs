//! Where profiles are written: a folder, as a mounted `ConfigMap` is, or one file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::set::Texts;

/// A `ConfigMap` holds no more, all its files together.
const MOST: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reading {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has more than 1 MiB", path.display())]
    TooLarge { path: PathBuf },
    #[error("{} has no name that a profile can have: NAME.yaml", path.display())]
    Name { path: PathBuf },
    #[error("{} and another file are both of profile {name}", path.display())]
    Twice { path: PathBuf, name: String },
}

/// The text of every profile at `path`: of `NAME.yaml` in a folder, hidden files apart, or of one file.
///
/// A few small files: blocking is a matter of microseconds.
pub(crate) fn read(path: &Path) -> Result<Texts, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut texts = Texts::new();
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        add(&mut texts, path)?;
        return Ok(texts);
    }
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // The kubelet keeps the files themselves in hidden folders, and links to them.
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            add(&mut texts, &entry.path())?;
        }
    }
    Ok(texts)
}

fn add(texts: &mut Texts, path: &Path) -> Result<(), Error> {
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    let name = path.file_stem().and_then(OsStr::to_str);
    let name = name.filter(|_| is_yaml).ok_or_else(|| Error::Name {
        path: path.to_owned(),
    })?;
    let text = text(path)?;
    if texts.insert(name.to_owned(), text).is_some() {
        return Err(Error::Twice {
            path: path.to_owned(),
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    let read = file.take(MOST + 1).read_to_string(&mut text);
    if read.map_err(failed)? as u64 > MOST {
        return Err(Error::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}
