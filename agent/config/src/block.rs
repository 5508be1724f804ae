//! One block of the schema: its keys are asked for by name, and what nobody asked for is a mistake.
//!
//! A block may be written in several sources, so it holds all their fields in order. For a single value the last one
//! wins, but all are read, so that a mistake in an overridden file is found too.

use crate::node::{Field, Name, Node, Position, Value};
use crate::peer::{self, Kind};
use crate::report::{Found, Report};
use crate::scalar::{self, Read};

pub(crate) struct Block<'a> {
    /// Which table of keys applies.
    kind: Kind,
    /// The dotted path, empty at the top.
    path: String,
    /// Where it was written, last.
    at: Position,
    fields: Vec<&'a Field>,
    asked: Vec<&'static str>,
}

/// A block as written once: its label, if it has one, and its fields.
pub(crate) struct Body<'a> {
    pub(crate) label: Option<&'a Name>,
    pub(crate) at: Position,
    pub(crate) fields: Vec<&'a Field>,
}

impl<'a> Block<'a> {
    pub(crate) fn new(kind: Kind, path: String, at: Position, fields: Vec<&'a Field>) -> Self {
        Self {
            kind,
            path,
            at,
            fields,
            asked: Vec::new(),
        }
    }

    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// The dotted path of one of this block's keys.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Whether the key was written, readable or not.
    pub(crate) fn wrote(&self, key: &str) -> bool {
        self.fields.iter().any(|field| field.key.text == key)
    }

    /// All fields of that key, in order; from now on the key is known.
    pub(crate) fn take(&mut self, key: &'static str) -> Vec<&'a Field> {
        self.ask(key);
        let all = self.fields.iter().copied();
        all.filter(|field| field.key.text == key).collect()
    }

    fn ask(&mut self, key: &'static str) {
        #[cfg(test)]
        crate::reference::tests::asked(self.kind, key);
        self.asked.push(key);
    }

    /// A single value.
    pub(crate) fn value<T>(
        &mut self,
        report: &mut Report,
        key: &'static str,
        read: impl Fn(&Node) -> Read<T>,
    ) -> Option<Found<T>> {
        let path = self.path_of(key);
        let mut found = None;
        for field in self.take(key) {
            let node = &field.node;
            if let Some(label) = field.labels.first() {
                report.wrong(label.at, &path, "takes a value, not a label");
            } else if node.value == Value::Null {
                report.wrong(
                    node.at,
                    &path,
                    "has no value; write one, or leave the key out",
                );
            } else {
                match read(node) {
                    Ok(value) => {
                        let origin = report.origin(node.at, &path);
                        found = Some(Found { value, origin });
                    }
                    Err(what) => report.wrong(node.at, &path, what),
                }
            }
        }
        found
    }

    /// Text; an empty one counts as not written, as in Vault Agent.
    pub(crate) fn text(&mut self, report: &mut Report, key: &'static str) -> Option<Found<String>> {
        self.value(report, key, scalar::text)
            .filter(|found| !found.value.is_empty())
    }

    /// Text that must be there and not be empty.
    pub(crate) fn required(
        &mut self,
        report: &mut Report,
        key: &'static str,
    ) -> Option<Found<String>> {
        if !self.wrote(key) {
            // It may be there in another spelling, whose message is to name this one.
            self.ask(key);
            report.wrong(self.at, self.path_of(key), "is missing");
            return None;
        }
        let found = self.value(report, key, scalar::text)?;
        if found.value.is_empty() {
            report.wrong_at(&found.origin, "must not be empty");
            return None;
        }
        Some(found)
    }

    pub(crate) fn flag(&mut self, report: &mut Report, key: &'static str) -> Option<bool> {
        self.value(report, key, scalar::flag)
            .map(|found| found.value)
    }

    /// A block that may be written once in each source; its fields are merged.
    pub(crate) fn single(
        &mut self,
        report: &mut Report,
        key: &'static str,
        kind: Kind,
    ) -> Option<Block<'a>> {
        let path = self.path_of(key);
        let fields = self.take(key);
        once_in_each_source(report, &path, &fields);
        let mut bodies = Vec::new();
        for field in fields {
            bodies.extend(bodies_of(report, &path, field, &[]));
        }
        let at = bodies.last()?.at;
        for label in bodies.iter().filter_map(|body| body.label) {
            report.wrong(label.at, &path, "takes no label");
        }
        let fields = bodies.into_iter().flat_map(|body| body.fields).collect();
        Some(Block::new(kind, path, at, fields))
    }

