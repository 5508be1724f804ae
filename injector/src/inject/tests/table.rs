//! Pods as they are in the world: what each one gets, and what holds for all of them with any annotations.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{agents, defaults, load_text, names, patch, restricted, shapes, text_of};
use crate::admission::{self, Defaults, Request, Verdict};
use crate::profile::set::Set;
use shapes::Shape;

fn admit(pod: &Value, defaults: &Defaults) -> Verdict {
    let request = Request {
        pod,
        namespace: pod["metadata"]["namespace"].as_str().unwrap(),
        operation: "CREATE",
    };
    admission::admit(&request, defaults)
}

fn installation() -> Defaults {
    Defaults {
        own_namespace: Some("keyside".to_owned()),
        ..defaults()
    }
}

fn texts(value: &Value) -> Vec<&str> {
    let elements = value.as_array().into_iter().flatten();
    elements.map(|one| one.as_str().unwrap()).collect()
}

#[track_caller]
fn contain(name: &str, warnings: &[String], expected: &Value) {
    let expected = texts(expected);
    assert_eq!(warnings.len(), expected.len(), "{name}: {warnings:?}");
    for part in expected {
        assert!(warnings.concat().contains(part), "{name}: {warnings:?}");
    }
}

#[test]
fn each_pod_gets_what_its_line_says() {
    for shape in shapes::all().unwrap() {
        let (name, expect) = (&shape.name, &shape.expect);
        let known = [
            "inits",
            "proxy",
            "mode",
            "user",
            "left",
            "own",
            "config",
            "warnings",
            "denied",
            "untouched",
        ];
        let fields = expect.as_object().into_iter().flatten();
        for (field, _) in fields {
            assert!(known.contains(&field.as_str()), "{name}: {field}");
        }
        match admit(&shape.pod, &installation()) {
            Verdict::Denied { message, .. } => {
                let expected = expect["denied"].as_str();
                assert!(
                    expected.is_some_and(|part| message.contains(part)),
                    "{name}: {message}"
                );
            }
            Verdict::Untouched { why, warnings, .. } => {
                let expected = expect["untouched"].as_str();
                assert!(
                    expected.is_some_and(|part| why.contains(part)),
                    "{name}: {why}"
                );
                contain(name, &warnings, &expect["warnings"]);
            }
            Verdict::Patched {
                patch, warnings, ..
            } => {
                assert!(
                    expect["denied"].is_null() && expect["untouched"].is_null(),
                    "{name} is patched"
                );
                contain(name, &warnings, &expect["warnings"]);
                judge(&shape, &patch::applied(&shape.pod, &patch));
            }
        }
    }
}

fn judge(shape: &Shape, pod: &Value) {
    let (name, expect) = (&shape.name, &shape.expect);
    let before = &shape.pod["spec"]["initContainers"];
    let mut inits = vec!["keyside-agent"];
    inits.extend(
        before
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["name"].as_str().unwrap()),
    );
    if expect["inits"].is_array() {
        inits = texts(&expect["inits"]);
    }
    assert_eq!(names(&pod["spec"]["initContainers"]), inits, "{name}");

    let agent = *agents(pod).last().unwrap();
    let config: Value = serde_json::from_str(text_of(agent)).unwrap();
    let user = expect["user"].as_i64().unwrap_or(65532);
    assert_eq!(agent["securityContext"]["runAsUser"], user, "{name}");
    let mode = expect["mode"].as_str().unwrap_or("0644");
    assert_eq!(
        config["auto_auth"]["sink"][0]["config"]["mode"], mode,
        "{name}"
    );
    for (pointer, value) in expect["config"].as_object().into_iter().flatten() {
        let found = config.pointer(pointer).unwrap_or(&Value::Null);
        assert_eq!(found, value, "{name}: {pointer}");
    }
    let address = match expect["proxy"].as_str().unwrap_or("tcp") {
        "tcp" => {
            let listener = &config["listener"][0];
            let port = listener["address"]
                .as_str()
                .unwrap()
                .strip_prefix("localhost:");
            Some(format!("http://127.0.0.1:{}", port.unwrap()))
        }
        "unix" => {
            assert!(!config["listener"].to_string().contains("tcp"), "{name}");
            Some("unix:///keyside/agent.sock".to_owned())
        }
        _none => {
            assert_eq!(config["listener"], json!([]), "{name}");
            None
        }
    };
    let (left, own) = (texts(&expect["left"]), texts(&expect["own"]));
    for one in others(pod) {
        let container = one["name"].as_str().unwrap();
        let mounts = one["volumeMounts"].as_array().into_iter().flatten();
        let is_mounted = mounts.clone().any(|mount| mount["mountPath"] == "/keyside");
        assert_eq!(
            is_mounted,
            !left.contains(&container),
            "{name}: {container}"
        );
        let mut env = one["env"].as_array().into_iter().flatten();
        let found = env.find(|one| one["name"] == "VAULT_AGENT_ADDR" && one["value"].is_string());
        let found = found.map(|one| one["value"].as_str().unwrap().to_owned());
        let is_told = is_mounted && !own.contains(&container);
        assert_eq!(
            found,
            address.clone().filter(|_| is_told),
            "{name}: {container}"
        );
    }
}

