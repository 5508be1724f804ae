//! A pod that was injected before.

use serde_json::{Value, json};

use super::{app, injected, names, pod, refused};

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
fn refuses_a_mount_inside_that_someone_added_later() {
    let (mut changed, _) = injected(&pod(json!({}), app()));
    let mounts = &mut changed["spec"]["containers"][0]["volumeMounts"];
    let mounts = mounts.as_array_mut().unwrap();
    mounts.push(json!({"name": "v", "mountPath": "/keyside/conf"}));
    assert!(refused(&changed).contains("at /keyside/conf, inside"));
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
