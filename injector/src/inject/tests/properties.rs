//! What holds for every pod and every annotation.

use keyside_config::model::auto_auth::{AutoAuth, Login, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{admit, agent, agents, app, load_text, loaded, patch, pod, text_of};
use crate::admission::Verdict;
use crate::annotation::key;

fn container() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("istio-proxy"),
        Just("istio-init"),
        Just("a"),
        Just("b"),
        Just("c")
    ];
    let policy = prop_oneof![Just(json!(null)), Just(json!("Always"))];
    let env = prop_oneof![
        Just(json!(null)),
        Just(json!([])),
        Just(json!([{"name": "VAULT_ADDR", "value": "x"}]))
    ];
    let context = prop_oneof![Just(json!(null)), Just(json!({"runAsUser": 7}))];
    (name, policy, env, context).prop_map(|(name, policy, env, context)| {
        json!({"name": name, "image": "x", "restartPolicy": policy, "env": env, "securityContext": context, "new": {"field": 1}})
    })
}

fn unique(containers: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    let mut unique = containers;
    unique.retain(|one| seen.insert(one["name"].as_str().unwrap().to_owned()));
    unique
}

proptest! {
    #[test]
    fn injecting_twice_is_injecting_once(
        inits in prop::collection::vec(container(), 0..4).prop_map(unique),
        containers in prop::collection::vec(container(), 1..4).prop_map(unique),
        chosen in prop_oneof![
            Just(json!({})),
            Just(json!({"containers": "a"})),
            Just(json!({"proxy": "false"})),
            Just(json!({"sidecar": "classic"})),
            Just(json!({"sidecar": "classic", "token": "false", "containers": "b"})),
            Just(json!({"sidecar": "init-only", "ca": "secret:a/b"})),
        ],
        host_network in any::<bool>(),
    ) {
        let spec = json!({"initContainers": inits, "containers": containers, "hostNetwork": host_network, "new": [1]});
        let before = pod(chosen, spec);
        if let Verdict::Patched { patch, .. } = admit(&before) {
            let after = patch::applied(&before, &patch);
            let json: json_patch::Patch = serde_json::from_value(json!(patch)).unwrap();
            let mut applied = before;
            json_patch::patch(&mut applied, &json).unwrap();
            prop_assert_eq!(&applied, &after);
            match admit(&after) {
                Verdict::Patched { patch, warnings, .. } => {
                    prop_assert_eq!(patch, Vec::new());
                    prop_assert!(!warnings.concat().contains("itself"), "{:?}", warnings);
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn no_value_is_more_than_a_value(role in "\\PC{1,20}|[$({\"'\\\\}]{1,12}|(\\$\\(KEYSIDE\\)|\\$\\$){1,3}") {
        let before = pod(json!({"role": role, "audience": role}), app());
        match admit(&before) {
            Verdict::Patched { patch, .. } => {
                let pod = patch::applied(&before, &patch);
                let text = agent(&pod)["env"][0]["value"].as_str().unwrap();
                prop_assert!(!text.contains('$'), "the kubelet would expand {}", text);
                let Some(AutoAuth { method: Method { login: Login::Kubernetes { role: read, .. }, .. }, .. }) =
                    loaded(&pod).auto_auth
                else {
                    panic!("{text}");
                };
                prop_assert_eq!(read, role);
            }
            Verdict::Denied { message, .. } => prop_assert!(!message.contains('\n')),
            Verdict::Untouched { why, .. } => prop_assert!(false, "{}", why),
        }
    }

    #[test]
    fn the_agent_takes_every_configuration_that_annotations_can_make(
        annotations in prop::collection::btree_map(key(), value(), 0..9),
        host_network in any::<bool>(),
    ) {
        let mut spec = app();
        spec["hostNetwork"] = json!(host_network);
        let annotations = Value::from_iter(annotations);
        let before = pod(annotations, spec);
        if let Verdict::Patched { patch, .. } = admit(&before) {
            let pod = patch::applied(&before, &patch);
            prop_assert!(!agents(&pod).is_empty());
            for agent in agents(&pod) {
                let config: Value = serde_json::from_str(text_of(agent)).unwrap();
                prop_assert_eq!(load_text(text_of(agent)).to_json(), config.to_string());
            }
        }
    }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(key::KNOWN.to_vec()).prop_map(str::to_owned),
        1 => "[a-z-]{0,12}",
    ]
}

fn value() -> impl Strategy<Value = String> {
    let plausible = [
        "true",
        "false",
        "none",
        "force",
        "app",
        "jwt",
        "auth/x",
        "/keyside/x",
        "0600",
        "0000",
        "9000",
        "1h",
        "65535",
        "https://vault.example:8200",
        "team",
        "json",
        "debug",
        "1",
        "64Mi",
        "1Ti",
        "native",
        "classic",
        "init-only",
        "default",
        "approle",
        "aws",
        "azure",
        "cert",
        "gcp",
        "gce",
        "iam",
        "ldap",
        "token_file",
        "secret:a/b",
        "configmap:a/b",
        "eu-central-1",
        "30",
    ];
    prop_oneof![
        6 => prop::sample::select(plausible.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}
