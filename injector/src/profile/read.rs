//! One profile's text → [`Profile`], or every mistake in it at once.
//!
//! Invariant: strict, as annotations are. What a pod could not write, a profile cannot say either: the same reader
//! judges both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use keyside_config::model::vault::Address;
use serde_json::{Map, Value};

use super::{Allow, Choice, Profile, Rule, THE_PODS_OWN};
use crate::annotation::{self, key, printable, value};
use crate::yaml_read;

/// What is wrong with one profile.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Empty where the text as a whole is meant.
    field: String,
    /// Absent where the field is missing, or holds more than one value.
    read: Option<String>,
    /// What is allowed, or why it is refused: a sentence without its full stop.
    allowed: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            read,
            allowed,
        } = self;
        if !field.is_empty() {
            write!(f, "{}: ", printable(field))?;
        }
        if let Some(read) = read {
            write!(f, "read \"{}\"; ", printable(read))?;
        }
        f.write_str(allowed)
    }
}

/// Everything that is wrong with one profile.
#[derive(Debug, thiserror::Error)]
#[error("profile {}: {}", printable(.name), joined(.mistakes))]
pub(crate) struct Error {
    name: String,
    mistakes: Vec<Mistake>,
}

/// More of them help nobody.
const MOST: usize = 20;

fn joined(mistakes: &[Mistake]) -> String {
    let mut texts: Vec<String> = mistakes.iter().take(MOST).map(Mistake::to_string).collect();
    if let more @ 1.. = mistakes.len().saturating_sub(MOST) {
        texts.push(format!("And {more} more"));
    }
    texts.join(". ")
}

const FIELDS: [&str; 6] = [
    "allow",
    "defaults",
    "locked",
    "openshift",
    "overridable",
    "strict",
];
const ALLOW: [&str; 3] = ["addresses", "images", "namespaces"];

/// Reads the profile `name`.
pub(crate) fn profile(name: &str, text: &str) -> Result<Profile, Error> {
    let mut mistakes = Mistakes::default();
    let profile = mistakes.profile(name, text);
    if mistakes.0.is_empty() {
        mistakes.0 = annotation::mistakes_of(&profile)
            .into_iter()
            .map(|(key, read, allowed)| Mistake {
                field: format!("defaults.{key}"),
                read: Some(read),
                allowed,
            })
            .collect();
    }
    if mistakes.0.is_empty() {
        Ok(profile)
    } else {
        Err(Error {
            name: name.to_owned(),
            mistakes: mistakes.0,
        })
    }
}

