//! A pod, as far as injection looks at it: borrowed from its JSON.
//!
//! Invariant: what is looked at is of the type that Kubernetes gives it, or there is no pod. What nobody looks at may be
//! anything: an API server has read all of it before it calls a webhook.
//! Invariant: null and absent are the same here, as they are to Kubernetes.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::containers::Kind;

type Object = Map<String, Value>;

/// A pod, which may say nothing.
#[derive(Debug)]
pub(crate) struct Pod<'a> {
    /// What this was read from.
    pub json: &'a Object,
    pub spec: Option<&'a Object>,
    pub init_containers: Vec<Container<'a>>,
    pub containers: Vec<Container<'a>>,
    /// By name.
    pub volumes: Vec<&'a str>,
    pub host_network: bool,
    pub restart_policy: Option<&'a str>,
    /// `terminationGracePeriodSeconds`.
    pub grace_period: Option<i64>,
    pub security_context: SecurityContext,
    pub resources: Resources<'a>,
    pub os: Option<&'a str>,
    pub node_selector: Option<&'a Object>,
    /// Of the node affinity that has to hold: terms, of which one has to.
    pub node_terms: Vec<Vec<Requirement<'a>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Container<'a> {
    /// What this was read from.
    pub json: Option<&'a Object>,
    pub name: &'a str,
    pub image: Option<&'a str>,
    pub restart_policy: Option<&'a str>,
    pub env: Vec<Variable<'a>>,
    pub mounts: Vec<Mount<'a>>,
    pub ports: Vec<Port<'a>>,
    pub resources: Resources<'a>,
    pub security_context: SecurityContext,
}

#[derive(Debug)]
pub(crate) struct Variable<'a> {
    pub name: &'a str,
    pub value: Option<&'a str>,
}

#[derive(Debug)]
pub(crate) struct Mount<'a> {
    pub volume: &'a str,
    pub path: &'a str,
}

#[derive(Debug)]
pub(crate) struct Port<'a> {
    pub number: i32,
    pub protocol: Option<&'a str>,
}

/// Of a pod or of a container.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SecurityContext {
    pub user: Option<i64>,
    pub group: Option<i64>,
    /// A pod's only.
    pub fs_group: Option<i64>,
    pub has_windows_options: bool,
}

/// Of a pod or of a container.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resources<'a> {
    limits: Option<&'a Object>,
    requests: Option<&'a Object>,
}

/// What a term asks of a label.
#[derive(Debug)]
pub(crate) struct Requirement<'a> {
    pub label: &'a str,
    pub operator: &'a str,
    pub values: Option<Vec<&'a str>>,
}

/// Something is not of the type that Kubernetes gives it.
#[derive(Debug)]
pub(crate) struct Unlike;

impl<'a> Pod<'a> {
    pub(crate) fn read(pod: &'a Value) -> Result<Self, Unlike> {
        let json = pod.as_object().ok_or(Unlike)?;
        let spec = Fields(Some(json)).object("spec")?;
        Ok(Self {
            json,
            spec: spec.0,
            init_containers: spec.list("initContainers", Container::read)?,
            containers: spec.list("containers", Container::read)?,
            volumes: spec.list("volumes", Fields::name)?,
            host_network: spec.is_true("hostNetwork")?,
            restart_policy: spec.text("restartPolicy")?,
            grace_period: spec.integer("terminationGracePeriodSeconds")?,
            security_context: SecurityContext::read(spec)?,
            resources: Resources::read(spec)?,
            os: spec.object("os")?.text("name")?,
            node_selector: spec.map("nodeSelector", Value::is_string)?,
            node_terms: spec
                .object("affinity")?
                .object("nodeAffinity")?
                .object("requiredDuringSchedulingIgnoredDuringExecution")?
                .list("nodeSelectorTerms", |term| {
                    term.list("matchExpressions", Requirement::read)
                })?,
        })
    }

    pub(crate) fn list(&self, kind: Kind) -> &[Container<'a>] {
        match kind {
            Kind::Init => &self.init_containers,
            Kind::Application => &self.containers,
        }
    }

    /// Those that start one after the other, and then all others.
    pub(crate) fn all_containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.init_containers.iter().chain(&self.containers)
    }
}

impl<'a> Container<'a> {
    fn read(container: Fields<'a>) -> Result<Self, Unlike> {
        Ok(Self {
            json: container.0,
            name: container.name()?,
            image: container.text("image")?,
            restart_policy: container.text("restartPolicy")?,
            env: container.list("env", Variable::read)?,
            mounts: container.list("volumeMounts", Mount::read)?,
            ports: container.list("ports", Port::read)?,
            resources: Resources::read(container)?,
            security_context: SecurityContext::read(container)?,
        })
    }
}

