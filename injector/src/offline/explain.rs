//! `inject --explain`: every piece that a pod got, with its source.
//!
//! Invariant: what is listed is read off the pod before and after injection, so that no piece is missing; where it
//! comes from is what the deciding code noted.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::annotation::{key, printable};
use crate::inject::names;
use crate::trace::{LeftOut, Source, Subject, Trace};

/// One pod or template.
#[derive(Debug)]
pub(super) struct Explanation {
    place: String,
    /// Why the pod is left alone.
    untouched: Option<String>,
    profile: Source,
    added: Vec<Piece>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug)]
struct Piece {
    name: String,
    settings: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    path: String,
    value: Value,
    from: Source,
}

impl Explanation {
    pub(super) fn untouched(place: &str, why: String) -> Self {
        Self {
            place: place.to_owned(),
            untouched: Some(why),
            profile: Source::Keyside,
            added: Vec::new(),
            left_out: Vec::new(),
        }
    }

    pub(super) fn new(place: &str, before: &Value, after: &Value, trace: &Trace) -> Self {
        let mut added = Vec::new();
        for volume in new_in(before, after, "/spec/volumes") {
            added.push(Piece::volume(volume, trace));
        }
        for (list, kind) in [
            ("/spec/initContainers", "init container"),
            ("/spec/containers", "container"),
        ] {
            for container in new_in(before, after, list) {
                added.push(Piece::agent(kind, container, trace));
            }
            for old in elements(before, list) {
                let same = |new: &&Value| name(new) == name(old);
                if let Some(new) = elements(after, list).iter().find(same) {
                    added.extend(Piece::application(kind, old, new, trace));
                }
            }
        }
        added.extend(Piece::annotations(before, after));
        Self {
            place: place.to_owned(),
            untouched: None,
            profile: trace.source("profile"),
            added,
            left_out: trace.all_left_out().to_vec(),
        }
    }
}

impl Piece {
    fn volume(volume: &Value, trace: &Trace) -> Self {
        let name = name(volume);
        Self::of(format!("volume {name}"), volume, |path| {
            trace.why(Subject::Volumes, &format!("{name}.{path}"))
        })
    }

    /// With the agent's configuration taken apart.
    fn agent(kind: &str, container: &Value, trace: &Trace) -> Self {
        let mut container = container.clone();
        let variables = container.pointer_mut("/env").and_then(Value::as_array_mut);
        let config = variables.and_then(|variables| {
            let position = variables
                .iter()
                .position(|variable| name(variable) == names::CONFIG_VARIABLE)?;
            Some(variables.remove(position))
        });
        let mut piece = Self::of(format!("{kind} {}", name(&container)), &container, |path| {
            trace.why(Subject::Agent, path)
        });
        // The volume's name stands in the path already.
        let says = |path: &str| path != "env" && !path.ends_with("].name");
        piece.settings.retain(|setting| says(&setting.path));
        let config = config.as_ref().and_then(|config| config.get("value"));
        let config = config.and_then(Value::as_str).unwrap_or_default();
        let config: Value = serde_json::from_str(config).unwrap_or_default();
        leaves("", &config, &mut |path, value| {
            piece.settings.push(Setting {
                path: format!("{}: {path}", names::CONFIG_VARIABLE),
                value: value.clone(),
                from: trace.why(Subject::Config, path),
            });
        });
        piece
    }

    fn application(kind: &str, before: &Value, after: &Value, trace: &Trace) -> Option<Self> {
        let mut settings = Vec::new();
        for (list, subject) in [("volumeMounts", "mount"), ("env", "env")] {
            let pointer = format!("/{list}");
            for new in elements(after, &pointer) {
                if !elements(before, &pointer).contains(new) {
                    let fields: Map<_, _> = without_name(new);
                    let single = fields.get("value").filter(|_| fields.len() == 1);
                    settings.push(Setting {
                        path: format!("{list}[{}]", name(new)),
                        value: single.cloned().unwrap_or(Value::Object(fields)),
                        from: trace.why(Subject::Application, subject),
                    });
                }
            }
        }
        let name = format!("{kind} {}", name(after));
        (!settings.is_empty()).then_some(Self { name, settings })
    }

    fn annotations(before: &Value, after: &Value) -> Option<Self> {
        let all = |pod: &Value| pod.pointer("/metadata/annotations").cloned();
        let before = all(before).unwrap_or_default();
        let after = all(after)?;
        let new = after.as_object()?.iter();
        let new = new.filter(|(key, value)| before.get(key.as_str()) != Some(value));
        let settings: Vec<_> = new
            .map(|(key, value)| Setting {
                path: key.clone(),
                value: value.clone(),
                from: Source::Keyside,
            })
            .collect();
        let name = "annotations".to_owned();
        (!settings.is_empty()).then_some(Self { name, settings })
    }

