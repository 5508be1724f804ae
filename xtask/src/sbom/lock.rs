//! The checksums in `Cargo.lock`. Pure.

use std::collections::BTreeMap;

/// By `name@version`. Cargo writes the file itself, one key on a line.
pub(super) fn checksums(lock: &str) -> BTreeMap<String, String> {
    let packages = lock.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let field = |name: &str| {
                let mut lines = package.lines();
                lines.find_map(|line| {
                    let value = line.strip_prefix(name)?.strip_prefix(" = \"")?;
                    value.strip_suffix('"')
                })
            };
            let name = format!("{}@{}", field("name")?, field("version")?);
            Some((name, field("checksum")?.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_published_has_a_checksum() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"00ff\"\n\
                    dependencies = [\n \"b\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"0.1.0\"\n";
        let found = checksums(lock);
        assert_eq!(
            Vec::from_iter(found),
            [("a@1.0.0".to_owned(), "00ff".to_owned())]
        );
    }
}
