//! Three replicas behind a Service, and an API server that calls them twenty times a second and trusts what the
//! webhook configuration holds at that moment.
//!
//! Each call is a connection of its own, so that each one verifies a certificate. Lives are short: a leaf is renewed
//! every other second, an authority every quarter of a minute.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use keyside_harness::poll;
use rustix::process::Signal;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::cluster::{self, Cluster, Injector, SERVICE};

/// How late a Service learns that a replica is to go.
const LATE: Duration = Duration::from_millis(300);
const PACE: Duration = Duration::from_millis(50);

pub(crate) struct Fleet {
    pub(crate) cluster: Cluster,
    flags: Vec<String>,
    replicas: Mutex<Vec<Injector>>,
    /// Where calls go.
    endpoints: Mutex<Vec<String>>,
    seen: Seen,
    ended: AtomicBool,
    started: AtomicU32,
}

/// What the API server has seen.
#[derive(Default)]
struct Seen {
    calls: AtomicU32,
    repeated: AtomicU32,
    /// Calls for which nothing was trusted.
    untrusted: AtomicU32,
    leaves: AtomicU32,
    authorities: AtomicU32,
    lost: Mutex<Vec<String>>,
}

/// Whether a call that failed is made again, at another replica.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    Never,
    Elsewhere,
}

impl Fleet {
    pub(crate) fn start(flags: &[&str]) -> anyhow::Result<Self> {
        let fleet = Self {
            cluster: Cluster::start()?,
            flags: flags.iter().copied().map(str::to_owned).collect(),
            replicas: Mutex::default(),
            endpoints: Mutex::default(),
            seen: Seen::default(),
            ended: AtomicBool::new(false),
            started: AtomicU32::new(0),
        };
        for _ in 0..3 {
            fleet.add()?;
        }
        Ok(fleet)
    }

