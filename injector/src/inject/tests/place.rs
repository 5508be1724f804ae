//! Where the agent goes, and which containers get what.

use serde_json::json;

use super::{app, config, env, injected, names, pod, refused};

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
