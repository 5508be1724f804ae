//! Files and folders of configuration, read in the order in which later ones win.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keyside_config::source::{Source, Syntax};

use super::{Error, KEYSIDE_CONFIG};

/// Every file named, and every configuration file of every folder named, a folder's in name order.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for path in paths {
        let kind = fs::metadata(path).map_err(|source| unreadable(path, source))?;
        if kind.is_dir() {
            for file in folder(path)? {
                sources.push(source(&file)?);
            }
        } else {
            sources.push(source(path)?);
        }
    }
    Ok(sources)
}

/// `KEYSIDE_CONFIG` as one more source.
pub(crate) fn from_environment(text: String) -> Source {
    Source {
        name: KEYSIDE_CONFIG.to_owned(),
        syntax: Syntax::Json,
        text,
    }
}

/// A file named by itself may have any extension, as in Vault; HCL is what it is then.
fn source(path: &Path) -> Result<Source, Error> {
    Ok(Source {
        name: path.display().to_string(),
        syntax: Syntax::of(path).unwrap_or(Syntax::Hcl),
        text: fs::read_to_string(path).map_err(|source| unreadable(path, source))?,
    })
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(path).map_err(|source| unreadable(path, source))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|source| unreadable(path, source))?;
    // Through links, as a mounted ConfigMap's files are; its `..data` folder is a folder all the same.
    files.retain(|file| Syntax::of(file).is_some() && !is_editors(file) && !file.is_dir());
    files.sort_unstable();
    if files.is_empty() {
        return Err(Error::EmptyFolder {
            path: path.to_owned(),
        });
    }
    Ok(files)
}

/// Editors leave `.#name`, `#name#` and `name~` beside what is being edited.
fn is_editors(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".#") || name.starts_with('#') && name.ends_with('#') || name.ends_with('~')
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[Source], below: &Path) -> Vec<String> {
        let relative = |source: &Source| {
            let path = Path::new(&source.name).strip_prefix(below).unwrap();
            path.display().to_string()
        };
        sources.iter().map(relative).collect()
    }

    #[test]
    fn a_folder_is_read_in_name_order_without_editors_leavings_and_sub_folders() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in [
            "20.json",
            "10.hcl",
            "30.yml",
            "15.yaml",
            ".#10.hcl",
            "10.hcl~",
            "#10.hcl#",
            "readme.txt",
        ] {
            fs::write(at.join(name), "").unwrap();
        }
        fs::create_dir(at.join("sub.hcl")).unwrap();
        std::os::unix::fs::symlink("10.hcl", at.join("05.hcl")).unwrap();
        let sources = read(&[at.to_owned()]).unwrap();
        assert_eq!(
            names(&sources, at),
            ["05.hcl", "10.hcl", "15.yaml", "20.json", "30.yml"]
        );
    }

    #[test]
    fn files_keep_the_order_of_the_arguments_and_may_have_any_extension() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for name in ["b.json", "a.conf"] {
            fs::write(at.join(name), "").unwrap();
        }
        let sources = read(&[at.join("b.json"), at.join("a.conf")]).unwrap();
        assert_eq!(names(&sources, at), ["b.json", "a.conf"]);
        assert_eq!(
            (sources[0].syntax, sources[1].syntax),
            (Syntax::Json, Syntax::Hcl)
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        assert!(matches!(
            read(&[at.to_owned()]),
            Err(Error::EmptyFolder { .. })
        ));
        assert!(matches!(
            read(&[at.join("absent.hcl")]),
            Err(Error::Read { .. })
        ));
        fs::write(at.join("latin.hcl"), b"\xe9").unwrap();
        assert!(matches!(
            read(&[at.join("latin.hcl")]),
            Err(Error::Read { .. })
        ));
    }
}
