use keyside_harness::tools;
use serde_json::Value;

use super::*;
use crate::release::PROGRAMS;

fn metadata(target: &Target) -> Value {
    let mut command = shell::cargo(["metadata", "--format-version=1", "--locked"]).unwrap();
    command.args(["--filter-platform", &target.triple]);
    serde_json::from_str(&shell::output(&mut command).unwrap()).unwrap()
}

/// What cargo's resolve has for a binary: by `name@version`, and whether any way to it is not optional. The features are
/// those of the whole workspace, so that optional crates may be in it which the binary lacks.
fn resolve(metadata: &Value, program: &str) -> BTreeMap<String, bool> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (package["id"].as_str().unwrap().to_owned(), package))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (node["id"].as_str().unwrap().to_owned(), node))
        .collect();
    let name = |id: &str| {
        let package = &packages[id];
        format!(
            "{}@{}",
            package["name"].as_str().unwrap(),
            package["version"].as_str().unwrap()
        )
    };
    let is_macro = |id: &str| {
        let targets = list(&packages[id]["targets"]);
        targets
            .iter()
            .any(|target| target["kind"][0] == "proc-macro")
    };
    let root = packages
        .iter()
        .find(|(_, package)| package["name"] == program);
    let mut found = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut rest = vec![(root.unwrap().0.clone(), true)];
    while let Some((id, needed)) = rest.pop() {
        if is_macro(&id) || !seen.insert((id.clone(), needed)) {
            continue;
        }
        *found.entry(name(&id)).or_default() |= needed;
        let declared = list(&packages[&id]["dependencies"]);
        for dependency in list(&nodes[&id]["deps"]) {
            let kinds = list(&dependency["dep_kinds"]);
            if !kinds.iter().any(|kind| kind["kind"].is_null()) {
                continue;
            }
            let id = dependency["pkg"].as_str().unwrap().to_owned();
            let optional = declared.iter().any(|entry| {
                entry["name"] == packages[&id]["name"]
                    && entry["kind"].is_null()
                    && entry["optional"] == true
            });
            rest.push((id, needed && !optional));
        }
    }
    found
}

#[test]
fn the_crates_of_the_resolve_are_listed_and_no_others() {
    let (root, target) = (tools::root().unwrap(), Target::host().unwrap());
    let metadata = metadata(&target);
    for program in PROGRAMS {
        let list = of(&root, program, &target).unwrap();
        let resolve = resolve(&metadata, program);
        assert!(list.crates.len() > 50, "{program}: {}", list.crates.len());
        for name in list.crates.keys() {
            assert!(resolve.contains_key(name), "{program} does not have {name}");
        }
        for (name, needed) in resolve {
            let listed = list.crates.contains_key(&name);
            assert!(listed || !needed, "{program}: {name} is missing");
        }
        let only_in_tests = ["keyside-harness@", "proptest@", "tempfile@", "syn@"];
        for name in only_in_tests {
            let mut names = list.crates.keys();
            assert!(
                !names.any(|known| known.starts_with(name)),
                "{program}: {name}"
            );
        }
    }
}

#[test]
fn a_document_says_what_there_is_of_each_part() {
    let (root, target) = (tools::root().unwrap(), Target::host().unwrap());
    let list = of(&root, "keyside-agent", &target).unwrap();
    let text = list.spdx(b"binary", b"roots", 0).unwrap();
    assert_eq!(text, list.spdx(b"binary", b"roots", 0).unwrap());
    assert!(!text.contains(root.to_str().unwrap()));
    assert_ne!(text, list.spdx(b"another", b"roots", 0).unwrap());

    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    let packages = document["packages"].as_array().unwrap();
    assert_eq!(packages.len(), list.crates.len() + list.tools.len() + 1);
    let identifiers: BTreeSet<_> = packages
        .iter()
        .filter_map(|package| package["SPDXID"].as_str())
        .collect();
    assert_eq!(identifiers.len(), packages.len());
    for package in packages {
        let licence = package["licenseDeclared"].as_str().unwrap();
        assert!(!licence.is_empty() && !licence.contains('/'), "{package}");
        // What was published is known by its hash; what is ours has no name in a registry.
        let is_ours = package["name"].as_str().unwrap().starts_with("keyside-");
        let is_crate = package["SPDXID"]
            .as_str()
            .unwrap()
            .starts_with("SPDXRef-crate-");
        assert_eq!(
            package["externalRefs"].is_array(),
            is_crate && !is_ours,
            "{package}"
        );
        if is_crate && !is_ours {
            let hash = package["checksums"][0]["checksumValue"].as_str().unwrap();
            assert_eq!(hash.len(), 64, "{package}");
        }
    }
    for relationship in document["relationships"].as_array().unwrap() {
        for end in ["spdxElementId", "relatedSpdxElement"] {
            let end = relationship[end].as_str().unwrap();
            assert!(
                identifiers.contains(end) || end == "SPDXRef-DOCUMENT",
                "{end}"
            );
        }
    }
    let text = document.to_string();
    for licence in ["LGPL-2.1-or-later", "MPL-2.0", "Apache-2.0 AND ISC"] {
        assert!(text.contains(licence), "{licence}");
    }
}

#[test]
fn crates_that_were_compiled_and_are_not_listed_are_noticed() {
    let list = tree::read("0|app v0.1.0|MIT|\n1|a v1.0.0|MIT|\n", &BTreeMap::new()).unwrap();
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<BTreeSet<_>>()
    };
    list.check(&set(&["a@1.0.0", "app@0.1.0"])).unwrap();
    for compiled in [
        set(&["app@0.1.0"]),
        set(&["a@1.0.0", "app@0.1.0", "b@1.0.0"]),
    ] {
        assert!(list.check(&compiled).is_err(), "{compiled:?}");
    }
}
