//! SPDX 2.3 as JSON (spdx.github.io/spdx-spec/v2.3). Pure.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Crate, List, hash};

/// The image holds these beside the binary.
const ROOTS: &str = "ca-certificates";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";

pub(super) fn document(
    list: &List,
    binary: &str,
    roots: &str,
    epoch: u64,
) -> anyhow::Result<String> {
    let root = list.crates.get(&list.root).context("the root is a crate")?;
    let mut packages = Vec::new();
    for (key, found) in &list.crates {
        let mut package = package(
            &identifier(key),
            &found.name,
            &found.version,
            &found.licence,
        );
        if *key == list.root {
            set(&mut package, "primaryPackagePurpose", json!("APPLICATION"));
            set(&mut package, "checksums", checksum(binary));
        }
        published(&mut package, found);
        packages.push(package);
    }
    for tool in &list.tools {
        packages.push(package(
            &format!("SPDXRef-tool-{}", tool.name),
            tool.name,
            &tool.version,
            tool.licence,
        ));
    }
    let mut authorities = package(&format!("SPDXRef-{ROOTS}"), ROOTS, "", "MPL-2.0");
    set(&mut authorities, "primaryPackagePurpose", json!("DATA"));
    set(&mut authorities, "checksums", checksum(roots));
    packages.push(authorities);

    let mut relationships = vec![
        relationship(DOCUMENT, "DESCRIBES", &identifier(&list.root)),
        relationship(DOCUMENT, "DESCRIBES", &format!("SPDXRef-{ROOTS}")),
    ];
    for (user, used) in &list.edges {
        relationships.push(relationship(
            &identifier(user),
            "DEPENDS_ON",
            &identifier(used),
        ));
    }
    for tool in &list.tools {
        let tool = format!("SPDXRef-tool-{}", tool.name);
        relationships.push(relationship(&identifier(&list.root), "STATIC_LINK", &tool));
    }

    let name = format!("{}-{}", root.name, root.version);
    let content = json!([packages, relationships, epoch]);
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": name,
        // A name that another document can only have if it says the same. It leads nowhere, and need not.
        "documentNamespace": format!("https://spdx.org/spdxdocs/{name}-{}", hash(content.to_string().as_bytes())),
        "creationInfo": { "created": instant(epoch), "creators": ["Tool: cargo-xtask"] },
        "packages": packages,
        "relationships": relationships,
    });
    Ok(format!("{document:#}\n"))
}

fn package(identifier: &str, name: &str, version: &str, licence: &str) -> Value {
    let mut package = json!({
        "SPDXID": identifier,
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": licence,
        "copyrightText": "NOASSERTION",
    });
    if !version.is_empty() {
        set(&mut package, "versionInfo", json!(version));
    }
    package
}

/// By what scanners know a published crate. One of this repository has no such name, which somebody else could take.
fn published(package: &mut Value, found: &Crate) {
    let Some(hash) = &found.checksum else { return };
    let locator = format!("pkg:cargo/{}@{}", found.name, found.version);
    set(package, "checksums", checksum(hash));
    set(
        package,
        "externalRefs",
        json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": locator.replace('+', "%2B"),
        }]),
    );
}

fn set(package: &mut Value, key: &str, value: Value) {
    if let Some(package) = package.as_object_mut() {
        package.insert(key.to_owned(), value);
    }
}

fn checksum(hash: &str) -> Value {
    json!([{ "algorithm": "SHA256", "checksumValue": hash }])
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// Letters, digits, dots and dashes are all that an identifier may hold.
fn identifier(key: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let key = key.replace(|letter| !plain(letter), "-");
    format!("SPDXRef-crate-{key}")
}

/// The seconds since 1970 as a date: Howard Hinnant's `civil_from_days`.
fn instant(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400 + 719_468, epoch % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let part = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * part + 2) / 5 + 1;
    let month = if part < 10 { part + 3 } else { part - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_a_date() {
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
        assert_eq!(instant(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(instant(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(instant(1_764_547_199), "2025-11-30T23:59:59Z");
    }
}
