//! The command that looks for pods which ask for the agent and lack it.

use std::process::Command;
use std::str::FromStr;

use anyhow::Context as _;
use http::{Method, StatusCode};
use keyside_harness::kube::{self, ApiServer, Fault};
use keyside_harness::process::Child;
use keyside_harness::{poll, web};
use serde_json::{Value, json};

use crate::cluster::NAMESPACE;

pub(crate) struct Watcher {
    child: Child,
    health: String,
}

impl Watcher {
    /// Known to the API and to the others by this name.
    pub(crate) fn start(api: &ApiServer, name: &str, flags: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
        command.env_clear().arg("watch").args([
            "--health=127.0.0.1:0",
            "--log-format=json",
            "--period=50ms",
            &format!("--namespace={NAMESPACE}"),
            &format!("--identity={name}"),
            &format!("--kubeconfig={}", api.kubeconfig_of(name)?.display()),
        ]);
        command.args(flags);
        let mut child = Child::spawn("watch", command)?;
        let health = child.listening("health")?;
        Ok(Self { child, health })
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = web::Client::new(&self.health, None)?.get(path)?;
        let text = String::from_utf8(answer.body().to_vec())?;
        Ok((answer.status().as_u16(), text))
    }

    /// A metric's value, by name and labels as written; nothing where it is not there.
    fn metric(&self, name: &str) -> anyhow::Result<Option<i64>> {
        let (_, text) = self.get("/metrics")?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(i64::from_str).transpose()?)
    }

    fn wait_for(&self, name: &str, value: Option<i64>) -> anyhow::Result<()> {
        poll::until(name, poll::LIMIT, || match self.metric(name) {
            Ok(found) if found == value => Ok(()),
            other => Err(format!("{other:?} in {:?}", self.child.lines().last())),
        })
    }
}

/// Makes a pod that runs.
pub(crate) fn pod(api: &ApiServer, namespace: &str, name: &str, annotations: &Value) {
    let path = kube::pod(namespace, name);
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "shop", "env": [{"name": "A", "value": "s3cret"}]}]},
        "status": {"phase": "Running"},
    });
    drop(api.put(&path, pod));
}

pub(crate) fn asks() -> Value {
    json!({"keyside.dev/inject": "true"})
}

fn injected() -> Value {
    json!({"keyside.dev/inject": "true", "keyside.dev/status": "injected"})
}

const UNINJECTED: &str = "keyside_injector_uninjected_pods{namespace=\"shop\"}";

#[test]
fn pods_that_lack_the_agent_are_counted_and_told_of_once() -> anyhow::Result<()> {
    let api = ApiServer::start()?;
    pod(&api, "shop", "web-0", &asks());
    pod(&api, "shop", "web-1", &injected());
    pod(&api, "shop", "web-2", &json!({"other": "true"}));
    pod(&api, "legacy", "old", &asks());
    pod(&api, "kube-system", "dns", &asks());
    let watcher = Watcher::start(&api, "one", &["--excluded-namespaces=legacy"])?;
    watcher.wait_for(UNINJECTED, Some(1))?;
    watcher.wait_for("keyside_injector_asking_pods", Some(2))?;
    watcher.wait_for("keyside_injector_events_total{outcome=\"sent\"}", Some(1))?;
    let events = api.objects(&kube::events("shop"));
    let [event] = &events[..] else {
        anyhow::bail!("{events:#?}");
    };
    let web = api.object(&kube::pod("shop", "web-0")).context("gone")?;
    assert_eq!(event["involvedObject"]["uid"], web["metadata"]["uid"]);
    assert_eq!(event["involvedObject"]["name"], "web-0");
    assert_eq!(
        (&event["reason"], &event["type"]),
        (&json!("NotInjected"), &json!("Warning"))
    );

    // It is told of once, however often it is seen; another is told of too; and who is gone is not counted.
    let looks = "keyside_injector_watch_looks_total{outcome=\"done\"}";
    let seen = watcher.metric(looks)?.context(looks)?;
    poll::until("more looks", poll::LIMIT, || match watcher.metric(looks) {
        Ok(Some(now)) if now > seen + 3 => Ok(()),
        other => Err(format!("{other:?}")),
    })?;
    assert_eq!(api.objects(&kube::events("shop")).len(), 1);
    pod(&api, "shop", "web-3", &asks());
    watcher.wait_for(UNINJECTED, Some(2))?;
    watcher.wait_for("keyside_injector_events_total{outcome=\"sent\"}", Some(2))?;
    for name in ["web-0", "web-3"] {
        api.delete(&kube::pod("shop", name));
    }
    watcher.wait_for(UNINJECTED, None)
}

#[test]
fn all_pages_are_read_and_nothing_of_a_pod_but_its_metadata() -> anyhow::Result<()> {
    let api = ApiServer::start()?;
    for number in 0..1203 {
        pod(&api, "shop", &format!("web-{number}"), &asks());
    }
    pod(&api, "shop", "over", &asks());
    let mut over = api.object(&kube::pod("shop", "over")).context("gone")?;
    over["status"]["phase"] = "Succeeded".into();
    drop(api.put(&kube::pod("shop", "over"), over));
    let watcher = Watcher::start(&api, "one", &["--events=false"])?;
    watcher.wait_for(UNINJECTED, Some(1203))?;
    assert!(api.objects(&kube::events("shop")).is_empty());
    for request in api.requests() {
        let accept = request.header("accept").unwrap_or_default();
        let is_list = request.path.starts_with("/api/v1/pods?");
        assert!(
            !is_list || accept.contains("PartialObjectMetadata"),
            "{accept}"
        );
    }
    let verbs: Vec<String> = api
        .accesses()
        .iter()
        .map(|a| format!("{} {}", a.verb, a.resource))
        .collect();
    for verb in verbs {
        let known = ["list pods", "get leases", "create leases", "update leases"];
        assert!(known.contains(&verb.as_str()), "{verb}");
    }
    Ok(())
}