/// The containers that are not the agent's.
fn others(pod: &Value) -> Vec<&Value> {
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    containers.filter(|one| !is_agent(one)).collect()
}

fn is_agent(container: &Value) -> bool {
    ["keyside-agent", "keyside-agent-init"].contains(&container["name"].as_str().unwrap())
}

/// Annotations that go with every pod, and the profile of the installation.
const SETS: [(&str, &str); 12] = [
    ("", ""),
    ("sidecar: classic", ""),
    ("sidecar: init-only", ""),
    (
        "{sidecar: classic, token: 'false', metrics-port: '9102'}",
        "",
    ),
    ("proxy: 'false'", ""),
    (
        "{revoke-on-exit: 'true', client-rate-limit: '50:100', start-timeout: 5m}",
        "",
    ),
    (
        "sidecar: classic",
        "{defaults: {client-rate-limit: '5', start-timeout: 1h30m}}",
    ),
    (
        "{token: 'false', proxy-socket: 'false', proxy-port: '19000'}",
        "",
    ),
    (
        "{proxy-port: none, ca: 'secret:vault/ca.crt', cache-kv: 'true', log-format: json}",
        "",
    ),
    (
        "{auth-method: approle, role: null, auth-role-id-file-path: 'secret:a/b', auth-secret-id-file-path: 'secret:a/c'}",
        "",
    ),
    (
        "{run-as-user: '1234', run-as-group: '5678', memory-limit: 128Mi, cpu-limit: '1', token-mode: '0440'}",
        "",
    ),
    (
        "",
        "{openshift: true, defaults: {metrics-port: '9102', sidecar: native, audience: vault}, locked: [audience]}",
    ),
];

#[test]
fn what_holds_for_every_pod_holds_with_any_annotations() {
    let shapes = shapes::all().unwrap();
    let (mut patched, mut restricted_ones) = (0, 0);
    for (annotations, profile) in SETS {
        let mut set = Set::default();
        set.update([("default".to_owned(), profile.to_owned())].into());
        assert_eq!(set.wrong().count(), 0, "{profile}");
        let defaults = Defaults {
            profiles: set.profiles(),
            ..installation()
        };
        let annotations: Value = serde_yaml::from_str(annotations).unwrap();
        for shape in &shapes {
            let mut before = shape.pod.clone();
            let all = before["metadata"]["annotations"].as_object_mut().unwrap();
            for (key, value) in annotations.as_object().into_iter().flatten() {
                let key = format!("keyside.dev/{key}");
                all.remove(&key);
                if !value.is_null() {
                    all.insert(key, value.clone());
                }
            }
            let Verdict::Patched { patch, .. } = admit(&before, &defaults) else {
                continue;
            };
            let pod = patch::applied(&before, &patch);
            let who = format!("{} with {annotations} {profile}", shape.name);
            let patch: json_patch::Patch = serde_json::from_value(json!(patch)).unwrap();
            let mut applied = before.clone();
            json_patch::patch(&mut applied, &patch).unwrap();
            assert_eq!(applied, pod, "{who}");
            match admit(&pod, &defaults) {
                Verdict::Patched { patch, .. } => assert_eq!(patch, Vec::new(), "{who}"),
                other => panic!("{who}: {other:?}"),
            }
            keeps_what_was_there(&who, &before, &pod);
            is_sound(&who, &before, &pod);
            if restricted::violations(&before).is_empty() {
                assert_eq!(restricted::violations(&pod), Vec::<String>::new(), "{who}");
                restricted_ones += 1;
            }
            patched += 1;
        }
    }
    // Most of them are, or the test says little.
    assert!(
        patched > 1300 && restricted_ones > 350,
        "{patched} {restricted_ones}"
    );
}

const OURS: [&str; 4] = ["keyside", "keyside-run", "keyside-token", "keyside-files"];

