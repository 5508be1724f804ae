//! What the agent is in a pod: one container that stays, two that hand over, or one that ends.

use serde_json::{Value, json};

use super::{agents, app, env, injected, load_text, names, pod, refused, text_of};

fn spec() -> Value {
    json!({
        "initContainers": [{ "name": "migrate", "image": "x" }],
        "containers": [{ "name": "app", "image": "x" }],
    })
}

fn config(agent: &Value) -> Value {
    serde_json::from_str(text_of(agent)).unwrap()
}

#[test]
fn a_classic_one_logs_in_once_and_hands_over() {
    let (pod, warnings) = injected(&pod(
        json!({"sidecar": "classic", "metrics-port": "9102"}),
        spec(),
    ));
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        names(&pod["spec"]["initContainers"]),
        ["keyside-agent-init", "migrate"]
    );
    // What tools take for the pod's container stays the first.
    assert_eq!(names(&pod["spec"]["containers"]), ["app", "keyside-agent"]);
    let (init, sidecar) = (
        &pod["spec"]["initContainers"][0],
        &pod["spec"]["containers"][1],
    );
    for agent in [init, sidecar] {
        assert_eq!(agent.get("restartPolicy"), None);
        let mounts = agent["volumeMounts"].as_array().unwrap();
        assert!(mounts.contains(&json!({"name": "keyside-run", "mountPath": "/run/keyside"})));
        load_text(text_of(agent));
    }
    assert_eq!((init.get("startupProbe"), init.get("ports")), (None, None));
    assert_eq!(sidecar["startupProbe"]["exec"]["command"][1], "probe");
    assert_eq!(sidecar["ports"][0]["containerPort"], 9102);

    // The agent goes on with what another left where these are the same: `resume::fingerprint` has them.
    let (first, second) = (config(init), config(sidecar));
    for same in ["auto_auth", "vault", "resume"] {
        assert_eq!(first[same], second[same]);
        assert_ne!(first[same], Value::Null);
    }
    assert_eq!(
        (&first["exit_after_auth"], &second["exit_after_auth"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&first["listener"], first.get("admin"), first.get("cache")),
        (&json!([]), None, None)
    );
    assert_eq!(second["listener"].as_array().unwrap().len(), 2);

    // An init container has the token and no proxy yet.
    let migrate = &pod["spec"]["initContainers"][1];
    assert_eq!(migrate["volumeMounts"][0]["mountPath"], "/keyside");
    assert_eq!(env(migrate), Vec::<String>::new());
    assert_eq!(env(&pod["spec"]["containers"][0]).len(), 4);
}

#[test]
fn a_classic_one_without_a_token_file_needs_no_init_container() {
    let (pod, _) = injected(&pod(
        json!({"sidecar": "classic", "token": "false"}),
        spec(),
    ));
    assert_eq!(names(&pod["spec"]["initContainers"]), ["migrate"]);
    assert_eq!(names(&pod["spec"]["containers"]), ["app", "keyside-agent"]);
    load_text(text_of(&pod["spec"]["containers"][1]));
    assert_eq!(injected(&pod).0, pod);
}

#[test]
fn one_that_ends_leaves_the_token_file() {
    let (pod, warnings) = injected(&pod(json!({"sidecar": "init-only"}), spec()));
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(
        names(&pod["spec"]["initContainers"]),
        ["keyside-agent-init", "migrate"]
    );
    assert_eq!(names(&pod["spec"]["containers"]), ["app"]);
    assert_eq!(names(&pod["spec"]["volumes"]), ["keyside", "keyside-token"]);
    let config = load_text(text_of(&pod["spec"]["initContainers"][0]));
    assert!(config.exit_after_auth && config.resume.is_none() && config.admin.is_none());
    let app = &pod["spec"]["containers"][0];
    assert_eq!(app["volumeMounts"][0]["mountPath"], "/keyside");
    assert_eq!(env(app), Vec::<String>::new());
}

#[test]
fn one_that_ends_serves_nothing() {
    let asked = json!({"sidecar": "init-only", "proxy": "true", "token": "false"});
    let expected = "annotation keyside.dev/proxy: read \"true\"; allowed: with keyside.dev/sidecar init-only no proxy \
                    runs: false, or leave it away. \
                    annotation keyside.dev/token: read \"false\"; allowed: with keyside.dev/sidecar init-only there is \
                    nothing but the token file: true, or leave it away";
    assert_eq!(refused(&pod(asked, app())), expected);
    let idle = json!({"sidecar": "init-only", "cache-kv": "true", "metrics-port": "9102"});
    let (_, warnings) = injected(&pod(idle, app()));
    assert_eq!(
        warnings,
        ["cache-kv", "metrics-port"].map(|key| format!(
            "annotation keyside.dev/{key} has no effect, because keyside.dev/sidecar is init-only"
        ))
    );
}

