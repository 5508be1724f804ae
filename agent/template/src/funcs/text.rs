//! consul-template's functions on text, and those of Sprig that differ from them in name or order of arguments alone.

use super::{Function, bytes, chars, done, flag, int, join, list, position, replace, split};
use crate::Text;
use crate::error::Fault;
use crate::eval::Run;
use crate::quote;
use crate::value::{Entries, Of, Value};

pub(super) const TABLE: &[Function] = &[
    Function::own("toUpper", "s", |_, values| done(upper(&chars(values, 0)))),
    Function::own("toLower", "s", |_, values| done(lower(&chars(values, 0)))),
    Function::own("toTitle", "s", |_, values| {
        // Within a word these three stand between letters.
        done(title(&chars(values, 0), |c| matches!(c, '\'' | '.' | '’')))
    }),
    Function::own("trim", "ss", |_, values| {
        done(trim(bytes(values, 1), &chars(values, 0)))
    }),
    Function::own("trimSpace", "s", |_, values| {
        done(trim_space(bytes(values, 0)))
    }),
    Function::own("trimPrefix", "ss", strip_prefix),
    Function::own("trimSuffix", "ss", strip_suffix),
    Function::own("replaceAll", "sss", |run, values| {
        done(replace(
            run,
            bytes(values, 2),
            bytes(values, 0),
            bytes(values, 1),
        )?)
    }),
    Function::own("split", "ss", |_, values| {
        let text = trim_space(bytes(values, 1));
        if text.is_empty() {
            return Ok(Value::texts::<&str>([]));
        }
        Ok(Value::texts(split(text, bytes(values, 0), usize::MAX)))
    }),
    Function::own("splitToMap", "sss", split_to_map),
    Function::own("join", "sS", |run, values| {
        let parts = list(values, 1).iter().filter_map(Value::bytes);
        done(join(run, parts, bytes(values, 0))?)
    }),
    Function::own("indent", "is", |run, values| {
        if int(values, 0) < 0 {
            return Err("cannot indent by less than nothing".into());
        }
        let lines = split(bytes(values, 1), b"\n", usize::MAX);
        // Empty lines stay empty.
        indent(run, int(values, 0), &lines, |line| !line.is_empty())
    }),
    Function::sprig("upper", "s", |_, values| done(upper(&chars(values, 0)))),
    Function::sprig("lower", "s", |_, values| done(lower(&chars(values, 0)))),
    Function::sprig("title", "s", |_, values| {
        done(title(&chars(values, 0), |_| false))
    }),
    Function::sprig("trim", "s", |_, values| done(trim_space(bytes(values, 0)))),
    Function::sprig("trimAll", "ss", |_, values| {
        done(trim(bytes(values, 1), &chars(values, 0)))
    }),
    Function::sprig("trimall", "ss", |_, values| {
        done(trim(bytes(values, 1), &chars(values, 0)))
    }),
    Function::sprig("trimPrefix", "ss", strip_prefix),
    Function::sprig("trimSuffix", "ss", strip_suffix),
    Function::sprig("replace", "sss", |run, values| {
        done(replace(
            run,
            bytes(values, 2),
            bytes(values, 0),
            bytes(values, 1),
        )?)
    }),
    Function::sprig("indent", "is", |run, values| {
        let lines = split(bytes(values, 1), b"\n", usize::MAX);
        indent(run, width(values)?, &lines, |_| true)
    }),
    Function::sprig("nindent", "is", |run, values| {
        let lines = split(bytes(values, 1), b"\n", usize::MAX);
        let width = width(values)?;
        let Value::Text(indented) = indent(run, width, &lines, |_| true)? else {
            return done("");
        };
        done([b"\n", &*indented].concat())
    }),
    Function::sprig("contains", "ss", |_, values| {
        flag(position(bytes(values, 1), bytes(values, 0)).is_some())
    }),
    Function::sprig("hasPrefix", "ss", |_, values| {
        flag(bytes(values, 1).starts_with(bytes(values, 0)))
    }),
    Function::sprig("hasSuffix", "ss", |_, values| {
        flag(bytes(values, 1).ends_with(bytes(values, 0)))
    }),
    Function::sprig("splitList", "ss", |_, values| {
        Ok(Value::texts(split(
            bytes(values, 1),
            bytes(values, 0),
            usize::MAX,
        )))
    }),
    Function::sprig("split", "ss", |_, values| {
        numbered(&split(bytes(values, 1), bytes(values, 0), usize::MAX))
    }),
    Function::sprig("splitn", "sis", |_, values| {
        let limit = match int(values, 1) {
            0 => return numbered(&[]),
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        numbered(&split(bytes(values, 2), bytes(values, 0), limit))
    }),
    Function::sprig("repeat", "is", |run, values| {
        let count =
            usize::try_from(int(values, 0)).map_err(|_negative| "repeats a negative number")?;
        let text = bytes(values, 1);
        let size = text.len().saturating_mul(count);
        if size > run.room() {
            run.charge(size)?;
        }
        done(text.repeat(count))
    }),
];

fn width(values: &[Value]) -> Result<i64, Fault> {
    let width = int(values, 0);
    if width < 0 {
        return Err("cannot indent by less than nothing".into());
    }
    Ok(width)
}

/// As Go maps single characters: what would become several stays.
pub(super) fn upper_char(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

pub(super) fn lower_char(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(lower), None) => lower,
        _ => c,
    }
}

