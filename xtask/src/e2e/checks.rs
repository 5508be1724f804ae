//! What has to hold, in the order in which it is looked at.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::Check;
use super::manifest;
use super::site::Site;
use super::stream::Stream;
use crate::console;

const AGENT: &str = "keyside-agent";

/// How often pods are created while something goes on that takes seconds, and minutes.
const OFTEN: Duration = Duration::from_millis(100);
const NOW_AND_THEN: Duration = Duration::from_secs(1);

pub(super) fn all() -> [Check; 9] {
    let check = |name, says, run| Check { name, says, run };
    [
        check(
            "install",
            "The chart installs, and the injector becomes ready",
            install,
        ),
        check(
            "pod",
            "An annotated pod uses a dynamic PostgreSQL credential",
            pod,
        ),
        check("job", "A Job completes", job),
        check(
            "restricted",
            "Pods run under Pod Security `restricted`",
            restricted,
        ),
        check(
            "no-automount",
            "A pod needs no token of the service account's own",
            no_automount,
        ),
        check(
            "rolling-update",
            "No creation fails while the injector rolls",
            rolling_update,
        ),
        check(
            "rotation",
            "No creation fails while the certificate rotates",
            rotation,
        ),
        check(
            "lost-secret",
            "No creation fails when the Secret is deleted",
            lost_secret,
        ),
        check("uninstall", "Uninstalling leaves nothing", uninstall),
    ]
}

fn install(site: &Site) -> anyhow::Result<()> {
    site.install()?;
    let (namespace, injector) = (&site.names.injector, site.injector());
    site.rolled_out(namespace, &format!("deployment/{injector}"))?;
    let bundle = "/webhooks/0/clientConfig/caBundle";
    site.until("the published authority", || {
        let webhook = site
            .kubectl
            .get(&["mutatingwebhookconfiguration", &injector])?;
        let found = webhook.pointer(bundle).and_then(Value::as_str);
        found
            .filter(|text| !text.is_empty())
            .context("no caBundle")?;
        Ok(())
    })?;
    console::seen("it is ready, and its authority is published");
    Ok(())
}

fn pod(site: &Site) -> anyhow::Result<()> {
    site.apply(manifest::POD)?;
    runs(site, "plain")
}

fn no_automount(site: &Site) -> anyhow::Result<()> {
    site.apply(manifest::NO_AUTOMOUNT)?;
    runs(site, "no-automount")
}

fn runs(site: &Site, name: &str) -> anyhow::Result<()> {
    let (namespace, object) = (&site.names.apps, format!("pod/{name}"));
    site.wait_for(namespace, &object, "condition=Ready")?;
    let pod = site.kubectl.get(&["pod", name, "--namespace", namespace])?;
    injected(&pod)?;
    let started = pod.pointer("/status/initContainerStatuses/0/started");
    anyhow::ensure!(
        started == Some(&Value::Bool(true)),
        "the agent does not run: {pod}"
    );
    used(site, namespace, &object)
}

fn job(site: &Site) -> anyhow::Result<()> {
    site.apply(manifest::JOB)?;
    let namespace = &site.names.apps;
    site.wait_for(namespace, "job/once", "condition=Complete")?;
    used(site, namespace, "job/once")
}

fn restricted(site: &Site) -> anyhow::Result<()> {
    site.apply(manifest::RESTRICTED)?;
    let namespace = &site.names.restricted;
    site.rolled_out(namespace, "deployment/shop")?;
    let pods = site
        .kubectl
        .get(&["pods", "--namespace", namespace, "--selector=app=shop"])?;
    let pods = pods.get("items").and_then(Value::as_array);
    for pod in pods.context("no pods")? {
        injected(pod)?;
    }
    used(site, namespace, "deployment/shop")
}

/// Fails unless the pod has the agent, in the place where it has to be.
pub(super) fn injected(pod: &Value) -> anyhow::Result<()> {
    let name = pod
        .pointer("/spec/initContainers/0/name")
        .and_then(Value::as_str);
    let status = pod.pointer("/metadata/annotations/keyside.dev~1status");
    anyhow::ensure!(
        name == Some(AGENT) && status.and_then(Value::as_str) == Some("injected"),
        "a pod was created without the agent: {pod}"
    );
    Ok(())
}