    fn of(name: String, object: &Value, why: impl Fn(&str) -> Source) -> Self {
        let mut settings = Vec::new();
        leaves("", &without_name(object).into(), &mut |path, value| {
            settings.push(Setting {
                path: path.to_owned(),
                value: value.clone(),
                from: why(path),
            });
        });
        Self { name, settings }
    }
}

fn elements<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    let list = object.pointer(pointer).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Elements of a list with names that were not there.
fn new_in<'a>(
    before: &'a Value,
    after: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = &'a Value> {
    let old: Vec<_> = elements(before, pointer).iter().map(name).collect();
    let new = elements(after, pointer).iter();
    new.filter(move |element| !old.contains(&name(element)))
}

fn name(element: &Value) -> &str {
    let name = element.get("name").and_then(Value::as_str);
    name.unwrap_or_default()
}

fn without_name(element: &Value) -> Map<String, Value> {
    let mut fields = element.as_object().cloned().unwrap_or_default();
    fields.remove("name");
    fields
}

/// Calls `act` with every value that holds no other, and its path. Elements go by name or type where they have one.
fn leaves(path: &str, value: &Value, act: &mut impl FnMut(&str, &Value)) {
    let deeper = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                leaves(&deeper(name), value, act);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (index, element) in list.iter().enumerate() {
                let field = |name: &str| element.get(name).and_then(Value::as_str);
                let name = field("name").or(field("type")).map(str::to_owned);
                let name = name.unwrap_or_else(|| index.to_string());
                leaves(&format!("{path}[{name}]"), element, act);
            }
        }
        other => act(path, other),
    }
}

/// For people.
pub(super) fn text(explanations: &[Explanation]) -> String {
    let mut text = String::new();
    for one in explanations {
        // Writing to a text cannot fail.
        let _infallible = one.write(&mut text);
    }
    text
}

impl Explanation {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        if let Some(why) = &self.untouched {
            return writeln!(text, "{}: left alone: {why}", self.place);
        }
        let nothing = if self.added.is_empty() {
            ": nothing to add, it has all of it"
        } else {
            ""
        };
        writeln!(text, "{}{nothing}", self.place)?;
        if self.profile != Source::Keyside {
            writeln!(text, "  profile  # {}", shown(&self.profile))?;
        }
        for piece in &self.added {
            writeln!(text, "  {}", piece.name)?;
            for setting in &piece.settings {
                let value = match &setting.value {
                    Value::String(value) => format!("\"{}\"", printable(value)),
                    other => other.to_string(),
                };
                writeln!(
                    text,
                    "    {} = {value}  # {}",
                    setting.path,
                    shown(&setting.from)
                )?;
            }
        }
        if !self.left_out.is_empty() {
            writeln!(text, "  left out")?;
        }
        for one in &self.left_out {
            writeln!(text, "    {}  # {}", one.piece, shown(&one.why))?;
        }
        Ok(())
    }
}

fn shown(source: &Source) -> String {
    match source {
        Source::Annotation { key, value } => {
            format!("annotation {key}: \"{}\"", printable(value))
        }
        Source::Profile { name, key, value } => {
            format!("profile {name}, {key}: \"{}\"", printable(value))
        }
        Source::Flag(name) if name.starts_with('-') => format!("flag {name}"),
        Source::Flag(name) => format!("variable {name}"),
        Source::Pod(what) => format!("the pod: {what}"),
        Source::Keyside => "Keyside".to_owned(),
    }
}

/// For machines.
pub(super) fn json(explanations: &[Explanation]) -> String {
    let list: Vec<Value> = explanations.iter().map(Explanation::json).collect();
    format!("{:#}\n", Value::from(list))
}

impl Explanation {
    fn json(&self) -> Value {
        if let Some(why) = &self.untouched {
            return json!({ "object": self.place, "decision": "untouched", "why": why });
        }
        let setting = |setting: &Setting| json!({ "path": setting.path, "value": setting.value, "from": source(&setting.from) });
        let piece = |piece: &Piece| {
            let settings: Vec<_> = piece.settings.iter().map(setting).collect();
            json!({ "piece": piece.name, "settings": settings })
        };
        let added: Vec<_> = self.added.iter().map(piece).collect();
        let left_out = self.left_out.iter();
        let left_out: Vec<_> = left_out
            .map(|one| json!({ "piece": one.piece, "why": source(&one.why) }))
            .collect();
        json!({
            "object": self.place,
            "decision": "injected",
            "profile": source(&self.profile),
            "added": added,
            "leftOut": left_out,
        })
    }
}

fn source(source: &Source) -> Value {
    match source {
        Source::Annotation { key, value } => json!({ "annotation": key, "value": value }),
        Source::Profile {
            name,
            key: field,
            value,
        } => json!({ "profile": name, "key": format!("{}{field}", key::PREFIX), "value": value }),
        Source::Flag(name) => json!({ "flag": name }),
        Source::Pod(what) => json!({ "pod": what }),
        Source::Keyside => json!({ "keyside": "default" }),
    }
}

#[cfg(test)]
mod tests;
