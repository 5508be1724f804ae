//! YAML 1.2, one document, read from a parser's events because those carry places.
//!
//! Scalars are resolved as the core schema says, with one exception: a whole number with a leading zero stays text, so
//! that `mode: 0640` is octal in every syntax. `yes` and `on` are text; tags and merge keys (`<<`) are not supported.
//!
//! Invariant: no input panics; nesting is bounded by [`MAX_DEPTH`], what aliases repeat by [`MAX_REPEATED`].

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::node::{Fault, Field, MAX_DEPTH, Name, Node, Position, Value};

#[cfg(test)]
mod tests;

/// How many values all aliases of a text may repeat together.
pub const MAX_REPEATED: usize = 10_000;

/// Reads a whole text.
///
/// # Errors
/// The first thing that is not YAML, is a second document, or exceeds a bound.
pub fn read(text: &str, start: Position) -> Result<Vec<Field>, Fault> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        start,
        ..Builder::default()
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| scan_fault(&error, start))?;
        builder.accept(event, span)?;
    }
    builder.finish()
}

fn scan_fault(error: &ScanError, start: Position) -> Fault {
    Fault::new(position(start, error.marker()), error.info())
}

fn position(start: Position, marker: &Marker) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position {
        source: start.source,
        line: number(marker.line()),
        column: number(marker.col()).saturating_add(1),
    }
}

#[derive(Default)]
struct Builder {
    start: Position,
    documents: usize,
    root: Option<Node>,
    open: Vec<Open>,
    /// What aliases can repeat; anchor 0 means none.
    anchors: HashMap<usize, Node>,
    repeated: usize,
}

/// A list or an object whose end has not been seen.
struct Open {
    at: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object {
        fields: Vec<Field>,
        key: Option<Name>,
    },
}

impl Builder {
    fn accept(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let at = position(self.start, &span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Fault::new(at, "a configuration is one YAML document"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse(tag.as_deref(), at)?;
                self.scalar(&text, style, anchor, at)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse(tag.as_deref(), at)?;
                self.begin(at, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse(tag.as_deref(), at)?;
                let (fields, key) = (Vec::new(), None);
                self.begin(at, anchor, Content::Object { fields, key })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        at: Position,
    ) -> Result<(), Fault> {
        if let Some(Content::Object { fields, key }) =
            self.open.last_mut().map(|open| &mut open.content)
            && key.is_none()
        {
            if let Some(first) = fields.iter().find(|field| field.key.text == text) {
                let line = first.key.at.line;
                let what = format!("`{text}` was already written on line {line}");
                return Err(Fault::new(at, what));
            }
            let text = text.to_owned();
            *key = Some(Name { at, text });
            return Ok(());
        }
        let value = match style {
            ScalarStyle::Plain => plain(text),
            _ => Value::Text(text.to_owned()),
        };
        self.add(Node { at, value }, anchor)
    }

    fn begin(&mut self, at: Position, anchor: usize, content: Content) -> Result<(), Fault> {
        self.refuse_as_key(at)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open {
            at,
            anchor,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Object { fields, .. } => Value::Object(fields),
        };
        let at = open.at;
        self.add(Node { at, value }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<(), Fault> {
        self.refuse_as_key(at)?;
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(Fault::new(at, "the alias is inside what it repeats"));
        };
        let (size, depth) = measure(&node);
        self.repeated = self.repeated.saturating_add(size);
        if self.repeated > MAX_REPEATED {
            let what = format!("aliases repeat more than {MAX_REPEATED} values");
            return Err(Fault::new(at, what));
        }
        if self.open.len() + depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.add(node, 0)
    }

    /// Puts a finished value where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Object { fields, key }) => {
                let Some(key) = key.take() else {
                    return Err(key_is_no_text(node.at));
                };
                let labels = Vec::new();
                fields.push(Field { key, labels, node });
            }
        }
        Ok(())
    }

    fn refuse_as_key(&self, at: Position) -> Result<(), Fault> {
        match self.open.last().map(|open| &open.content) {
            Some(Content::Object { key: None, .. }) => Err(key_is_no_text(at)),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Vec<Field>, Fault> {
        match self.root.map(|root| (root.at, root.value)) {
            None | Some((_, Value::Null)) => Ok(Vec::new()),
            Some((_, Value::Object(fields))) => Ok(fields),
            Some((at, _)) => Err(Fault::new(at, "a configuration is a mapping: `key: value`")),
        }
    }
}

fn refuse(tag: Option<&Tag>, at: Position) -> Result<(), Fault> {
    match tag {
        Some(_) => Err(Fault::new(at, "tags (`!…`) are not supported")),
        None => Ok(()),
    }
}

fn key_is_no_text(at: Position) -> Fault {
    Fault::new(at, "a key is text, not a list, a mapping or an alias")
}

fn too_deep(at: Position) -> Fault {
    Fault::new(at, format!("nests more than {MAX_DEPTH} deep"))
}

/// How many values a value holds, itself included, and how deeply they nest.
fn measure(node: &Node) -> (usize, usize) {
    let (mut size, mut depth) = (1, 0);
    let mut add = |node: &Node| {
        let (inner_size, inner_depth) = measure(node);
        size += inner_size;
        depth = inner_depth.max(depth);
    };
    match &node.value {
        Value::List(items) => items.iter().for_each(&mut add),
        Value::Object(fields) => fields.iter().for_each(|field| add(&field.node)),
        _ => return (1, 0),
    }
    (size, depth + 1)
}

/// A scalar without quotes, by YAML's core schema (1.2.2, section 10.3.2).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).unwrap_or_else(|| Value::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let radix = |prefix, radix| {
        let digits = text.strip_prefix(prefix)?;
        let is_unsigned = digits.starts_with(|c: char| c.is_digit(radix));
        let value = i64::from_str_radix(digits, radix).ok();
        value.filter(|_| is_unsigned).map(Value::Integer)
    };
    let digits = text.trim_start_matches(['-', '+']);
    let has_leading_zero =
        digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit()) && digits.starts_with('0');
    if let Some(value) = radix("0o", 8).or_else(|| radix("0x", 16)) {
        return Some(value);
    }
    if has_leading_zero {
        return None;
    }
    if let Ok(value) = text.parse() {
        return Some(Value::Integer(value));
    }
    // Rust reads `inf` and `nan` too, which are text here.
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse().ok().filter(|_| is_number).map(Value::Float)
}
