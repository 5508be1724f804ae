//! The certificate that replicas make, publish, share and rotate.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use keyside_harness::kube::{Access, Fault};
use keyside_harness::poll;
use serde_json::json;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::cluster::{self, Cluster, Injector, SERVICE};

#[test]
fn serves_what_the_published_bundle_of_every_entry_trusts() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    assert_eq!(cluster.bundles()?.len(), 2);
    let bundle = cluster.bundle()?;
    for name in [
        SERVICE,
        "keyside-injector.keyside-system",
        "keyside-injector",
    ] {
        let caller = Caller::new(&injector.webhook, &bundle, name)?;
        let answer = caller.review(&cluster::recording("plain")?)?;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    Ok(())
}

#[test]
fn a_caller_that_trusts_another_authority_or_wants_another_name_refuses() -> anyhow::Result<()> {
    let (cluster, other) = (Cluster::start()?, Cluster::start()?);
    let (injector, stranger) = (cluster.injector(&[])?, other.injector(&[])?);
    injector.wait_until_ready()?;
    stranger.wait_until_ready()?;
    let foreign = Caller::new(&injector.webhook, &other.bundle()?, SERVICE)?.connect();
    assert!(format!("{:#}", foreign.err().unwrap()).contains("UnknownIssuer"));
    let misnamed = Caller::new(
        &injector.webhook,
        &cluster.bundle()?,
        "other.keyside-system.svc",
    )?
    .connect();
    assert!(format!("{:#}", misnamed.err().unwrap()).contains("not valid for name"));
    Ok(())
}

#[test]
fn says_what_is_missing_until_the_webhook_configuration_exists() -> anyhow::Result<()> {
    let cluster = Cluster::without_webhook()?;
    let injector = cluster.injector(&[])?;
    injector.wait_for_readiness(|status, text| {
        status == 503
            && text.contains("MutatingWebhookConfiguration keyside-injector does not exist")
    })?;
    assert_eq!(injector.get("/livez")?.0, 200);
    cluster.install_webhook();
    injector.wait_until_ready()
}

#[test]
fn says_what_is_missing_while_the_secret_cannot_be_made() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    cluster
        .api
        .fail(Method::POST, "/secrets", StatusCode::FORBIDDEN);
    let injector = cluster.injector(&[])?;
    injector.wait_for_readiness(|status, text| {
        status == 503 && text.contains("writing Secret keyside-system/keyside-injector-certificate")
    })?;
    assert_eq!(
        cluster.bundles()?,
        [Vec::<u8>::new(), Vec::new()],
        "published what could not be kept"
    );
    cluster.api.heal();
    injector.wait_until_ready()
}

#[test]
fn asks_the_api_for_nothing_beyond_its_rights() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&["--leaf-lifetime=3s", "--settle=200ms"])?;
    injector.wait_until_ready()?;
    let first = cluster.secret("tls.crt")?;
    wait_for("another leaf", || Ok(cluster.secret("tls.crt")? != first))?;
    poll::until("the watch", poll::LIMIT, || {
        let used: Vec<String> = cluster.api.accesses().iter().map(right).collect();
        let known = [
            "create secrets in keyside-system",
            "get secrets keyside-injector-certificate in keyside-system",
            "get mutatingwebhookconfigurations keyside-injector",
            "patch mutatingwebhookconfigurations keyside-injector",
            "update secrets keyside-injector-certificate in keyside-system",
            "watch mutatingwebhookconfigurations keyside-injector",
        ];
        let (used, known) = (used.iter().map(String::as_str).collect(), known.into());
        let (used, known): (BTreeSet<&str>, BTreeSet<&str>) = (used, known);
        anyhow::ensure!(used == known, "{used:#?}");
        Ok(())
    })?;
    for request in cluster.api.requests() {
        let token = format!("Bearer {}", keyside_harness::kube::TOKEN);
        assert_eq!(request.header("authorization"), Some(token.as_str()));
    }
    Ok(())
}

/// A right, in one line.
fn right(access: &Access) -> String {
    let name = access.name.as_ref().map(|name| format!(" {name}"));
    let namespace = access.namespace.as_ref().map(|name| format!(" in {name}"));
    let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
    format!("{} {}{name}{namespace}", access.verb, access.resource)
}

