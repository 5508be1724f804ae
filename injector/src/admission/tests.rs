use serde_json::json;

use super::*;

const VAULT: &str = "https://vault.example:8200";

fn defaults() -> Defaults {
    Defaults {
        vault_address: Some(VAULT.to_owned()),
        own_namespace: Some("keyside".to_owned()),
        ..Defaults::new("keyside-agent:0.1.0")
    }
}

fn pod(annotations: &Value) -> Value {
    json!({
        "metadata": { "annotations": annotations },
        "spec": { "containers": [{ "name": "app", "image": "app" }] },
    })
}

fn ask(pod: &Value, namespace: &str, operation: &str) -> Verdict {
    let request = Request {
        pod,
        namespace,
        operation,
    };
    admit(&request, &defaults())
}

fn decision(verdict: &Verdict) -> &str {
    let audit = match verdict {
        Verdict::Untouched { audit, .. }
        | Verdict::Patched { audit, .. }
        | Verdict::Denied { audit, .. } => audit,
    };
    &audit.iter().find(|(key, _)| key == "decision").unwrap().1
}

#[test]
fn injects_only_what_asks_for_it() {
    for (inject, expected) in [
        (json!({}), "untouched"),
        (json!({"keyside.dev/role": ""}), "untouched"),
        (
            json!({"keyside.dev/inject": "false", "keyside.dev/role": ""}),
            "untouched",
        ),
        (json!({"keyside.dev/inject": "f"}), "untouched"),
        (json!({"keyside.dev/inject": "0"}), "untouched"),
        (
            json!({"keyside.dev/inject": "true", "keyside.dev/role": "r"}),
            "injected",
        ),
        (
            json!({"keyside.dev/inject": "True", "keyside.dev/role": "r"}),
            "denied",
        ),
        (
            json!({"keyside.dev/inject": "yes", "keyside.dev/role": "r"}),
            "denied",
        ),
        (
            json!({"keyside.dev/inject": "", "keyside.dev/role": "r"}),
            "denied",
        ),
    ] {
        let verdict = ask(&pod(&inject), "shop", "CREATE");
        assert_eq!(decision(&verdict), expected, "{inject}");
    }
}

#[test]
fn looks_at_nothing_but_creation() {
    let pod = pod(&json!({"keyside.dev/inject": "no such value"}));
    for operation in ["UPDATE", "DELETE", "CONNECT", "", "create"] {
        let verdict = ask(&pod, "shop", operation);
        assert_eq!(decision(&verdict), "untouched", "{operation}");
    }
}

#[test]
fn leaves_the_clusters_own_pods_alone_and_says_so() {
    let annotated = json!({"keyside.dev/inject": "true", "keyside.dev/role": "r"});
    for namespace in ["kube-system", "kube-public", "keyside"] {
        let Verdict::Untouched { warnings, .. } = ask(&pod(&annotated), namespace, "CREATE") else {
            panic!("{namespace}");
        };
        assert!(warnings.concat().contains("namespace"), "{warnings:?}");
    }
    let mut mirror = annotated;
    mirror["kubernetes.io/config.mirror"] = json!("hash");
    assert_eq!(decision(&ask(&pod(&mirror), "shop", "CREATE")), "untouched");
}

#[test]
fn survives_whatever_is_sent() {
    let annotated = json!({"annotations": {"keyside.dev/inject": "true", "keyside.dev/role": "r"}});
    for (pod, expected) in [
        (json!(null), "untouched"),
        (json!([]), "untouched"),
        (json!({"metadata": {"annotations": []}}), "untouched"),
        (
            json!({"metadata": {"annotations": {"keyside.dev/inject": 1}}}),
            "untouched",
        ),
        (json!({"metadata": annotated, "spec": []}), "denied"),
        (
            json!({"metadata": annotated, "spec": {"containers": {}}}),
            "denied",
        ),
        (
            json!({"metadata": annotated, "spec": {"containers": [{"name": 1}]}}),
            "denied",
        ),
        (json!({"metadata": annotated}), "injected"),
        (
            json!({"metadata": annotated, "spec": {"containers": null, "volumes": null}}),
            "injected",
        ),
    ] {
        let verdict = ask(&pod, "shop", "CREATE");
        assert_eq!(decision(&verdict), expected, "{pod}");
    }
}
