//! Changed values back into the text that they were read from: what did not change stays as it was written, comments
//! and order too.
//!
//! Invariant: what comes out reads as the values that were asked for; where an edit in place would not (anchors that
//! others repeat, say), more is written anew: the value around it, then the document, at last all of it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value, json};

use super::yaml;
use crate::yaml_read::{
    self,
    places::{self, Content, Entry, Node},
};

/// How keys change, and what becomes of those that go.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// New names by old ones.
    pub renamed: BTreeMap<String, String>,
    /// Whether a key that goes leaves its lines behind as comments.
    pub leaves_comments: bool,
}

/// `text`, which reads as `before`, changed so that it reads as `after`; absent where only writing all of it anew does.
pub(crate) fn edit(text: &str, before: &[Value], after: &[Value], keys: &Keys) -> Option<String> {
    let places = places::read(text);
    let documents = || {
        let pairs = places.iter().zip(before.iter().zip(after));
        pairs.filter_map(|(place, (before, after))| Some((place.as_ref()?, before, after)))
    };
    let editor = || Editor {
        text,
        keys,
        edits: Vec::new(),
        line_end: if text.contains("\r\n") { "\r\n" } else { "\n" },
    };
    let reads_right = |text: &String| yaml_read::read(text).is_ok_and(|read| read == after);
    let mut in_place = editor();
    for (place, before, after) in documents() {
        in_place.document(place, before, after);
    }
    let edited = in_place.apply().filter(&reads_right);
    edited.or_else(|| {
        let mut anew = editor();
        for (place, before, after) in documents() {
            if before != after {
                anew.rewrite(place, after, Place::Root);
            }
        }
        anew.apply().filter(reads_right)
    })
}

struct Editor<'t> {
    text: &'t str,
    keys: &'t Keys,
    edits: Vec<(Range<usize>, String)>,
    line_end: &'static str,
}

/// Where a value stands, which says how it is written anew.
#[derive(Clone, Copy)]
enum Place {
    Root,
    /// Behind a key that ends there and begins in this column.
    Value {
        key_end: usize,
        column: usize,
    },
    /// Behind a dash in this column.
    Item {
        column: usize,
    },
}

/// It takes writing the value around it anew.
struct Cannot;

