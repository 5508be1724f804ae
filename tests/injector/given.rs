//! The certificate that somebody else makes, and its authority where that is to be published.

use keyside_harness::kube::Fault;
use keyside_harness::pki::{Leaf, Pki};
use keyside_harness::poll;

use crate::caller::Caller;
use crate::certificate::{contains, wait_for};
use crate::cluster::{self, Cluster, Injector, SERVICE};

#[test]
fn a_given_certificate_is_served_and_read_again_when_it_changes() -> anyhow::Result<()> {
    let pki = Pki::new()?;
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
    // Who publishes its authority is not known, nor whether they did.
    let trusted = injector.metric::<u8>("keyside_injector_certificate_trusted");
    assert!(trusted.is_err(), "{trusted:?}");
    assert_eq!(injector.metric::<u8>("keyside_injector_ready")?, 1);
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

/// Two files that somebody else makes, and a file with what is to be published.
struct Given {
    pki: Pki,
    leaf: Leaf,
}

impl Given {
    fn new() -> anyhow::Result<Self> {
        Self::of_year(2020)
    }

    fn of_year(year: i32) -> anyhow::Result<Self> {
        let pki = Pki::of_year(year)?;
        let leaf = pki.server("webhook", &[SERVICE])?;
        Ok(Self { pki, leaf })
    }

    fn injector(
        &self,
        cluster: &Cluster,
        account: &str,
        flags: &[&str],
    ) -> anyhow::Result<Injector> {
        let own = [
            "--certificate=given".to_owned(),
            format!(
                "--kubeconfig={}",
                cluster.api.kubeconfig_of(account)?.display()
            ),
            format!("--tls-cert-file={}", self.leaf.certificate_path.display()),
            format!("--tls-key-file={}", self.leaf.key_path.display()),
            format!("--publish-ca-file={}", self.pki.ca_path().display()),
        ];
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        Injector::start(&[own.as_slice(), flags].concat())
    }

    /// Puts another's files in the place of its own, as the kubelet would.
    fn become_of(&self, other: &Self) -> anyhow::Result<()> {
        std::fs::write(self.pki.ca_path(), other.pki.ca())?;
        std::fs::write(&self.leaf.certificate_path, &other.leaf.certificate)?;
        std::fs::write(&self.leaf.key_path, &other.leaf.key)?;
        Ok(())
    }
}

fn review(cluster: &Cluster, injector: &Injector) -> anyhow::Result<()> {
    let answer = cluster
        .caller(injector)?
        .review(&cluster::recording("plain")?)?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(())
}

#[test]
fn without_being_asked_a_given_certificate_touches_no_api() -> anyhow::Result<()> {
    let (cluster, given) = (Cluster::start()?, Given::new()?);
    let flags = [
        "--certificate=given".to_owned(),
        format!("--kubeconfig={}", cluster.api.kubeconfig().display()),
        format!("--tls-cert-file={}", given.leaf.certificate_path.display()),
        format!("--tls-key-file={}", given.leaf.key_path.display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Injector::start(&flags)?.wait_until_ready()?;
    assert_eq!(cluster.api.accesses(), [].into());
    Ok(())
}

#[test]
fn its_authority_is_published_and_kept_and_nothing_else_is_asked_of_the_api() -> anyhow::Result<()>
{
    let (cluster, given) = (Cluster::start()?, Given::new()?);
    let injector = given.injector(&cluster, "one", &["--recheck=1h"])?;
    injector.wait_until_ready()?;
    assert_eq!(cluster.bundles()?.len(), 2);
    review(&cluster, &injector)?;
    cluster.install_webhook();
    wait_for("the bundle again", || {
        Ok(review(&cluster, &injector).is_ok())
    })?;
    for access in cluster.api.accesses() {
        assert_eq!(access.resource, "mutatingwebhookconfigurations");
        assert_eq!(access.name.as_deref(), Some("keyside-injector"));
        assert!(
            ["get", "patch", "watch"].contains(&access.verb),
            "{access:?}"
        );
    }
    Ok(())
}

/// The kubelet brings changed files to one replica long before the other.
#[test]
fn replicas_with_files_of_different_age_lose_no_call() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let (early, late, new) = (Given::new()?, Given::new()?, Given::of_year(2021)?);
    late.become_of(&early)?;
    let replicas = [
        early.injector(&cluster, "early", &["--settle=200ms"])?,
        late.injector(&cluster, "late", &["--settle=200ms"])?,
    ];
    let [first, second] = &replicas;
    for replica in &replicas {
        replica.wait_until_ready()?;
    }
    let reviews = || {
        replicas
            .iter()
            .try_for_each(|replica| review(&cluster, replica))
    };
    // Calls both all the while; ends with the first that fails.
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        poll::until(what, poll::LIMIT, || match (reviews(), is_so()) {
            (Err(lost), _) => Ok(Err(lost)),
            (Ok(()), true) => Ok(Ok(())),
            (Ok(()), false) => Err("not yet"),
        })?
    };
    let serves_new = |replica: &Injector| replica.child.events("certificate_served").len() == 2;
    early.become_of(&new)?;
    until("the new certificate", &|| serves_new(first))?;
    assert!(!serves_new(second));
    assert!(contains(
        &cluster.bundle()?,
        new.pki.ca().trim_ascii().as_bytes()
    ));
    late.become_of(&new)?;
    until("the new certificate everywhere", &|| serves_new(second))?;
    until("the old authority to go", &|| {
        cluster
            .bundle()
            .is_ok_and(|bundle| bundle == new.pki.ca().into_bytes())
    })
}

#[test]
fn a_given_authority_that_is_none_fails_the_start() -> anyhow::Result<()> {
    let (cluster, given) = (Cluster::start()?, Given::new()?);
    std::fs::write(given.pki.ca_path(), "nothing")?;
    let error = given.injector(&cluster, "one", &[]).err();
    let error = format!("{:#}", error.expect("it must not start"));
    assert!(error.contains("there is no authority in"), "{error}");
    Ok(())
}

#[test]
fn goes_on_with_what_it_has_while_the_api_is_away() -> anyhow::Result<()> {
    let (cluster, given) = (Cluster::start()?, Given::new()?);
    let injector = given.injector(&cluster, "one", &[])?;
    injector.wait_until_ready()?;
    cluster.api.disturb(Fault::cut());
    poll::until("a failed look", poll::LIMIT, || {
        match injector.metric::<u64>("keyside_injector_certificate_failures_total") {
            Ok(failures) if failures > 2 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    review(&cluster, &injector)?;
    injector.wait_until_ready()
}