#[test]
fn owns_the_ca_bundle_of_every_entry_and_nothing_else() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    cluster.injector(&[])?.wait_until_ready()?;
    let configuration = cluster
        .api
        .object(&cluster::webhook_path())
        .context("gone")?;
    let managers = &configuration["metadata"]["managedFields"];
    let [manager] = managers.as_array().context("no managers")?.as_slice() else {
        anyhow::bail!("{managers}");
    };
    assert_eq!(manager["manager"], "keyside-injector");
    assert_eq!(manager["operation"], "Apply");
    let entries = manager["fields"]["webhooks"]
        .as_array()
        .context("no entries")?;
    let bundle = STANDARD.encode(cluster.bundle()?);
    for (entry, name) in entries
        .iter()
        .zip(["inject.keyside.dev", "compat.keyside.dev"])
    {
        assert_eq!(
            *entry,
            json!({ "name": name, "clientConfig": { "caBundle": bundle } })
        );
    }
    assert_eq!(entries.len(), 2);
    Ok(())
}

#[test]
fn a_bundle_that_was_emptied_is_put_right_without_waiting_for_the_next_look() -> anyhow::Result<()>
{
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&["--recheck=1h", "--leaf-lifetime=24h"])?;
    injector.wait_until_ready()?;
    let bundle = cluster.bundle()?;
    for _ in 0..3 {
        cluster.install_webhook();
        wait_for("the bundle again", || {
            Ok(cluster.bundle().is_ok_and(|found| found == bundle))
        })?;
    }
    Ok(())
}

/// The replicas that are there go on serving what the old authority signed.
#[test]
fn a_new_replica_without_a_secret_keeps_the_published_authority_beside_its_own()
-> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let old = cluster.injector(&["--recheck=1h", "--leaf-lifetime=24h"])?;
    old.wait_until_ready()?;
    let (bundle, leaf) = (cluster.bundle()?, cluster.secret("tls.crt")?);
    // The old one cannot see any of what follows.
    let account = keyside_harness::kube::TOKEN;
    cluster.api.disturb(Fault::stale().for_account(account));
    cluster.api.delete(&cluster::secret_path());
    let kubeconfig = cluster.api.kubeconfig_of("new")?;
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let new = Injector::start(&[kubeconfig.as_str(), "--settle=1h"])?;
    new.wait_until_ready()?;
    assert_ne!(cluster.secret("tls.crt")?, leaf);
    let both = cluster.bundle()?;
    assert!(
        contains(&both, bundle.trim_ascii()),
        "the old authority is gone"
    );
    assert_eq!(cluster.secret("ca.crt")?, both);
    for replica in [&old, &new] {
        let answer = cluster
            .caller(replica)?
            .review(&cluster::recording("plain")?)?;
        assert_eq!(answer.status, 200);
    }
    Ok(())
}

#[test]
fn a_secret_that_was_put_back_from_an_old_copy_takes_no_published_authority_away()
-> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    cluster.injector(&[])?.wait_until_ready()?;
    let (copy, old) = (
        cluster
            .api
            .object(&cluster::secret_path())
            .context("no Secret")?,
        cluster.bundle()?,
    );
    // Certificates count whole seconds, and so does what is newer.
    let made = Instant::now();
    poll::until("the next second", poll::LIMIT, || {
        let passed = made.elapsed() > Duration::from_millis(1100);
        passed.then_some(()).ok_or("the same second")
    })?;
    cluster.api.delete(&cluster::secret_path());
    cluster.install_webhook();
    cluster.injector(&[])?.wait_until_ready()?;
    let newer = cluster.bundle()?;
    assert!(
        !contains(&newer, old.trim_ascii()),
        "it was to be forgotten"
    );

    drop(cluster.api.put(&cluster::secret_path(), copy));
    cluster.injector(&[])?.wait_until_ready()?;
    let all = cluster.bundle()?;
    for authority in [&old, &newer] {
        assert!(
            contains(&all, authority.trim_ascii()),
            "an authority is gone"
        );
    }
    let count = String::from_utf8(all)?.matches("BEGIN CERTIFICATE").count();
    assert_eq!(count, 3, "the one that is newest now comes first");
    Ok(())
}

