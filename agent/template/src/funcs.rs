//! The functions, by name: Go's own, consul-template's, and Sprig's with the prefix `sprig_`.
//!
//! A function gets values whose types were checked against its parameters: one letter each, a `*` after the last where
//! it repeats: `a`ny, `s`tring, `i`nt, `I` int64, `f`loat, `b`ool, `t`ime, `l`ist of anything, `S` list of strings,
//! `m`ap of anything. Of lists and maps, nil counts too.

mod builtin;
mod compare;
mod encode;
mod hash;
mod lists;
mod maps;
mod math;
mod refused;
mod regex;
mod source;
mod text;
pub(crate) mod time;
mod toml;
mod words;
mod yaml;
mod yaml_read;

use std::borrow::Cow;

use crate::error::Fault;
use crate::eval::Run;
use crate::value::{Entries, List, Value};

/// A function's own code.
pub(crate) type Call = fn(&mut Run<'_>, &[Value]) -> Result<Value, Fault>;

/// A function of templates.
pub(crate) struct Function {
    /// Without the prefix.
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static str,
    pub(crate) call: Call,
    /// Whether its name starts with `sprig_`.
    sprig: bool,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Function {
    const fn own(name: &'static str, parameters: &'static str, call: Call) -> Self {
        Self {
            name,
            parameters,
            call,
            sprig: false,
        }
    }

    const fn sprig(name: &'static str, parameters: &'static str, call: Call) -> Self {
        Self {
            name,
            parameters,
            call,
            sprig: true,
        }
    }

    /// As templates write it.
    pub(crate) fn shown(&self) -> String {
        let prefix = if self.sprig { PREFIX } else { "" };
        format!("{prefix}{}", self.name)
    }
}

const PREFIX: &str = "sprig_";

const TABLES: [&[Function]; 12] = [
    builtin::TABLE,
    compare::TABLE,
    encode::TABLE,
    hash::TABLE,
    lists::TABLE,
    maps::TABLE,
    math::TABLE,
    regex::TABLE,
    source::TABLE,
    text::TABLE,
    time::TABLE,
    words::TABLE,
];

/// The function of a name.
pub(crate) fn find(name: &str) -> Result<&'static Function, Fault> {
    let (bare, sprig) = match name.strip_prefix(PREFIX) {
        Some(bare) => (bare, true),
        None => (name, false),
    };
    let look = |bare: &str| {
        let mut all = TABLES.iter().flat_map(|table| table.iter());
        all.find(|function| function.sprig == sprig && function.name == bare)
    };
    if let Some(function) = look(bare) {
        return Ok(function);
    }
    // Sprig has most functions twice: `mustX` fails where `X` panics, which is one here.
    if let Some(rest) = bare.strip_prefix("must").filter(|_| sprig) {
        let mut letters = rest.chars();
        let first = letters.next().map(|c| c.to_ascii_lowercase());
        let plain: String = first.into_iter().chain(letters).collect();
        let twice = TWICE.contains(&plain.as_str());
        if let Some(function) = twice.then(|| look(&plain)).flatten() {
            return Ok(function);
        }
    }
    Err(refused::message(name, bare, sprig).into())
}

/// What Sprig has as `mustX` too, with the same outcome.
const TWICE: [&str; 25] = [
    "append",
    "chunk",
    "compact",
    "deepCopy",
    "first",
    "has",
    "initial",
    "last",
    "merge",
    "mergeOverwrite",
    "prepend",
    "push",
    "regexFind",
    "regexFindAll",
    "regexMatch",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "regexSplit",
    "rest",
    "reverse",
    "slice",
    "toJson",
    "toPrettyJson",
    "toRawJson",
    "uniq",
];

/// An argument; nil where it was left out.
fn at(values: &[Value], index: usize) -> &Value {
    values.get(index).unwrap_or(&Value::Nil)
}

/// The bytes of a string argument.
fn bytes(values: &[Value], index: usize) -> &[u8] {
    at(values, index).bytes().unwrap_or_default()
}

/// A string argument as characters.
fn chars(values: &[Value], index: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes(values, index))
}

