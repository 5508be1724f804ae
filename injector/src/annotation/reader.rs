//! Takes single annotations off a pod and collects what is wrong with them.

use std::borrow::Cow;

use super::{Annotations, Error, MOST, Mistake, key, printable, value};

pub(super) struct Reader<'a> {
    annotations: &'a Annotations,
    /// In the order in which they were found.
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(annotations: &'a Annotations) -> Self {
        Self {
            annotations,
            mistakes: Vec::new(),
            warnings: Vec::new(),
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

    pub(super) fn found(&self, name: &str) -> Option<&'a str> {
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
        match parse(read) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.refuse(name, format!("allowed: {allowed}"));
                None
            }
        }
    }

    pub(super) fn refuse(&mut self, name: &str, allowed: impl Into<Cow<'static, str>>) {
        self.mistakes.push(Mistake {
            key: format!("{}{name}", key::PREFIX),
            read: self.found(name).map(str::to_owned),
            allowed: allowed.into(),
        });
    }

    /// Warns of annotations that were read for nothing.
    pub(super) fn no_effect(&mut self, names: &[&str], because: &str) {
        let key = key::PREFIX;
        for name in names {
            if self.found(name).is_some() {
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
                    read: Some(read.clone()),
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
            key::Kind::Known | key::Kind::WrittenByUs => {}
            key::Kind::Later => {
                let hint = self.hint(name);
                self.refuse(
                    name,
                    format!("not supported by this version of Keyside{hint}"),
                );
            }
            key::Kind::Unknown => {
                let (full, hint) = (printable(full), self.hint(name));
                self.warnings
                    .push(format!("annotation {full} is unknown and ignored{hint}"));
            }
        }
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
