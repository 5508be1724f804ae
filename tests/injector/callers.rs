//! Who may call, where that is limited to holders of a certificate.

use keyside_harness::pki::{Leaf, Pki};
use keyside_harness::poll;

use crate::caller::Caller;
use crate::cluster::{self, Cluster, Injector, SERVICE};

/// A webhook that wants certificates of this authority.
struct Guarded {
    cluster: Cluster,
    injector: Injector,
    pki: Pki,
}

impl Guarded {
    fn new(flags: &[&str]) -> anyhow::Result<Self> {
        let (cluster, pki) = (Cluster::start()?, Pki::new()?);
        let file = format!("--client-ca={}", pki.ca_path().display());
        let flags = [&[file.as_str(), "--recheck=20ms"], flags].concat();
        let injector = cluster.injector(&flags)?;
        injector.wait_until_ready()?;
        Ok(Self {
            cluster,
            injector,
            pki,
        })
    }

    fn call(&self, leaf: &Leaf) -> anyhow::Result<u16> {
        let bundle = self.cluster.bundle()?;
        let caller = Caller::presenting(&self.injector.webhook, &bundle, SERVICE, leaf)?;
        Ok(caller.review(&cluster::recording("plain")?)?.status)
    }
}

#[test]
fn who_brings_no_certificate_or_a_strangers_is_refused_in_the_handshake() -> anyhow::Result<()> {
    let guarded = Guarded::new(&[])?;
    assert_eq!(guarded.call(&guarded.pki.client("anyone")?)?, 200);

    let stranger = Pki::new()?.client("anyone")?;
    let refusal = guarded
        .call(&stranger)
        .err()
        .map(|error| format!("{error:#}"));
    assert!(refusal.is_some(), "a stranger's certificate was accepted");
    let nobody = guarded.cluster.caller(&guarded.injector)?;
    let refusal = nobody.review(&cluster::recording("plain")?);
    assert!(refusal.is_err(), "{refusal:?}");
    // A server's certificate is no caller's, though of the same authority.
    assert!(guarded.call(&guarded.pki.server("server", &[])?).is_err());

    let name = "keyside_injector_tls_handshake_failures_total";
    poll::until("three failed handshakes", poll::LIMIT, || {
        match guarded.injector.metric::<u64>(name) {
            Ok(3) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })?;
    assert_eq!(guarded.injector.child.events("admission").len(), 1);
    Ok(())
}

#[test]
fn only_the_named_callers_are_let_in() -> anyhow::Result<()> {
    let guarded = Guarded::new(&["--client-names=kube-apiserver, other"])?;
    for (name, is_in) in [("kube-apiserver", true), ("other", true), ("kube", false)] {
        let answer = guarded.call(&guarded.pki.client(name)?);
        assert_eq!(answer.is_ok(), is_in, "{name}: {answer:?}");
    }
    Ok(())
}

#[test]
fn authorities_are_read_again_and_kept_while_the_file_is_nonsense() -> anyhow::Result<()> {
    let guarded = Guarded::new(&[])?;
    let (old, other) = (guarded.pki.client("api")?, Pki::new()?);
    let new = other.client("api")?;
    std::fs::write(guarded.pki.ca_path(), "nonsense")?;
    let is_told = || guarded.injector.child.events("callers_failed").len();
    poll::until("a failed look", poll::LIMIT, || match is_told() {
        0 => Err("none"),
        _ => Ok(()),
    })?;
    assert_eq!(guarded.call(&old)?, 200);
    std::fs::write(guarded.pki.ca_path(), other.ca())?;
    poll::until("the other authority", poll::LIMIT, || {
        guarded.call(&new).map(|_status| ())
    })?;
    assert!(
        guarded.call(&old).is_err(),
        "the old authority is still trusted"
    );
    assert_eq!(is_told(), 1);
    Ok(())
}

#[test]
fn a_file_of_authorities_that_is_not_there_fails_the_start() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let error = cluster.injector(&["--client-ca=/not/there"]).err();
    let error = format!("{:#}", error.expect("it must not start"));
    assert!(
        error.contains("authorities of callers from /not/there"),
        "{error}"
    );
    Ok(())
}
