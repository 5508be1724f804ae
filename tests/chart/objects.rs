//! The objects that the chart installs, as a whole.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

use crate::helm::{Objects, Release};
use crate::values;

const WEBHOOK: &str = "MutatingWebhookConfiguration";

/// The oldest version that the chart accepts as it is, and the newest one that we know.
const KUBERNETES: [&str; 2] = ["1.29.0", "1.36.0"];

#[test]
fn lints_without_a_warning() -> anyhow::Result<()> {
    Release::default().lint()?;
    Release::with(values::everything()).lint()?;
    Ok(())
}

#[test]
fn renders_objects_that_the_kubernetes_schemas_accept() -> anyhow::Result<()> {
    let releases = [
        Release::default(),
        Release::with(values::everything()),
        Release {
            name: "prod",
            namespace: "platform",
            ..Release::default()
        },
        Release::with(json!({"podDisruptionBudget": {"enabled": false}, "replicas": 1})),
        Release::with(json!({"certificate": {"mode": "given", "given": {"secret": "mine"}}})),
        Release::with(json!({"watch": {"enabled": true}})),
        Release::with(json!({"image": {"tag": "edge"}, "agent": {"image": {"tag": "edge"}}})),
    ];
    for kubernetes in KUBERNETES {
        let folder = tempfile::tempdir()?;
        let (mut files, mut objects) = (Vec::new(), 0);
        for (number, release) in releases.iter().enumerate() {
            let release = Release {
                kubernetes,
                values: release.values.clone(),
                ..*release
            };
            let text = release.render()?;
            objects += Objects::read(&text)?.iter().count();
            let file = folder.path().join(format!("{number}.yaml"));
            std::fs::write(&file, text)?;
            files.push(file);
        }
        validate(kubernetes, &files, objects)?;
    }
    Ok(())
}

pub(crate) fn validate(kubernetes: &str, files: &[PathBuf], objects: usize) -> anyhow::Result<()> {
    let output = Command::new(tools::python()?)
        .args(["-m", "kubernetes_validate", "--strict", "-k", kubernetes])
        .args(files)
        .output()
        .context("run kubernetes-validate")?;
    // A kind without a schema is only a remark there: so what passed is counted.
    let report = String::from_utf8(output.stdout)?;
    let passed = report
        .lines()
        .filter(|line| line.contains(" passed for resource "))
        .count();
    assert!(output.status.success(), "{report}");
    assert_eq!(passed, objects, "{report}");
    Ok(())
}

#[test]
fn renders_the_same_bytes_twice() -> anyhow::Result<()> {
    let release = Release::with(values::everything());
    assert_eq!(release.render()?, release.render()?);
    Ok(())
}

#[test]
fn manifests_are_a_fresh_render() -> anyhow::Result<()> {
    let file = tools::root()?.join("manifests/keyside.yaml");
    let kept =
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    assert_eq!(
        kept,
        Release::default().render()?,
        "run `cargo xtask render`"
    );
    Ok(())
}

#[test]
fn is_called_for_pods_that_ask_and_for_no_others() -> anyhow::Result<()> {
    let objects = Release {
        namespace: "platform",
        ..Release::default()
    }
    .objects()?;
    let entries = objects.at(WEBHOOK, "/webhooks")?;
    let [webhook] = entries.as_array().context("webhooks")?.as_slice() else {
        anyhow::bail!("more than one entry: {entries}");
    };
    assert_eq!(
        webhook["matchConditions"],
        json!([{
            "name": "asks-for-injection",
            "expression": "has(object.metadata.annotations) && 'keyside.dev/inject' in object.metadata.annotations \
                           && !(object.metadata.annotations['keyside.dev/inject'] in ['false', 'f', '0'])",
        }])
    );
    assert_eq!(
        webhook["rules"],
        json!([{
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE"],
            "resources": ["pods"],
            "scope": "Namespaced",
        }])
    );
    assert_eq!(
        webhook["namespaceSelector"],
        json!({"matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["kube-system", "kube-public", "platform"],
        }]})
    );
    assert_eq!(webhook["failurePolicy"], "Fail");
    assert_eq!(webhook["timeoutSeconds"], 5);
    assert_eq!(webhook["sideEffects"], "None");
    assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
    assert_eq!(webhook["matchPolicy"], "Equivalent");
    Ok(())
}

/// Whoever renders a CA, even an empty one, takes the field away from the injector at the next upgrade.
#[test]
fn leaves_the_ca_to_the_injector() -> anyhow::Result<()> {
    for release in [Release::default(), Release::with(values::everything())] {
        let client = release.objects()?.at(WEBHOOK, "/webhooks/0/clientConfig")?;
        assert!(client.get("service").is_some(), "{client}");
        assert!(client.get("caBundle").is_none(), "{client}");
    }
    Ok(())
}

