//! The certificate that replicas make, publish, share and rotate.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use keyside_harness::poll;
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
    let secrets = cluster::secret_path();
    let collection = secrets.rsplit_once('/').unwrap().0.to_owned();
    for request in cluster.api.requests() {
        let path = request.path.split('?').next().unwrap_or_default();
        let allowed = match request.method {
            Method::GET => path == secrets || path == cluster::webhook_path(),
            Method::PUT => path == secrets,
            Method::POST => path == collection,
            Method::PATCH => path == cluster::webhook_path(),
            _ => false,
        };
        assert!(allowed, "{} {}", request.method, request.path);
        let token = format!("Bearer {}", keyside_harness::kube::TOKEN);
        assert_eq!(request.header("authorization"), Some(token.as_str()));
    }
    Ok(())
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
    cluster.api.fail(
        Method::PATCH,
        "/mutatingwebhookconfigurations/",
        StatusCode::FORBIDDEN,
    );
    cluster.install_webhook();
    injector.wait_for_readiness(|status, text| {
        status == 503 && text.contains("publishing the caBundle")
    })?;
    cluster.api.heal();
    injector.wait_until_ready()
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

#[test]
fn a_given_certificate_is_served_and_read_again_when_it_changes() -> anyhow::Result<()> {
    let pki = keyside_harness::pki::Pki::new()?;
    let leaf = pki.server("webhook", &[SERVICE])?;
    let flags = [
        "--certificate=given".to_owned(),
        format!("--tls-cert-file={}", leaf.certificate_path.display()),
        format!("--tls-key-file={}", leaf.key_path.display()),
        "--recheck=20ms".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let injector = Injector::start(&flags)?;
    injector.wait_until_ready()?;
    let call = |authority: &str, name: &str| {
        Caller::new(&injector.webhook, authority.as_bytes(), name)?
            .review(&cluster::recording("plain")?)
    };
    assert_eq!(call(&pki.ca(), SERVICE)?.status, 200);
    // Half of a pair is no pair: the old one stays.
    std::fs::write(&leaf.key_path, "nonsense")?;
    poll::until("a failed look", poll::LIMIT, || {
        match injector.metric::<u64>("keyside_injector_certificate_failures_total") {
            Ok(failures) if failures > 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    assert_eq!(call(&pki.ca(), SERVICE)?.status, 200);
    pki.server("webhook", &["new.example.com"])?;
    wait_for("the new certificate", || {
        Ok(call(&pki.ca(), "new.example.com").is_ok())
    })
}

#[test]
fn a_given_certificate_that_is_not_there_fails_the_start() {
    let flags = [
        "--certificate=given",
        "--tls-cert-file=/not/there",
        "--tls-key-file=/not/there",
    ];
    let error = Injector::start(&flags).err().expect("it must not start");
    assert!(
        format!("{error:#}").contains("reading /not/there"),
        "{error:#}"
    );
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    poll::until(what, poll::LIMIT, || match is_so() {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