#[test]
fn a_leaf_of_a_new_authority_waits_until_the_authority_has_settled() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&["--settle=1h"])?;
    injector.wait_until_ready()?;
    let served = || injector.child.events("certificate_served").len();
    assert_eq!(served(), 1);
    // Another installation's Secret, with its authority published beside ours.
    let other = Cluster::start()?;
    other.injector(&[])?.wait_until_ready()?;
    let mut secret = other
        .api
        .object(&cluster::secret_path())
        .context("no Secret")?;
    let both = [other.bundle()?, cluster.bundle()?].concat();
    secret["data"]["ca.crt"] = STANDARD.encode(&both).into();
    drop(cluster.api.put(&cluster::secret_path(), secret));
    wait_for("both published", || Ok(cluster.bundle()? == both))?;
    let looks = cluster.api.requests().len();
    wait_for("more looks", || {
        Ok(cluster.api.requests().len() > looks + 10)
    })?;
    assert_eq!(served(), 1, "it replaced a good leaf at once");
    injector.wait_until_ready()
}

#[test]
fn replicas_that_start_at_once_share_one_secret() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    cluster
        .api
        .fail(Method::POST, "/secrets", StatusCode::FORBIDDEN);
    let replicas: Vec<Injector> = (0..3)
        .map(|_| cluster.injector(&[]))
        .collect::<Result<_, _>>()?;
    // Each has found no Secret and made one of its own by the time that the first of them is let through.
    for replica in &replicas {
        replica.wait_for_readiness(|_, text| text.contains("writing Secret"))?;
    }
    cluster.api.heal();
    for replica in &replicas {
        replica.wait_until_ready()?;
    }
    let bundle = cluster.bundle()?;
    assert_eq!(cluster.secret("ca.crt")?, bundle);
    let published = STANDARD.encode(&bundle);
    for request in cluster.api.requests() {
        let text = String::from_utf8_lossy(&request.body);
        assert!(
            request.method != Method::PATCH || text.contains(&published),
            "a replica published an authority of its own: {text}"
        );
    }
    for replica in &replicas {
        let caller = Caller::new(&replica.webhook, &bundle, SERVICE)?;
        assert_eq!(caller.review(&cluster::recording("plain")?)?.status, 200);
    }
    Ok(())
}

#[test]
fn a_bundle_that_someone_else_overwrote_is_put_right() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    let bundle = cluster.bundle()?;
    cluster.install_webhook();
    wait_for("the bundle again", || {
        Ok(cluster.bundle().is_ok_and(|found| found == bundle))
    })?;
    injector.wait_until_ready()
}

#[test]
fn is_unready_while_the_api_trusts_someone_else() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    let metrics = || -> anyhow::Result<(u8, u8)> {
        let ready = injector.metric("keyside_injector_ready")?;
        let trusted = injector.metric("keyside_injector_certificate_trusted")?;
        Ok((ready, trusted))
    };
    assert_eq!(metrics()?, (1, 1));
    cluster.api.fail(
        Method::PATCH,
        "/mutatingwebhookconfigurations/",
        StatusCode::FORBIDDEN,
    );
    cluster.install_webhook();
    injector.wait_for_readiness(|status, text| {
        status == 503 && text.contains("publishing the caBundle")
    })?;
    assert_eq!(metrics()?, (0, 0));
    cluster.api.heal();
    injector.wait_until_ready()?;
    assert_eq!(metrics()?, (1, 1));
    Ok(())
}

#[test]
fn a_secret_that_was_deleted_or_spoilt_comes_back_as_it_was() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    let (bundle, leaf) = (cluster.bundle()?, cluster.secret("tls.crt")?);
    let same = || Ok(cluster.secret("tls.crt").is_ok_and(|found| found == leaf));
    cluster.api.delete(&cluster::secret_path());
    wait_for("the Secret again", same)?;
    let mut spoilt = cluster.api.object(&cluster::secret_path()).unwrap();
    spoilt["data"]["tls.crt"] = "AAAA".into();
    spoilt["data"]["note"] = "bWluZQ==".into();
    drop(cluster.api.put(&cluster::secret_path(), spoilt));
    wait_for("the Secret put right", same)?;
    assert_eq!(
        cluster.secret("note")?,
        b"mine",
        "took away what is not its own"
    );
    assert_eq!(cluster.bundle()?, bundle);
    Ok(())
}

