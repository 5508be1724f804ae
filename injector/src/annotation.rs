//! Pod annotations → [`Injection`], or every mistake in them at once.
//!
//! What a pod does not say, its profile says, and what neither says, the installation's flags.
//!
//! Invariant: strict. A key that this version cannot follow is refused, an unknown one is named in a warning, and
//! no value is repaired.
//! Invariant: what was read goes into a message bounded and printable, whatever it was.

mod injection;
pub(crate) mod key;
pub(crate) mod login;
mod reader;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::admission::Defaults;
use crate::inject::Injection;
use crate::profile::{self, Found, Profile};
use crate::trace::Trace;
use reader::Reader;

/// Mistakes, and warnings, that one answer names. Who made more has enough to begin with.
const MOST: usize = 20;

/// A pod's annotations.
pub(crate) type Annotations = BTreeMap<String, String>;

/// Every mistake in one pod's annotations.
#[derive(Debug, thiserror::Error)]
#[error("{}", joined(.mistakes))]
pub(crate) struct Error {
    mistakes: Vec<Mistake>,
    /// For the pod's author, beside the mistakes.
    pub warnings: Vec<String>,
}

impl Error {
    /// The mistakes one by one.
    pub(crate) fn each(&self) -> impl Iterator<Item = &dyn fmt::Display> {
        let mistakes = self.mistakes.iter();
        mistakes.map(|mistake| -> &dyn fmt::Display { mistake })
    }
}

/// What was read of an annotation.
#[derive(Debug)]
enum Read {
    /// There is none.
    Nothing,
    /// What messages must not repeat: events show them.
    Secret,
    Text(String),
}

/// One annotation that cannot be followed.
#[derive(Debug)]
struct Mistake {
    key: String,
    read: Read,
    /// The profile that says so, where the pod does not.
    profile: Option<String>,
    /// What is allowed, or why it is refused: a sentence without its full stop.
    allowed: Cow<'static, str>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            read,
            profile,
            allowed,
        } = self;
        write!(f, "annotation {}", printable(key))?;
        if let Some(profile) = profile {
            write!(f, " of profile \"{}\"", printable(profile))?;
        }
        match read {
            Read::Text(read) => write!(f, ": read \"{}\"; {allowed}", printable(read)),
            Read::Secret => write!(f, ": {allowed}"),
            Read::Nothing => write!(f, " is missing; {allowed}"),
        }
    }
}

fn joined(mistakes: &[Mistake]) -> String {
    let mut lines: Vec<String> = mistakes.iter().take(MOST).map(Mistake::to_string).collect();
    if let more @ 1.. = mistakes.len().saturating_sub(MOST) {
        lines.push(format!("And {more} more"));
    }
    let mut text = String::new();
    for line in lines {
        match text.chars().last() {
            None => {}
            // The question ends its sentence by itself.
            Some('?') => text.push(' '),
            Some(_) => text.push_str(". "),
        }
        text.push_str(&line);
    }
    text
}

/// At most 64 characters, none of which could disturb a terminal or a log.
pub(crate) fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether the pod asks for injection at all; nothing else is looked at before this is known.
pub(crate) fn wanted(annotations: &Annotations) -> Result<bool, Error> {
    let mut reader = Reader::new(annotations, Profile::nothing());
    let wanted = reader.take("inject", value::boolean).unwrap_or(false);
    reader.end(wanted).map(|(wanted, _)| wanted)
}

/// What the pod asks for, and what its author should know.
#[cfg(test)]
pub(crate) fn read(
    annotations: &Annotations,
    defaults: &Defaults,
) -> Result<(Injection, Vec<String>), Error> {
    read_noting(annotations, defaults, &mut Trace::default())
}

/// What the pod asks for, and what its author should know; with notes on who said what.
pub(crate) fn read_noting(
    annotations: &Annotations,
    defaults: &Defaults,
    trace: &mut Trace,
) -> Result<(Injection, Vec<String>), Error> {
    let mut reader = Reader::new(annotations, profile(annotations, defaults)?);
    std::mem::swap(&mut reader.trace, trace);
    reader.note("profile");
    reader.sort_out_keys();
    let injection = injection::read(&mut reader, defaults);
    std::mem::swap(&mut reader.trace, trace);
    reader.end(injection)
}

/// What is to be said of the keys of a pod that does not ask for injection: mistakes, and warnings.
pub(crate) fn judge_keys(
    annotations: &Annotations,
    defaults: &Defaults,
) -> (Vec<String>, Vec<String>) {
    let judge = || {
        let mut reader = Reader::new(annotations, profile(annotations, defaults)?);
        reader.sort_out_keys();
        reader.end(())
    };
    match judge() {
        Ok(((), warnings)) => (Vec::new(), warnings),
        Err(error) => {
            let mistakes = error.each().map(ToString::to_string).collect();
            (mistakes, error.warnings)
        }
    }
}

/// The profile that the pod names. Without it nothing else can be judged.
fn profile<'a>(annotations: &Annotations, defaults: &'a Defaults) -> Result<&'a Profile, Error> {
    let mut reader = Reader::new(annotations, Profile::nothing());
    let name = reader.found("profile").unwrap_or(profile::DEFAULT);
    let others = || match defaults.profiles.names().as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    match defaults.profiles.find(name) {
        Found::Profile(profile) => return Ok(profile),
        Found::Unknown => reader.refuse("profile", format!("allowed: {}", others())),
        Found::Broken => reader.refuse(
            "profile",
            format!(
                "this profile has mistakes, which the injector's log names, and cannot be used; allowed: {}",
                others()
            ),
        ),
    }
    reader.end(Profile::nothing()).map(|(profile, _)| profile)
}

/// What a pod with this profile and nothing of its own would be told about the profile: key, what was read, what is
/// allowed. What the profile leaves to the pod is no mistake.
pub(crate) fn mistakes_of(profile: &Profile) -> Vec<(String, String, String)> {
    let nothing = Annotations::new();
    let mut reader = Reader::new(&nothing, profile);
    let injection = injection::read(&mut reader, &Defaults::new("keyside-agent"));
    let Err(error) = reader.end(injection) else {
        return Vec::new();
    };
    let mistakes = error.mistakes.into_iter();
    mistakes
        .filter_map(|mistake| {
            let key = mistake.key.strip_prefix(key::PREFIX)?.to_owned();
            match mistake.read {
                Read::Text(read) => Some((key, read, mistake.allowed.into_owned())),
                Read::Nothing | Read::Secret => None,
            }
        })
        .collect()
}
