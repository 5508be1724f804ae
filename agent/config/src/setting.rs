//! What the environment and the command line say, laid over what was read from files.
//!
//! A variable is looked up as `BAO_…`, then as `VAULT_…`. An empty variable or flag counts as absent: manifests set
//! variables to nothing when they mean "not set".

use crate::load::Flags;
use crate::mistake::Place;
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
        let names = ["BAO_", "VAULT_"].map(|prefix| format!("{prefix}{name}"));
        let written = names.into_iter().find_map(|name| {
            let text = (self.environment)(&name).filter(|text| !text.is_empty())?;
            Some((name, text))
        });
        if let Some((field, text)) = written {
            let place = Place::Environment;
            lay(report, slot, Origin { place, field }, &text, read);
        }
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
    if let Some(text) = flag.filter(|text| !text.is_empty()) {
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
