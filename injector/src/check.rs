//! `keyside-injector check`: asks the API server for a pod with the annotation, only to try it, and looks whether the
//! answer has the agent. That is the whole way: selectors, Service, certificate, webhook.
//!
//! Invariant: nothing is created. A try is a creation in all but the storing, so it takes the right to create pods.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, Pod, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext,
};
use keyside_lifecycle::error;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::time::{self, Instant};

use crate::annotation::key;
use crate::app;
use crate::inject::names;
use crate::settings::Check;

/// Between two tries: an installation takes a while to become ready.
const PAUSE: Duration = Duration::from_secs(1);
/// For one answer. A webhook has thirty seconds at most.
const LONGEST: Duration = Duration::from_secs(35);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] app::Error),
    #[error("the API server does not take a pod with the annotation in namespace {namespace}")]
    Refused {
        namespace: String,
        source: Box<kube::Error>,
    },
    #[error("the API server did not answer within {} s", LONGEST.as_secs())]
    Late,
    #[error(
        "namespace {0} would get the pod without the agent: the webhook was not called, by a selector or because it \
         is not there, or it was away and failurePolicy is Ignore"
    )]
    Uninjected(String),
}

impl Error {
    /// Whether it may be otherwise in a moment. What the webhook denies it denies again.
    fn may_pass(&self) -> bool {
        match self {
            Self::Api(_) => false,
            Self::Late | Self::Uninjected(_) => true,
            Self::Refused { source, .. } => match &**source {
                kube::Error::Api(status) => status.code >= 500,
                _ => true,
            },
        }
    }
}

/// Tries until the agent is there, until trying again is of no use, or until the time is over. Answers what to say.
pub(crate) async fn run(settings: &Check) -> Result<String, Error> {
    let client = app::Api(settings.kubeconfig.as_deref()).client().await?;
    let pods: Api<Pod> = Api::namespaced(client, &settings.namespace);
    let end = Instant::now() + settings.patience;
    loop {
        let cause = match once(&pods, settings).await {
            Ok(image) => {
                let namespace = &settings.namespace;
                return Ok(format!("pods in {namespace} get the agent: {image}\n"));
            }
            Err(cause) => cause,
        };
        if !cause.may_pass() || Instant::now() + PAUSE > end {
            return Err(cause);
        }
        tracing::info!(event = "check_failed", error = error::chain(&cause));
        time::sleep(PAUSE).await;
    }
}

/// Answers the agent's image.
async fn once(pods: &Api<Pod>, settings: &Check) -> Result<String, Error> {
    let only_try = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let pod = asking(&settings.annotations);
    let answer = time::timeout(LONGEST, pods.create(&only_try, &pod)).await;
    let answer = answer
        .map_err(|_elapsed| Error::Late)?
        .map_err(|source| Error::Refused {
            namespace: settings.namespace.clone(),
            source: Box::new(source),
        })?;
    agent(answer).ok_or_else(|| Error::Uninjected(settings.namespace.clone()))
}

/// A pod that Pod Security `restricted` takes. Its image is never pulled.
fn asking(annotations: &BTreeMap<String, String>) -> Pod {
    let prefix = key::PREFIX;
    let own = [("inject", "true"), ("role", "keyside-check")];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut all = BTreeMap::from(own);
    all.extend(annotations.clone());
    let all = all.into_iter();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some("keyside-check-".to_owned()),
            annotations: Some(
                all.map(|(key, value)| (format!("{prefix}{key}"), value))
                    .collect(),
            ),
            // By which pods ask where the API server cannot select by annotations.
            labels: Some([(format!("{prefix}inject"), "true".to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers: vec![Container {
                name: "check".to_owned(),
                image: Some("keyside-check".to_owned()),
                security_context: Some(SecurityContext {
                    allow_privilege_escalation: Some(false),
                    capabilities: Some(Capabilities {
                        drop: Some(vec!["ALL".to_owned()]),
                        ..Capabilities::default()
                    }),
                    ..SecurityContext::default()
                }),
                ..Container::default()
            }],
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

fn agent(pod: Pod) -> Option<String> {
    let spec = pod.spec?;
    let containers = spec.init_containers.unwrap_or_default().into_iter();
    let mut ours = containers
        .chain(spec.containers)
        .filter(|container| names::CONTAINERS.contains(&container.name.as_str()));
    ours.next().map(|agent| agent.image.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_of_its_own_give_way() {
        let given = BTreeMap::from([("role".to_owned(), "shop".to_owned())]);
        let annotations = asking(&given).metadata.annotations.unwrap();
        let expected = [("keyside.dev/inject", "true"), ("keyside.dev/role", "shop")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(annotations, BTreeMap::from(expected));
    }

    #[test]
    fn the_agent_is_found_wherever_it_is() {
        let pod = |spec: &str| serde_json::from_str::<Pod>(&format!(r#"{{"spec": {spec}}}"#));
        let agent = |spec: &str| agent(pod(spec).unwrap());
        let ours = r#"{"name": "keyside-agent", "image": "i"}"#;
        let other = r#"{"name": "check", "image": "c"}"#;
        assert_eq!(agent(&format!(r#"{{"containers": [{other}]}}"#)), None);
        let native = format!(r#"{{"containers": [{other}], "initContainers": [{ours}]}}"#);
        assert_eq!(agent(&native).as_deref(), Some("i"));
        let classic = format!(r#"{{"containers": [{other}, {ours}]}}"#);
        assert_eq!(agent(&classic).as_deref(), Some("i"));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |code| {
            let status = kube::core::Status {
                code,
                ..kube::core::Status::default()
            };
            Error::Refused {
                namespace: String::new(),
                source: Box::new(kube::Error::Api(Box::new(status))),
            }
        };
        assert!(refused(500).may_pass() && refused(503).may_pass());
        assert!(!refused(403).may_pass() && !refused(422).may_pass());
        assert!(Error::Uninjected(String::new()).may_pass() && Error::Late.may_pass());
    }
}