    /// Reports every key that nobody asked for. Call it last.
    pub(crate) fn finish(self, report: &mut Report) {
        for field in &self.fields {
            let key = field.key.text.as_str();
            if self.asked.contains(&key) {
                continue;
            }
            let path = self.path_of(key);
            match peer::standing(self.kind, key) {
                peer::Standing::NoEffect(reason) => {
                    let origin = report.origin(field.key.at, path);
                    report.note_at(origin, peer::no_effect(reason));
                }
                peer::Standing::Unsupported(whose) => {
                    let what = peer::unsupported(self.kind, key, whose);
                    report.wrong(field.key.at, path, what);
                }
                peer::Standing::Unknown => {
                    let what = match peer::nearest(key, self.kind, &self.asked) {
                        Some(known) => format!("is not known; did you mean `{known}`?"),
                        None => "is not known".to_owned(),
                    };
                    report.wrong(field.key.at, path, what);
                }
            }
        }
    }
}

/// Reports the second and later fields of one source.
pub(crate) fn once_in_each_source(report: &mut Report, path: &str, fields: &[&Field]) {
    let pairs = fields.iter().zip(fields.iter().skip(1));
    for (earlier, later) in pairs.filter(|(a, b)| a.key.at.source == b.key.at.source) {
        second(report, path, earlier.key.at, later.key.at);
    }
}

/// One was allowed.
pub(crate) fn second(report: &mut Report, path: &str, earlier: Position, later: Position) {
    let line = earlier.line;
    let what = format!("was already written on line {line}; one is allowed");
    report.wrong(later, path, what);
}

/// The blocks that a field stands for: one; each of a list; or, where all keys of an object are among `types`, each of
/// them with that label, as HCL's JSON has it: `"listener": {"tcp": {…}}`.
pub(crate) fn bodies_of<'a>(
    report: &mut Report,
    path: &str,
    field: &'a Field,
    types: &[&str],
) -> Vec<Body<'a>> {
    if let Some(second) = field.labels.get(1) {
        report.wrong(second.at, path, "takes one label");
    }
    let label = field.labels.first();
    let mut bodies = Vec::new();
    collect(
        report,
        path,
        label,
        &field.node,
        field.key.at,
        types,
        &mut bodies,
    );
    bodies
}

fn collect<'a>(
    report: &mut Report,
    path: &str,
    label: Option<&'a Name>,
    node: &'a Node,
    at: Position,
    types: &[&str],
    bodies: &mut Vec<Body<'a>>,
) {
    match &node.value {
        Value::Object(fields) if label.is_none() && are_labels(fields, types) => {
            for field in fields {
                let (label, at) = (Some(&field.key), field.key.at);
                collect(report, path, label, &field.node, at, types, bodies);
            }
        }
        Value::Object(fields) => {
            let fields = fields.iter().collect();
            bodies.push(Body { label, at, fields });
        }
        Value::List(items) => {
            for item in items {
                if matches!(item.value, Value::List(_) | Value::Null) {
                    report.wrong(item.at, path, "must be a list of blocks");
                } else {
                    collect(report, path, label, item, item.at, types, bodies);
                }
            }
        }
        // YAML's `cache:` alone.
        Value::Null => {
            let fields = Vec::new();
            bodies.push(Body { label, at, fields });
        }
        _ => {
            let what = format!("is {}; it must be a block", scalar::kind(node));
            report.wrong(node.at, path, what);
        }
    }
}

fn are_labels(fields: &[Field], types: &[&str]) -> bool {
    let is_label = |field: &Field| {
        let is_block = matches!(field.node.value, Value::Object(_) | Value::List(_));
        is_block && types.contains(&field.key.text.as_str())
    };
    !fields.is_empty() && fields.iter().all(is_label)
}
