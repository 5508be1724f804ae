//! What looks for pods without the agent, where it is switched on.

use anyhow::Context as _;
use keyside_harness::{kube, poll, process, web};
use serde_json::{Value, json};

use crate::helm::{Objects, Release};
use crate::program::{self, NAMESPACE};
use crate::rights;

const CONTAINER: &str = "/spec/template/spec/containers/0";

fn rendered(watch: &Value) -> anyhow::Result<Objects> {
    let values = json!({"watch": watch, "webhook": {"excludedNamespaces": ["legacy"]}});
    let release = Release {
        name: "prod",
        namespace: NAMESPACE,
        values,
        ..Release::default()
    };
    Ok(release.objects()?.of_component("watch"))
}

#[test]
fn nothing_of_it_is_there_unless_it_is_asked_for() -> anyhow::Result<()> {
    assert_eq!(rendered(&json!({}))?.iter().count(), 0);
    assert_eq!(rendered(&json!({"enabled": true}))?.iter().count(), 7);
    Ok(())
}

/// Another account, and other labels: the Service of the webhook must not send reviews there.
#[test]
fn it_is_apart_from_the_webhook() -> anyhow::Result<()> {
    let values = json!({"watch": {"enabled": true}});
    let all = Release::with(values).objects()?;
    let (watch, webhook) = (all.of_component("watch"), all.of_component("injector"));
    let account = "/spec/template/spec/serviceAccountName";
    assert_ne!(
        watch.at("Deployment", account)?,
        webhook.at("Deployment", account)?
    );
    assert_eq!(
        watch.at("Deployment", account)?,
        watch.at("ServiceAccount", "/metadata/name")?
    );
    let selector = webhook.at("Service", "/spec/selector")?;
    let labels = watch.at("Deployment", "/spec/template/metadata/labels")?;
    let mut selector = selector.as_object().context("a selector")?.iter();
    assert!(selector.any(|(key, value)| labels[key] != *value));
    for place in ["securityContext", "containers/0/securityContext"] {
        let place = format!("/spec/template/spec/{place}");
        assert_eq!(
            watch.at("Deployment", &place)?,
            webhook.at("Deployment", &place)?
        );
    }
    Ok(())
}

#[test]
fn it_runs_as_installed_and_uses_every_right_that_it_has_and_no_other() -> anyhow::Result<()> {
    for (watch, rights) in [
        (json!({"enabled": true, "period": "100ms"}), 5),
        (
            json!({"enabled": true, "period": "100ms", "events": false}),
            4,
        ),
    ] {
        let objects = rendered(&watch)?;
        let api = kube::ApiServer::start()?;
        drop(api.put(
            &kube::pod("shop", "web"),
            json!({"metadata": {"name": "web", "namespace": "shop", "annotations": {"keyside.dev/inject": "true"}}}),
        ));
        let files = tempfile::tempdir()?;
        let command = program::command(&objects, &api, files.path())?;
        let mut child = process::Child::spawn("watch", command)?;
        let health = web::Client::new(&child.listening("health")?, None)?;
        let path = objects.at(
            "Deployment",
            &format!("{CONTAINER}/readinessProbe/httpGet/path"),
        )?;
        let path = path.as_str().context("a path")?;
        poll::until("readiness", poll::LIMIT, || match health.get(path) {
            Ok(answer) if answer.status() == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        })?;
        rights::check_that(&objects, &api, rights)?;
    }
    Ok(())
}