/// Without what was added, the pod is what it was.
fn keeps_what_was_there(who: &str, before: &Value, after: &Value) {
    let mut stripped = after.clone();
    let annotations = stripped["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.retain(|key, _| {
        !["status", "version", "config-hash"]
            .iter()
            .any(|own| *key == format!("keyside.dev/{own}"))
    });
    let is_ours = |one: &Value, key: &str| OURS.contains(&one[key].as_str().unwrap_or_default());
    retain(&mut stripped["spec"], "volumes", |volume| {
        !is_ours(volume, "name")
    });
    for list in ["initContainers", "containers"] {
        retain(&mut stripped["spec"], list, |one| !is_agent(one));
        for one in stripped["spec"][list].as_array_mut().into_iter().flatten() {
            retain(one, "volumeMounts", |mount| !is_ours(mount, "name"));
            retain(one, "env", |variable| {
                let is_mine = variable["value"].as_str().is_some_and(|value| {
                    value.starts_with("http://127.0.0.1:") || value == "unix:///keyside/agent.sock"
                });
                let named = [
                    "VAULT_ADDR",
                    "VAULT_AGENT_ADDR",
                    "BAO_ADDR",
                    "BAO_AGENT_ADDR",
                ];
                !(is_mine && named.contains(&variable["name"].as_str().unwrap()))
            });
        }
    }
    let mut expected = before.clone();
    for list in ["initContainers", "containers", "volumes"] {
        retain(&mut expected["spec"], list, |_| true);
    }
    for list in ["initContainers", "containers"] {
        for one in expected["spec"][list].as_array_mut().into_iter().flatten() {
            retain(one, "volumeMounts", |_| true);
            // As above: the address of a pod that is a Vault itself.
            retain(one, "env", |variable| {
                !variable["value"]
                    .as_str()
                    .is_some_and(|value| value.starts_with("http://127.0.0.1:"))
            });
        }
    }
    assert_eq!(stripped, expected, "{who}");
}

/// Empty and absent lists are the same to Kubernetes.
fn retain(of: &mut Value, list: &str, keep: impl FnMut(&Value) -> bool) {
    if let Some(elements) = of[list].as_array_mut() {
        elements.retain(keep);
    }
    if of[list].is_null() || of[list] == json!([]) {
        of.as_object_mut().unwrap().remove(list);
    }
}

/// What an API server and a kubelet would refuse, beyond the schemas.
fn is_sound(who: &str, before: &Value, pod: &Value) {
    let spec = &pod["spec"];
    let unique = |what: &str, all: Vec<String>| {
        let set: BTreeSet<_> = all.iter().collect();
        assert_eq!(set.len(), all.len(), "{who}: {what} {all:?}");
    };
    let elements = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let volumes: Vec<_> = elements(&spec["volumes"])
        .iter()
        .map(|one| text(one, "name"))
        .collect();
    unique("volumes", volumes.clone());
    let containers = [
        elements(&spec["initContainers"]),
        elements(&spec["containers"]),
    ]
    .concat();
    unique(
        "containers",
        containers.iter().map(|one| text(one, "name")).collect(),
    );
    for one in &containers {
        let mounts = elements(&one["volumeMounts"]);
        unique(
            "mounts",
            mounts
                .iter()
                .map(|mount| text(mount, "mountPath"))
                .collect(),
        );
        unique(
            "variables",
            elements(&one["env"])
                .iter()
                .map(|one| text(one, "name"))
                .collect(),
        );
        for mount in mounts
            .iter()
            .filter(|mount| OURS.contains(&text(mount, "name").as_str()))
        {
            assert!(volumes.contains(&text(mount, "name")), "{who}: {mount}");
            // Only the agent writes, and only it sees what is its own.
            let is_shared = mount["name"] == "keyside" && mount["readOnly"] == true;
            assert!(is_agent(one) || is_shared, "{who}: {mount}");
        }
    }
    for agent in agents(pod) {
        let config = load_text(text_of(agent));
        assert!(config.to_json().len() < 100_000, "{who}");
        assert_eq!(config.vault, load_text(text_of(agents(pod)[0])).vault);
    }
    if is_guaranteed(before) {
        assert!(is_guaranteed(pod), "{who}");
    }
}

fn is_guaranteed(pod: &Value) -> bool {
    let spec = &pod["spec"];
    if !spec["resources"].is_null() {
        return false;
    }
    let lists = [&spec["initContainers"], &spec["containers"]].into_iter();
    let mut containers = lists.flat_map(|list| list.as_array().into_iter().flatten());
    containers.all(|one| {
        ["cpu", "memory"].iter().all(|name| {
            let (limit, request) = (
                &one["resources"]["limits"][name],
                &one["resources"]["requests"][name],
            );
            !limit.is_null() && (request.is_null() || request == limit)
        })
    })
}