#[test]
fn the_webhook_reaches_the_pods_through_the_service() -> anyhow::Result<()> {
    let objects = Release::default().objects()?;
    let service = objects.at(WEBHOOK, "/webhooks/0/clientConfig/service")?;
    assert_eq!(service["name"], objects.at("Service", "/metadata/name")?);
    assert_eq!(
        service["namespace"],
        objects.at("Service", "/metadata/namespace")?
    );
    assert_eq!(
        service["port"],
        objects.at("Service", "/spec/ports/0/port")?
    );
    assert_eq!(service["path"], "/mutate");

    let ports = objects.at("Deployment", "/spec/template/spec/containers/0/ports")?;
    assert_eq!(
        ports,
        json!([{"name": "https", "containerPort": 8443}, {"name": "health", "containerPort": 8080}])
    );
    assert_eq!(objects.at("Service", "/spec/ports/0/targetPort")?, "https");

    let labels = objects.at("Deployment", "/spec/template/metadata/labels")?;
    for (kind, pointer) in [
        ("Service", "/spec/selector"),
        ("Deployment", "/spec/selector/matchLabels"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
    ] {
        let selector = objects.at(kind, pointer)?;
        for (key, value) in selector.as_object().context("a selector")? {
            assert_eq!(labels[key], *value, "{kind} selects {key}");
        }
    }
    Ok(())
}

/// What Pod Security `restricted` asks for, and a little more.
#[test]
fn the_pods_are_restricted() -> anyhow::Result<()> {
    let objects = Release::default().objects()?;
    assert_eq!(
        objects.at("Deployment", "/spec/template/spec/securityContext")?,
        json!({
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    assert_eq!(
        objects.at(
            "Deployment",
            "/spec/template/spec/containers/0/securityContext"
        )?,
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    assert_eq!(
        objects.at("Deployment", "/spec/template/spec/volumes")?,
        Value::Null
    );
    Ok(())
}

/// The whole of what the injector may do. A line more here is a decision, not a detail.
#[test]
fn may_do_this_and_nothing_else() -> anyhow::Result<()> {
    let objects = Release::default().objects()?;
    let mut rights = Vec::new();
    for object in objects.iter() {
        for rule in object["rules"].as_array().into_iter().flatten() {
            rights.push(format!(
                "{}: {} {} {}",
                object["kind"].as_str().unwrap_or_default(),
                rule["verbs"],
                rule["resources"],
                rule["resourceNames"],
            ));
        }
    }
    assert_eq!(
        rights,
        [
            r#"ClusterRole: ["get","patch","watch"] ["mutatingwebhookconfigurations"] ["keyside-injector"]"#,
            r#"Role: ["get","update"] ["secrets"] ["keyside-injector-certificate"]"#,
            r#"Role: ["create"] ["secrets"] null"#,
        ]
    );

    let account = objects.at("ServiceAccount", "/metadata/name")?;
    assert_eq!(
        objects.at("Deployment", "/spec/template/spec/serviceAccountName")?,
        account
    );
    for (binding, role) in [
        ("RoleBinding", "Role"),
        ("ClusterRoleBinding", "ClusterRole"),
    ] {
        assert_eq!(
            objects.at(binding, "/subjects")?,
            json!([{"kind": "ServiceAccount", "name": account, "namespace": "keyside"}])
        );
        assert_eq!(
            objects.at(binding, "/roleRef")?,
            json!({
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": role,
                "name": objects.at(role, "/metadata/name")?,
            })
        );
    }
    Ok(())
}

/// Below 1.28 `matchConditions` are dropped in silence, and `Fail` would then block every pod of the cluster. Below 1.29
/// a native sidecar is refused, or an init container that never ends.
#[test]
fn refuses_clusters_that_are_too_old() -> anyhow::Result<()> {
    for (kubernetes, sidecar, why) in [
        ("v1.27.16", "native", "matchConditions"),
        ("v1.27.16", "classic", "matchConditions"),
        ("v1.28.15", "native", "native sidecars"),
    ] {
        let refusal = Release {
            kubernetes,
            ..Release::with(json!({"sidecar": sidecar}))
        }
        .refusal()?;
        assert!(
            refusal.contains(kubernetes) && refusal.contains(why),
            "{refusal}"
        );
    }
    Release {
        kubernetes: "v1.28.15",
        ..Release::with(json!({"sidecar": "classic"}))
    }
    .render()?;
    // What managed clusters append to the version is no reason to refuse them.
    Release {
        kubernetes: "v1.29.0-gke.1381000",
        ..Release::default()
    }
    .render()?;
    Ok(())
}

#[test]
fn notes_tell_the_next_step() -> anyhow::Result<()> {
    let notes = Release::default().notes()?;
    assert!(notes.contains("keyside.dev/inject: \"true\""), "{notes}");
    assert!(notes.contains("keyside.dev/address:"), "{notes}");

    let notes = Release::with(json!({"vault": {"address": "https://vault:8200"}})).notes()?;
    assert!(!notes.contains("keyside.dev/address:"), "{notes}");
    Ok(())
}
