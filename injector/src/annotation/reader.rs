//! Takes single annotations off a pod and collects what is wrong with them.

use std::borrow::Cow;

use super::{Annotations, Error, MOST, Mistake, Read, key, login, printable, value};
use crate::admission::Defaults;
use crate::profile::Profile;
use crate::trace::{Source, Trace};

pub(super) struct Reader<'a> {
    annotations: &'a Annotations,
    profile: &'a Profile,
    /// In the order in which they were found.
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
    pub(super) trace: Trace,
}

impl<'a> Reader<'a> {
    pub(super) fn new(annotations: &'a Annotations, profile: &'a Profile) -> Self {
        Self {
            annotations,
            profile,
            mistakes: Vec::new(),
            warnings: Vec::new(),
            trace: Trace::default(),
        }
    }

    /// `read` and the warnings, unless anything was wrong.
    pub(super) fn end<T>(mut self, read: T) -> Result<(T, Vec<String>), Error> {
        self.warnings.truncate(MOST);
        if self.mistakes.is_empty() {
            Ok((read, self.warnings))
        } else {
            Err(Error {
                mistakes: self.mistakes,
                warnings: self.warnings,
            })
        }
    }

    /// The unknown keys, as far as anyone would read of them.
    pub(super) fn unknown_keys(&self) -> impl Iterator<Item = &'a str> {
        let names = self
            .annotations
            .keys()
            .filter_map(|full| full.strip_prefix(key::PREFIX));
        names
            .filter(|name| key::kind(name) == key::Kind::Unknown)
            .take(MOST)
    }

    pub(super) fn profile(&self) -> &'a Profile {
        self.profile
    }

    /// What the pod says, or else its profile.
    pub(super) fn found(&self, name: &str) -> Option<&'a str> {
        self.own(name).or_else(|| self.given(name))
    }

    /// What the pod itself says and may say.
    pub(super) fn own(&self, name: &str) -> Option<&'a str> {
        self.written(name).filter(|_| !self.profile.locks(name))
    }

    /// What the profile says.
    pub(super) fn given(&self, name: &str) -> Option<&'a str> {
        self.profile.defaults.get(name).map(String::as_str)
    }

    /// Whether neither says anything. What the pod may not say is a mistake of its own.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.written(name).is_none() && self.given(name).is_none()
    }

    fn written(&self, name: &str) -> Option<&'a str> {
        let key = format!("{}{name}", key::PREFIX);
        self.annotations.get(&key).map(String::as_str)
    }

    /// The value of one annotation; absent also where it is a mistake, which is then on the list.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, value::Allowed>,
    ) -> Option<T> {
        let read = self.found(name)?;
        self.note(name);
        match parse(read) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.refuse(name, format!("allowed: {allowed}"));
                None
            }
        }
    }

    /// The same with a value that stands in, which a flag gave, or Keyside where nobody did.
    pub(super) fn take_or<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, value::Allowed>,
        defaults: &Defaults,
        (flag, instead): (&str, T),
    ) -> T {
        let taken = self.take(name, parse);
        self.trace.setting(name, || defaults.source(flag));
        taken.unwrap_or(instead)
    }

    /// Notes who says what is found.
    pub(super) fn note(&mut self, name: &str) {
        if !self.trace.is_on() {
            return;
        }
        let (own, given, profile) = (self.own(name), self.given(name), self.profile);
        self.trace.setting(name, || match (own, given) {
            (Some(value), _) => Source::Annotation {
                key: format!("{}{name}", key::PREFIX),
                value: value.to_owned(),
            },
            (None, Some(value)) => Source::Profile {
                name: profile.name.clone(),
                key: name.to_owned(),
                value: value.to_owned(),
            },
            (None, None) => Source::Keyside,
        });
    }

    pub(super) fn refuse(&mut self, name: &str, allowed: impl Into<Cow<'static, str>>) {
        let given = self.written(name).is_none() && self.given(name).is_some();
        self.mistakes.push(Mistake {
            key: format!("{}{name}", key::PREFIX),
            read: self
                .written(name)
                .or_else(|| self.given(name))
                .map_or(Read::Nothing, |read| Read::Text(read.to_owned())),
            profile: given.then(|| self.profile.name.clone()),
            allowed: allowed.into(),
        });
    }

    /// Warns of annotations that were read for nothing. What a profile gives is for other pods then.
    pub(super) fn no_effect(&mut self, names: &[&str], because: &str) {
        let key = key::PREFIX;
        for name in names {
            if self.own(name).is_some() {
                self.warnings.push(format!(
                    "annotation {key}{name} has no effect, because {because}"
                ));
            }
        }
    }

    /// Sorts out the keys: warnings for the unknown ones, mistakes for those that cannot be followed.
    pub(super) fn sort_out_keys(&mut self) {
        for (full, read) in self.annotations {
            if key::PEER_PREFIXES.iter().any(|peer| full.starts_with(peer)) {
                self.mistakes.push(Mistake {
                    key: full.clone(),
                    read: Read::Text(read.clone()),
                    profile: None,
                    allowed: Cow::Borrowed(
                        "a pod is annotated for one injector only: keep this key or keyside.dev/inject",
                    ),
                });
            } else if let Some(name) = full.strip_prefix(key::PREFIX) {
                self.sort_out(full, name);
            }
        }
    }

    fn sort_out(&mut self, full: &str, name: &str) {
        match key::kind(name) {
            key::Kind::Known => self.refuse_locked(name),
            key::Kind::WrittenByUs => {}
            key::Kind::Later => {
                let hint = self.hint(name);
                self.refuse(
                    name,
                    format!("not supported by this version of Keyside{hint}"),
                );
            }
            key::Kind::UnknownParameter => {
                let parameter = name.strip_prefix(key::PARAMETER).unwrap_or_default();
                if let Some(why) = login::secret(parameter) {
                    self.mistakes.push(Mistake {
                        key: full.to_owned(),
                        read: Read::Secret,
                        profile: None,
                        allowed: Cow::Borrowed(why),
                    });
                } else if let Some(why) = login::refusal(parameter) {
                    self.refuse(name, why);
                } else {
                    let hint = self.hint(name);
                    self.refuse(name, format!("no way to log in has such a parameter{hint}"));
                }
            }
            key::Kind::Unknown if self.profile.strict => {
                let hint = self.hint(name);
                self.refuse(
                    name,
                    format!(
                        "there is no such key, and profile \"{}\" is strict{hint}",
                        self.profile.name
                    ),
                );
            }
            key::Kind::Unknown => {
                let (full, hint) = (printable(full), self.hint(name));
                self.warnings
                    .push(format!("annotation {full} is unknown and ignored{hint}"));
            }
        }
    }

    /// What the profile does not let pods choose may be said as the profile says it.
    fn refuse_locked(&mut self, name: &str) {
        if !self.profile.locks(name) || self.written(name) == self.given(name) {
            return;
        }
        let lock = format!(
            "for profile \"{}\" does not let pods choose it",
            self.profile.name
        );
        let allowed = match self.given(name) {
            Some(given) => format!("allowed: \"{}\", {lock}", printable(given)),
            None => format!("allowed: nothing, {lock}: leave it away"),
        };
        self.refuse(name, allowed);
    }

    /// Which key was meant. The search has a price, and a pod may have thousands of annotations.
    fn hint(&self, name: &str) -> String {
        let said = self.mistakes.len() + self.warnings.len();
        let nearest = (said < MOST).then(|| key::nearest(name)).flatten();
        nearest.map_or_else(String::new, |name| {
            format!("; did you mean {}{name}?", key::PREFIX)
        })
    }
}
