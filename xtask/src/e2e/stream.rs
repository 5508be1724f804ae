//! Pods that are created one after the other while something else goes on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::checks;
use super::kubectl::Kubectl;
use super::manifest;
use super::site::Site;
use crate::console;

/// What became of the creations.
#[derive(Default)]
struct Tally {
    created: usize,
    failures: Vec<String>,
}

pub(super) struct Stream {
    thread: JoinHandle<Tally>,
    /// Dropped to end it.
    stop: mpsc::Sender<()>,
    attempts: Arc<AtomicUsize>,
}

impl Stream {
    /// Creates pods while `work` lasts; fails if the work does, or one creation.
    pub(super) fn around(
        site: &Site,
        period: Duration,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let pod = site.names.fill(manifest::CREATED);
        let stream = Self::start(site.kubectl.clone(), pod, period)?;
        // Before, meanwhile, and after: what changes for good shows only then.
        let outcome = stream
            .attempt(site)
            .and_then(|()| work())
            .and_then(|()| stream.attempt(site));
        let tally = stream.end()?;
        let namespace = ["--namespace", &site.names.apps];
        let delete = ["delete", "pods", "--selector=app=created", "--wait=false"];
        site.kubectl
            .run(&[delete.as_slice(), &namespace].concat())?;
        outcome?;
        let Tally { created, failures } = &tally;
        anyhow::ensure!(
            failures.is_empty(),
            "{} of {} creations failed, the first one so: {}",
            failures.len(),
            created + failures.len(),
            failures.first().map_or("", String::as_str)
        );
        console::seen(&format!(
            "{created} pods were created meanwhile, each with the agent"
        ));
        Ok(())
    }

    fn start(kubectl: Kubectl, pod: String, period: Duration) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let attempts = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&attempts);
        let name = "creations".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let mut tally = Tally::default();
            loop {
                match create(&kubectl, &pod) {
                    Ok(()) => tally.created += 1,
                    Err(error) => tally.failures.push(format!("{error:#}")),
                }
                counter.fetch_add(1, Ordering::Relaxed);
                // The pause between two creations, too.
                if stopped.recv_timeout(period) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return tally;
                }
            }
        })?;
        Ok(Self {
            thread,
            stop,
            attempts,
        })
    }

    /// Waits until two more have begun and ended.
    fn attempt(&self, site: &Site) -> anyhow::Result<()> {
        let attempts = || self.attempts.load(Ordering::Relaxed);
        let before = attempts();
        // The one that is under way may have begun earlier.
        site.until("creations of pods", || {
            anyhow::ensure!(attempts() >= before + 3, "{} so far", attempts());
            Ok(())
        })
    }

    fn end(self) -> anyhow::Result<Tally> {
        drop(self.stop);
        let tally = self.thread.join();
        tally.ok().context("the thread that creates pods panicked")
    }
}

/// Creates one, and looks whether it has the agent.
fn create(kubectl: &Kubectl, pod: &str) -> anyhow::Result<()> {
    let text = kubectl.feed(&["create", "--output=json", "-f", "-"], pod)?;
    let pod: Value = serde_json::from_str(&text).context("read the created pod")?;
    checks::injected(&pod)
}