    /// One more replica, which gets calls as soon as it is ready. The API knows it as `replica-N`.
    pub(crate) fn add(&self) -> anyhow::Result<()> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let kubeconfig = self
            .cluster
            .api
            .kubeconfig_of(&format!("replica-{number}"))?;
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        let flags = self.flags.iter().map(String::as_str);
        let flags: Vec<&str> = flags
            .chain([
                kubeconfig.as_str(),
                "--drain=1s",
                "--vault-address=https://vault",
            ])
            .collect();
        let injector = Injector::start(&flags)?;
        injector.wait_until_ready()?;
        lock(&self.endpoints).push(injector.webhook.clone());
        lock(&self.replicas).push(injector);
        Ok(())
    }

    /// Ends the oldest replica with this signal; calls go there for a while longer.
    pub(crate) fn end_oldest(&self, signal: Signal) -> anyhow::Result<()> {
        let mut oldest = lock(&self.replicas).remove(0);
        oldest.child.signal(signal)?;
        let late = Instant::now();
        poll::until("the Service to notice", poll::LIMIT, || {
            (late.elapsed() >= LATE).then_some(()).ok_or("not yet")
        })?;
        lock(&self.endpoints).retain(|endpoint| *endpoint != oldest.webhook);
        let status = oldest.child.wait(poll::LIMIT)?;
        anyhow::ensure!(signal == Signal::KILL || status.success(), "{status}");
        Ok(())
    }

    /// One after the other is replaced.
    pub(crate) fn restart(&self) -> anyhow::Result<()> {
        for _ in 0..3 {
            self.add()?;
            self.end_oldest(Signal::TERM)?;
        }
        Ok(())
    }

    /// How many leaves were seen in the Secret.
    pub(crate) fn leaves(&self) -> u32 {
        self.seen.leaves.load(Ordering::Relaxed)
    }

    /// Waits until so many leaves were seen. Ends at once when a call is lost.
    pub(crate) fn wait_for_leaves(&self, count: u32) -> anyhow::Result<()> {
        let limit = Duration::from_secs(10) * count;
        poll::until("leaves", limit, || {
            if lock(&self.seen.lost).is_empty() && self.leaves() < count {
                Err(format!("{} of {count}", self.leaves()))
            } else {
                Ok(())
            }
        })
    }

    /// Makes calls for as long as `play` takes. What they have seen, or which were lost.
    pub(crate) fn under_load(
        &self,
        retry: Retry,
        play: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let review = cluster::recording("plain")?;
        std::thread::scope(|scope| {
            let calls = scope.spawn(|| self.call_on(retry, &review));
            let readiness = scope.spawn(|| self.follow_readiness());
            let played = play();
            self.ended.store(true, Ordering::Relaxed);
            calls.join().expect("no panic");
            readiness.join().expect("no panic");
            let lost = lock(&self.seen.lost);
            anyhow::ensure!(lost.is_empty(), "lost: {lost:#?} (beside {played:?})");
            played
        })?;
        self.tell();
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "for whoever runs a thousand rotations")]
    fn tell(&self) {
        println!(
            "{} calls, {} of them again; {} leaves, {} authorities; {} times nothing was trusted",
            self.calls(),
            self.repeated(),
            self.leaves(),
            self.authorities(),
            self.untrusted(),
        );
    }

    /// Waits until so many calls more were answered.
    pub(crate) fn wait_for_calls(&self, count: u32) -> anyhow::Result<()> {
        let wanted = self.calls() + count;
        poll::until("calls", poll::LIMIT, || match self.calls() {
            calls if calls < wanted && lock(&self.seen.lost).is_empty() => Err(calls),
            _ => Ok(()),
        })
    }

    fn calls(&self) -> u32 {
        self.seen.calls.load(Ordering::Relaxed)
    }

    /// How many calls had to be made again.
    pub(crate) fn repeated(&self) -> u32 {
        self.seen.repeated.load(Ordering::Relaxed)
    }

    /// For how many calls nothing was trusted.
    pub(crate) fn untrusted(&self) -> u32 {
        self.seen.untrusted.load(Ordering::Relaxed)
    }

    pub(crate) fn authorities(&self) -> u32 {
        self.seen.authorities.load(Ordering::Relaxed)
    }

    fn call_on(&self, retry: Retry, review: &[u8]) {
        let (mut leaf, mut authority) = (Vec::new(), Vec::new());
        let mut turn = 0;
        let ended = poll::looks("the calls", u32::MAX, PACE, || {
            if self.ended.load(Ordering::Relaxed) {
                return Err("the end");
            }
            turn += 1;
            match self.cluster.bundle() {
                Err(_) => {
                    self.seen.untrusted.fetch_add(1, Ordering::Relaxed);
                }
                Ok(bundle) => self.call(turn, retry, &bundle, review),
            }
            if let Ok(now) = self.cluster.secret("tls.crt")
                && now != leaf
            {
                leaf = now;
                self.seen.leaves.fetch_add(1, Ordering::Relaxed);
            }
            if let Ok(now) = self.cluster.secret("ca.key")
                && now != authority
            {
                authority = now;
                self.seen.authorities.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        assert!(ended.is_err(), "it ends when it is told to");
    }

    fn call(&self, turn: usize, retry: Retry, bundle: &[u8], review: &[u8]) {
        let endpoints = lock(&self.endpoints).clone();
        let tries = match retry {
            Retry::Never => 1,
            Retry::Elsewhere => endpoints.len(),
        };
        let mut lost = vec!["no endpoint".to_owned()];
        for endpoint in endpoints
            .iter()
            .cycle()
            .skip(turn % endpoints.len().max(1))
            .take(tries)
        {
            let answer = Caller::new(endpoint, bundle, SERVICE)
                .and_then(|caller| caller.review(review))
                .and_then(|answer| answer.response());
            match answer {
                Ok(response) if response["allowed"] == true => {
                    self.seen.calls.fetch_add(1, Ordering::Relaxed);
                    let again = u32::from(lost.len() > 1);
                    self.seen.repeated.fetch_add(again, Ordering::Relaxed);
                    return;
                }
                Ok(denied) => lost.push(format!("{endpoint} of {endpoints:?}: {denied}")),
                Err(error) => lost.push(format!("{endpoint} of {endpoints:?}: {error:#}")),
            }
        }
        let mut all = lock(&self.seen.lost);
        if all.len() < 20 {
            all.extend(lost);
        }
    }

    /// A Service sends nothing to a replica that says it is not ready. Whoever is to go is taken out by
    /// [`Fleet::end_oldest`], late.
    fn follow_readiness(&self) {
        let ended = poll::looks("readiness", u32::MAX, PACE, || {
            if self.ended.load(Ordering::Relaxed) {
                return Err("the end");
            }
            for replica in &*lock(&self.replicas) {
                let is_ready = replica
                    .get("/readyz")
                    .is_ok_and(|(status, _)| status == 200);
                let mut endpoints = lock(&self.endpoints);
                endpoints.retain(|endpoint| *endpoint != replica.webhook);
                if is_ready {
                    endpoints.push(replica.webhook.clone());
                }
            }
            Ok(())
        });
        assert!(ended.is_err(), "it ends when it is told to");
    }

    /// The lines that replicas logged of this event.
    pub(crate) fn events(&self, event: &str) -> usize {
        let replicas = lock(&self.replicas);
        let counts = replicas
            .iter()
            .map(|replica| replica.child.events(event).len());
        counts.sum()
    }

    /// The readiness of each replica.
    pub(crate) fn readiness(&self) -> anyhow::Result<Vec<(u16, String)>> {
        let replicas = lock(&self.replicas);
        let all = replicas.iter().map(|replica| replica.get("/readyz"));
        all.collect::<Result<_, _>>().context("/readyz")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
