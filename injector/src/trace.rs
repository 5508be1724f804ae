//! Where each value comes from, noted by the code that takes it: what `inject --explain` tells.
//!
//! Invariant: it decides nothing. Off, as in the webhook, it holds nothing and asks for nothing.

pub(crate) mod words;

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Who said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Annotation {
        key: String,
        value: String,
    },
    Profile {
        name: String,
        key: String,
        value: String,
    },
    /// A flag of the installation, or its twin in the environment, as it was given.
    Flag(String),
    /// Something in the pod itself.
    Pod(Cow<'static, str>),
    /// Nobody: it is what Keyside does.
    Keyside,
}

/// What a path leads through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// The agent's containers.
    Agent,
    /// The agent's configuration.
    Config,
    /// The application's containers.
    Application,
    Volumes,
}

/// Something that was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub piece: String,
    pub why: Source,
}

/// Notes, where somebody wants them.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Box<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    /// Of annotations by their names, without the prefix.
    settings: BTreeMap<String, Source>,
    /// Of what was added, by a path of fields.
    places: BTreeMap<(Subject, String), Source>,
    left_out: Vec<LeftOut>,
    mistakes: Vec<String>,
}

impl Trace {
    pub(crate) fn on() -> Self {
        Self(Some(Box::default()))
    }

    /// Notes who set an annotation's value. The first one counts.
    pub(crate) fn setting(&mut self, name: &str, source: impl FnOnce() -> Source) {
        if let Some(notes) = &mut self.0
            && !notes.settings.contains_key(name)
        {
            notes.settings.insert(name.to_owned(), source());
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Notes that what stands at a path was decided by the annotation `name`, or by what stood in for it.
    pub(crate) fn decided(&mut self, subject: Subject, path: &str, name: &str) {
        let source = self.source(name);
        self.because(subject, path, || source);
    }

    /// The same where the first of several counts that anybody set.
    pub(crate) fn decided_by(&mut self, subject: Subject, path: &str, names: &[&str]) {
        let set = |name: &&&str| self.source(name) != Source::Keyside;
        let name = names.iter().find(set).copied().unwrap_or_default();
        self.decided(subject, path, name);
    }

    /// Notes why something stands at a path.
    pub(crate) fn because(
        &mut self,
        subject: Subject,
        path: &str,
        source: impl FnOnce() -> Source,
    ) {
        if let Some(notes) = &mut self.0 {
            notes.places.insert((subject, path.to_owned()), source());
        }
    }

    /// Notes what was left out, by the annotation `name` or what stood in for it.
    pub(crate) fn left_out(&mut self, piece: impl FnOnce() -> String, name: &str) {
        let why = self.source(name);
        self.left_out_because(piece, || why);
    }

    pub(crate) fn left_out_because(
        &mut self,
        piece: impl FnOnce() -> String,
        why: impl FnOnce() -> Source,
    ) {
        if let Some(notes) = &mut self.0 {
            let one = LeftOut {
                piece: piece(),
                why: why(),
            };
            // Of two containers of the agent's, one says it.
            if !notes.left_out.contains(&one) {
                notes.left_out.push(one);
            }
        }
    }

    /// Notes one of several reasons to deny.
    pub(crate) fn mistake(&mut self, text: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.0 {
            notes.mistakes.push(text());
        }
    }

    /// Who set what an annotation sets.
    pub(crate) fn source(&self, name: &str) -> Source {
        let notes = self.0.as_ref();
        let found = notes.and_then(|notes| notes.settings.get(name));
        found.cloned().unwrap_or(Source::Keyside)
    }

    /// Why something stands at a path: the note on it, or on the nearest thing that holds it.
    pub(crate) fn why(&self, subject: Subject, path: &str) -> Source {
        let Some(notes) = &self.0 else {
            return Source::Keyside;
        };
        let mut path = path;
        loop {
            if let Some(source) = notes.places.get(&(subject, path.to_owned())) {
                return source.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = path.get(..end).unwrap_or_default(),
                None => return Source::Keyside,
            }
        }
    }

    pub(crate) fn all_left_out(&self) -> &[LeftOut] {
        self.0.as_ref().map_or(&[], |notes| &notes.left_out)
    }

    pub(crate) fn mistakes(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |notes| &notes.mistakes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_note_counts() {
        let mut trace = Trace::on();
        let flag = |name: &str| Source::Flag(name.to_owned());
        trace.setting("proxy", || flag("--a"));
        trace.setting("proxy", || flag("--b"));
        trace.decided(Subject::Config, "listener", "proxy");
        trace.because(Subject::Config, "listener[tcp].address", || flag("--c"));
        for (path, expected) in [
            ("listener[tcp].address", flag("--c")),
            ("listener[tcp].role", flag("--a")),
            ("listener[unix]", flag("--a")),
            ("listeners", Source::Keyside),
            ("cache", Source::Keyside),
        ] {
            assert_eq!(trace.why(Subject::Config, path), expected, "{path}");
        }
        assert_eq!(trace.why(Subject::Agent, "listener"), Source::Keyside);
    }

    #[test]
    fn off_it_asks_for_nothing() {
        let mut trace = Trace::default();
        trace.setting("a", || panic!("asked"));
        trace.because(Subject::Agent, "a", || panic!("asked"));
        trace.left_out(|| panic!("asked"), "a");
        trace.mistake(|| panic!("asked"));
        assert_eq!(trace.source("a"), Source::Keyside);
        assert!(trace.all_left_out().is_empty() && trace.mistakes().is_empty());
    }
}