/// Waits until the application says that it has used a credential.
fn used(site: &Site, namespace: &str, object: &str) -> anyhow::Result<()> {
    let logs = ["logs", object, "--namespace", namespace, "--container=app"];
    let line = site.until("the application's word", || {
        let log = site.kubectl.run(&logs)?;
        let mut lines = log
            .lines()
            .filter(|line| line.starts_with("e2e: PostgreSQL let "));
        lines
            .next()
            .map(str::to_owned)
            .with_context(|| format!("it says: {log}"))
    })?;
    console::seen(&format!("{object}: {}", line.trim_start_matches("e2e: ")));
    Ok(())
}

fn rolling_update(site: &Site) -> anyhow::Result<()> {
    let (namespace, injector) = (&site.names.injector, site.injector());
    let deployment = format!("deployment/{injector}");
    Stream::around(site, OFTEN, || {
        let restart = ["rollout", "restart", &deployment, "--namespace", namespace];
        site.kubectl.run(&restart)?;
        site.rolled_out(namespace, &deployment)?;
        // The old replicas are still draining.
        let selector = "--selector=app.kubernetes.io/component=injector";
        site.until("the end of the old replicas", || {
            let pods = site
                .kubectl
                .get(&["pods", "--namespace", namespace, selector])?;
            let pods = pods.get("items").and_then(Value::as_array);
            let mut pods = pods.context("no pods")?.iter();
            let leaving = pods.any(|pod| pod.pointer("/metadata/deletionTimestamp").is_some());
            anyhow::ensure!(!leaving, "some are still there");
            Ok(())
        })
    })
}

fn rotation(site: &Site) -> anyhow::Result<()> {
    let before = leaf(site)?;
    Stream::around(site, NOW_AND_THEN, || {
        site.until("another certificate", || {
            anyhow::ensure!(leaf(site)? != before, "it is the same as before");
            Ok(())
        })
    })
}

fn lost_secret(site: &Site) -> anyhow::Result<()> {
    let (namespace, secret) = (
        &site.names.injector,
        format!("{}-certificate", site.injector()),
    );
    Stream::around(site, NOW_AND_THEN, || {
        site.kubectl
            .run(&["delete", "secret", &secret, "--namespace", namespace])?;
        site.until("the Secret, written anew", || leaf(site).map(drop))
    })
}

/// The certificate in the injector's Secret, which is no secret.
fn leaf(site: &Site) -> anyhow::Result<String> {
    let (namespace, secret) = (
        &site.names.injector,
        format!("{}-certificate", site.injector()),
    );
    let secret = site
        .kubectl
        .get(&["secret", &secret, "--namespace", namespace])?;
    let leaf = secret.pointer("/data/tls.crt").and_then(Value::as_str);
    Ok(leaf.context("no certificate in the Secret")?.to_owned())
}

fn uninstall(site: &Site) -> anyhow::Result<()> {
    site.uninstall()?;
    let (namespace, run) = (&site.names.injector, &site.names.injector);
    let of_release = format!("--selector=app.kubernetes.io/instance={run}");
    let kinds = "mutatingwebhookconfigurations,clusterroles,clusterrolebindings";
    let here = "deployments,replicasets,pods,services,serviceaccounts,roles,rolebindings,configmaps,secrets,leases,\
                poddisruptionbudgets,networkpolicies";
    site.until("the end of everything", || {
        let mut left = site.kubectl.names(&[kinds, &of_release])?;
        let all = site.kubectl.names(&[here, "--namespace", namespace])?;
        left.extend(
            all.into_iter()
                .filter(|name| !belongs_to_every_namespace(name)),
        );
        anyhow::ensure!(left.is_empty(), "still there: {}", left.join(", "));
        Ok(())
    })?;
    // Nobody is asked about pods any more.
    let pod = site.names.fill(manifest::CREATED);
    site.kubectl
        .feed(&["create", "--dry-run=server", "-f", "-"], &pod)?;
    console::seen("nothing is left, and annotated pods are created as they are");
    Ok(())
}

fn belongs_to_every_namespace(name: &str) -> bool {
    ["serviceaccount/default", "configmap/kube-root-ca.crt"].contains(&name)
}