impl<'a> Variable<'a> {
    fn read(variable: Fields<'a>) -> Result<Self, Unlike> {
        Ok(Self {
            name: variable.name()?,
            value: variable.text("value")?,
        })
    }
}

impl<'a> Mount<'a> {
    fn read(mount: Fields<'a>) -> Result<Self, Unlike> {
        Ok(Self {
            volume: mount.name()?,
            path: mount.text("mountPath")?.unwrap_or_default(),
        })
    }
}

impl<'a> Port<'a> {
    fn read(port: Fields<'a>) -> Result<Self, Unlike> {
        let number = port.integer("containerPort")?.unwrap_or_default();
        Ok(Self {
            number: i32::try_from(number).map_err(|_too_large| Unlike)?,
            protocol: port.text("protocol")?,
        })
    }
}

impl SecurityContext {
    fn read(owner: Fields) -> Result<Self, Unlike> {
        let context = owner.object("securityContext")?;
        Ok(Self {
            user: context.integer("runAsUser")?,
            group: context.integer("runAsGroup")?,
            fs_group: context.integer("fsGroup")?,
            has_windows_options: context.object("windowsOptions")?.0.is_some(),
        })
    }
}

impl<'a> Resources<'a> {
    fn read(owner: Fields<'a>) -> Result<Self, Unlike> {
        let resources = owner.object("resources")?;
        // An API server writes amounts as text; manifests may have them as numbers.
        let is_amount = |amount: &Value| amount.is_string() || amount.is_number();
        Ok(Self {
            limits: resources.map("limits", is_amount)?,
            requests: resources.map("requests", is_amount)?,
        })
    }

    /// Whether there is a limit or a request.
    pub(crate) fn mention(&self, name: &str) -> bool {
        let mut both = [self.limits, self.requests].into_iter().flatten();
        both.any(|amounts| amounts.contains_key(name))
    }

    pub(crate) fn limit(&self, name: &str) -> Option<Cow<'a, str>> {
        amount(self.limits, name)
    }

    pub(crate) fn request(&self, name: &str) -> Option<Cow<'a, str>> {
        amount(self.requests, name)
    }
}

fn amount<'a>(amounts: Option<&'a Object>, name: &str) -> Option<Cow<'a, str>> {
    let amount = amounts?.get(name)?;
    Some(match amount.as_str() {
        Some(text) => text.into(),
        None => amount.to_string().into(),
    })
}

impl<'a> Requirement<'a> {
    fn read(requirement: Fields<'a>) -> Result<Self, Unlike> {
        let values = requirement.read("values", Value::as_array)?;
        let texts = |values: &'a Vec<Value>| {
            let values = values.iter().map(|value| value.as_str().ok_or(Unlike));
            values.collect()
        };
        Ok(Self {
            label: requirement.text("key")?.unwrap_or_default(),
            operator: requirement.text("operator")?.unwrap_or_default(),
            values: values.map(texts).transpose()?,
        })
    }
}

/// An object field by field, or nothing, which has none.
#[derive(Clone, Copy)]
struct Fields<'a>(Option<&'a Object>);

impl<'a> Fields<'a> {
    fn read<T>(
        self,
        key: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Unlike> {
        let value = self.0.and_then(|fields| fields.get(key));
        let value = value.filter(|value| !value.is_null());
        value.map(|value| read(value).ok_or(Unlike)).transpose()
    }

    fn text(self, key: &str) -> Result<Option<&'a str>, Unlike> {
        self.read(key, Value::as_str)
    }

    fn name(self) -> Result<&'a str, Unlike> {
        Ok(self.text("name")?.unwrap_or_default())
    }

    fn integer(self, key: &str) -> Result<Option<i64>, Unlike> {
        self.read(key, Value::as_i64)
    }

    fn is_true(self, key: &str) -> Result<bool, Unlike> {
        Ok(self.read(key, Value::as_bool)?.unwrap_or_default())
    }

    fn object(self, key: &str) -> Result<Self, Unlike> {
        self.read(key, Value::as_object).map(Self)
    }

    fn map(
        self,
        key: &str,
        is_value: impl Fn(&Value) -> bool,
    ) -> Result<Option<&'a Object>, Unlike> {
        self.read(key, |value| {
            value.as_object().filter(|map| map.values().all(is_value))
        })
    }

    fn list<T>(
        self,
        key: &str,
        read: impl Fn(Self) -> Result<T, Unlike>,
    ) -> Result<Vec<T>, Unlike> {
        let elements = self.read(key, Value::as_array)?;
        let elements = elements.into_iter().flatten();
        elements
            .map(|element| read(Self(Some(element.as_object().ok_or(Unlike)?))))
            .collect()
    }
}