/// Nobody tells it when the application has ended, so it serves for as long as the application may take.
#[test]
fn a_classic_one_serves_until_its_grace_period_is_nearly_over() {
    let delay = |sidecar: &str, grace: Value| {
        let mut spec = spec();
        spec["terminationGracePeriodSeconds"] = grace;
        let (pod, _) = injected(&pod(json!({"sidecar": sidecar}), spec));
        agents(&pod).into_iter().map(config).collect::<Vec<_>>()
    };
    for (grace, expected) in [
        (json!(null), json!("28s")),
        (json!(30), json!("28s")),
        (json!(5), json!("3s")),
        (json!(3600), json!("3598s")),
        // What the agent takes is bounded.
        (json!(i64::MAX), json!("63072000s")),
        (json!(2), json!(null)),
        (json!(1), json!(null)),
        (json!(0), json!(null)),
        (json!(-1), json!(null)),
    ] {
        let agents = delay("classic", grace.clone());
        assert_eq!(agents[0].get("shutdown_delay"), None, "{grace}");
        let found = agents[1].get("shutdown_delay").cloned().unwrap_or_default();
        assert_eq!(found, expected, "{grace}");
        for other in ["native", "init-only"] {
            assert_eq!(delay(other, grace.clone())[0].get("shutdown_delay"), None);
        }
    }
}

#[test]
fn each_part_gets_what_it_can_do() {
    let all = json!({"client-rate-limit": "5:9", "start-timeout": "90s", "revoke-on-exit": "true"});
    let (native, _) = injected(&pod(all, spec()));
    let config = load_text(text_of(agents(&native)[0]));
    let limits = config.client_limits.clone().unwrap();
    assert_eq!((limits.requests_per_second, limits.burst), (5, 9));
    assert_eq!(config.start_timeout.unwrap().as_secs(), 90);
    assert!(config.auto_auth.unwrap().revoke_on_exit);

    let some = json!({"sidecar": "classic", "client-rate-limit": "5", "start-timeout": "1h", "revoke-on-exit": "false"});
    let (classic, _) = injected(&pod(some, spec()));
    let [init, sidecar] = [0, 1].map(|part| load_text(text_of(agents(&classic)[part])));
    let limits = sidecar.client_limits.clone().unwrap();
    assert_eq!((limits.requests_per_second, limits.burst), (5, 5));
    assert_eq!(init.client_limits, None);
    assert_eq!(init.start_timeout, sidecar.start_timeout);
    assert!(!init.auto_auth.unwrap().revoke_on_exit);
    assert!(!sidecar.auto_auth.unwrap().revoke_on_exit);
}

#[test]
fn a_pod_that_is_to_end_is_warned_of_one_that_does_not() {
    for (sidecar, policy, warned) in [
        ("classic", json!("Never"), true),
        ("classic", json!("OnFailure"), true),
        ("classic", json!("Always"), false),
        ("classic", json!(null), false),
        ("native", json!("Never"), false),
        ("init-only", json!("Never"), false),
    ] {
        let mut spec = app();
        spec["restartPolicy"] = policy.clone();
        let (_, warnings) = injected(&pod(json!({"sidecar": sidecar}), spec));
        let found = warnings.concat().contains("a classic sidecar does not");
        assert_eq!(found, warned, "{sidecar} {policy} {warnings:?}");
    }
}

#[test]
fn each_kind_is_known_again_and_completed() {
    for sidecar in ["native", "classic", "init-only"] {
        let (first, _) = injected(&pod(json!({"sidecar": sidecar}), spec()));
        let mut later = first.clone();
        let containers = later["spec"]["containers"].as_array_mut().unwrap();
        containers.insert(0, json!({ "name": "late", "image": "late" }));
        let (again, _) = injected(&later);
        assert_eq!(agents(&again), agents(&first), "{sidecar}");
        assert_eq!(
            again["spec"]["containers"][0]["volumeMounts"][0]["name"],
            "keyside"
        );
        assert_eq!(injected(&again).0, again);

        // One of two is not ours alone.
        let mut half = first.clone();
        let containers = half["spec"]["containers"].as_array_mut().unwrap();
        containers.retain(|one| one["name"] != "keyside-agent");
        if sidecar == "classic" {
            let message = refused(&half);
            assert!(
                message.contains("container named \"keyside-agent-init\""),
                "{message}"
            );
        } else {
            assert_eq!(injected(&half).0, half);
        }
    }
    let mut taken = spec();
    taken["initContainers"][0]["name"] = json!("keyside-agent-init");
    assert!(refused(&pod(json!({}), taken)).contains("container named \"keyside-agent-init\""));
}

#[test]
fn the_operator_says_which_one_it_is_by_default() {
    let defaults = super::with_profile("defaults: {sidecar: classic}");
    let before = pod(json!({}), app());
    let by_profile = super::admit_with(&before, &defaults);
    let flag = crate::admission::Defaults {
        sidecar: crate::inject::Sidecar::Classic,
        ..super::defaults()
    };
    let by_flag = super::admit_with(&before, &flag);
    for verdict in [by_profile, by_flag] {
        let crate::admission::Verdict::Patched { patch, .. } = verdict else {
            panic!("{verdict:?}");
        };
        let pod = super::patch::applied(&before, &patch);
        assert_eq!(names(&pod["spec"]["containers"]), ["app", "keyside-agent"]);
    }
}