/// An `int` argument.
fn int(values: &[Value], index: usize) -> i64 {
    match at(values, index) {
        Value::Int(value) | Value::Int64(value) => *value,
        _ => 0,
    }
}

/// A list argument; empty for nil.
fn list(values: &[Value], index: usize) -> &[Value] {
    match at(values, index) {
        Value::List(list) => &list.items,
        _ => &[],
    }
}

/// A list argument of whatever type.
fn any_list<'a>(values: &'a [Value], index: usize, what: &str) -> Result<&'a List, Fault> {
    match at(values, index) {
        Value::List(list) => Ok(list),
        other => Err(format!("there is no {what} of a {}", other.type_name()).into()),
    }
}

/// A copy of a map argument; empty for nil.
fn entries(values: &[Value], index: usize) -> Entries {
    match at(values, index) {
        Value::Map(map) => map.entries.borrow().clone(),
        _ => Entries::new(),
    }
}

fn flag(value: bool) -> Result<Value, Fault> {
    Ok(Value::Bool(value))
}

fn done(text: impl AsRef<[u8]>) -> Result<Value, Fault> {
    Ok(Value::text(text))
}

/// Where a text is in another.
fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    text.windows(part.len()).position(|window| window == part)
}

/// As Go splits: between characters where the separator is empty.
fn split<'a>(text: &'a [u8], separator: &[u8], limit: usize) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = text;
    if separator.is_empty() {
        for (_, length) in crate::quote::runes(text) {
            if parts.len() + 1 == limit {
                break;
            }
            let (part, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            parts.push(part);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(rest);
        }
        return parts;
    }
    while parts.len() + 1 < limit {
        let Some(found) = position(rest, separator) else {
            break;
        };
        parts.push(rest.get(..found).unwrap_or_default());
        rest = rest.get(found + separator.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// Texts with a separator between.
fn join<'a>(
    run: &mut Run<'_>,
    parts: impl Iterator<Item = &'a [u8]> + Clone,
    separator: &[u8],
) -> Result<Vec<u8>, Fault> {
    let size: usize = parts.clone().map(|part| part.len() + separator.len()).sum();
    if size > run.room() {
        run.charge(size)?;
    }
    let mut text = Vec::with_capacity(size);
    for (index, part) in parts.enumerate() {
        if index > 0 {
            text.extend_from_slice(separator);
        }
        text.extend_from_slice(part);
    }
    Ok(text)
}

/// As Go replaces all: an empty text is found before every character and at the end.
fn replace(run: &mut Run<'_>, text: &[u8], from: &[u8], to: &[u8]) -> Result<Vec<u8>, Fault> {
    let parts = split(text, from, usize::MAX);
    if !from.is_empty() {
        return join(run, parts.into_iter(), to);
    }
    let mut padded = join(run, std::iter::once(&[][..]).chain(parts), to)?;
    padded.extend_from_slice(to);
    Ok(padded)
}

/// The text of any value, as `print` gives it.
fn shown(run: &Run<'_>, value: &Value) -> Result<Vec<u8>, Fault> {
    match value.bytes() {
        Some(text) => Ok(text.to_vec()),
        None => crate::format::text(value, run.room()),
    }
}

/// Whether two values are the same in type and content.
fn same(run: &mut Run<'_>, left: &Value, right: &Value) -> Result<bool, Fault> {
    run.step(1)?;
    if left.type_name() != right.type_name() {
        return Ok(false);
    }
    Ok(match (left, right) {
        (Value::Nil | Value::Null, _) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Time(left), Value::Time(right)) => left == right,
        (Value::List(left), Value::List(right)) => {
            if left.items.len() != right.items.len() {
                return Ok(false);
            }
            for (left, right) in left.items.iter().zip(&right.items) {
                if !same(run, left, right)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(left), Value::Map(right)) => {
            let (left, right) = (left.entries.borrow(), right.entries.borrow());
            if left.len() != right.len() {
                return Ok(false);
            }
            for ((left_key, left), (right_key, right)) in left.iter().zip(right.iter()) {
                if left_key != right_key || !same(run, left, right)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => match (left.integer(), right.integer()) {
            (Some(left), Some(right)) => left == right,
            _ => left.bytes().is_some() && left.bytes() == right.bytes(),
        },
    })
}