/// The garbage collector deletes it with its owner.
#[test]
fn the_secret_belongs_to_the_webhook_configuration() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    cluster.injector(&[])?.wait_until_ready()?;
    let configuration = cluster.api.object(&cluster::webhook_path()).unwrap();
    let secret = cluster.api.object(&cluster::secret_path()).unwrap();
    assert_eq!(
        secret["metadata"]["ownerReferences"],
        json!([{
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "name": configuration["metadata"]["name"],
            "uid": configuration["metadata"]["uid"],
        }])
    );

    // Another configuration of that name: the collector has deleted the Secret, and it comes back as the new one's.
    let mut another = configuration;
    another["metadata"]["uid"] = "another".into();
    drop(cluster.api.put(&cluster::webhook_path(), another));
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    cluster.api.delete(&cluster::secret_path());
    wait_for("the Secret of the other one", || {
        let secret = cluster
            .api
            .object(&cluster::secret_path())
            .unwrap_or_default();
        Ok(secret["metadata"]["ownerReferences"][0]["uid"] == "another")
    })
}

/// As where `OwnerReferencesPermissionEnforcement` is on.
#[test]
fn a_cluster_that_lets_nobody_own_gets_a_secret_all_the_same() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let refuses = Fault::status(StatusCode::FORBIDDEN)
        .to(Method::POST)
        .of("/secrets");
    cluster.api.disturb(refuses.with("ownerReferences"));
    cluster.injector(&[])?.wait_until_ready()?;
    let secret = cluster.api.object(&cluster::secret_path()).unwrap();
    assert_eq!(
        secret["metadata"]["ownerReferences"],
        serde_json::Value::Null
    );
    Ok(())
}

/// What `docs/upgrade.md` tells whoever has lost the authority's key.
#[test]
fn after_a_leak_nothing_old_is_trusted() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let mut injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    let old = cluster.bundle()?;
    assert!(injector.child.terminate()?.success());

    cluster.api.delete(&cluster::secret_path());
    // No entry has a `caBundle` any more.
    cluster.install_webhook();
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    let new = cluster.bundle()?;
    assert!(!contains(&new, old.trim_ascii()), "the old one is trusted");
    let believer = Caller::new(&injector.webhook, &old, SERVICE)?.connect();
    assert!(believer.is_err(), "what is served is of the old one");
    cluster.caller(&injector)?.connect()?;
    Ok(())
}

#[test]
fn a_restarted_replica_serves_what_the_secret_holds() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let mut injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    let leaf = cluster.secret("tls.crt")?;
    assert!(injector.child.terminate()?.success());
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    assert_eq!(cluster.secret("tls.crt")?, leaf);
    assert_eq!(
        cluster
            .caller(&injector)?
            .review(&cluster::recording("plain")?)?
            .status,
        200
    );
    Ok(())
}