fn upper(text: &str) -> String {
    text.chars().map(upper_char).collect()
}

fn lower(text: &str) -> String {
    text.chars().map(lower_char).collect()
}

/// The first letter of each word in upper case, the others as they are.
fn title(text: &str, joins: impl Fn(char) -> bool) -> String {
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let mut before = ' ';
    let mut title = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        title.push(if is_word(before) { c } else { upper_char(c) });
        let next = characters.peek().copied().unwrap_or(' ');
        let stands_between = joins(c) && is_word(before) && is_word(next);
        before = if stands_between { before } else { c };
    }
    title
}

/// Without these characters at both ends.
fn trim<'a>(text: &'a [u8], set: &str) -> &'a [u8] {
    trim_by(text, |c| set.contains(c))
}

pub(super) fn trim_space(text: &[u8]) -> &[u8] {
    trim_by(text, char::is_whitespace)
}

fn trim_by(text: &[u8], of: impl Fn(char) -> bool) -> &[u8] {
    let mut start = 0;
    let (mut at, mut end) = (0, 0);
    let mut leading = true;
    for (rune, length) in quote::runes(text) {
        at += length;
        let goes = matches!(rune, quote::Rune::Char(c) if of(c));
        if leading && goes {
            start = at;
        } else {
            leading = false;
        }
        if !goes {
            end = at;
        }
    }
    text.get(start..end.max(start)).unwrap_or_default()
}

fn strip_prefix(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let text = bytes(values, 1);
    done(text.strip_prefix(bytes(values, 0)).unwrap_or(text))
}

fn strip_suffix(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let text = bytes(values, 1);
    done(text.strip_suffix(bytes(values, 0)).unwrap_or(text))
}

fn split_to_map(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let mut entries = Entries::new();
    let text = trim_space(bytes(values, 2));
    for pair in split(text, bytes(values, 0), usize::MAX) {
        if bytes(values, 1).is_empty() {
            entries.insert(Text::from([]), Value::text(pair));
        } else if let [key, value] = split(pair, bytes(values, 1), 2).as_slice() {
            entries.insert((*key).into(), Value::text(value));
        }
    }
    Value::map_of(Of::Text, entries)
}

/// `_0`, `_1` …
fn numbered(parts: &[&[u8]]) -> Result<Value, Fault> {
    let named = parts.iter().enumerate();
    let entries = named.map(|(index, part)| {
        let name = format!("_{index}");
        (name.as_bytes().into(), Value::text(part))
    });
    Value::map_of(Of::Text, entries.collect())
}

fn indent(
    run: &mut Run<'_>,
    width: i64,
    lines: &[&[u8]],
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Value, Fault> {
    let width = usize::try_from(width).unwrap_or(0);
    let size: usize = lines
        .iter()
        .map(|line| line.len().saturating_add(width).saturating_add(1))
        .fold(0, usize::saturating_add);
    if size > run.room() {
        run.charge(size)?;
    }
    let margin = vec![b' '; width];
    let mut text = Vec::with_capacity(size);
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            text.push(b'\n');
        }
        if wanted(line) {
            text.extend_from_slice(&margin);
        }
        text.extend_from_slice(line);
    }
    done(text)
}
