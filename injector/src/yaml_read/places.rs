//! Where things stand in a YAML text: what messages point at, and what edits go by.
//!
//! Invariant: a place is one of the text that was read: slicing by it cannot fail where that text is sliced.

use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde_json::Value;

use super::scalar::plain;

/// A value's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Bytes, without white space and comments behind it. Anchors and tags stand in front of it.
    pub span: Range<usize>,
    /// Counted from one.
    pub line: usize,
    /// Characters in front of it on its line.
    pub column: usize,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A scalar, or an alias, of which nothing stands here.
    Leaf,
    List {
        is_block: bool,
        items: Vec<Node>,
    },
    Map {
        is_block: bool,
        entries: Vec<Entry>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: String,
    /// Of the key.
    pub span: Range<usize>,
    pub line: usize,
    pub column: usize,
    pub value: Node,
}

impl Node {
    /// The node that a JSON pointer leads to, as far as it is written here and not repeated by an alias.
    pub(crate) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            let name = part.replace("~1", "/").replace("~0", "~");
            node = match &node.content {
                Content::Leaf => return None,
                Content::List { items, .. } => items.get(name.parse::<usize>().ok()?)?,
                Content::Map { .. } => &node.entry(&name)?.value,
            };
        }
        Some(node)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Map { entries, .. } => entries.iter().find(|entry| entry.key == key),
            Content::Leaf | Content::List { .. } => None,
        }
    }
}

/// The documents of a text, in the order of [`super::read`]; absent where one is empty, or the text cannot be read.
pub(crate) fn read(text: &str) -> Vec<Option<Node>> {
    let mut builder = Builder {
        text,
        documents: Vec::new(),
        open: Vec::new(),
    };
    for event in Parser::new_from_str_with_options(text, super::options()) {
        match event {
            Ok((event, span)) => {
                if builder.accept(event, &span).is_none() {
                    break;
                }
            }
            Err(_said_by_the_other_reader) => break,
        }
    }
    builder.documents
}

struct Builder<'t> {
    text: &'t str,
    documents: Vec<Option<Node>>,
    open: Vec<(Node, Option<Entry>)>,
}

