//! The reviews that a real API server sent, answered over HTTPS.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::caller::Connection;
use crate::cluster::{self, Cluster, Injector};
use crate::offline;

/// An injector with the installation's Vault, and a connection to it.
struct World {
    _cluster: Cluster,
    _injector: Injector,
    connection: Connection,
}

impl World {
    fn start() -> anyhow::Result<Self> {
        let cluster = Cluster::start()?;
        let injector = cluster.injector(&[
            "--agent-image=keyside-agent:0.1.0",
            "--vault-address=https://vault.example:8200",
        ])?;
        injector.wait_until_ready()?;
        let connection = cluster.caller(&injector)?.connect()?;
        Ok(Self {
            _cluster: cluster,
            _injector: injector,
            connection,
        })
    }

    fn ask(&mut self, review: &Value) -> anyhow::Result<Value> {
        let answer = self.connection.review(review.to_string().as_bytes())?;
        answer.response()
    }
}

fn review(name: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_slice(&cluster::recording(name)?)?)
}

/// The patch of a response; absent means that the pod stays as it is.
fn patch(response: &Value) -> anyhow::Result<Option<Value>> {
    assert_eq!(response["allowed"], true, "{response}");
    let Some(patch) = response["patch"].as_str() else {
        return Ok(None);
    };
    assert_eq!(response["patchType"], "JSONPatch");
    let operations: Value = serde_json::from_slice(&STANDARD.decode(patch)?)?;
    Ok((operations != json!([])).then_some(operations))
}

/// The pod with the patch applied by an implementation that is not ours.
fn patched(review: &Value, response: &Value) -> anyhow::Result<Value> {
    let mut pod = review["request"]["object"].clone();
    if let Some(operations) = patch(response)? {
        let operations: json_patch::Patch = serde_json::from_value(operations)?;
        json_patch::patch(&mut pod, &operations)?;
    }
    Ok(pod)
}

fn names(list: &Value) -> Vec<&str> {
    let elements = list.as_array().into_iter().flatten();
    elements.filter_map(|one| one["name"].as_str()).collect()
}

fn find<'a>(list: &'a Value, name: &str) -> anyhow::Result<&'a Value> {
    let mut elements = list.as_array().into_iter().flatten();
    elements
        .find(|one| one["name"] == name)
        .with_context(|| format!("no {name} in {list}"))
}

fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    find(&container["env"], name).ok()?["value"].as_str()
}

/// The configuration that the agent of this pod gets.
fn config(pod: &Value) -> anyhow::Result<Value> {
    let agent = find(&pod["spec"]["initContainers"], "keyside-agent")?;
    let text = variable(agent, "KEYSIDE_CONFIG").context("no configuration")?;
    Ok(serde_json::from_str(text)?)
}

