//! No admission is lost while certificates rotate, replicas come and go, and the API misbehaves.

use std::time::Duration;

use http::{Method, StatusCode};
use keyside_harness::kube::Fault;
use keyside_harness::poll;
use rustix::process::Signal;

use crate::cluster;
use crate::fleet::{Fleet, Retry};

/// A leaf lives for the shortest time that there is.
const SHORT: [&str; 2] = ["--leaf-lifetime=3s", "--settle=300ms"];

/// As many leaves as `ROTATIONS` says (1000 take half an hour), with a rolling restart at a third and at two thirds of
/// them.
#[test]
fn no_call_is_lost_through_rotations_and_rolling_restarts() -> anyhow::Result<()> {
    let count = std::env::var("ROTATIONS").ok();
    let count: u32 = count.map_or(Ok(24), |count| count.parse())?;
    let fleet = Fleet::start(&SHORT)?;
    fleet.under_load(Retry::Never, || {
        for part in 1..=3 {
            fleet.wait_for_leaves(count * part / 3)?;
            if part < 3 {
                fleet.restart()?;
            }
        }
        Ok(())
    })?;
    // An authority lives for ten leaves, and its successor comes at half time: some eight leaves, as they overlap.
    assert!(
        fleet.authorities() > count / 12,
        "{} authorities",
        fleet.authorities()
    );
    Ok(())
}

#[test]
fn a_killed_replica_loses_no_call_that_is_made_again_elsewhere() -> anyhow::Result<()> {
    let fleet = Fleet::start(&[])?;
    fleet.under_load(Retry::Elsewhere, || {
        for _ in 0..4 {
            fleet.end_oldest(Signal::KILL)?;
            fleet.add()?;
        }
        Ok(())
    })?;
    assert!(
        fleet.repeated() > 0,
        "nobody called a replica that was killed"
    );
    Ok(())
}

#[test]
fn a_secret_that_is_deleted_again_and_again_loses_no_call() -> anyhow::Result<()> {
    let fleet = Fleet::start(&SHORT)?;
    fleet.under_load(Retry::Never, || {
        for leaves in 1..=6 {
            fleet.wait_for_leaves(leaves)?;
            fleet.cluster.api.delete(&cluster::secret_path());
            if leaves == 3 {
                // These know nothing of what was there.
                fleet.restart()?;
                fleet.cluster.api.delete(&cluster::secret_path());
            }
        }
        Ok(())
    })
}

/// While nothing is published nobody can be trusted; that is over in a moment, and nothing else is lost.
#[test]
fn an_emptied_ca_bundle_is_back_at_once_and_loses_no_other_call() -> anyhow::Result<()> {
    let fleet = Fleet::start(&SHORT)?;
    fleet.under_load(Retry::Never, || {
        for leaves in 1..=4 {
            fleet.wait_for_leaves(leaves)?;
            fleet.cluster.install_webhook();
            poll::until("the bundle again", Duration::from_secs(5), || {
                fleet.cluster.bundle().map(|_bundle| ())
            })?;
        }
        Ok(())
    })?;
    // Four times, a second each at the most.
    assert!(fleet.untrusted() <= 80, "{}", fleet.untrusted());
    Ok(())
}

/// It goes on with the leaf that it has, writes nothing, and takes no more calls when that ends.
#[test]
fn a_replica_that_reads_an_old_state_loses_no_call_and_does_no_harm() -> anyhow::Result<()> {
    let fleet = Fleet::start(&["--leaf-lifetime=6s", "--settle=300ms"])?;
    fleet.under_load(Retry::Never, || {
        let stale = Fault::stale().for_account("replica-0");
        fleet.cluster.api.disturb(stale);
        poll::until("the replica to end being ready", poll::LIMIT, || {
            let readiness = fleet.readiness()?;
            let is_off = readiness
                .iter()
                .any(|(status, text)| *status == 503 && text.contains("the one that is served"));
            anyhow::ensure!(is_off, "{readiness:?}");
            Ok(())
        })?;
        fleet.wait_for_leaves(fleet.leaves() + 2)?;
        fleet.cluster.api.heal();
        poll::until("all to be ready", poll::LIMIT, || {
            let readiness = fleet.readiness()?;
            anyhow::ensure!(
                readiness.iter().all(|(status, _)| *status == 200),
                "{readiness:?}"
            );
            Ok(())
        })
    })
}

#[test]
fn an_api_that_answers_409_and_503_loses_no_call() -> anyhow::Result<()> {
    let fleet = Fleet::start(&SHORT)?;
    let api = &fleet.cluster.api;
    for fault in [
        Fault::status(StatusCode::SERVICE_UNAVAILABLE).every(5),
        Fault::status(StatusCode::CONFLICT).to(Method::PUT).every(2),
        Fault::status(StatusCode::CONFLICT)
            .to(Method::PATCH)
            .every(2),
    ] {
        api.disturb(fault);
    }
    fleet.under_load(Retry::Never, || fleet.wait_for_leaves(9))?;
    assert!(
        fleet.authorities() >= 2,
        "{} authorities",
        fleet.authorities()
    );
    assert!(fleet.events("certificate_failed") > 0, "nothing went wrong");
    Ok(())
}

#[test]
fn an_api_that_is_away_loses_no_call_and_readiness_tells_what_is_known() -> anyhow::Result<()> {
    let fleet = Fleet::start(&[])?;
    fleet.under_load(Retry::Never, || {
        fleet.cluster.api.disturb(Fault::cut());
        poll::until("each to tell of it", poll::LIMIT, || {
            let readiness = fleet.readiness()?;
            let is_told = |(status, text): &(u16, String)| {
                *status == 200
                    && text.contains("the certificate is good for 60")
                    && text.contains("reading MutatingWebhookConfiguration keyside-injector")
            };
            anyhow::ensure!(readiness.iter().all(is_told), "{readiness:?}");
            Ok(())
        })?;
        fleet.wait_for_calls(40)?;
        fleet.cluster.api.heal();
        poll::until("each to be content", poll::LIMIT, || {
            let readiness = fleet.readiness()?;
            let is_well = |(_, text): &(u16, String)| text == "ok\n";
            anyhow::ensure!(readiness.iter().all(is_well), "{readiness:?}");
            Ok(())
        })
    })
}
