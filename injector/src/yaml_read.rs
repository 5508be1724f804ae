//! YAML → JSON values, as `kubectl` reads it.
//!
//! `kubectl` reads YAML 1.1: `defaultMode: 0400` is an octal number and `readOnly: yes` is true. A reader of YAML 1.2
//! takes both for text, and what it writes is then refused by the API server.
//!
//! Invariant: no input panics; nesting is bounded by [`MAX_DEPTH`], what aliases repeat by [`MAX_REPEATED`].

pub(crate) mod places;
mod scalar;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};

use scalar::plain;

/// How deep a document may nest; `serde_json` has the same limit.
const MAX_DEPTH: usize = 120;
/// How many values all aliases of a text may repeat together.
const MAX_REPEATED: usize = 100_000;

/// What is wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub(crate) struct Error {
    /// The document, counted from one.
    pub number: usize,
    pub line: usize,
    column: usize,
    what: String,
}

/// Reads all documents; an empty one is null.
pub(crate) fn read(text: &str) -> Result<Vec<Value>, Error> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options()) {
        match event {
            Ok((event, span)) => builder
                .accept(event)
                .map_err(|what| builder.error(&span.start, what))?,
            Err(error) => return Err(builder.error(error.marker(), error.info().clone())),
        }
    }
    Ok(builder.documents)
}

fn options() -> granit_parser::Options {
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    options
}

#[derive(Default)]
struct Builder {
    documents: Vec<Value>,
    open: Vec<Open>,
    /// What aliases can repeat; anchor 0 means none.
    anchors: HashMap<usize, Value>,
    repeated: usize,
}

/// A list or an object whose end has not been seen, and its anchor.
struct Open {
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Object {
        members: Map<String, Value>,
        key: Option<Key>,
        /// What `<<` brings in, in the order in which it was written.
        merged: Vec<Value>,
    },
}

enum Key {
    Name(String),
    Merge,
}

impl Builder {
    fn error(&self, marker: &Marker, what: String) -> Error {
        Error {
            number: self.documents.len().max(1),
            line: marker.line(),
            column: marker.col() + 1,
            what,
        }
    }

    fn accept(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.documents.push(Value::Null);
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref())
            }
            Event::SequenceStart(_, anchor, tag) => {
                expect(tag.as_deref(), "seq")?;
                self.begin(anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                expect(tag.as_deref(), "map")?;
                let content = Content::Object {
                    members: Map::new(),
                    key: None,
                    merged: Vec::new(),
                };
                self.begin(anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), String> {
        let is_bare = style == ScalarStyle::Plain && tag.is_none();
        let value = match tag {
            None if is_bare => plain(text)?,
            None => Value::from(text),
            Some(tag) => tagged(text, tag)?,
        };
        if let Some(Content::Object { members, key, .. }) = self.content()
            && key.is_none()
        {
            if is_bare && text == "<<" {
                *key = Some(Key::Merge);
                return Ok(());
            }
            let name = match value {
                Value::String(name) => name,
                Value::Null => return Err("a key is missing".to_owned()),
                other => other.to_string(),
            };
            if members.contains_key(&name) {
                return Err(format!("key {name:?} was written before"));
            }
            *key = Some(Key::Name(name));
            return Ok(());
        }
        self.add(value, anchor)
    }

    fn begin(&mut self, anchor: usize, content: Content) -> Result<(), String> {
        self.refuse_as_key()?;
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nests more than {MAX_DEPTH} deep"));
        }
        self.open.push(Open { anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::List(elements) => Value::Array(elements),
            Content::Object {
                mut members,
                merged,
                ..
            } => {
                for value in merged {
                    merge(&mut members, value)?;
                }
                Value::Object(members)
            }
        };
        self.add(value, open.anchor)
    }

    fn alias(&mut self, anchor: usize) -> Result<(), String> {
        self.refuse_as_key()?;
        let Some(value) = self.anchors.get(&anchor).cloned() else {
            return Err("the alias is inside what it repeats".to_owned());
        };
        let (size, depth) = measure(&value);
        self.repeated = self.repeated.saturating_add(size);
        if self.repeated > MAX_REPEATED {
            return Err(format!("aliases repeat more than {MAX_REPEATED} values"));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err(format!("nests more than {MAX_DEPTH} deep"));
        }
        self.add(value, 0)
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, value: Value, anchor: usize) -> Result<(), String> {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        match self.content() {
            None => {
                if let Some(document) = self.documents.last_mut() {
                    *document = value;
                }
            }
            Some(Content::List(elements)) => elements.push(value),
            Some(Content::Object {
                members,
                key,
                merged,
            }) => match key.take() {
                Some(Key::Name(name)) => {
                    members.insert(name, value);
                }
                Some(Key::Merge) => merged.push(value),
                None => return Err(KEY_IS_NO_TEXT.to_owned()),
            },
        }
        Ok(())
    }

    fn content(&mut self) -> Option<&mut Content> {
        self.open.last_mut().map(|open| &mut open.content)
    }

    fn refuse_as_key(&mut self) -> Result<(), String> {
        match self.content() {
            Some(Content::Object { key: None, .. }) => Err(KEY_IS_NO_TEXT.to_owned()),
            _ => Ok(()),
        }
    }
}

const KEY_IS_NO_TEXT: &str = "a key is text, not a list, a mapping or an alias";

/// What is written beside `<<`, and what an earlier object of its list has, wins.
fn merge(members: &mut Map<String, Value>, value: Value) -> Result<(), String> {
    match value {
        Value::Object(more) => {
            for (name, value) in more {
                members.entry(name).or_insert(value);
            }
            Ok(())
        }
        Value::Array(list) if list.iter().all(Value::is_object) => {
            list.into_iter().try_for_each(|value| merge(members, value))
        }
        _ => Err("<< takes a mapping or a list of mappings".to_owned()),
    }
}

/// How many values a value holds, itself included, and how deeply they nest.
fn measure(value: &Value) -> (usize, usize) {
    let inner: Vec<_> = match value {
        Value::Array(elements) => elements.iter().map(measure).collect(),
        Value::Object(members) => members.values().map(measure).collect(),
        _ => return (1, 0),
    };
    let size: usize = inner.iter().map(|(size, _)| size).sum();
    let depth = inner.iter().map(|(_, depth)| *depth).max();
    (size + 1, depth.unwrap_or_default() + 1)
}

fn expect(tag: Option<&Tag>, kind: &str) -> Result<(), String> {
    let is_expected = tag.is_none_or(|tag| tag.core_suffix() == Some(kind));
    is_expected.then_some(()).ok_or_else(unknown_tag)
}

fn unknown_tag() -> String {
    "a tag (`!…`) that has no form in JSON".to_owned()
}

fn tagged(text: &str, tag: &Tag) -> Result<Value, String> {
    let value = match tag.core_suffix() {
        Some("str") => return Ok(text.into()),
        _ if tag.handle().is_empty() && tag.suffix() == "!" => return Ok(text.into()),
        Some("bool" | "float" | "int" | "null") => plain(text)?,
        _ => return Err(unknown_tag()),
    };
    let is_right = match tag.core_suffix() {
        Some("bool") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => value.is_number(),
    };
    is_right
        .then_some(value)
        .ok_or_else(|| "the value is not what its tag says".to_owned())
}
