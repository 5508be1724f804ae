//! Kubernetes Events for denials.

use http::{Method, StatusCode};
use keyside_harness::{kube, poll};
use serde_json::{Value, json};

use crate::cluster::{self, Cluster, Injector};

/// A review that is denied, of a pod that a `ReplicaSet` makes.
fn denied(name: &str) -> anyhow::Result<Value> {
    let mut review: Value = serde_json::from_slice(&cluster::recording("gen")?)?;
    let metadata = &mut review["request"]["object"]["metadata"];
    metadata["annotations"]["keyside.dev/proxy-port"] = "no port".into();
    metadata["ownerReferences"] = json!([
        { "apiVersion": "v1", "kind": "Other", "name": "other", "uid": "1" },
        { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": "2", "controller": true },
    ]);
    Ok(review)
}

fn told(injector: &Injector, outcome: &str, count: u64) -> anyhow::Result<()> {
    let name = format!("keyside_injector_events_total{{outcome=\"{outcome}\"}}");
    poll::until(outcome, poll::LIMIT, || {
        match injector.metric::<u64>(&name) {
            Ok(found) if found == count => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
}

#[test]
fn a_denial_is_told_to_the_pods_controller_once() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&["--denial-events=true"])?;
    injector.wait_until_ready()?;
    let caller = cluster.caller(&injector)?;
    for _ in 0..2 {
        let review = denied("web-1")?.to_string();
        assert_eq!(
            caller.review(review.as_bytes())?.response()?["allowed"],
            false
        );
    }
    told(&injector, "dropped", 1)?;
    told(&injector, "sent", 1)?;
    let events = cluster.api.objects(&kube::events("shop"));
    let [event] = &events[..] else {
        anyhow::bail!("{events:#?}");
    };
    assert_eq!(
        event["involvedObject"],
        json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "2", "namespace": "shop" })
    );
    assert_eq!(
        (&event["type"], &event["reason"]),
        (&json!("Warning"), &json!("InjectionDenied"))
    );
    let message = event["message"].as_str().unwrap_or_default();
    assert!(message.contains("keyside.dev/proxy-port"), "{message}");
    Ok(())
}

#[test]
fn trying_out_makes_no_event_and_neither_does_an_injector_that_was_not_told_to()
-> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let (loud, quiet) = (
        cluster.injector(&["--denial-events=true"])?,
        cluster.injector(&[])?,
    );
    for injector in [&loud, &quiet] {
        injector.wait_until_ready()?;
    }
    let mut review = denied("web-1")?;
    cluster
        .caller(&quiet)?
        .review(review.to_string().as_bytes())?;
    review["request"]["dryRun"] = true.into();
    cluster
        .caller(&loud)?
        .review(review.to_string().as_bytes())?;
    // What comes after it in the queue is there, so it was passed over.
    cluster
        .caller(&loud)?
        .review(denied("web-2")?.to_string().as_bytes())?;
    told(&loud, "sent", 1)?;
    let events = cluster.api.objects(&kube::events("shop"));
    let names: Vec<&Value> = events
        .iter()
        .map(|event| &event["involvedObject"]["name"])
        .collect();
    assert_eq!(names, ["web-2"]);
    Ok(())
}

#[test]
fn a_storm_of_denials_becomes_few_events_and_delays_no_answer() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&["--denial-events=true"])?;
    injector.wait_until_ready()?;
    cluster
        .api
        .fail(Method::POST, "/events", StatusCode::SERVICE_UNAVAILABLE);
    let mut connection = cluster.caller(&injector)?.connect()?;
    for number in 0..200 {
        let review = denied(&format!("web-{number}"))?.to_string();
        assert_eq!(connection.review(review.as_bytes())?.status, 200);
    }
    let count = |outcome: &str| {
        injector.metric::<u64>(&format!(
            "keyside_injector_events_total{{outcome=\"{outcome}\"}}"
        ))
    };
    poll::until("all of them", poll::LIMIT, || {
        match (count("failed"), count("dropped")) {
            (Ok(failed), Ok(dropped)) if failed + dropped == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    // A burst, and one more for each second that this took.
    assert!(
        (25..=55).contains(&count("failed")?),
        "{}",
        count("failed")?
    );
    assert_eq!(injector.child.events("event_failed").len(), 1);
    Ok(())
}
