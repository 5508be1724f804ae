//! Many sets of values for many versions of Kubernetes, against the schemas of each.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use serde_json::{Value, json};

use crate::helm::{self, Release};
use crate::values;

/// Those on which the chart installs as it is.
const KUBERNETES: [&str; 8] = [
    "v1.29.0", "v1.30.0", "v1.31.0", "v1.32.0", "v1.33.0", "v1.34.0", "v1.35.0", "v1.36.0",
];
/// Those for which something has to be set.
const OLDER: [&str; 4] = ["v1.25.0", "v1.26.0", "v1.27.0", "v1.28.0"];

/// Each value by itself, and what goes together.
fn sets() -> anyhow::Result<Vec<Value>> {
    let table = values::table()?;
    let each = table.iter().map(|(path, entry)| entry.values(path));
    let mut sets: Vec<Value> = each.collect();
    sets.extend([
        json!({}),
        values::everything()?,
        json!({"replicas": 1, "podDisruptionBudget": {"enabled": false}, "networkPolicy": {"enabled": false}}),
        json!({"certificate": {"mode": "certManager"}, "networkPolicy": {"restrictEgress": true}}),
        json!({"certificate": {"mode": "given", "given": {"secret": "mine"}}, "denialEvents": true}),
        json!({"openshift": true, "sidecar": "init-only"}),
    ]);
    Ok(sets)
}

fn validate(calls: &Value) -> anyhow::Result<Value> {
    let report = helm::python("tests/chart/validate.py", &[], calls)?;
    assert_eq!(report["faults"], json!([]), "{report:#}");
    Ok(report)
}

#[test]
fn every_version_takes_what_every_set_of_values_renders() -> anyhow::Result<()> {
    let sets = sets()?;
    assert!(sets.len() >= 40, "{} sets", sets.len());
    let calls = KUBERNETES.iter().flat_map(|kubernetes| {
        sets.iter()
            .map(move |values| json!({"values": values, "kube_version": kubernetes}))
    });
    let calls: Vec<Value> = calls.collect();
    let report = validate(&json!(calls))?;
    // Each render has its dozen of objects, and was not just empty.
    let objects = report["objects"].as_u64().unwrap_or_default();
    assert!(objects >= 12 * u64::try_from(calls.len())?, "{report}");
    Ok(())
}

/// They opt in by a label, and their agent is no native sidecar.
#[test]
fn older_versions_take_it_with_a_label() -> anyhow::Result<()> {
    let values =
        json!({"sidecar": "classic", "webhook": {"optIn": "label"}, "watch": {"enabled": true}});
    let calls = OLDER.map(|kubernetes| json!({"values": values, "kube_version": kubernetes}));
    validate(&json!(calls))?;

    for kubernetes in OLDER {
        let release = Release {
            kubernetes,
            ..Release::with(values.clone())
        };
        let webhook = release
            .objects()?
            .at("MutatingWebhookConfiguration", "/webhooks/0")?;
        let label = json!({"matchLabels": {"keyside.dev/inject": "true"}});
        assert_eq!(webhook["objectSelector"], label);
        let selects = !webhook["matchConditions"].is_null();
        assert_eq!(selects, kubernetes == "v1.28.0", "{kubernetes}");
    }
    Ok(())
}

/// Without `matchConditions` a webhook with `Fail` would block every pod of the cluster. Below 1.29 a native sidecar is
/// refused, or an init container that never ends.
#[test]
fn refuses_clusters_that_are_too_old() -> anyhow::Result<()> {
    let classic = json!({"sidecar": "classic"});
    let label = json!({"sidecar": "classic", "webhook": {"optIn": "label"}});
    let ignore = json!({"sidecar": "classic", "webhook": {"failurePolicy": "Ignore"}});
    for (kubernetes, values, why) in [
        ("v1.24.17", &label, Some("too old")),
        ("v1.27.16", &classic, Some("set webhook.optIn to label")),
        ("v1.27.16", &label, None),
        ("v1.27.16", &ignore, None),
        ("v1.28.15", &json!({}), Some("set sidecar to classic")),
        ("v1.28.15", &classic, None),
        // What managed clusters append to the version is no reason to refuse them.
        ("v1.29.0-gke.1381000", &json!({}), None),
    ] {
        let release = Release {
            kubernetes,
            ..Release::with(values.clone())
        };
        match why {
            None => drop(release.render()?),
            Some(why) => {
                let refusal = release.refusal()?;
                let names = refusal.contains(kubernetes) && refusal.contains(why);
                assert!(names, "{kubernetes} {values}: {refusal}");
            }
        }
    }
    Ok(())
}
