//! Profiles: named sets of defaults that an operator makes for pods, and what pods may change about them.
//!
//! ```text
//! folder → files → read → Profile → set (the last good one of each) → Defaults
//! ```
//!
//! Invariant: a profile with a mistake is not used in part. The last good one stays; where there was none, the pods
//! that name it are refused, for its locks cannot be guessed.

pub(crate) mod files;
pub(crate) mod metrics;
pub(crate) mod read;
pub(crate) mod set;
pub(crate) mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use keyside_config::model::vault::Address;

/// The profile of pods that name none.
pub(crate) const DEFAULT: &str = "default";

/// What one profile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub name: String,
    /// What stands in where a pod says nothing: values of annotations by their keys, without the prefix.
    pub defaults: BTreeMap<String, String>,
    pub choice: Choice,
    pub allow: Allow,
    /// Whether an unknown key denies the pod.
    pub strict: bool,
    /// Whether the cluster gives each namespace users of its own, so that the agent must not name one.
    pub openshift: bool,
}

/// Which keys a pod may set itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    All,
    AllBut(BTreeSet<String>),
    Only(BTreeSet<String>),
}

/// What pods may choose instead of the defaults. Absent: the installation's flags decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allow {
    pub addresses: Option<Vec<Rule<Address>>>,
    pub namespaces: Option<Vec<Rule<String>>>,
    pub images: Option<Vec<Rule<String>>>,
}

/// One thing that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule<T> {
    /// `*`
    Any,
    Exactly(T),
    /// Written with a `*` behind it, and never without a separator before that.
    Below(String),
}

impl<T: PartialEq> Rule<T> {
    /// Whether `value`, which was written as `text`, is meant.
    pub(crate) fn permits(&self, value: &T, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(allowed) => allowed == value,
            Self::Below(start) => text.len() > start.len() && text.starts_with(start.as_str()),
        }
    }
}

impl Profile {
    /// What pods get where the operator wrote no profile `default`: it says nothing.
    pub(crate) fn nothing() -> &'static Self {
        static NOTHING: LazyLock<Profile> = LazyLock::new(|| Profile {
            name: DEFAULT.to_owned(),
            ..Profile::default()
        });
        &NOTHING
    }

    /// Whether the pod may not set this key to anything else than the profile does.
    pub(crate) fn locks(&self, key: &str) -> bool {
        match &self.choice {
            Choice::All => false,
            Choice::AllBut(locked) => locked.contains(key),
            Choice::Only(open) => !open.contains(key) && !THE_PODS_OWN.contains(&key),
        }
    }
}

/// What a profile can neither set nor lock: by these a pod asks for it.
pub(crate) const THE_PODS_OWN: [&str; 2] = ["inject", "profile"];

/// The profiles that pods can name. Those that have never been good are known by name only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profiles(BTreeMap<String, Option<Arc<Profile>>>);

/// What there is under a name.
pub(crate) enum Found<'a> {
    Profile(&'a Profile),
    /// It has mistakes and was never good.
    Broken,
    Unknown,
}

impl Profiles {
    pub(crate) fn find(&self, name: &str) -> Found<'_> {
        match self.0.get(name) {
            Some(Some(profile)) => Found::Profile(profile),
            Some(None) => Found::Broken,
            None if name == DEFAULT => Found::Profile(Profile::nothing()),
            None => Found::Unknown,
        }
    }

    /// The names of those that can be used, `default` first.
    pub(crate) fn names(&self) -> Vec<&str> {
        let good = |(name, profile): (_, &Option<_>)| profile.is_some().then_some(name);
        let mut names: Vec<&str> = self
            .0
            .iter()
            .map(|(name, profile)| (name.as_str(), profile))
            .filter_map(good)
            .filter(|name| *name != DEFAULT)
            .collect();
        if matches!(self.find(DEFAULT), Found::Profile(_)) {
            names.insert(0, DEFAULT);
        }
        names
    }
}

impl FromIterator<(String, Option<Arc<Profile>>)> for Profiles {
    fn from_iter<I: IntoIterator<Item = (String, Option<Arc<Profile>>)>>(profiles: I) -> Self {
        Self(profiles.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
