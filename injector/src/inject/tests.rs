mod again;
mod place;
mod properties;
mod restricted;
#[path = "../../../tests/injector/shapes.rs"]
mod shapes;
mod sidecar;
mod table;

use keyside_config::load;
use keyside_config::model::Config;
use keyside_config::source::{Source, Syntax};
use serde_json::json;
use std::time::Duration;

use super::*;
use crate::admission::{self, Defaults, Request, Verdict};
use crate::profile::set::Set;

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
    admit_with(pod, &defaults())
}

fn admit_with(pod: &Value, defaults: &Defaults) -> Verdict {
    let request = Request {
        pod,
        namespace: "shop",
        operation: "CREATE",
    };
    admission::admit(&request, defaults)
}

/// The installation of these tests with a profile `default`.
fn with_profile(text: &str) -> Defaults {
    let mut set = Set::default();
    set.update([("default".to_owned(), text.to_owned())].into());
    assert_eq!(set.wrong().collect::<Vec<_>>(), Vec::<&str>::new());
    Defaults {
        profiles: set.profiles(),
        ..defaults()
    }
}

#[track_caller]
fn injected(pod: &Value) -> (Value, Vec<String>) {
    match admit(pod) {
        Verdict::Patched {
            patch, warnings, ..
        } => (patch::applied(pod, &patch), warnings),
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

/// All containers of the agent's, in the order in which they start.
fn agents(pod: &Value) -> Vec<&Value> {
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.flat_map(|list| pod["spec"][list].as_array().into_iter().flatten());
    let is_ours = |one: &&Value| one["name"].as_str().unwrap().starts_with("keyside-agent");
    containers.filter(is_ours).collect()
}

fn config(pod: &Value) -> Value {
    serde_json::from_str(text_of(agent(pod))).unwrap()
}

/// The configuration of a container of the agent's.
fn text_of(agent: &Value) -> &str {
    agent["env"][0]["value"].as_str().unwrap()
}

fn loaded(pod: &Value) -> Config {
    load_text(text_of(agent(pod)))
}

/// The configuration as the agent itself reads it.
fn load_text(text: &str) -> Config {
    let source = Source {
        name: "KEYSIDE_CONFIG".to_owned(),
        syntax: Syntax::Json,
        text: text.to_owned(),
    };
    load::load(&[source], &|_| None, &load::Flags::default()).unwrap()
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
            "proxy-token": "force", "proxy-require-header": "true", "cache-kv": "1m", "log-level": "debug", "log-format": "json",
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
    assert_eq!(
        config["cache"]["static_secrets"],
        json!({ "ttl": "60s", "max_stale": "600s" })
    );
    assert_eq!(config["api_proxy"]["use_auto_auth_token"], "force");
    assert_eq!(
        (&config["log_level"], &config["log_format"]),
        (&json!("debug"), &json!("json"))
    );
    assert_eq!(loaded(&pod).to_json(), config.to_string());
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

/// In the volume that outlives the container: the file is there twice while it is replaced.
#[test]
fn a_killed_agent_finds_in_its_own_volume_what_it_knew() {
    let (pod, _) = injected(&pod(json!({}), app()));
    let resume = &config(&pod)["resume"];
    let mounts = agent(&pod)["volumeMounts"].as_array().unwrap().iter();
    let mounts = mounts.filter(|mount| mount["mountPath"] == resume["path"]);
    let names: Vec<_> = mounts.map(|mount| &mount["name"]).collect();
    assert_eq!(names, ["keyside-run"]);
    let most = resume["max_bytes"].as_u64().unwrap();
    let page = 4096;
    assert!(2 * (most.next_multiple_of(page) + page) < 1 << 20, "{most}");
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
fn takes_the_applications_user_and_opens_files_no_wider_than_needed() {
    // (the pod's context, the container's context, the agent's user and group, modes of token and socket)
    for (pod_context, own, user, group, token, socket) in [
        (json!({}), json!({}), 65532, 65532, "0644", "0666"),
        (
            json!({"runAsGroup": 3000}),
            json!({}),
            65532,
            3000,
            "0640",
            "0660",
        ),
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

/// There the cluster fills in user and group after the webhook, as it did for the application before it.
#[test]
fn names_no_user_where_the_cluster_chooses_it() {
    let openshift = with_profile("openshift: true");
    let context = |annotations: Value, of_pod: Value| {
        let mut spec = app();
        spec["securityContext"] = of_pod;
        let pod = pod(annotations, spec);
        match admit_with(&pod, &openshift) {
            Verdict::Patched { patch, .. } => {
                let pod = patch::applied(&pod, &patch);
                (
                    agent(&pod)["securityContext"].clone(),
                    config(&pod)["auto_auth"]["sink"][0]["config"]["mode"].clone(),
                )
            }
            other => panic!("{other:?}"),
        }
    };
    for (of_pod, mode) in [
        (json!({"runAsUser": 1_000_700_000}), "0644"),
        (json!({"fsGroup": 1_000_700_000}), "0640"),
    ] {
        let (found, found_mode) = context(json!({}), of_pod);
        assert_eq!(
            (&found["runAsUser"], &found["runAsGroup"]),
            (&json!(null), &json!(null))
        );
        assert_eq!(found["runAsNonRoot"], true);
        assert_eq!(found_mode, mode);
    }
    let (found, _) = context(json!({"run-as-user": "1000700001"}), json!({}));
    assert_eq!(
        (&found["runAsUser"], &found["runAsGroup"]),
        (&json!(1_000_700_001), &json!(null))
    );
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
fn takes_part_in_what_the_pod_as_a_whole_was_given() {
    let mut spec = app();
    spec["resources"] = json!({"limits": {"cpu": "100m", "memory": "64Mi"}});
    let (whole, _) = injected(&pod(json!({}), spec.clone()));
    assert_eq!(
        agent(&whole)["resources"],
        json!({"limits": {}, "requests": {}})
    );
    let asked = json!({"memory-limit": "32Mi", "cpu-request": "10m"});
    let (asking, _) = injected(&pod(asked, spec.clone()));
    assert_eq!(
        agent(&asking)["resources"],
        json!({"limits": {"memory": "32Mi"}, "requests": {"cpu": "10m", "memory": "16Mi"}})
    );
    spec["resources"] = json!({"requests": {"cpu": "100m"}});
    let (cpu_only, _) = injected(&pod(json!({}), spec));
    assert_eq!(
        agent(&cpu_only)["resources"],
        json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "16Mi"}})
    );
}

#[test]
fn trusts_what_the_pod_names() {
    let chosen = json!({"ca": "configmap:vault-ca/ca.crt", "tls-server-name": "vault.internal"});
    let (by_file, warnings) = injected(&pod(chosen.clone(), app()));
    assert_eq!(warnings, Vec::<String>::new());
    let vault = &config(&by_file)["vault"];
    assert_eq!(
        vault["ca_cert"],
        "/var/run/secrets/keyside.dev/files/vault-ca"
    );
    assert_eq!(vault["tls_server_name"], "vault.internal");
    let volume = &by_file["spec"]["volumes"][3];
    assert_eq!(
        volume,
        &json!({ "name": "keyside-files", "projected": { "sources": [
            { "configMap": { "name": "vault-ca", "items": [{ "key": "ca.crt", "path": "vault-ca" }] } }
        ] } })
    );
    let authority = authority();
    let (inline, _) = injected(&pod(json!({"ca": authority}), app()));
    assert_eq!(config(&inline)["vault"]["ca_pem"], authority);
    assert_eq!(config(&inline)["vault"].get("ca_cert"), None);

    // Where the operator says whom to trust, that is so, unless pods choose the address as well.
    let profile = format!("defaults: {{tls-server-name: vault.eu, ca: {authority:?}}}");
    let before = pod(chosen.clone(), app());
    let said = |profile: &str| match admit_with(&before, &with_profile(profile)) {
        Verdict::Denied { message, .. } => message,
        Verdict::Patched { patch, .. } => {
            config(&patch::applied(&before, &patch))["vault"].to_string()
        }
        other @ Verdict::Untouched { .. } => panic!("{other:?}"),
    };
    assert_eq!(
        said(&profile),
        "annotation keyside.dev/tls-server-name: read \"vault.internal\"; allowed: vault.eu, for the installation does \
         not let pods choose (--allow-address-override). \
         annotation keyside.dev/ca: read \"configmap:vault-ca/ca.crt\"; allowed: what the installation trusts, for the \
         installation does not let pods choose (--allow-address-override)"
    );
    let open = format!("{profile}\nallow: {{addresses: ['*']}}");
    let vault = said(&open);
    assert!(
        vault.contains("files/vault-ca") && !vault.contains("ca_pem"),
        "{vault}"
    );
}

fn authority() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50);
    let made = crate::cert::issue::authority(now, Duration::from_hours(24)).unwrap();
    made.cert
}

#[test]
fn tells_metrics_where_asked() {
    let (plain, _) = injected(&pod(json!({}), app()));
    assert_eq!(agent(&plain).get("ports"), None);
    assert_eq!(config(&plain)["admin"].get("address"), None);
    let mut spec = app();
    spec["containers"][0]["ports"] = json!([{"containerPort": 9102}]);
    let (told, warnings) = injected(&pod(json!({"metrics-port": "9102"}), spec));
    assert_eq!(
        agent(&told)["ports"],
        json!([{"name": "keyside-metrics", "containerPort": 9102}])
    );
    assert_eq!(config(&told)["admin"]["address"], "[::]:9102");
    assert!(
        warnings
            .concat()
            .contains("declares port 9102, where the agent tells its metrics"),
        "{warnings:?}"
    );
    for annotations in [
        json!({"metrics-port": "8200"}),
        json!({"metrics-port": "9000", "proxy-port": "9000"}),
    ] {
        assert!(refused(&pod(annotations, app())).contains("the proxy has this port"));
    }
    injected(&pod(
        json!({"metrics-port": "8200", "proxy": "false"}),
        app(),
    ));
}

#[test]
fn warns_of_a_container_on_the_proxys_port() {
    let with = |port: Value| {
        let mut spec = app();
        spec["containers"][0]["ports"] = json!([{"containerPort": 80}, port]);
        spec
    };
    let taken = with(json!({"containerPort": 8200, "protocol": "TCP"}));
    let (_, warnings) = injected(&pod(json!({}), taken.clone()));
    let [warning] = warnings.as_slice() else {
        panic!("{warnings:?}");
    };
    assert!(
        warning.contains("container \"app\" declares port 8200"),
        "{warning}"
    );
    for (annotations, spec) in [
        (json!({"proxy-port": "8300"}), taken.clone()),
        (json!({"proxy-port": "none"}), taken.clone()),
        (json!({"proxy": "false"}), taken),
        (
            json!({}),
            with(json!({"containerPort": 8200, "protocol": "UDP"})),
        ),
    ] {
        let (_, warnings) = injected(&pod(annotations, spec));
        assert_eq!(warnings, Vec::<String>::new());
    }
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
            with("securityContext", json!({"windowsOptions": {}})),
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
        (
            with(
                "containers",
                json!([{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/keyside/."}]}]),
            ),
            "container \"a\" already mounts volume \"v\"",
        ),
        (
            with(
                "containers",
                json!([{"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/keyside/conf"}]}]),
            ),
            "container \"a\" mounts volume \"v\" at /keyside/conf, inside",
        ),
    ] {
        let message = refused(&pod);
        assert!(message.contains(expected), "{message}");
    }
}
