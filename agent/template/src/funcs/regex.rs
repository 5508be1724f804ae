//! Regular expressions.
//!
//! They are those of `regex-lite`, whose syntax is Go's but for classes of Unicode (`\pL`), `\C` and `\Q…\E`, which are
//! errors, and `(?i)`, which folds ASCII alone. Time is linear in pattern and text, as in Go.

use regex_lite::{Regex, RegexBuilder};

use super::{Function, bytes, chars, done, flag, int};
use crate::error::Fault;
use crate::eval::Run;
use crate::format::Writer;
use crate::value::Value;

pub(super) const TABLE: &[Function] = &[
    Function::own("regexMatch", "ss", is_match),
    Function::own("regexReplaceAll", "sss", |run, values| {
        replace(run, values, [0, 1, 2], false)
    }),
    Function::sprig("regexMatch", "ss", is_match),
    Function::sprig("regexFind", "ss", |_, values| {
        let text = chars(values, 1);
        let found = compile(values)?.find(&text);
        done(found.map_or("", |found| found.as_str()))
    }),
    Function::sprig("regexFindAll", "ssi", |_, values| {
        let limit = usize::try_from(int(values, 2)).unwrap_or(usize::MAX);
        let text = chars(values, 1);
        let regex = compile(values)?;
        Ok(Value::texts(
            regex
                .find_iter(&text)
                .take(limit)
                .map(|found| found.as_str()),
        ))
    }),
    Function::sprig("regexReplaceAll", "sss", |run, values| {
        replace(run, values, [0, 2, 1], false)
    }),
    Function::sprig("regexReplaceAllLiteral", "sss", |run, values| {
        replace(run, values, [0, 2, 1], true)
    }),
    Function::sprig("regexSplit", "ssi", split),
    Function::sprig("regexQuoteMeta", "s", |_, values| {
        let mut quoted = Vec::new();
        for byte in bytes(values, 0) {
            if b"\\.+*?()|[]{}^$".contains(byte) {
                quoted.push(b'\\');
            }
            quoted.push(*byte);
        }
        done(quoted)
    }),
];

fn compile(values: &[Value]) -> Result<Regex, Fault> {
    RegexBuilder::new(&chars(values, 0))
        .size_limit(1 << 20)
        .build()
        .map_err(|_fault| "this regular expression is not understood".into())
}

fn is_match(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    flag(compile(values)?.is_match(&chars(values, 1)))
}

/// The arguments' places: pattern, replacement, text.
fn replace(
    run: &mut Run<'_>,
    values: &[Value],
    [_, by, of]: [usize; 3],
    literal: bool,
) -> Result<Value, Fault> {
    let regex = compile(values)?;
    let (text, by) = (chars(values, of), chars(values, by));
    let mut writer = Writer::new(run.room());
    let mut end = 0;
    for captures in regex.captures_iter(&text) {
        let Some(found) = captures.get(0) else {
            continue;
        };
        writer.check(0)?;
        writer.push(text.get(end..found.start()).unwrap_or_default());
        end = found.end();
        if literal {
            writer.push(&by);
        } else {
            let mut expanded = String::new();
            captures.expand(&by, &mut expanded);
            writer.push(&expanded);
        }
    }
    writer.push(text.get(end..).unwrap_or_default());
    done(writer.finish()?)
}

fn split(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let limit = match int(values, 2) {
        0 => return Ok(Value::texts::<&str>([])),
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let text = chars(values, 1);
    if text.is_empty() {
        return Ok(Value::texts([""]));
    }
    let regex = compile(values)?;
    let (mut parts, mut start, mut end) = (Vec::new(), 0, 0);
    for found in regex.find_iter(&text) {
        if parts.len() + 1 >= limit {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(text.get(start..end).unwrap_or_default());
        }
        start = found.end();
    }
    if end != text.len() {
        parts.push(text.get(start..).unwrap_or_default());
    }
    Ok(Value::texts(parts))
}
