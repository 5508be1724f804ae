//! YAML into values, as the library that consul-template uses resolves it: YAML 1.1's booleans and octal numbers.
//!
//! Keys that are no text become their text. Invariant: nesting is bounded by the parser, what aliases repeat by
//! [`MAX_REPEATED`].

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::error::Fault;
use crate::number;
use crate::value::{Entries, MAX_DEPTH, Of, Value};

const MAX_REPEATED: usize = 10_000;

/// Reads the first document.
pub(super) fn read(text: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(text).map_err(|_no_text| NOT_YAML)?;
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, _) = event.map_err(|_where| NOT_YAML)?;
        if let Event::DocumentEnd = event {
            break;
        }
        builder.accept(event)?;
    }
    Ok(builder.root.unwrap_or(Value::Nil))
}

const NOT_YAML: &str = "the text is not YAML";

enum Open {
    List(Vec<Value>),
    Map(Entries, Option<Vec<u8>>, Vec<Value>),
}

#[derive(Default)]
struct Builder {
    root: Option<Value>,
    open: Vec<(usize, Open)>,
    /// What aliases repeat, and how many values it holds.
    anchors: HashMap<usize, Value>,
    repeated: usize,
}

impl Builder {
    fn accept(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let value = match style {
                    ScalarStyle::Plain => plain(&text),
                    _ => Value::text(text.as_bytes()),
                };
                self.add(value, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open.push((anchor, Open::List(Vec::new())));
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                let map = Open::Map(Entries::new(), None, Vec::new());
                self.open.push((anchor, map));
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((anchor, open)) = self.open.pop() else {
                    return Ok(());
                };
                let value = match open {
                    Open::List(items) => Value::list(items)?,
                    Open::Map(mut entries, _, merged) => {
                        for value in merged {
                            merge(&mut entries, &value);
                        }
                        Value::map_of(Of::AnyKey, entries)?
                    }
                };
                self.add(value, anchor)
            }
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().ok_or(NOT_YAML)?;
                // Values are shared, so that repeating costs nothing; what walks them counts.
                self.repeated += 1;
                if self.repeated > MAX_REPEATED {
                    return Err("aliases repeat too much".into());
                }
                self.add(value, 0)
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, value: Value, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut().map(|open| &mut open.1) {
            None => self.root = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(entries, key, merged)) => match key.take() {
                None => {
                    if matches!(value, Value::List(_) | Value::Map(_)) {
                        return Err("a key is no list and no map".into());
                    }
                    *key = Some(crate::format::text(&value, usize::MAX)?);
                }
                Some(name) if name == b"<<" => merged.push(value),
                Some(name) => {
                    entries.insert(name.into(), value);
                }
            },
        }
        Ok(())
    }
}

/// `<<`: what is there already stays.
fn merge(entries: &mut Entries, value: &Value) {
    match value {
        Value::Map(map) => {
            for (key, value) in map.entries.borrow().iter() {
                entries.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        Value::List(list) => {
            for value in list
                .items
                .iter()
                .filter(|item| matches!(item, Value::Map(_)))
            {
                merge(entries, value);
            }
        }
        _ => {}
    }
}

/// Whether a text without quotes stays a text.
pub(super) fn is_text(text: &str) -> bool {
    matches!(plain(text), Value::Text(_)) && !is_base_60(text) && !is_date(text)
}

/// YAML 1.1 read `12:30` as a number.
fn is_base_60(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = digits.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let number = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'_' || byte == b'.')
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && number(first)
        && !rest.is_empty()
        && rest.iter().all(|part| !part.is_empty() && number(part))
}

/// A date with or without a time.
fn is_date(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits != 4 || text.as_bytes().get(4) != Some(&b'-') {
        return false;
    }
    let date = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = date.split('-').collect();
    let time = text.get(date.len() + 1..).unwrap_or("0");
    parts.len() == 3
        && parts.iter().skip(1).all(|part| {
            (1..=2).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
        && time.starts_with(|c: char| c.is_ascii_digit())
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Value::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit()) {
        let whole = number::whole(&digits.replace('_', ""));
        let value = whole
            .map(i128::from)
            .map(|value| if text.starts_with('-') { -value } else { value });
        if let Some(value) = value {
            return match i64::try_from(value) {
                Ok(value) => Value::Int(value),
                Err(_too_large) => u64::try_from(value).map_or(Value::Nil, Value::Uint),
            };
        }
    }
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' | b'_'))
        && digits.bytes().any(|byte| byte.is_ascii_digit());
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if is_number => Value::Float(value),
        _ => Value::text(text),
    }
}