#[test]
fn each_review_gets_the_verdict_of_the_design() -> anyhow::Result<()> {
    let mut world = World::start()?;
    for (name, allowed, says) in [
        ("plain", true, ""),
        ("no-automount", true, ""),
        (
            "web",
            true,
            "container \"web\" sets VAULT_ADDR itself and keeps it",
        ),
        ("db-0", true, ""),
        ("report", true, ""),
        ("nightly-1", true, ""),
        ("dry-run", true, ""),
        ("host-network", true, ""),
        ("windows", false, "Windows"),
        (
            "gen",
            false,
            "annotation keyside.dev/role is missing; it names the role of the auth mount to log in with; \
             keyside.dev/roll is there and unknown",
        ),
    ] {
        let review = review(name)?;
        let response = world.ask(&review)?;
        assert_eq!(response["allowed"], allowed, "{name}: {response}");
        let text = if allowed {
            let pod = patched(&review, &response)?;
            let inits = names(&pod["spec"]["initContainers"]).join(" ");
            assert_eq!(inits.matches("keyside-agent").count(), 1, "{name}: {inits}");
            response["warnings"].to_string().replace("\\\"", "\"")
        } else {
            assert_eq!(response["patch"], Value::Null);
            response["status"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(text.contains(says), "{name}: {text}");
        let expected_warnings = usize::from(matches!(name, "web" | "gen"));
        let warnings = response["warnings"].as_array().map_or(0, Vec::len);
        assert_eq!(warnings, expected_warnings, "{name}: {response}");
    }
    Ok(())
}

#[test]
fn patched_pods_are_valid_stay_as_they_are_and_equal_the_offline_commands() -> anyhow::Result<()> {
    let mut world = World::start()?;
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for (name, review) in cluster::recordings()? {
        let review: Value = serde_json::from_slice(&review)?;
        let response = world.ask(&review)?;
        if response["allowed"] == false {
            continue;
        }
        let pod = patched(&review, &response)?;
        assert_ne!(pod, review["request"]["object"], "{name}");

        let mut again = review.clone();
        again["request"]["object"] = pod.clone();
        assert_eq!(patch(&world.ask(&again)?)?, None, "{name}: a second pass");

        let offline = offline::injected(&["-f", "-"], &review["request"]["object"].to_string())?;
        assert_eq!(
            serde_json::from_str::<Value>(&offline)?,
            pod,
            "{name}: offline"
        );

        // The validator wants the name that an API server makes after admission.
        let mut pod = pod;
        pod["metadata"]["name"] = json!(name);
        let file = folder.path().join(format!("{name}.json"));
        std::fs::write(&file, pod.to_string())?;
        files.push(file);
    }
    assert_eq!(files.len(), 8);
    offline::validate(&files.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

#[test]
fn the_patch_of_a_plain_pod_is_the_one_on_record() -> anyhow::Result<()> {
    let recorded = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/injector/data/plain.patch.json"
    );
    let response = World::start()?.ask(&review("plain")?)?;
    let operations = patch(&response)?.context("no patch")?;
    let found = format!("{operations:#}\n");
    assert_eq!(found, std::fs::read_to_string(recorded)?, "{found}");
    Ok(())
}

#[test]
fn fields_that_nobody_knows_survive() -> anyhow::Result<()> {
    let mut review = review("db-0")?;
    let pod = &mut review["request"]["object"];
    pod["future"] = json!({"a": [1, null]});
    pod["spec"]["future"] = json!("b");
    pod["spec"]["containers"][0]["future"] = json!(1.5);
    pod["spec"]["initContainers"][1]["future"] = json!({});
    let expected = pod.clone();
    let response = World::start()?.ask(&review)?;
    let pod = patched(&review, &response)?;
    assert_eq!(pod["future"], expected["future"]);
    assert_eq!(pod["spec"]["future"], expected["spec"]["future"]);
    assert_eq!(pod["spec"]["containers"][0]["future"], 1.5);
    assert_eq!(pod["spec"]["initContainers"][1]["future"], json!({}));
    Ok(())
}

#[test]
fn the_agent_starts_right_after_the_meshs_native_proxy() -> anyhow::Result<()> {
    let review = review("db-0")?;
    let response = World::start()?.ask(&review)?;
    let pod = patched(&review, &response)?;
    let inits = &pod["spec"]["initContainers"];
    assert_eq!(names(inits), ["mesh-init", "mesh-proxy", "keyside-agent"]);
    let before = &review["request"]["object"]["spec"]["initContainers"];
    assert_eq!((&inits[0], &inits[1]), (&before[0], &before[1]));
    Ok(())
}

#[test]
fn a_chosen_container_gets_the_socket_and_keeps_its_own_address() -> anyhow::Result<()> {
    let review = review("web")?;
    let response = World::start()?.ask(&review)?;
    let pod = patched(&review, &response)?;
    let before = &review["request"]["object"]["spec"];
    let web = find(&pod["spec"]["containers"], "web")?;
    assert_eq!(web["env"], before["containers"][0]["env"]);
    let mount = find(&web["volumeMounts"], "keyside")?;
    assert_eq!(
        mount,
        &json!({"name": "keyside", "mountPath": "/keyside", "readOnly": true})
    );
    assert_eq!(pod["spec"]["containers"][1], before["containers"][1]);
    assert_eq!(
        pod["spec"]["initContainers"][1],
        before["initContainers"][0]
    );

    let config = config(&pod)?;
    let kinds: Vec<_> = config["listener"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| &one["type"])
        .collect();
    assert_eq!(kinds, ["unix"], "log-shipper shares the pod's loopback");
    let agent = find(&pod["spec"]["initContainers"], "keyside-agent")?;
    assert_eq!(agent["securityContext"]["runAsUser"], 1000);
    assert_eq!(config["auto_auth"]["sink"][0]["config"]["mode"], "0640");
    Ok(())
}

#[test]
fn a_pod_on_the_nodes_network_gets_no_tcp_port() -> anyhow::Result<()> {
    let mut world = World::start()?;
    let mut review = review("host-network")?;
    let response = world.ask(&review)?;
    let pod = patched(&review, &response)?;
    let app = &pod["spec"]["containers"][0];
    assert_eq!(
        variable(app, "VAULT_ADDR"),
        Some("unix:///keyside/agent.sock")
    );
    assert!(!config(&pod)?["listener"].to_string().contains("tcp"));

    review["request"]["object"]["metadata"]["annotations"]["keyside.dev/proxy-port"] =
        json!("8200");
    let denied = world.ask(&review)?;
    let message = denied["status"]["message"].as_str().unwrap_or_default();
    assert_eq!(denied["allowed"], false);
    assert!(
        message.contains("keyside.dev/proxy-port: read \"8200\""),
        "{message}"
    );
    assert!(message.contains("hostNetwork"), "{message}");
    Ok(())
}
