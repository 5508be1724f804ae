//! What the environment and the command line say, laid over what was read from files.
//!
//! A variable is looked up as `BAO_…`, then as `VAULT_…`. As in the peers, one that is there and empty counts, and so
//! does a flag: it hides what was said before. That is noted, for it is seldom meant.

use crate::load::Flags;
use crate::mistake::Place;
use crate::peer;
use crate::report::{Found, Origin, Report};
use crate::scalar::Read;

pub(crate) struct Settings<'a> {
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) flags: &'a Flags,
}

impl Settings<'_> {
    /// Lays the variable `BAO_<name>` or `VAULT_<name>` over `slot`.
    pub(crate) fn variable<T>(
        &self,
        report: &mut Report,
        slot: &mut Option<Found<T>>,
        name: &str,
        read: impl Fn(&str) -> Read<T>,
    ) {
        if let Some((field, text)) = self.look_up(name) {
            let place = Place::Environment;
            lay(report, slot, Origin { place, field }, &text, read);
        }
    }

    /// Notes the variables and flags that peers know and that change nothing here.
    pub(crate) fn idle(&self, report: &mut Report) {
        for (name, reason) in peer::IDLE_VARIABLES {
            let set = self.look_up(name).filter(|(_, text)| !text.is_empty());
            if let Some((field, _)) = set {
                let place = Place::Environment;
                report.note_at(Origin { place, field }, peer::no_effect(reason));
            }
        }
        let given = |name: &&str| self.flags.idle.contains(name);
        for (name, reason) in peer::IDLE_FLAGS.iter().filter(|(name, _)| given(name)) {
            let (place, field) = (Place::CommandLine, format!("-{name}"));
            report.note_at(Origin { place, field }, peer::no_effect(reason));
        }
    }

    /// The variable's whole name, and its text.
    fn look_up(&self, name: &str) -> Option<(String, String)> {
        let mut names = ["BAO_", "VAULT_"]
            .map(|prefix| format!("{prefix}{name}"))
            .into_iter();
        names.find_map(|name| (self.environment)(&name).map(|text| (name, text)))
    }
}

/// Lays a flag over `slot`.
pub(crate) fn flag<T>(
    report: &mut Report,
    slot: &mut Option<Found<T>>,
    name: &str,
    flag: Option<&str>,
    read: impl Fn(&str) -> Read<T>,
) {
    if let Some(text) = flag {
        let (place, field) = (Place::CommandLine, name.to_owned());
        lay(report, slot, Origin { place, field }, text, read);
    }
}

fn lay<T>(
    report: &mut Report,
    slot: &mut Option<Found<T>>,
    origin: Origin,
    text: &str,
    read: impl Fn(&str) -> Read<T>,
) {
    if text.is_empty() {
        if let Some(Found { origin: hidden, .. }) = slot.take() {
            let what = format!("is empty and hides `{}` at {}", hidden.field, hidden.place);
            report.note_at(origin, what);
        }
        return;
    }
    match read(text) {
        Ok(value) => *slot = Some(Found { value, origin }),
        Err(what) => report.wrong_at(&origin, what),
    }
}

/// A reader that takes every text.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands where other readers can fail"
)]
pub(crate) fn any<T: From<String>>(text: &str) -> Read<T> {
    Ok(T::from(text.to_owned()))
}