#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, field: impl Into<String>, read: Option<&str>, allowed: impl Into<String>) {
        self.0.push(Mistake {
            field: field.into(),
            read: read.map(str::to_owned),
            allowed: allowed.into(),
        });
    }

    fn profile(&mut self, name: &str, text: &str) -> Profile {
        let mut profile = Profile {
            name: name.to_owned(),
            ..Profile::default()
        };
        if !value::is_label(name) {
            let allowed =
                "a profile's name has 1 to 63 small letters, digits and dashes, none at an end";
            self.add("", None, allowed);
        }
        let fields = match yaml_read::read(text) {
            Ok(mut documents) => match (documents.pop(), documents.as_slice()) {
                (Some(Value::Object(fields)), []) => fields,
                // A file with nothing but comments is a profile that says nothing.
                (None | Some(Value::Null), []) => Map::new(),
                _ => {
                    self.add("", None, "write one YAML document that is a mapping");
                    return profile;
                }
            },
            Err(error) => {
                self.add("", None, format!("as YAML: {error}"));
                return profile;
            }
        };
        self.refuse_unknown("", &fields, &FIELDS);
        profile.defaults = self.defaults(fields.get("defaults"));
        profile.choice = self.choice(&fields);
        profile.allow = self.allow(fields.get("allow"));
        profile.strict = self.flag(&fields, "strict");
        profile.openshift = self.flag(&fields, "openshift");
        profile
    }

    fn refuse_unknown(&mut self, above: &str, fields: &Map<String, Value>, known: &[&'static str]) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let meant = key::nearest_of(name, known);
            let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean {meant}?)"));
            let allowed = format!(
                "there is no such field{meant}; allowed: {}",
                known.join(", ")
            );
            self.add(format!("{above}{name}"), None, allowed);
        }
    }

    fn defaults(&mut self, written: Option<&Value>) -> BTreeMap<String, String> {
        let mut defaults = BTreeMap::new();
        let Some(fields) = self.mapping("defaults", written) else {
            return defaults;
        };
        for (name, value) in fields {
            let field = format!("defaults.{name}");
            if let Err(why) = settable(name) {
                self.add(field, None, why);
            } else if let Some(text) = self.text(&field, value) {
                defaults.insert(name.clone(), text.to_owned());
            }
        }
        defaults
    }

    fn choice(&mut self, fields: &Map<String, Value>) -> Choice {
        let locked = fields.get("locked").map(|list| self.keys("locked", list));
        let open = fields
            .get("overridable")
            .map(|list| self.keys("overridable", list));
        match (locked, open) {
            (None, None) => Choice::All,
            (Some(locked), None) => Choice::AllBut(locked),
            (None, Some(open)) => Choice::Only(open),
            (Some(_), Some(_)) => {
                let why = "locked is there as well: write what is locked, or what is not";
                self.add("overridable", None, why);
                Choice::All
            }
        }
    }

    fn keys(&mut self, field: &str, written: &Value) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for (field, key) in self.texts(field, written) {
            match settable(&key) {
                Ok(()) => drop(keys.insert(key)),
                Err(why) => self.add(field, Some(&key), why),
            }
        }
        keys
    }

    fn allow(&mut self, written: Option<&Value>) -> Allow {
        let Some(fields) = self.mapping("allow", written) else {
            return Allow::default();
        };
        self.refuse_unknown("allow.", fields, &ALLOW);
        let list = |name: &str| fields.get(name).map(|list| (format!("allow.{name}"), list));
        Allow {
            addresses: list("addresses").map(|(field, list)| self.rules(&field, list, address)),
            namespaces: list("namespaces").map(|(field, list)| {
                self.rules(&field, list, |text| name(text, value::namespace, "/"))
            }),
            images: list("images").map(|(field, list)| {
                self.rules(&field, list, |text| name(text, value::image, "/:@"))
            }),
        }
    }

    fn rules<T>(
        &mut self,
        field: &str,
        written: &Value,
        read: impl Fn(&str) -> Result<Rule<T>, String>,
    ) -> Vec<Rule<T>> {
        let mut rules = Vec::new();
        for (field, text) in self.texts(field, written) {
            match read(&text) {
                Ok(rule) => rules.push(rule),
                Err(allowed) => self.add(field, Some(&text), format!("allowed: {allowed}")),
            }
        }
        rules
    }

    fn flag(&mut self, fields: &Map<String, Value>, name: &str) -> bool {
        match fields.get(name) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.add(name, None, "allowed: true or false");
                false
            }
        }
    }

    fn mapping<'a>(
        &mut self,
        field: &str,
        written: Option<&'a Value>,
    ) -> Option<&'a Map<String, Value>> {
        let fields = written?.as_object();
        if fields.is_none() {
            self.add(field, None, "allowed: a mapping");
        }
        fields
    }

    /// The texts of a list, each with its field.
    fn texts(&mut self, field: &str, written: &Value) -> Vec<(String, String)> {
        let Some(list) = written.as_array() else {
            self.add(field, None, "allowed: a list of texts");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (index, value) in list.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if let Some(text) = self.text(&field, value) {
                texts.push((field, text.to_owned()));
            }
        }
        texts
    }

    /// A number or a boolean could have been written in several ways, of which only the author knows the one meant.
    fn text<'a>(&mut self, field: &str, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            let what = match value {
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::Null => "empty",
                _ => "no text",
            };
            self.add(field, None, format!("is {what}; write text in quotes"));
        }
        text
    }
}

/// Whether a profile may speak of this key.
fn settable(name: &str) -> Result<(), String> {
    if THE_PODS_OWN.contains(&name) {
        return Err("it is the pod's own to say".to_owned());
    }
    match key::kind(name) {
        key::Kind::Known => Ok(()),
        key::Kind::Later => Err("not supported by this version of Keyside".to_owned()),
        key::Kind::WrittenByUs | key::Kind::Unknown | key::Kind::UnknownParameter => {
            let meant = key::nearest(name);
            let meant = meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            Err(format!("there is no such annotation{meant}"))
        }
    }
}

fn address(text: &str) -> Result<Rule<Address>, String> {
    if text == "*" {
        return Ok(Rule::Any);
    }
    value::address(text)
        .map(Rule::Exactly)
        .map_err(|allowed| format!("{allowed}; or * for any"))
}

/// A name, or the beginning of one up to a separator with `*` behind it: otherwise `team*` would mean `teamsters` too.
fn name(
    text: &str,
    read: fn(&str) -> Result<String, value::Allowed>,
    separators: &str,
) -> Result<Rule<String>, String> {
    if text == "*" {
        return Ok(Rule::Any);
    }
    let wrong = |allowed| {
        let separators: Vec<String> = separators.chars().map(String::from).collect();
        let separators = separators.join(" or ");
        format!("{allowed}; or its beginning up to {separators} with * behind it; or * for any")
    };
    let Some(start) = text.strip_suffix('*') else {
        return read(text).map(Rule::Exactly).map_err(wrong);
    };
    read(&format!("{start}x")).map_err(wrong)?;
    start
        .ends_with(|c| separators.contains(c))
        .then(|| Rule::Below(start.to_owned()))
        .ok_or_else(|| wrong("a whole name"))
}
