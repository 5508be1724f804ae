//! The objects that the chart installs, as a whole.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::helm::{self, Release};
use crate::values;

const WEBHOOK: &str = "MutatingWebhookConfiguration";

#[test]
fn lints_without_a_warning() -> anyhow::Result<()> {
    Release::default().lint()?;
    Release::with(values::everything()?).lint()?;
    Ok(())
}

#[test]
fn renders_the_same_bytes_twice() -> anyhow::Result<()> {
    let release = Release::with(values::everything()?);
    assert_eq!(release.render()?, release.render()?);
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
    for release in [Release::default(), Release::with(values::everything()?)] {
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

/// What Pod Security `restricted` asks for, of every pod with any values, and a little more: no file of the image can be
/// written, and nothing runs as root. `hostNetwork` says itself that it takes `privileged`.
#[test]
fn every_pod_is_restricted_with_any_values() -> anyhow::Result<()> {
    let table = values::table()?;
    let sets = table.iter().filter(|(path, _)| *path != "hostNetwork");
    let mut sets: Vec<Value> = sets.map(|(path, entry)| entry.values(path)).collect();
    sets.push(json!({"watch": {"enabled": true}}));
    let mut pods = 0;
    for (objects, values) in helm::render_all(&sets)?.iter().zip(&sets) {
        let templates = objects.all("Deployment");
        let templates = templates.map(|deployment| &deployment["spec"]["template"]["spec"]);
        let tests = objects.all("Pod").map(|pod| &pod["spec"]);
        for pod in templates.chain(tests) {
            let wrong = unrestricted(pod);
            assert!(wrong.is_empty(), "{wrong:?} with {values}: {pod:#}");
            pods += 1;
        }
    }
    assert!(pods > 2 * sets.len(), "{pods}");
    Ok(())
}

/// What the standard forbids of a pod's specification.
fn unrestricted(pod: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut hold = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    for field in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
        hold(pod[field].is_null(), field);
    }
    let context = &pod["securityContext"];
    hold(context["runAsNonRoot"] == true, "runAsNonRoot");
    hold(context["runAsUser"] != 0, "runAsUser");
    hold(
        context["seccompProfile"]["type"] == "RuntimeDefault",
        "seccompProfile",
    );
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let known = ["configMap", "secret"];
        let is_known = known.iter().any(|kind| volume.get(kind).is_some());
        hold(is_known, "volumes");
    }
    for container in pod["containers"].as_array().into_iter().flatten() {
        let context = &container["securityContext"];
        hold(
            *context
                == json!({
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                }),
            "securityContext of the container",
        );
        for port in container["ports"].as_array().into_iter().flatten() {
            hold(port["hostPort"].is_null(), "hostPort");
        }
    }
    wrong
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

#[test]
fn notes_tell_the_next_step() -> anyhow::Result<()> {
    let plain = Release::default().notes()?;
    for step in [
        "kubectl -n keyside rollout status deployment/keyside-injector",
        "helm -n keyside test keyside",
        "keyside.dev/inject: \"true\"",
        "keyside.dev/role: \"<a role of auth/kubernetes>\"",
        "keyside.dev/address: \"https://vault.example.com:8200\"",
    ] {
        assert!(plain.contains(step), "{step}: {plain}");
    }
    assert!(!plain.contains("Note:"), "{plain}");
    Ok(())
}

/// What an installation has to know that is not like others, and only that one.
#[test]
fn notes_tell_what_is_particular() -> anyhow::Result<()> {
    let cases = [
        (json!({"replicas": 1}), "with one replica"),
        (
            json!({"webhook": {"optIn": "label"}}),
            "labels:\n       keyside.dev/inject",
        ),
        (
            json!({"webhook": {"failurePolicy": "Ignore"}}),
            "watch.enabled\ntells of such pods",
        ),
        (
            json!({"certificate": {"mode": "certManager"}}),
            "cert-manager has to run",
        ),
        (
            json!({"certificate": {"mode": "given", "given": {"secret": "mine"}}}),
            "the Secret mine has to be in namespace keyside",
        ),
        (json!({"hostNetwork": true}), "Pod Security is privileged"),
        (
            json!({"metrics": {"rules": {"enabled": true}}}),
            "KeysideInjectorAway fires for good",
        ),
    ];
    let plain = Release::default().notes()?;
    let calls = cases
        .iter()
        .map(|(values, _)| json!({"values": values, "notes": true}));
    let answers = helm::batch(&calls.collect::<Vec<_>>())?;
    for ((values, said), answer) in cases.iter().zip(answers) {
        let notes = answer.map_err(anyhow::Error::msg)?;
        assert!(notes.contains(said), "{values}: {notes}");
        assert!(!plain.contains(said), "{said}");
    }
    let named = Release::with(json!({"vault": {"address": "https://vault:8200"}})).notes()?;
    assert!(!named.contains("keyside.dev/address:"), "{named}");
    Ok(())
}
