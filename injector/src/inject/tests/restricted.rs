//! Pod Security `restricted`, as far as a pod's own fields decide it.
//! <https://kubernetes.io/docs/concepts/security/pod-security-standards/>

use serde_json::Value;

/// What keeps the pod out of a namespace that enforces it.
pub(super) fn violations(pod: &Value) -> Vec<String> {
    let spec = &pod["spec"];
    let mut found = Vec::new();
    for host in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[host] == true {
            found.push(host.to_owned());
        }
    }
    for volume in elements(&spec["volumes"]) {
        let kinds = [
            "configMap",
            "csi",
            "downwardAPI",
            "emptyDir",
            "ephemeral",
            "image",
            "persistentVolumeClaim",
            "projected",
            "secret",
        ];
        let is_allowed = |key: &String| key == "name" || kinds.contains(&key.as_str());
        if !volume.as_object().unwrap().keys().all(is_allowed) {
            found.push(format!("volume {}", volume["name"]));
        }
    }
    let of_pod = &spec["securityContext"];
    context("pod", of_pod, &mut found);
    for sysctl in elements(&of_pod["sysctls"]) {
        let safe = [
            "net.ipv4.ip_unprivileged_port_start",
            "net.ipv4.ping_group_range",
            "kernel.shm_rmid_forced",
        ];
        if !safe.contains(&sysctl["name"].as_str().unwrap()) {
            found.push(format!("sysctl {}", sysctl["name"]));
        }
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for one in elements(&spec[list]) {
            container(one, of_pod, &mut found);
        }
    }
    found
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn context(who: &str, context: &Value, found: &mut Vec<String>) {
    if context["runAsUser"] == 0 {
        found.push(format!("{who} runAsUser"));
    }
    if context["runAsNonRoot"] == false {
        found.push(format!("{who} runAsNonRoot"));
    }
    let profiles = ["RuntimeDefault", "Localhost"];
    for profile in ["seccompProfile", "appArmorProfile"] {
        let kind = &context[profile]["type"];
        if !kind.is_null() && !profiles.contains(&kind.as_str().unwrap()) {
            found.push(format!("{who} {profile}"));
        }
    }
    let types = [
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    ];
    let options = &context["seLinuxOptions"];
    if !types.contains(&options["type"].as_str().unwrap_or_default())
        || options.get("user").is_some()
        || options.get("role").is_some()
    {
        found.push(format!("{who} seLinuxOptions"));
    }
    if context["windowsOptions"]["hostProcess"] == true {
        found.push(format!("{who} hostProcess"));
    }
}

fn container(one: &Value, of_pod: &Value, found: &mut Vec<String>) {
    let who = one["name"].as_str().unwrap();
    let own = &one["securityContext"];
    context(who, own, found);
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{who} {what}"));
        }
    };
    check(own["privileged"] != true, "privileged");
    check(
        own["allowPrivilegeEscalation"] == false,
        "allowPrivilegeEscalation",
    );
    check(
        matches!(own["procMount"].as_str(), None | Some("Default")),
        "procMount",
    );
    let capabilities = &own["capabilities"];
    check(
        elements(&capabilities["drop"]).any(|one| one == "ALL"),
        "drop",
    );
    check(
        elements(&capabilities["add"]).all(|one| one == "NET_BIND_SERVICE"),
        "add",
    );
    let either = |key: &str| {
        if own[key].is_null() {
            &of_pod[key]
        } else {
            &own[key]
        }
    };
    check(either("runAsNonRoot") == true, "runAsNonRoot");
    check(!either("seccompProfile").is_null(), "seccompProfile");
    let ports = || elements(&one["ports"]);
    check(
        ports().all(|port| port["hostPort"].as_i64().unwrap_or_default() == 0),
        "hostPort",
    );
}

#[test]
fn tells_restricted_pods_from_others() {
    use serde_json::json;
    let good = json!({ "spec": {
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{ "name": "app", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        } }],
        "volumes": [{ "name": "v", "emptyDir": {} }],
    } });
    assert_eq!(violations(&good), Vec::<String>::new());
    let own = "/spec/containers/0/securityContext";
    for (pointer, value, expected) in [
        ("/spec/hostPID".to_owned(), json!(true), "hostPID"),
        (
            "/spec/volumes/0/hostPath".to_owned(),
            json!({}),
            "volume \"v\"",
        ),
        (
            "/spec/securityContext/runAsNonRoot".to_owned(),
            json!(null),
            "app runAsNonRoot",
        ),
        (
            "/spec/securityContext/runAsUser".to_owned(),
            json!(0),
            "pod runAsUser",
        ),
        (
            "/spec/securityContext/seccompProfile".to_owned(),
            json!(null),
            "app seccompProfile",
        ),
        (
            format!("{own}/seccompProfile"),
            json!({"type": "Unconfined"}),
            "app seccompProfile",
        ),
        (
            format!("{own}/allowPrivilegeEscalation"),
            json!(null),
            "app allowPrivilegeEscalation",
        ),
        (
            format!("{own}/capabilities/drop"),
            json!(["NET_RAW"]),
            "app drop",
        ),
        (
            format!("{own}/capabilities/add"),
            json!(["CHOWN"]),
            "app add",
        ),
        (format!("{own}/privileged"), json!(true), "app privileged"),
        (
            "/spec/containers/0/ports".to_owned(),
            json!([{"hostPort": 80}]),
            "app hostPort",
        ),
    ] {
        let mut bad = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key] = value;
        assert_eq!(violations(&bad), [expected], "{pointer}");
    }
}
