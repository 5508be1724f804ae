//! The rights that the chart gives are those that the injector uses: none is missing, and none is idle.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use std::collections::BTreeSet;

use anyhow::Context as _;
use keyside_harness::kube::ApiServer;
use keyside_harness::poll;
use serde_json::{Value, json};

use crate::helm::Objects;
use crate::program::{Installed, NAMESPACE};

/// Short lives, so that every right is used soon.
const SHORT: [&str; 4] = [
    "--leaf-lifetime=3s",
    "--settle=100ms",
    "--recheck=100ms",
    "--drain=0s",
];

#[test]
fn of_an_injector_that_makes_its_own_certificate() -> anyhow::Result<()> {
    let installed = Installed::start(json!({}), &SHORT)?;
    check(&installed, 6)
}

#[test]
fn of_one_that_tells_of_denials() -> anyhow::Result<()> {
    let installed = Installed::start(json!({"denialEvents": true}), &SHORT)?;
    installed.wait_until_ready()?;
    deny(&installed)?;
    check(&installed, 7)
}

#[test]
fn of_one_that_publishes_a_given_authority() -> anyhow::Result<()> {
    let given = json!({"mode": "given", "given": {"secret": "mine", "publish": true}});
    let installed = Installed::start(json!({ "certificate": given }), &SHORT)?;
    check(&installed, 3)
}

#[test]
fn of_one_that_has_its_certificate_from_others() -> anyhow::Result<()> {
    for certificate in [
        json!({"mode": "certManager"}),
        json!({"mode": "given", "given": {"secret": "mine"}}),
    ] {
        let installed = Installed::start(json!({ "certificate": certificate }), &SHORT)?;
        installed.wait_until_ready()?;
        check(&installed, 0)?;
        let token = "/spec/template/spec/automountServiceAccountToken";
        assert_eq!(installed.objects.at("Deployment", token)?, false);
    }
    Ok(())
}

/// Sends a review of a pod that cannot be.
fn deny(installed: &Installed) -> anyhow::Result<()> {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "a-uid",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "shop",
        "operation": "CREATE",
        "object": {"metadata": {"name": "shop", "annotations": {"keyside.dev/inject": "perhaps"}}},
    }});
    assert_eq!(installed.admit(&review)?["allowed"], false);
    Ok(())
}

/// Waits until every right was used once, and holds that nothing else was.
fn check(installed: &Installed, count: usize) -> anyhow::Result<()> {
    check_that(&installed.objects, &installed.api, count)
}

pub(crate) fn check_that(objects: &Objects, api: &ApiServer, count: usize) -> anyhow::Result<()> {
    let given = given(objects)?;
    assert_eq!(given.len(), count, "{given:#?}");
    poll::until("every right to be used", poll::LIMIT, || {
        let used = used(api);
        let idle: Vec<_> = given.difference(&used).collect();
        anyhow::ensure!(idle.is_empty(), "idle: {idle:#?}, used: {used:#?}");
        Ok(())
    })?;
    let used = used(api);
    let missing: Vec<_> = used.difference(&given).collect();
    assert!(missing.is_empty(), "missing: {missing:#?}");
    Ok(())
}

/// A right: where (a namespace, or everywhere), verb, group, resource, and the object where it is one.
type Right = (String, String, String, String, Option<String>);

const EVERYWHERE: &str = "everywhere";

fn used(api: &ApiServer) -> BTreeSet<Right> {
    let accesses = api.accesses().into_iter();
    let used = accesses.map(|access| {
        let own = access.namespace.filter(|namespace| namespace == NAMESPACE);
        // To create is no right over an object by name: it has none yet.
        let name = access.name.filter(|_| access.verb != "create");
        let place = own.unwrap_or_else(|| EVERYWHERE.to_owned());
        (
            place,
            access.verb.to_owned(),
            access.group,
            access.resource,
            name,
        )
    });
    used.collect()
}

fn given(objects: &Objects) -> anyhow::Result<BTreeSet<Right>> {
    let mut rights = BTreeSet::new();
    for role in objects.iter() {
        let place = match role["kind"].as_str() {
            Some("Role") => role["metadata"]["namespace"]
                .as_str()
                .context("namespace")?,
            Some("ClusterRole") => EVERYWHERE,
            _ => continue,
        };
        for rule in role["rules"].as_array().context("rules")? {
            let list = |key: &str| {
                let list = rule[key].as_array().into_iter().flatten();
                list.filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            let names = list("resourceNames").into_iter().map(Some);
            let mut names: Vec<Option<String>> = names.collect();
            if names.is_empty() {
                names.push(None);
            }
            for verb in list("verbs") {
                for (group, resource) in list("apiGroups").iter().zip(list("resources")) {
                    for name in &names {
                        let (verb, group) = (verb.clone(), group.clone());
                        let right = (
                            place.to_owned(),
                            verb,
                            group,
                            resource.clone(),
                            name.clone(),
                        );
                        rights.insert(right);
                    }
                }
            }
        }
    }
    Ok(rights)
}