impl Builder<'_> {
    fn accept(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        match event {
            Event::DocumentStart(..) => self.documents.push(None),
            Event::Scalar(text, style, _, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                self.leaf(span, || name(&text, is_plain))?;
            }
            Event::Alias(_) => self.leaf(span, String::new)?,
            Event::SequenceStart(..) => {
                let is_block = self.is_block(span)?;
                let items = Vec::new();
                self.begin(span, Content::List { is_block, items })?;
                self.find_dash();
            }
            Event::MappingStart(..) => {
                let is_block = self.is_block(span)?;
                let entries = Vec::new();
                self.begin(span, Content::Map { is_block, entries })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span)?,
            _ => {}
        }
        Some(())
    }

    fn is_block(&self, span: &Span) -> Option<bool> {
        let rest = self.text.get(span.start.byte_offset()?..)?;
        Some(!rest.starts_with(['[', '{']))
    }

    fn begin(&mut self, span: &Span, content: Content) -> Option<()> {
        let node = self.node(&span.start, &span.end, content)?;
        self.open.push((node, None));
        Some(())
    }

    /// A list that is no deeper than its key is told to begin at its first item, behind the dash.
    fn find_dash(&mut self) {
        let mut open = self.open.iter_mut().rev();
        let (Some((list, _)), Some((_, Some(key)))) = (open.next(), open.next()) else {
            return;
        };
        let Some(between) = self.text.get(key.span.end..list.span.start) else {
            return;
        };
        let (mut at, mut line) = (key.span.end, key.line);
        for text in between.split_inclusive('\n') {
            let indent = text.len() - text.trim_start_matches(' ').len();
            if line > key.line && indent == key.column && text.trim_start().starts_with('-') {
                (list.span.start, list.line, list.column) = (at + indent, line, indent);
                return;
            }
            at += text.len();
            line += 1;
        }
    }

    fn end(&mut self, span: &Span) -> Option<()> {
        let (mut node, _) = self.open.pop()?;
        // The end of a block is known when the next thing begins.
        node.span.end = match &node.content {
            Content::List {
                is_block: true,
                items,
            } => items.last().map_or(node.span.end, |item| item.span.end),
            Content::Map {
                is_block: true,
                entries,
            } => entries
                .last()
                .map_or(node.span.end, |entry| entry.value.span.end),
            _ => span.end.byte_offset()?,
        };
        self.add(node)
    }

    /// `name` is asked for where this is a key.
    fn leaf(&mut self, span: &Span, name: impl FnOnce() -> String) -> Option<()> {
        let mut node = self.node(&span.start, &span.end, Content::Leaf)?;
        match self.open.last_mut() {
            Some((parent, key @ None)) if matches!(parent.content, Content::Map { .. }) => {
                *key = Some(Entry {
                    key: name(),
                    span: node.span.clone(),
                    line: node.line,
                    column: node.column,
                    value: node,
                });
                return Some(());
            }
            // Nothing stands right behind the key.
            Some((_, Some(key))) if node.span.is_empty() => {
                let colon = self.text.get(key.span.end..)?.find(':')?;
                let at = key.span.end + colon + 1;
                (node.span, node.line) = (at..at, key.line);
            }
            _ => {}
        }
        self.add(node)
    }

    fn add(&mut self, node: Node) -> Option<()> {
        match self.open.last_mut() {
            None => *self.documents.last_mut()? = Some(node),
            Some((parent, key)) => match &mut parent.content {
                Content::Leaf => return None,
                Content::List { items, .. } => items.push(node),
                Content::Map { entries, .. } => {
                    let mut entry = key.take()?;
                    entry.value = node;
                    entries.push(entry);
                }
            },
        }
        Some(())
    }

    fn node(&self, start: &Marker, end: &Marker, content: Content) -> Option<Node> {
        let (from, to) = (start.byte_offset()?, end.byte_offset()?);
        // A block scalar takes the lines behind it along.
        let to = from + self.text.get(from..to)?.trim_end().len();
        Some(Node {
            span: from..to,
            line: start.line(),
            column: start.col(),
            content,
        })
    }
}

/// A key as [`super::read`] has it.
fn name(text: &str, is_plain: bool) -> String {
    match is_plain.then(|| plain(text)) {
        Some(Ok(Value::String(name))) => name,
        Some(Ok(other)) => other.to_string(),
        Some(Err(_)) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_things_stand() {
        let text = "# c\na:\n  b: &x 'y' # c\n  m:\n  # c\n  l:\n  - 1\n  -\n    k: |\n      t\n\n# c\n  f: {p: [q, 2]} # c\n  ä: ö\n---\n- z\n";
        let documents = read(text);
        let first = documents.first().unwrap().as_ref().unwrap();
        for (pointer, expected, line, column) in [
            ("/a/b", "'y'", 3, 8),
            ("/a/m", "", 4, 0),
            ("/a/l", "- 1\n  -\n    k: |\n      t", 7, 2),
            ("/a/l/0", "1", 7, 4),
            ("/a/l/1", "k: |\n      t", 9, 4),
            ("/a/f", "{p: [q, 2]}", 13, 5),
            ("/a/f/p/1", "2", 13, 13),
            ("/a/ä", "ö", 14, 5),
        ] {
            let node = first.at(pointer).unwrap_or_else(|| panic!("{pointer}"));
            let found = text.get(node.span.clone()).unwrap();
            assert_eq!((found, node.line), (expected, line), "{pointer}");
            if !expected.is_empty() {
                assert_eq!(node.column, column, "{pointer}");
            }
        }
        let entry = first.at("/a").unwrap().entry("m").unwrap();
        assert_eq!(text.get(entry.span.clone()), Some("m"));
        assert_eq!((entry.line, entry.column), (4, 2));
        assert!(first.at("/a/l/2").is_none());
        assert_eq!(documents.get(1).unwrap().as_ref().unwrap().line, 16);
        // What cannot be read has no places behind the mistake.
        assert_eq!(read("a: [").len(), 1);
    }
}
