//! One look after the other at the metadata of all pods that run.
//!
//! Invariant: a pod is told of once. The Event's name comes from the pod's uid, so that a replica that takes over does
//! not tell again.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use keyside_lifecycle::error;
use keyside_lifecycle::shutdown::Shutdown;
use kube::Api;
use kube::api::{ListParams, ObjectMeta};
use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::metrics::Metrics;
use crate::admission::{MIRROR, SYSTEM_NAMESPACES};
use crate::annotation::{self, key};
use crate::events::{self, Allowance, Notice, Outcome};
use crate::settings::Watch;

pub(crate) struct Task {
    client: kube::Client,
    scope: Scope,
    period: Duration,
    tells: bool,
    leading: watch::Receiver<bool>,
    metrics: Metrics,
    events: events::Metrics,
    allowance: Allowance,
    /// The uids of pods that were told of and are still there.
    told: HashSet<String>,
    is_failing: bool,
}

/// Whose pods are looked at.
struct Scope {
    own: String,
    excluded: Vec<String>,
}

/// A pod that asks.
#[derive(Debug, PartialEq, Eq)]
struct Asking {
    namespace: String,
    name: String,
    uid: String,
    is_injected: bool,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("listing pods")]
    List { source: Box<kube::Error> },
    #[error("the pods did not come within {} s", LONGEST.as_secs())]
    Late,
}

/// In one answer of the API.
const PAGE: u32 = 500;
/// For all of them: 100,000 pods are 200 pages.
const LONGEST: Duration = Duration::from_mins(2);
/// For one Event.
const LONGEST_EVENT: Duration = Duration::from_secs(10);

const MESSAGE: &str = "keyside.dev/inject asks for the agent, but this pod was created without it: the webhook was \
    not called, by a selector or because it was not there yet, or it was away and failurePolicy is Ignore. To have the \
    agent, create the pod anew";

impl Task {
    pub(crate) fn new(
        client: kube::Client,
        settings: &Watch,
        leading: watch::Receiver<bool>,
        (metrics, events): (Metrics, events::Metrics),
    ) -> Self {
        Self {
            client,
            scope: Scope {
                own: settings.namespace.clone(),
                excluded: settings.excluded.clone(),
            },
            period: settings.period,
            tells: settings.events,
            leading,
            metrics,
            events,
            allowance: Allowance::new(Instant::now()),
            told: HashSet::new(),
            is_failing: false,
        }
    }

    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let end = shutdown.requested();
        tokio::pin!(end);
        loop {
            let leads = async {
                // Where nobody tells any more, the process is about to end.
                if self.leading.wait_for(|leads| *leads).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            // Cancel-safe: whether this replica leads is read anew each time.
            tokio::select! {
                () = &mut end => return,
                () = leads => {}
            }
            // A look that is given up is made again by whoever leads then.
            tokio::select! {
                () = &mut end => return,
                () = self.look() => {}
            }
            // Cancel-safe both: nothing is lost when the other one is first.
            tokio::select! {
                () = &mut end => return,
                _ended = self.leading.wait_for(|leads| !*leads) => self.metrics.silent(),
                () = time::sleep(self.period) => {}
            }
        }
    }

    async fn look(&mut self) {
        let found = time::timeout(LONGEST, self.asking()).await;
        match found.unwrap_or(Err(Error::Late)) {
            Ok(asking) => {
                self.is_failing = false;
                self.count(&asking);
                self.tell(&asking).await;
            }
            Err(cause) => {
                self.metrics.failed();
                let error = error::chain(&cause);
                if self.is_failing {
                    tracing::debug!(event = "look_failed", error);
                } else {
                    tracing::warn!(event = "look_failed", error);
                }
                self.is_failing = true;
            }
        }
    }

