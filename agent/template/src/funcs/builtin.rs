//! Go's own functions, but for the comparisons.

use super::{Function, at, done};
use crate::error::Fault;
use crate::eval::Run;
use crate::format::{self, Writer};
use crate::quote;
use crate::value::{Of, Value};

pub(super) const TABLE: &[Function] = &[
    // These two are decided where they are called, because they leave arguments alone.
    Function::own("and", "a*", |_, _| Ok(Value::Nil)),
    Function::own("or", "a*", |_, _| Ok(Value::Nil)),
    Function::own("not", "a", |_, values| {
        Ok(Value::Bool(!at(values, 0).truth()))
    }),
    Function::own("index", "aa*", index),
    Function::own("slice", "aa*", slice),
    Function::own("len", "a", length),
    Function::own("print", "a*", |run, values| {
        write(run, values, format::print)
    }),
    Function::own("println", "a*", |run, values| {
        write(run, values, format::println)
    }),
    Function::own("printf", "sa*", |run, values| {
        write(run, values, |writer, values| {
            let (format, values) = values.split_first().unwrap_or((&Value::Nil, &[]));
            format::printf(writer, format.bytes().unwrap_or_default(), values)
        })
    }),
    Function::own("html", "a*", |run, values| {
        escape(run, values, |text, writer| {
            for byte in text {
                match byte {
                    b'"' => writer.push("&#34;"),
                    b'\'' => writer.push("&#39;"),
                    b'&' => writer.push("&amp;"),
                    b'<' => writer.push("&lt;"),
                    b'>' => writer.push("&gt;"),
                    0 => writer.char(char::REPLACEMENT_CHARACTER),
                    _ => writer.bytes(&[*byte]),
                }
            }
        })
    }),
    Function::own("js", "a*", |run, values| {
        escape(run, values, |text, writer| {
            for c in quote::chars(text) {
                match c {
                    '\\' => writer.push("\\\\"),
                    '\'' => writer.push("\\'"),
                    '"' => writer.push("\\\""),
                    '<' | '>' | '&' | '=' | '\0'..' ' | '\x7f' => {
                        writer.push(&format!("\\u{:04X}", u32::from(c)));
                    }
                    _ if c.is_ascii() || quote::is_printed(c) => writer.char(c),
                    _ => writer.push(&format!("\\u{:04X}", u32::from(c))),
                }
            }
        })
    }),
    Function::own("urlquery", "a*", |run, values| {
        escape(run, values, |text, writer| {
            for byte in text {
                match byte {
                    b' ' => writer.push("+"),
                    b'-' | b'_' | b'.' | b'~' => writer.bytes(&[*byte]),
                    _ if byte.is_ascii_alphanumeric() => writer.bytes(&[*byte]),
                    _ => writer.push(&format!("%{byte:02X}")),
                }
            }
        })
    }),
];

fn write(
    run: &mut Run<'_>,
    values: &[Value],
    how: impl Fn(&mut Writer, &[Value]) -> Result<(), Fault>,
) -> Result<Value, Fault> {
    let mut writer = Writer::new(run.room());
    how(&mut writer, values)?;
    done(writer.finish()?)
}

/// Go's escapers take what `print` makes of their arguments; nil is `<no value>` to them.
fn escape(
    run: &mut Run<'_>,
    values: &[Value],
    how: impl Fn(&[u8], &mut Writer),
) -> Result<Value, Fault> {
    let shown: Vec<Value> = values
        .iter()
        .map(|value| match value {
            Value::Nil | Value::Null => Value::text("<no value>"),
            other => other.clone(),
        })
        .collect();
    let mut text = Writer::new(run.room());
    format::print(&mut text, &shown)?;
    let text = text.finish()?;
    let mut writer = Writer::new(run.room());
    how(&text, &mut writer);
    done(writer.finish()?)
}

/// A position within a length, the length itself included.
fn place(value: &Value, length: usize) -> Result<usize, Fault> {
    let Some(position) = value.integer() else {
        return Err(format!("cannot count with a {}", value.type_name()).into());
    };
    let position = usize::try_from(position).ok();
    position
        .filter(|position| *position <= length)
        .ok_or_else(|| "out of range".into())
}

fn index(run: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let mut value = at(values, 0).clone();
    if matches!(value, Value::Nil) {
        return Err("there is nothing to look into".into());
    }
    for key in values.iter().skip(1) {
        let next = match &value {
            Value::List(list) => list.items.get(place(key, list.items.len())?).cloned(),
            Value::Text(text) | Value::Number(text) => {
                let byte = text.get(place(key, text.len())?);
                byte.map(|byte| Value::Uint(u64::from(*byte)))
            }
            Value::Map(map) => {
                let key = match key {
                    Value::Text(text) => text.to_vec(),
                    _ if map.of == Of::AnyKey => super::shown(run, key)?,
                    other => {
                        let what = format!("a key is a string, not a {}", other.type_name());
                        return Err(what.into());
                    }
                };
                let found = map.entries.borrow().get(key.as_slice()).cloned();
                Some(found.unwrap_or_else(|| map.nothing()))
            }
            other => return Err(format!("cannot look into a {}", other.type_name()).into()),
        };
        value = next.ok_or("out of range")?;
    }
    Ok(value)
}

fn slice(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let item = at(values, 0);
    let length = match item {
        Value::List(list) => list.items.len(),
        Value::Text(text) | Value::Number(text) if values.len() < 4 => text.len(),
        other => return Err(format!("cannot slice a {} like this", other.type_name()).into()),
    };
    if values.len() > 4 {
        return Err("takes at most three positions".into());
    }
    let mut bounds = [0, length, length];
    for (bound, value) in bounds.iter_mut().zip(values.iter().skip(1)) {
        *bound = place(value, length)?;
    }
    let [from, to, most] = bounds;
    if from > to || to > most {
        return Err("the positions do not ascend".into());
    }
    match item {
        Value::List(list) => {
            let items = list.items.get(from..to).unwrap_or_default();
            Value::list_of(list.of, items.to_vec())
        }
        Value::Number(text) => {
            let text = text.get(from..to).unwrap_or_default();
            Ok(Value::Number(text.into()))
        }
        other => done(
            other
                .bytes()
                .and_then(|text| text.get(from..to))
                .unwrap_or_default(),
        ),
    }
}

fn length(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let length = match at(values, 0) {
        Value::Text(text) | Value::Number(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.borrow().len(),
        Value::Counter(..) => 0,
        other => return Err(format!("a {} has no length", other.type_name()).into()),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}