/// Through several leaves and a change of the authority. Each call trusts what an API server trusts that learns of a
/// new bundle a while after it was published, but within the time to settle.
#[test]
fn rotates_under_load_without_losing_a_call() -> anyhow::Result<()> {
    const LAG: Duration = Duration::from_millis(100);
    let cluster = Cluster::start()?;
    let flags = ["--leaf-lifetime=3s", "--settle=1s"];
    let replicas = [cluster.injector(&flags)?, cluster.injector(&flags)?];
    for replica in &replicas {
        replica.wait_until_ready()?;
    }
    let review = cluster::recording("plain")?;
    let first = cluster.bundle()?;
    let (mut before, mut published, mut since) = (first.clone(), first.clone(), Instant::now());
    let (start, mut leaves, mut calls) = (Instant::now(), Vec::new(), 0);
    // Until the authority that was there first is gone, and only its successor is trusted.
    while contains(&before, &first) {
        let elapsed = start.elapsed();
        anyhow::ensure!(
            elapsed < Duration::from_mins(1),
            "the first authority is still there"
        );
        let now = cluster.bundle()?;
        if now != published {
            before = std::mem::replace(&mut published, now);
            since = Instant::now();
        }
        if since.elapsed() >= LAG {
            before.clone_from(&published);
        }
        for replica in &replicas {
            let answer = Caller::new(&replica.webhook, &before, SERVICE)?.review(&review)?;
            anyhow::ensure!(answer.status == 200, "{answer:?}");
            calls += 1;
        }
        let leaf = cluster.secret("tls.crt")?;
        if leaves.last() != Some(&leaf) {
            leaves.push(leaf);
        }
    }
    let elapsed = start.elapsed();
    assert!(leaves.len() >= 4, "{} leaves in {elapsed:?}", leaves.len());
    assert!(calls > 100, "{calls} calls in {elapsed:?}");
    let authorities = String::from_utf8(before)?
        .matches("BEGIN CERTIFICATE")
        .count();
    assert_eq!(
        authorities, 1,
        "the old authority went only when a third came"
    );
    Ok(())
}

#[test]
fn a_replica_that_loses_the_race_takes_what_the_winner_wrote() -> anyhow::Result<()> {
    let (winner, cluster) = (Cluster::start()?, Cluster::start()?);
    winner.injector(&[])?.wait_until_ready()?;
    cluster
        .api
        .fail(Method::POST, "/secrets", StatusCode::CONFLICT);
    let injector = cluster.injector(&[])?;
    let is_outrun =
        |status, text: &str| status == 503 && text.contains("by others again and again");
    injector.wait_for_readiness(is_outrun)?;
    let secret = winner.api.object(&cluster::secret_path()).unwrap();
    drop(cluster.api.put(&cluster::secret_path(), secret));
    injector.wait_until_ready()?;
    assert_eq!(cluster.bundle()?, winner.bundle()?);
    assert_eq!(cluster.secret("tls.key")?, winner.secret("tls.key")?);
    Ok(())
}

#[test]
fn a_publication_that_was_outrun_is_looked_at_again() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let path = "/mutatingwebhookconfigurations/";
    cluster
        .api
        .fail(Method::PATCH, path, StatusCode::UNPROCESSABLE_ENTITY);
    let injector = cluster.injector(&[])?;
    let is_outrun =
        |status, text: &str| status == 503 && text.contains("by others again and again");
    injector.wait_for_readiness(is_outrun)?;
    cluster.api.heal();
    injector.wait_until_ready()
}

#[test]
fn a_leaf_for_another_service_is_replaced_and_never_served() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let mut before = cluster.injector(&["--service=old-name"])?;
    before.wait_until_ready()?;
    assert!(before.child.terminate()?.success());
    let bundle = cluster.bundle()?;
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    assert_eq!(
        cluster.bundle()?,
        bundle,
        "the authority is as good for the new name"
    );
    assert_eq!(
        cluster
            .caller(&injector)?
            .review(&cluster::recording("plain")?)?
            .status,
        200
    );
    assert_eq!(injector.child.events("certificate_served").len(), 1);
    Ok(())
}

#[test]
fn keeps_serving_while_the_api_is_away() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let injector = cluster.injector(&[])?;
    injector.wait_until_ready()?;
    let caller = cluster.caller(&injector)?;
    let failures: u64 = injector.metric("keyside_injector_certificate_failures_total")?;
    cluster
        .api
        .fail(Method::GET, "/", StatusCode::INTERNAL_SERVER_ERROR);
    poll::until("failed looks", poll::LIMIT, || {
        match injector.metric::<u64>("keyside_injector_certificate_failures_total") {
            Ok(now) if now >= failures + 3 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    assert_eq!(injector.get("/readyz")?.0, 200);
    assert_eq!(caller.review(&cluster::recording("plain")?)?.status, 200);
    Ok(())
}

pub(crate) fn wait_for(
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    poll::until(what, poll::LIMIT, || match is_so() {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
