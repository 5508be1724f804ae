//! Kubernetes Events, for whoever looks at an object with `kubectl describe`.
//!
//! Invariant: who has something to say puts it into a bounded queue and goes on; one task sends.
//! Invariant: a storm of denials becomes a few Events: one per object and message in ten minutes, and in the long run
//! one in a second. The rest is counted.

mod allowance;
mod metrics;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use keyside_lifecycle::error;
use keyside_lifecycle::shutdown::Shutdown;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

pub(crate) use self::allowance::Allowance;
pub(crate) use self::metrics::{Metrics, Outcome};
use crate::cert::own;

/// One thing to say about one object.
#[derive(Debug)]
pub(crate) struct Notice {
    pub about: ObjectReference,
    /// One word in camel case.
    pub reason: &'static str,
    pub message: String,
}

/// The entrance of the queue.
#[derive(Clone)]
pub(crate) struct Speaker {
    queue: mpsc::Sender<Notice>,
    metrics: Metrics,
}

/// The exit.
pub(crate) struct Task {
    client: kube::Client,
    queue: mpsc::Receiver<Notice>,
    allowance: Allowance,
    metrics: Metrics,
    is_failing: bool,
}

/// How many may wait; more come only where the API is slow or away.
const QUEUE: usize = 64;
const LONGEST: Duration = Duration::from_secs(10);
/// Of a message; `events.k8s.io` takes 1 kB.
const MOST_TEXT: usize = 1000;

pub(crate) fn queue(client: kube::Client, metrics: Metrics) -> (Speaker, Task) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let speaker = Speaker {
        queue: sender,
        metrics: metrics.clone(),
    };
    let task = Task {
        client,
        queue: receiver,
        allowance: Allowance::new(Instant::now()),
        metrics,
        is_failing: false,
    };
    (speaker, task)
}

impl Speaker {
    pub(crate) fn say(&self, notice: Notice) {
        if self.queue.try_send(notice).is_err() {
            self.metrics.count(Outcome::Dropped);
        }
    }
}

impl Task {
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let end = shutdown.requested();
        tokio::pin!(end);
        loop {
            // Cancel-safe both: what was not received stays in the queue.
            let notice = tokio::select! {
                () = &mut end => return,
                notice = self.queue.recv() => notice,
            };
            let Some(notice) = notice else {
                // Whoever could say something is gone; a task ends only when it is asked to.
                end.await;
                return;
            };
            let now = Instant::now();
            if !self.allowance.take(digest(&notice), now) {
                self.metrics.count(Outcome::Dropped);
                continue;
            }
            // An Event that is given up halfway was made or was not; nobody depends on it.
            tokio::select! {
                () = &mut end => return,
                () = self.send(notice) => {}
            }
        }
    }

    async fn send(&mut self, notice: Notice) {
        let outcome = time::timeout(LONGEST, post(&self.client, &notice, true)).await;
        let error = match outcome {
            Ok(Ok(_)) => None,
            Ok(Err(cause)) => Some(error::chain(&cause)),
            Err(_late) => Some(format!("no answer within {} s", LONGEST.as_secs())),
        };
        let Some(error) = error else {
            self.is_failing = false;
            self.metrics.count(Outcome::Sent);
            return;
        };
        self.metrics.count(Outcome::Failed);
        if self.is_failing {
            tracing::debug!(event = "event_failed", error);
        } else {
            tracing::warn!(event = "event_failed", error);
        }
        self.is_failing = true;
    }
}

/// Makes the Event; says whether it is new. With `again`, the same notice makes another one later.
pub(crate) async fn post(
    client: &kube::Client,
    notice: &Notice,
    again: bool,
) -> Result<bool, kube::Error> {
    let now = Time(Timestamp::try_from(own::now()).unwrap_or_default());
    let namespace = notice.about.namespace.clone().unwrap_or_default();
    let mut name = digest(notice);
    if again {
        name = name.wrapping_add(u64::try_from(now.0.as_nanosecond()).unwrap_or_default());
    }
    let event = Event {
        metadata: ObjectMeta {
            // The object's own name would say more, but is not checked yet where a pod was denied.
            name: Some(format!("keyside-injector.{name:016x}")),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: notice.about.clone(),
        type_: Some("Warning".to_owned()),
        reason: Some(notice.reason.to_owned()),
        message: Some(notice.message.chars().take(MOST_TEXT).collect()),
        source: Some(EventSource {
            component: Some("keyside-injector".to_owned()),
            host: None,
        }),
        first_timestamp: Some(now.clone()),
        last_timestamp: Some(now),
        count: Some(1),
        ..Event::default()
    };
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    match events.create(&PostParams::default(), &event).await {
        Ok(_made) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

/// Equal for notices that say the same about the same object.
fn digest(notice: &Notice) -> u64 {
    let about = &notice.about;
    let mut hash = Sha256::new();
    for part in [&about.namespace, &about.kind, &about.name, &about.uid] {
        let text = part.as_deref().unwrap_or_default();
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    hash.update(notice.reason.len().to_be_bytes());
    hash.update(notice.reason);
    hash.update(&notice.message);
    let bytes = hash.finalize();
    bytes
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
