//! TOML, in the layout of the library that consul-template uses: values first, then tables, each level two blanks in.

use crate::error::Fault;
use crate::format::{Writer, float};
use crate::quote;
use crate::value::{Entries, Value};

/// Writes a value, without the line end.
pub(super) fn write(value: &Value, room: usize) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer::new(room);
    match value {
        Value::Map(map) => table(&mut writer, &map.entries.borrow(), &[])?,
        _ => inline(&mut writer, value, 0)?,
    }
    let text = writer.finish()?;
    Ok(text.trim_ascii().to_vec())
}

/// A list of tables is written as several tables.
fn is_tables(value: &Value) -> bool {
    match value {
        Value::List(list) => {
            !list.items.is_empty() && list.items.iter().all(|item| matches!(item, Value::Map(_)))
        }
        _ => false,
    }
}

fn table(writer: &mut Writer, entries: &Entries, path: &[&[u8]]) -> Result<(), Fault> {
    writer.check(path.len())?;
    let margin = path.len() * 2;
    for (key, value) in entries {
        if value.is_nil() || matches!(value, Value::Map(_)) || is_tables(value) {
            continue;
        }
        writer.blanks(margin);
        name(writer, key);
        writer.push(" = ");
        inline(writer, value, 0)?;
        writer.push("\n");
    }
    for (key, value) in entries {
        let mut path = path.to_vec();
        path.push(key);
        match value {
            Value::Map(map) => {
                if path.len() == 1 && writer.len() > 0 {
                    writer.push("\n");
                }
                header(writer, &path, ["[", "]\n"]);
                table(writer, &map.entries.borrow(), &path)?;
            }
            Value::List(list) if is_tables(value) => {
                for item in &list.items {
                    if writer.len() > 0 {
                        writer.push("\n");
                    }
                    header(writer, &path, ["[[", "]]\n"]);
                    if let Value::Map(map) = item {
                        table(writer, &map.entries.borrow(), &path)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn header(writer: &mut Writer, path: &[&[u8]], [open, close]: [&str; 2]) {
    writer.blanks(path.len().saturating_sub(1) * 2);
    writer.push(open);
    for (index, key) in path.iter().enumerate() {
        if index > 0 {
            writer.push(".");
        }
        name(writer, key);
    }
    writer.push(close);
}

fn name(writer: &mut Writer, key: &[u8]) {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !key.is_empty() && key.iter().all(bare) {
        writer.bytes(key);
    } else {
        string(writer, key);
    }
}

fn string(writer: &mut Writer, text: &[u8]) {
    writer.push("\"");
    for c in quote::chars(text) {
        match c {
            '"' => writer.push("\\\""),
            '\\' => writer.push("\\\\"),
            '\n' => writer.push("\\n"),
            '\r' => writer.push("\\r"),
            '\t' => writer.push("\\t"),
            '\x08' => writer.push("\\b"),
            '\x0c' => writer.push("\\f"),
            '\0'..' ' | '\x7f' => writer.code(c),
            _ => writer.char(c),
        }
    }
    writer.push("\"");
}

fn decimal(writer: &mut Writer, number: f64) {
    let text = float::fixed(number, None);
    writer.push(&text);
    if !text.contains(['.', 'I', 'N']) {
        writer.push(".0");
    }
}

fn inline(writer: &mut Writer, value: &Value, depth: usize) -> Result<(), Fault> {
    writer.check(depth)?;
    match value {
        Value::Bool(flag) => writer.push(if *flag { "true" } else { "false" }),
        Value::Int(_) | Value::Int64(_) | Value::Uint(_) => {
            writer.push(&value.integer().unwrap_or(0).to_string());
        }
        Value::Float(number) => decimal(writer, *number),
        Value::Number(text) => {
            let text = std::str::from_utf8(text).unwrap_or_default();
            match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(integer), _) => writer.push(&integer.to_string()),
                (_, Ok(number)) => decimal(writer, number),
                _ => return Err("a number is none".into()),
            }
        }
        Value::Text(text) => string(writer, text),
        Value::List(list) => {
            writer.push("[");
            for (index, item) in list.items.iter().enumerate() {
                if index > 0 {
                    writer.push(", ");
                }
                inline(writer, item, depth + 1)?;
            }
            writer.push("]");
        }
        Value::Map(map) => {
            writer.push("{");
            let mut is_first = true;
            for (key, value) in map.entries.borrow().iter() {
                if value.is_nil() {
                    continue;
                }
                if !is_first {
                    writer.push(", ");
                }
                is_first = false;
                name(writer, key);
                writer.push(" = ");
                inline(writer, value, depth + 1)?;
            }
            writer.push("}");
        }
        other => return Err(format!("a {} cannot be TOML", other.type_name()).into()),
    }
    Ok(())
}
