//! `helm test`: the command that it runs, as it runs it, between an API server that is played and the real injector.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use std::process::{Command, Output};

use anyhow::Context as _;
use base64::Engine as _;
use http::{Method, StatusCode};
use keyside_harness::kube::{ApiServer, Fault};
use keyside_harness::poll;
use keyside_harness::process::Child;
use serde_json::{Value, json};

use crate::helm::Objects;
use crate::program::{self, Installed};

#[test]
fn the_pod_that_is_tried_gets_the_agent_with_any_values() -> anyhow::Result<()> {
    for values in [
        json!({}),
        json!({"vault": {"address": "https://vault:8200"}}),
        json!({"sidecar": "classic", "openshift": true, "webhook": {"optIn": "label"}}),
        json!({"profiles": {"default": {"strict": true, "defaults": {"address": "https://vault:8200"}}}}),
        json!({
            "profiles": {"default": {"strict": true}, "eu": {"defaults": {"address": "https://vault:8200"}}},
            "test": {"namespace": "shop", "annotations": {"profile": "eu", "address": "https://vault:8200"}},
        }),
    ] {
        let installed = Installed::start(values.clone(), &[])?;
        installed.wait_until_ready()?;
        let hooks = program::release(values.clone()).hooks()?;
        let tried = tried(&hooks, &installed.api)?;
        let injected = admitted(&installed, &tried).with_context(|| values.to_string())?;

        // So answers the API server that asks the webhook, and so one that does not.
        answer(&installed.api, Fault::object(StatusCode::CREATED, injected));
        let output = run(&hooks, &installed.api)?;
        let said = String::from_utf8(output.stdout)?;
        assert!(output.status.success(), "{values}: {said}");
        assert!(said.contains("get the agent: keyside-agent:"), "{said}");

        answer(&installed.api, Fault::object(StatusCode::CREATED, tried));
        let output = run(&hooks, &installed.api)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{values}: {said}");
        assert!(said.contains("without the agent"), "{said}");
    }
    Ok(())
}

#[test]
fn it_only_tries_and_has_the_right_to_that_and_no_other() -> anyhow::Result<()> {
    let api = ApiServer::start()?;
    let values = json!({"test": {"namespace": "shop"}});
    let hooks = program::release(values).hooks()?;
    tried(&hooks, &api)?;
    let requests = api.requests();
    let [request] = &requests[..] else {
        anyhow::bail!("{} requests", requests.len());
    };
    assert_eq!(request.path, "/api/v1/namespaces/shop/pods?&dryRun=All");
    assert_eq!(request.method, Method::POST);
    let role = hooks.the("Role")?;
    assert_eq!(role["metadata"]["namespace"], "shop");
    assert_eq!(
        role["rules"],
        json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}])
    );
    let account = hooks.at("ServiceAccount", "/metadata/name")?;
    assert_eq!(
        hooks.at("RoleBinding", "/subjects")?,
        json!([{"kind": "ServiceAccount", "name": account, "namespace": program::NAMESPACE}])
    );
    assert_eq!(hooks.at("Pod", "/spec/serviceAccountName")?, account);
    assert_eq!(hooks.iter().count(), 4);
    Ok(())
}

/// Helm deletes all of it when the test has passed, and makes it anew when it is asked again.
#[test]
fn nothing_of_it_stays() -> anyhow::Result<()> {
    for object in program::release(json!({})).hooks()?.iter() {
        let annotations = &object["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/hook"], "test");
        let policy = "before-hook-creation,hook-succeeded";
        assert_eq!(annotations["helm.sh/hook-delete-policy"], policy);
        // What the pod needs is there before it.
        let first = object["kind"] != "Pod";
        assert_eq!(annotations["helm.sh/hook-weight"] == "-1", first);
    }
    Ok(())
}

#[test]
fn what_may_pass_is_waited_for() -> anyhow::Result<()> {
    let api = ApiServer::start()?;
    let hooks = program::release(json!({})).hooks()?;
    answer(&api, Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let mut child = Child::spawn("check", command(&hooks, &api)?)?;
    poll::until("a failed try", poll::LIMIT, || {
        let said = child.stderr();
        anyhow::ensure!(said.contains("check_failed"), said);
        Ok(())
    })?;
    let pod = json!({"spec": {"containers": [{"name": "keyside-agent", "image": "a"}]}});
    answer(&api, Fault::object(StatusCode::CREATED, pod));
    assert!(child.wait(poll::LIMIT)?.success());
    Ok(())
}

/// From now on, creations end so.
fn answer(api: &ApiServer, fault: Fault) {
    api.heal();
    api.disturb(fault.to(Method::POST).of("/pods"));
}

/// The pod that the command asks for; it is refused, and that is the end of it.
fn tried(hooks: &Objects, api: &ApiServer) -> anyhow::Result<Value> {
    answer(api, Fault::status(StatusCode::FORBIDDEN));
    let output = run(hooks, api)?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("does not take a pod"), "{said}");
    let requests = api.requests();
    let request = requests
        .iter()
        .find(|request| request.path.contains("/pods"));
    let request = request.context("nothing was asked")?;
    Ok(serde_json::from_slice(&request.body)?)
}

/// The pod after the webhook, which has to select it.
fn admitted(installed: &Installed, pod: &Value) -> anyhow::Result<Value> {
    let webhook = installed
        .objects
        .at("MutatingWebhookConfiguration", "/webhooks/0")?;
    assert_eq!(pod["metadata"]["annotations"]["keyside.dev/inject"], "true");
    for (key, value) in webhook["objectSelector"]["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        assert_eq!(pod["metadata"]["labels"][key], *value);
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "a-uid",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": "default",
        "operation": "CREATE",
        "dryRun": true,
        "object": pod,
    }});
    let response = installed.admit(&review)?;
    anyhow::ensure!(response["allowed"] == true, "{response}");
    assert_eq!(response["warnings"], Value::Null, "{response}");
    let patch = response["patch"].as_str().context("no patch")?;
    let patch = base64::engine::general_purpose::STANDARD.decode(patch)?;
    let patch: json_patch::Patch = serde_json::from_slice(&patch)?;
    let mut injected = pod.clone();
    json_patch::patch(&mut injected, &patch)?;
    Ok(injected)
}

fn run(hooks: &Objects, api: &ApiServer) -> anyhow::Result<Output> {
    let mut command = command(hooks, api)?;
    let output = command.arg("--check-patience=0s").output();
    output.context("run the command")
}

/// What the test's pod runs.
fn command(hooks: &Objects, api: &ApiServer) -> anyhow::Result<Command> {
    let container = hooks.at("Pod", "/spec/containers/0")?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
    command.env_clear();
    for argument in container["args"].as_array().into_iter().flatten() {
        command.arg(argument.as_str().context("an argument")?);
    }
    for variable in container["env"].as_array().into_iter().flatten() {
        let [name, value] = ["name", "value"].map(|field| variable[field].as_str());
        command.env(name.context("a name")?, value.context("a value")?);
    }
    command.arg("--kubeconfig").arg(api.kubeconfig());
    Ok(command)
}