    /// The pods that ask, of those that have not ended.
    async fn asking(&self) -> Result<Vec<Asking>, Error> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let mut page = ListParams::default()
            .fields("status.phase!=Succeeded,status.phase!=Failed")
            .limit(PAGE);
        let mut asking = Vec::new();
        loop {
            let found = pods.list_metadata(&page).await;
            let found = found.map_err(|source| Error::List {
                source: Box::new(source),
            })?;
            let all = found.items.iter();
            asking.extend(all.filter_map(|pod| self.scope.asks(&pod.metadata)));
            match found.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(asking),
            }
        }
    }

    fn count(&self, asking: &[Asking]) {
        let mut uninjected = BTreeMap::new();
        for pod in asking.iter().filter(|pod| !pod.is_injected) {
            *uninjected.entry(pod.namespace.as_str()).or_default() += 1;
        }
        let asking = i64::try_from(asking.len()).unwrap_or(i64::MAX);
        self.metrics.found(asking, &uninjected);
    }

    async fn tell(&mut self, asking: &[Asking]) {
        self.told
            .retain(|uid| asking.iter().any(|pod| pod.uid == *uid));
        for pod in asking.iter().filter(|pod| !pod.is_injected) {
            if self.told.contains(&pod.uid) {
                continue;
            }
            tracing::warn!(
                event = "uninjected",
                namespace = pod.namespace,
                pod = pod.name
            );
            if !self.tells {
                self.told.insert(pod.uid.clone());
                continue;
            }
            // What is beyond the rate comes with a later look.
            if !self.allowance.spend(Instant::now()) {
                return;
            }
            self.post(pod).await;
        }
    }

    async fn post(&mut self, pod: &Asking) {
        let notice = Notice {
            about: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name.clone()),
                namespace: Some(pod.namespace.clone()),
                uid: Some(pod.uid.clone()),
                ..ObjectReference::default()
            },
            reason: "NotInjected",
            message: MESSAGE.to_owned(),
        };
        let posted = time::timeout(LONGEST_EVENT, events::post(&self.client, &notice, false)).await;
        match posted {
            Ok(Ok(_is_new)) => {
                self.events.count(Outcome::Sent);
                self.told.insert(pod.uid.clone());
            }
            Ok(Err(cause)) => {
                self.events.count(Outcome::Failed);
                tracing::warn!(event = "event_failed", error = error::chain(&cause));
            }
            Err(_late) => self.events.count(Outcome::Failed),
        }
    }
}

impl Scope {
    /// A pod that asks for the agent and ought to have it.
    fn asks(&self, metadata: &ObjectMeta) -> Option<Asking> {
        let annotations = metadata.annotations.as_ref()?;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let is_left_alone = SYSTEM_NAMESPACES.contains(&namespace.as_str())
            || namespace == self.own
            || self.excluded.contains(&namespace)
            || annotations.contains_key(MIRROR)
            || metadata.deletion_timestamp.is_some();
        // What cannot be read would have been denied, so it was not seen either.
        if is_left_alone || matches!(annotation::wanted(annotations), Ok(false)) {
            return None;
        }
        Some(Asking {
            namespace,
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            is_injected: annotations
                .get(key::STATUS)
                .is_some_and(|status| status == "injected"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(namespace: &str, annotations: &[(&str, &str)], expected: Option<bool>) {
        let scope = Scope {
            own: "keyside".to_owned(),
            excluded: vec!["legacy".to_owned()],
        };
        let annotations = annotations.iter();
        let pod = ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some("shop".to_owned()),
            annotations: Some(
                annotations
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
            ),
            ..ObjectMeta::default()
        };
        let found = scope.asks(&pod).map(|pod| pod.is_injected);
        assert_eq!(found, expected, "{pod:?}");
    }

    #[test]
    fn pods_that_ask_and_ought_to_have_the_agent() {
        let asks = ("keyside.dev/inject", "true");
        let injected = ("keyside.dev/status", "injected");
        check("shop", &[], None);
        check("shop", &[("keyside.dev/inject", "false"), injected], None);
        check("shop", &[asks], Some(false));
        check("shop", &[asks, injected], Some(true));
        check("shop", &[asks, ("keyside.dev/status", "no")], Some(false));
        check("shop", &[("keyside.dev/inject", "perhaps")], Some(false));
        check("shop", &[asks, (MIRROR, "x")], None);
        for namespace in ["kube-system", "kube-public", "keyside", "legacy"] {
            check(namespace, &[asks], None);
        }
    }

    #[test]
    fn a_pod_that_is_going_is_left_alone() {
        let scope = Scope {
            own: String::new(),
            excluded: Vec::new(),
        };
        let mut pod = ObjectMeta {
            namespace: Some("shop".to_owned()),
            annotations: Some([("keyside.dev/inject".to_owned(), "true".to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert!(scope.asks(&pod).is_some());
        pod.deletion_timestamp = serde_json::from_str("\"2026-01-01T00:00:00Z\"").ok();
        assert_eq!(scope.asks(&pod), None);
    }
}