/// The garbage collector deletes it with its owner.
#[test]
fn the_lease_belongs_to_the_pod_that_took_it() -> anyhow::Result<()> {
    let leading = "keyside_injector_watch_leading";
    let owners = |api: &ApiServer| {
        let lease = api.object(&kube::lease(NAMESPACE, "keyside-injector-watch"));
        lease.unwrap_or_default()["metadata"]["ownerReferences"].clone()
    };
    let api = ApiServer::start()?;
    let mut first = Watcher::start(&api, "one", &["--identity-uid=uid-1"])?;
    first.wait_for(leading, Some(1))?;
    let pod = |name, uid| json!([{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]);
    assert_eq!(owners(&api), pod("one", "uid-1"));
    assert!(first.child.terminate()?.success());
    Watcher::start(&api, "two", &["--identity-uid=uid-2"])?.wait_for(leading, Some(1))?;
    assert_eq!(owners(&api), pod("two", "uid-2"));

    // Where nobody may name an owner, somebody leads all the same.
    let strict = ApiServer::start()?;
    let refuses = Fault::status(StatusCode::FORBIDDEN).to(Method::POST);
    strict.disturb(refuses.with("ownerReferences"));
    Watcher::start(&strict, "one", &["--identity-uid=uid-1"])?.wait_for(leading, Some(1))?;
    assert_eq!(owners(&strict), Value::Null);
    Ok(())
}

#[test]
fn one_of_two_looks_and_the_other_follows_when_it_ends() -> anyhow::Result<()> {
    let api = ApiServer::start()?;
    pod(&api, "shop", "web-0", &asks());
    let mut first = Watcher::start(&api, "first", &[])?;
    first.wait_for("keyside_injector_watch_leading", Some(1))?;
    first.wait_for(UNINJECTED, Some(1))?;
    let second = Watcher::start(&api, "second", &[])?;
    poll::until(
        "the second to have read the Lease",
        poll::LIMIT,
        || match second.get("/readyz") {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )?;
    assert_eq!(second.metric("keyside_injector_watch_leading")?, Some(0));
    assert_eq!(second.metric(UNINJECTED)?, None);
    // The Lease is given back, so that nobody waits until it is over.
    assert!(first.child.terminate()?.success());
    let lease = api.object(&kube::lease(NAMESPACE, "keyside-injector-watch"));
    let holder = &lease.context("no Lease")?["spec"]["holderIdentity"];
    assert!(holder.is_null() || holder == "second", "{holder}");
    second.wait_for("keyside_injector_watch_leading", Some(1))?;
    second.wait_for(UNINJECTED, Some(1))?;
    // What the first has told of already is there.
    second.wait_for("keyside_injector_events_total{outcome=\"sent\"}", Some(1))?;
    assert_eq!(api.objects(&kube::events("shop")).len(), 1);
    Ok(())
}

#[test]
fn a_replica_that_cannot_renew_the_lease_stops_and_another_takes_over() -> anyhow::Result<()> {
    let api = ApiServer::start()?;
    pod(&api, "shop", "web-0", &asks());
    let first = Watcher::start(&api, "first", &[])?;
    first.wait_for("keyside_injector_watch_leading", Some(1))?;
    let second = Watcher::start(&api, "second", &[])?;
    api.disturb(Fault::cut().for_account("first"));
    let both = || {
        anyhow::Ok((
            first.metric("keyside_injector_watch_leading")?,
            second.metric("keyside_injector_watch_leading")?,
        ))
    };
    poll::until("the second to lead", poll::LIMIT, || match both() {
        Ok((Some(1), Some(1))) => Ok(Err(anyhow::anyhow!("both lead"))),
        Ok((_, Some(1))) => Ok(Ok(())),
        other => Err(format!("{other:?}")),
    })??;
    assert_eq!(first.metric(UNINJECTED)?, None);
    Ok(())
}

#[test]
fn what_fails_is_counted_and_tried_again() -> anyhow::Result<()> {
    let api = ApiServer::start()?;
    pod(&api, "shop", "web-0", &asks());
    api.fail(Method::GET, "/pods", StatusCode::FORBIDDEN);
    api.fail(Method::POST, "/events", StatusCode::FORBIDDEN);
    let watcher = Watcher::start(&api, "one", &[])?;
    poll::until("a failed look", poll::LIMIT, || {
        match watcher.metric("keyside_injector_watch_looks_total{outcome=\"failed\"}") {
            Ok(Some(1..)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    api.heal();
    watcher.wait_for(UNINJECTED, Some(1))?;
    watcher.wait_for("keyside_injector_events_total{outcome=\"sent\"}", Some(1))?;
    assert_eq!(watcher.child.events("look_failed").len(), 1);
    Ok(())
}