impl Editor<'_> {
    fn document(&mut self, node: &Node, before: &Value, after: &Value) {
        self.value(node, before, after, Place::Root);
    }

    fn value(&mut self, node: &Node, before: &Value, after: &Value, place: Place) {
        let so_far = self.edits.len();
        if before != after && self.compare(node, before, after).is_err() {
            self.edits.truncate(so_far);
            self.rewrite(node, after, place);
        }
    }

    fn compare(&mut self, node: &Node, before: &Value, after: &Value) -> Result<(), Cannot> {
        match (&node.content, before, after) {
            (
                Content::Map {
                    is_block: true,
                    entries,
                },
                Value::Object(before),
                Value::Object(after),
            ) if !after.is_empty() => self.map(node, entries, before, after),
            (
                Content::List {
                    is_block: true,
                    items,
                },
                Value::Array(before),
                Value::Array(after),
            ) if !after.is_empty() => self.list(node, items, before, after),
            _ => Err(Cannot),
        }
    }

    fn map(
        &mut self,
        node: &Node,
        entries: &[Entry],
        before: &Map<String, Value>,
        after: &Map<String, Value>,
    ) -> Result<(), Cannot> {
        let (mut kept, mut written) = (Vec::new(), Vec::new());
        for (key, old) in before {
            let renamed = self.keys.renamed.get(key);
            let renamed =
                renamed.filter(|new| !after.contains_key(key) && after.contains_key(*new));
            let now = renamed.unwrap_or(key);
            let Some(new) = after.get(now) else {
                let entry = node.entry(key).ok_or(Cannot)?;
                self.remove(entry)?;
                continue;
            };
            kept.push(key);
            written.push(now);
            if old == new && renamed.is_none() {
                continue;
            }
            // What `<<` brought in stands elsewhere.
            let entry = node.entry(key).ok_or(Cannot)?;
            if let Some(new) = renamed {
                let text = yaml::write(&Value::from(new.as_str()));
                self.edits
                    .push((entry.span.clone(), text.trim_end().to_owned()));
            }
            let place = Place::Value {
                key_end: entry.span.end,
                column: entry.column,
            };
            self.value(&entry.value, old, new, place);
        }
        let column = entries.first().ok_or(Cannot)?.column;
        // What goes leaves nothing to write below.
        let stays = |entry: &&Entry| self.keys.leaves_comments || kept.contains(&&entry.key);
        let last = entries.iter().rfind(stays).map(|last| last.value.span.end);
        for (key, value) in after.iter().filter(|(key, _)| !written.contains(key)) {
            let lines = yaml::write(&json!({ key: value }));
            self.insert_below(last.ok_or(Cannot)?, column, &lines);
        }
        Ok(())
    }

    fn list(
        &mut self,
        node: &Node,
        items: &[Node],
        before: &[Value],
        after: &[Value],
    ) -> Result<(), Cannot> {
        if items.len() != before.len() {
            return Err(Cannot);
        }
        let added = after.len().checked_sub(before.len()).ok_or(Cannot)?;
        let (head, tail) = match added {
            0 => (before.len(), 0),
            _ => ends(before, after),
        };
        // Anything but an insertion at one place is not what injection does.
        if head + tail != before.len() {
            return Err(Cannot);
        }
        let (first, behind) = items.split_at(head);
        let kept = after
            .iter()
            .take(head)
            .chain(after.iter().skip(head + added));
        for ((item, old), new) in items.iter().zip(before).zip(kept) {
            let column = node.column;
            self.value(item, old, new, Place::Item { column });
        }
        for value in after.iter().skip(head).take(added) {
            let lines = yaml::write(&json!([value]));
            match (behind.first(), first.last()) {
                (Some(next), last) => {
                    let from = last.map_or(node.span.start, |last| last.span.end);
                    self.insert_above(from..next.span.start, node.column, &lines)?;
                }
                (None, Some(last)) => self.insert_below(last.span.end, node.column, &lines),
                (None, None) => return Err(Cannot),
            }
        }
        Ok(())
    }

    /// Takes an entry's lines away, or makes comments of them.
    fn remove(&mut self, entry: &Entry) -> Result<(), Cannot> {
        let start = self.line_start(entry.span.start);
        let end = self.line_end_after(entry.value.span.end.max(entry.span.end));
        let before = self.slice(start..entry.span.start)?;
        if !before.chars().all(|c| c == ' ') {
            return Err(Cannot);
        }
        let lines = self.slice(entry.span.start..end)?;
        if self.keys.leaves_comments {
            let mut text = String::new();
            for line in lines.split_inclusive('\n') {
                let deeper = line.strip_prefix(before).unwrap_or(line);
                if !text.is_empty() {
                    text.push_str(before);
                }
                text.push_str(if deeper.trim().is_empty() { "#" } else { "# " });
                text.push_str(deeper);
            }
            self.edits.push((entry.span.start..end, text));
        } else {
            let behind = self.text.get(end..).unwrap_or_default();
            let break_length = behind.split_inclusive('\n').next().map_or(0, str::len);
            self.edits.push((start..end + break_length, String::new()));
        }
        Ok(())
    }

    fn rewrite(&mut self, node: &Node, value: &Value, place: Place) {
        let lines = yaml::write(value);
        let lines = lines.trim_end_matches('\n');
        let is_nested = match value {
            Value::Object(members) => !members.is_empty(),
            Value::Array(elements) => !elements.is_empty(),
            _ => false,
        };
        let (range, text) = match place {
            Place::Root => (node.span.clone(), self.deeper(lines, 0)),
            Place::Item { column } => (node.span.clone(), self.deeper(lines, column + 2)),
            Place::Value { key_end, column } => {
                let behind = self.text.get(key_end..).unwrap_or_default();
                let from = key_end + behind.find(':').map_or(0, |colon| colon + 1);
                let text = if is_nested {
                    let column = column + if value.is_array() { 0 } else { 2 };
                    let indent = self.indented(column);
                    format!("{}{indent}{}", self.line_end, self.deeper(lines, column))
                } else {
                    format!(" {}", self.deeper(lines, column))
                };
                (from..node.span.end.max(from), text)
            }
        };
        self.edits.push((range, text));
    }

    /// New lines below the one where something ends.
    fn insert_below(&mut self, end: usize, column: usize, lines: &str) {
        let at = self.line_end_after(end);
        let indent = self.indented(column);
        let lines = self.deeper(lines.trim_end_matches('\n'), column);
        let text = format!("{}{indent}{lines}", self.line_end);
        self.edits.push((at..at, text));
    }

    /// New lines above the dash that stands in this column within `range`, and above the comments over it.
    fn insert_above(
        &mut self,
        range: Range<usize>,
        column: usize,
        lines: &str,
    ) -> Result<(), Cannot> {
        let between = self.slice(range.clone())?;
        let dash = between.rmatch_indices('-').map(|(at, _)| range.start + at);
        let mut dash = dash.filter(|dash| dash - self.line_start(*dash) == column);
        // The list's own dash, where nothing stood before it.
        let dash = dash.next().unwrap_or(range.start);
        let mut at = self.line_start(dash);
        if !self.slice(at..dash)?.chars().all(|c| c == ' ') {
            return Err(Cannot);
        }
        while at > 0 {
            let above = self.line_start(at - 1);
            if !self.slice(above..at)?.trim_start().starts_with('#') {
                break;
            }
            at = above;
        }
        let indent = self.indented(column);
        let lines = self.deeper(lines.trim_end_matches('\n'), column);
        self.edits
            .push((at..at, format!("{indent}{lines}{}", self.line_end)));
        Ok(())
    }

    /// Lines of our writer's, all but the first moved to a column.
    fn deeper(&self, lines: &str, column: usize) -> String {
        let mut text = String::new();
        for (index, line) in lines.split('\n').enumerate() {
            if index > 0 {
                text.push_str(self.line_end);
                if !line.is_empty() {
                    text.push_str(&self.indented(column));
                }
            }
            text.push_str(line);
        }
        text
    }

    #[expect(clippy::unused_self, reason = "reads as its neighbours do")]
    fn indented(&self, column: usize) -> String {
        " ".repeat(column)
    }

    fn slice(&self, range: Range<usize>) -> Result<&str, Cannot> {
        self.text.get(range).ok_or(Cannot)
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.rfind('\n').map_or(0, |end| end + 1)
    }

    /// Where the line ends that holds the end of something, comments behind it included.
    fn line_end_after(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        at + line.trim_end_matches('\r').len()
    }

    /// Absent where two edits are at odds.
    fn apply(mut self) -> Option<String> {
        self.edits
            .sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = String::new();
        let mut done = 0;
        for (range, new) in &self.edits {
            text.push_str(self.text.get(done..range.start)?);
            text.push_str(new);
            done = range.end;
        }
        text.push_str(self.text.get(done..)?);
        Some(text)
    }
}

/// How many elements correspond at the start, and how many of the rest at the end.
fn ends(before: &[Value], after: &[Value]) -> (usize, usize) {
    let same = |(old, new): &(&Value, &Value)| correspond(old, new);
    let head = before.iter().zip(after).take_while(same).count();
    let rest = before.iter().skip(head).rev();
    let tail = rest
        .zip(after.iter().skip(head).rev())
        .take_while(same)
        .count();
    (head, tail)
}

/// Whether two elements are the same thing: objects of one name, as the lists of a pod have them, or equal.
fn correspond(before: &Value, after: &Value) -> bool {
    let name = before.get("name").filter(|name| name.is_string());
    match (name, after.get("name")) {
        (Some(old), Some(new)) if old == new => true,
        _ => before == after,
    }
}

#[cfg(test)]
mod tests;
