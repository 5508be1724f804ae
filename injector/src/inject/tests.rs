use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::admission::{self, Defaults, Request, Verdict};

fn defaults() -> Defaults {
    Defaults {
        vault_address: Some("https://vault.example:8200".to_owned()),
        ..Defaults::new("keyside-agent:0.1.0")
    }
}

fn pod(annotations: Value, spec: Value) -> Value {
    let mut pod = json!({ "metadata": { "annotations": { "keyside.dev/inject": "true", "keyside.dev/role": "cart" } } });
    let Value::Object(annotations) = annotations else {
        panic!("annotations are an object");
    };
    for (key, value) in annotations {
        pod["metadata"]["annotations"][format!("keyside.dev/{key}")] = value;
    }
    pod["spec"] = spec;
    pod
}

fn app() -> Value {
    json!({ "containers": [{ "name": "app", "image": "app:1" }] })
}

fn admit(pod: &Value) -> Verdict {
    let request = Request {
        pod,
        namespace: "shop",
        operation: "CREATE",
    };
    admission::admit(&request, &defaults())
}

#[track_caller]
fn injected(pod: &Value) -> (Value, Vec<String>) {
    match admit(pod) {
        Verdict::Patched { pod, warnings, .. } => (pod, warnings),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(pod: &Value) -> String {
    match admit(pod) {
        Verdict::Denied { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

fn names(list: &Value) -> Vec<&str> {
    let elements = list.as_array().unwrap().iter();
    elements.map(|one| one["name"].as_str().unwrap()).collect()
}

/// The agent's container.
fn agent(pod: &Value) -> &Value {
    let inits = pod["spec"]["initContainers"].as_array().unwrap().iter();
    inits
        .clone()
        .find(|one| one["name"] == "keyside-agent")
        .unwrap()
}

fn config(pod: &Value) -> Value {
    serde_json::from_str(agent(pod)["env"][0]["value"].as_str().unwrap()).unwrap()
}

fn env(container: &Value) -> Vec<String> {
    let variables = container["env"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    variables
        .map(|one| format!("{}={}", text(&one["name"]), text(&one["value"])))
        .collect()
}

#[test]
fn adds_volumes_agent_mount_environment_and_annotations() {
    let (pod, warnings) = injected(&pod(json!({}), app()));
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        pod["spec"]["volumes"],
        json!([
            { "name": "keyside", "emptyDir": { "medium": "Memory", "sizeLimit": "16Mi" } },
            { "name": "keyside-run", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
            { "name": "keyside-token", "projected": { "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3600, "path": "token" } }
            ] } },
        ])
    );
    let mut agent = agent(&pod).clone();
    agent["env"] = json!(null);
    assert_eq!(
        agent,
        json!({
            "name": "keyside-agent",
            "image": "keyside-agent:0.1.0",
            "env": null,
            "resources": { "requests": { "cpu": "5m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
            "restartPolicy": "Always",
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "readOnlyRootFilesystem": true,
                "runAsGroup": 65532,
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "startupProbe": {
                "exec": { "command": ["/keyside-agent", "probe", "startup"] },
                "failureThreshold": 2_147_483_647,
                "periodSeconds": 1,
                "timeoutSeconds": 5,
            },
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                { "name": "keyside", "mountPath": "/keyside" },
                { "name": "keyside-run", "mountPath": "/run/keyside" },
                { "name": "keyside-token", "mountPath": "/var/run/secrets/keyside.dev/serviceaccount", "readOnly": true },
            ],
        })
    );
    let app = &pod["spec"]["containers"][0];
    assert_eq!(
        app["volumeMounts"],
        json!([{ "name": "keyside", "mountPath": "/keyside", "readOnly": true }])
    );
    assert_eq!(
        env(app),
        [
            "VAULT_ADDR",
            "VAULT_AGENT_ADDR",
            "BAO_ADDR",
            "BAO_AGENT_ADDR"
        ]
        .map(|name| format!("{name}=http://127.0.0.1:8200"))
    );
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["keyside.dev/status"], "injected");
    assert_eq!(
        annotations["keyside.dev/version"],
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        annotations["keyside.dev/config-hash"]
            .as_str()
            .unwrap()
            .len(),
        32
    );
}

#[test]
fn configures_the_agent_as_asked() {
    let (pod, _) = injected(&pod(
        json!({
            "auth-method": "jwt", "auth-mount": "auth/eu/jwt", "audience": "vault", "token-expiration": "1h30m",
            "token-path": "/keyside/.vault-token", "token-mode": "0600", "proxy-port": "9200", "proxy-socket": "false",
            "proxy-token": "force", "proxy-require-header": "true", "log-level": "debug", "log-format": "json",
            "run-as-user": "1234", "run-as-group": "5678", "cpu-request": "20m", "memory-limit": "128Mi",
            "profile": "default", "sidecar": "native",
        }),
        app(),
    ));
    let config = config(&pod);
    let method = &config["auto_auth"]["method"];
    assert_eq!(
        (&method["type"], &method["mount_path"]),
        (&json!("jwt"), &json!("auth/eu/jwt"))
    );
    assert_eq!(method["config"]["remove_jwt_after_reading"], false);
    let sink = &config["auto_auth"]["sink"][0]["config"];
    assert_eq!(
        (&sink["path"], &sink["mode"]),
        (&json!("/keyside/.vault-token"), &json!("0600"))
    );
    let listeners = config["listener"].as_array().unwrap();
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners[0]["address"], "localhost:9200");
    assert_eq!(listeners[0]["require_request_header"], true);
    assert_eq!(listeners[0]["max_connections"], 512);
    assert_eq!(config["cache"]["max_bytes"], 16 << 20);
    assert_eq!(config["api_proxy"]["use_auto_auth_token"], "force");
    assert_eq!(
        (&config["log_level"], &config["log_format"]),
        (&json!("debug"), &json!("json"))
    );
    let agent = agent(&pod);
    assert_eq!(agent["securityContext"]["runAsUser"], 1234);
    assert_eq!(agent["securityContext"]["runAsGroup"], 5678);
    assert_eq!(
        agent["resources"],
        json!({"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}})
    );
    let token = &pod["spec"]["volumes"][2]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(
        token,
        &json!({"audience": "vault", "expirationSeconds": 5400, "path": "token"})
    );
}

#[test]
fn runs_without_token_file_or_without_proxy() {
    let (only_proxy, _) = injected(&pod(json!({"token": "false"}), app()));
    assert_eq!(config(&only_proxy)["auto_auth"]["sink"], json!([]));
    let (only_file, _) = injected(&pod(json!({"proxy": "false"}), app()));
    assert_eq!(config(&only_file)["listener"], json!([]));
    assert_eq!(config(&only_file).get("cache"), None);
    assert_eq!(
        env(&only_file["spec"]["containers"][0]),
        Vec::<String>::new()
    );
    assert!(
        refused(&pod(json!({"proxy": "false", "token": "false"}), app()))
            .contains("nothing is left")
    );
}

#[test]
fn goes_first_but_after_the_meshs_native_proxy() {
    let native = |name: &str| json!({ "name": name, "image": "x", "restartPolicy": "Always" });
    let init = |name: &str| json!({ "name": name, "image": "x" });
    for (inits, expected) in [
        (
            json!([init("migrate")]),
            ["keyside-agent", "migrate"].as_slice(),
        ),
        (
            json!([native("logs"), init("migrate")]),
            &["keyside-agent", "logs", "migrate"],
        ),
        (
            json!([init("istio-init"), native("istio-proxy"), init("migrate")]),
            &["istio-init", "istio-proxy", "keyside-agent", "migrate"],
        ),
        (
            json!([init("mesh-init"), native("mesh-proxy")]),
            &["mesh-init", "mesh-proxy", "keyside-agent"],
        ),
        (
            json!([init("istio-proxy")]),
            &["keyside-agent", "istio-proxy"],
        ),
    ] {
        let mut spec = app();
        spec["initContainers"] = inits;
        let (pod, _) = injected(&pod(json!({}), spec));
        let inits = &pod["spec"]["initContainers"];
        assert_eq!(names(inits), expected);
        // What runs before the agent could not use it; what runs after it gets what the others get.
        let agent = expected
            .iter()
            .position(|name| *name == "keyside-agent")
            .unwrap();
        for (index, init) in inits.as_array().unwrap().iter().enumerate() {
            let is_mounted = init["volumeMounts"][0]["readOnly"] == json!(true);
            assert_eq!(is_mounted, index > agent, "{init}");
        }
    }
}

#[test]
fn warns_of_a_mesh_that_captures_traffic_before_its_proxy_runs() {
    let spec = json!({
        "initContainers": [{ "name": "istio-init", "image": "istio/proxyv2" }],
        "containers": [{ "name": "app", "image": "app" }, { "name": "istio-proxy", "image": "istio/proxyv2" }],
    });
    let mut annotated = pod(json!({}), spec);
    let (_, warnings) = injected(&annotated);
    assert!(
        warnings
            .concat()
            .contains("traffic.sidecar.istio.io/excludeOutboundPorts: \"8200\""),
        "{warnings:?}"
    );
    annotated["metadata"]["annotations"]["traffic.sidecar.istio.io/excludeOutboundPorts"] =
        json!("15090, 8200");
    assert_eq!(injected(&annotated).1, Vec::<String>::new());
}

#[test]
fn keeps_the_proxy_off_tcp_where_others_share_the_loopback() {
    let two =
        json!({ "containers": [{ "name": "a", "image": "a" }, { "name": "b", "image": "b" }] });
    let mut host = app();
    host["hostNetwork"] = json!(true);
    for (annotations, spec) in [(json!({"containers": "a"}), &two), (json!({}), &host)] {
        let (pod, _) = injected(&pod(annotations, spec.clone()));
        let config = config(&pod);
        assert_eq!(config["listener"].as_array().unwrap().len(), 1);
        assert_eq!(config["listener"][0]["type"], "unix");
        assert_eq!(
            env(&pod["spec"]["containers"][0])[0],
            "VAULT_ADDR=unix:///keyside/agent.sock"
        );
    }
    let (all, _) = injected(&pod(json!({"containers": "b, a"}), two.clone()));
    assert_eq!(config(&all)["listener"][0]["type"], "tcp");

    let asked = json!({"containers": "a", "proxy-port": "8200"});
    assert!(refused(&pod(asked, two.clone())).contains("share its ports"));
    let message = refused(&pod(json!({"proxy-port": "8200"}), host.clone()));
    assert!(
        message.contains("keyside.dev/proxy-port: read \"8200\", but the pod is hostNetwork"),
        "{message}"
    );
    let message = refused(&pod(json!({"proxy-socket": "false"}), host));
    assert!(
        message.contains("hostNetwork") && message.contains("allowed: true"),
        "{message}"
    );
}

#[test]
fn gives_the_chosen_containers_only_their_share() {
    let spec = json!({
        "initContainers": [{ "name": "setup", "image": "x" }],
        "containers": [{ "name": "a", "image": "a" }, { "name": "b", "image": "b" }],
    });
    let (chosen, _) = injected(&pod(json!({"containers": "b"}), spec.clone()));
    assert_eq!(chosen["spec"]["containers"][0], spec["containers"][0]);
    assert_eq!(
        chosen["spec"]["initContainers"][1],
        spec["initContainers"][0]
    );
    assert_eq!(
        chosen["spec"]["containers"][1]["volumeMounts"][0]["mountPath"],
        "/keyside"
    );
    let message = refused(&pod(json!({"containers": "a,c"}), spec));
    assert!(
        message.contains("no container \"c\"; allowed: setup, a, b"),
        "{message}"
    );
}

#[test]
fn leaves_a_container_with_an_address_of_its_own_alone() {
    let mut spec = app();
    spec["containers"][0]["env"] = json!([{ "name": "BAO_ADDR", "value": "http://elsewhere" }]);
    let (pod, warnings) = injected(&pod(json!({}), spec));
    assert_eq!(
        env(&pod["spec"]["containers"][0]),
        ["BAO_ADDR=http://elsewhere"]
    );
    assert!(
        warnings
            .concat()
            .contains("container \"app\" sets BAO_ADDR itself"),
        "{warnings:?}"
    );
}

#[test]
fn takes_the_applications_user_and_opens_files_no_wider_than_needed() {
    // (the pod's context, the container's context, the agent's user and group, modes of token and socket)
    for (pod_context, own, user, group, token, socket) in [
        (json!({}), json!({}), 65532, 65532, "0644", "0666"),
        (
            json!({"runAsUser": 1000}),
            json!({}),
            1000,
            65532,
            "0640",
            "0660",
        ),
        (
            json!({"runAsUser": 1000, "runAsGroup": 3000}),
            json!({}),
            1000,
            3000,
            "0640",
            "0660",
        ),
        (
            json!({"runAsUser": 1000}),
            json!({"runAsUser": 2000}),
            2000,
            65532,
            "0640",
            "0660",
        ),
        (
            json!({"runAsUser": 0}),
            json!({}),
            65532,
            65532,
            "0644",
            "0666",
        ),
        (
            json!({"runAsUser": 0, "fsGroup": 7}),
            json!({}),
            65532,
            65532,
            "0640",
            "0660",
        ),
    ] {
        let mut spec = app();
        spec["securityContext"] = pod_context.clone();
        spec["containers"][0]["securityContext"] = own;
        let (pod, _) = injected(&pod(json!({}), spec));
        let context = &agent(&pod)["securityContext"];
        let config = config(&pod);
        assert_eq!(
            (&context["runAsUser"], &context["runAsGroup"]),
            (&json!(user), &json!(group)),
            "{pod_context}"
        );
        assert_eq!(
            config["auto_auth"]["sink"][0]["config"]["mode"], token,
            "{pod_context}"
        );
        assert_eq!(
            config["listener"][1]["socket_mode"], socket,
            "{pod_context}"
        );
    }
}

#[test]
fn lets_everyone_read_where_the_containers_users_differ() {
    let spec = json!({
        "initContainers": [{ "name": "root", "image": "x", "securityContext": { "runAsUser": 5 } }],
        "containers": [{ "name": "app", "image": "x", "securityContext": { "runAsUser": 1000 } }],
    });
    let (pod, _) = injected(&pod(json!({}), spec));
    assert_eq!(agent(&pod)["securityContext"]["runAsUser"], 1000);
    assert_eq!(
        config(&pod)["auto_auth"]["sink"][0]["config"]["mode"],
        "0644"
    );
}

#[test]
fn keeps_a_guaranteed_pod_guaranteed() {
    let mut spec = app();
    spec["containers"][0]["resources"] =
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}});
    let (guaranteed, _) = injected(&pod(json!({}), spec.clone()));
    let amounts = json!({"cpu": "50m", "memory": "64Mi"});
    assert_eq!(
        agent(&guaranteed)["resources"],
        json!({"limits": amounts, "requests": amounts})
    );
    spec["containers"][0]["resources"]["requests"]["memory"] = json!("512Mi");
    let (burstable, _) = injected(&pod(json!({}), spec));
    assert_eq!(
        agent(&burstable)["resources"]["limits"],
        json!({"memory": "64Mi"})
    );
}

#[test]
fn reads_quantities_that_are_numbers() {
    let mut spec = app();
    spec["containers"][0]["resources"] = json!({"limits": {"cpu": 1, "memory": 1_073_741_824}});
    spec["volumes"] = json!([{"name": "v", "emptyDir": {"sizeLimit": 1}}]);
    let (pod, _) = injected(&pod(json!({}), spec.clone()));
    assert_eq!(agent(&pod)["resources"]["requests"]["cpu"], "50m");
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        spec["containers"][0]["resources"]
    );
}

#[test]
fn refuses_windows_and_names_that_are_taken() {
    let with = |key: &str, value: Value| {
        let mut spec = app();
        spec[key] = value;
        pod(json!({}), spec)
    };
    for (pod, expected) in [
        (with("os", json!({"name": "windows"})), "Windows"),
        (
            with("nodeSelector", json!({"kubernetes.io/os": "windows"})),
            "Windows",
        ),
        (
            with("volumes", json!([{"name": "keyside-run", "emptyDir": {}}])),
            "volume named \"keyside-run\"",
        ),
        (
            with(
                "initContainers",
                json!([{"name": "keyside-agent", "image": "x"}]),
            ),
            "container named \"keyside-agent\"",
        ),
        (
            with(
                "containers",
                json!([{"name": "keyside-agent", "image": "x"}]),
            ),
            "container named \"keyside-agent\"",
        ),
        (
            with(
                "containers",
                json!([{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/keyside/"}]}]),
            ),
            "container \"a\" already mounts volume \"v\"",
        ),
    ] {
        let message = refused(&pod);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn completes_new_containers_and_keeps_what_others_changed() {
    let (mut pod, _) = injected(&pod(json!({}), app()));
    agent_mut(&mut pod)["image"] = json!("mirror.example/keyside-agent:0.1.0");
    agent_mut(&mut pod)["resources"]["limits"]["cpu"] = json!("1");
    let containers = pod["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({ "name": "late", "image": "late" }));
    let (again, _) = injected(&pod);
    let mut expected = pod.clone();
    expected["spec"]["containers"][1]["env"] = expected["spec"]["containers"][0]["env"].clone();
    expected["spec"]["containers"][1]["volumeMounts"] =
        expected["spec"]["containers"][0]["volumeMounts"].clone();
    assert_eq!(again, expected);
}

#[test]
fn knows_its_container_by_configuration_and_annotations_together() {
    let (first, _) = injected(&pod(json!({}), app()));
    let mut other_role = first.clone();
    other_role["metadata"]["annotations"]["keyside.dev/role"] = json!("admin");
    let mut other_config = first.clone();
    agent_mut(&mut other_config)["env"][0]["value"] = json!("{}");
    for changed in [other_role, other_config] {
        assert!(refused(&changed).contains("not what these annotations gave"));
    }
}

#[test]
fn the_status_alone_skips_nothing() {
    let (pod, _) = injected(&pod(
        json!({"status": "injected", "config-hash": "x"}),
        app(),
    ));
    assert_eq!(names(&pod["spec"]["initContainers"]), ["keyside-agent"]);
}

fn agent_mut(pod: &mut Value) -> &mut Value {
    let inits = pod["spec"]["initContainers"].as_array_mut().unwrap();
    inits
        .iter_mut()
        .find(|one| one["name"] == "keyside-agent")
        .unwrap()
}

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
        chosen in prop_oneof![Just(json!({})), Just(json!({"containers": "a"})), Just(json!({"proxy": "false"}))],
        host_network in any::<bool>(),
    ) {
        let spec = json!({"initContainers": inits, "containers": containers, "hostNetwork": host_network, "new": [1]});
        let before = pod(chosen, spec);
        if let Verdict::Patched { patch, pod: after, .. } = admit(&before) {
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
            Verdict::Patched { pod, .. } => {
                let text = agent(&pod)["env"][0]["value"].as_str().unwrap();
                prop_assert!(!text.contains('$'), "the kubelet would expand {}", text);
                prop_assert_eq!(&config(&pod)["auto_auth"]["method"]["config"]["role"], &json!(role));
            }
            Verdict::Denied { message, .. } => prop_assert!(!message.contains('\n')),
            Verdict::Untouched { why, .. } => prop_assert!(false, "{}", why),
        }
    }

    #[test]
    fn no_annotation_can_cause_a_panic(key in "[a-z-]{0,12}|role|containers|address|token-path|memory-limit", value in any::<String>()) {
        let _verdict = admit(&pod(json!({ key: value }), app()));
    }
}
