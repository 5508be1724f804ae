//! What comes from outside, or from elsewhere in the template.

use super::{Function, at, bytes, chars, done};
use crate::dependency::Dependency;
use crate::error::Fault;
use crate::eval::Run;
use crate::value::Value;

pub(super) const TABLE: &[Function] = &[
    Function::own("secret", "s*", |run, values| {
        if values.is_empty() {
            return Ok(Value::Nil);
        }
        let (path, data) = (path(values)?, data(values)?);
        run.fetch(if values.len() == 1 {
            Dependency::Read { path }
        } else {
            Dependency::Write { path, data }
        })
    }),
    Function::own("secrets", "s", |run, values| {
        let path = path(values)?;
        run.fetch(Dependency::List { path })
    }),
    Function::own("pkiCert", "s*", |run, values| {
        if values.is_empty() {
            return Ok(Value::Nil);
        }
        let (path, data) = (path(values)?, data(values)?);
        run.fetch(Dependency::Certificate { path, data })
    }),
    Function::own("file", "s", |run, values| {
        let path = chars(values, 0).into_owned();
        if path.is_empty() {
            return done("");
        }
        match run.fetch(Dependency::File { path })? {
            Value::Nil => done(""),
            content => Ok(content),
        }
    }),
    Function::own("env", "s", |run, values| done(variable(run, values))),
    Function::own("mustEnv", "s", |run, values| match variable(run, values) {
        text if text.is_empty() => Err("this environment variable is not set".into()),
        text => done(text),
    }),
    Function::own("envOrDefault", "ss", |run, values| {
        match variable(run, values) {
            text if text.is_empty() => Ok(at(values, 1).clone()),
            text => done(text),
        }
    }),
    Function::own("executeTemplate", "sa*", |run, values| {
        let name = chars(values, 0);
        let text = run.execute(&name, at(values, 1).clone())?;
        done(text)
    }),
    Function::own("scratch", "", |_, _| Ok(Value::Scratch)),
    Function::own("loop", "a*", |_, values| {
        let (from, to) = match values {
            [to] => (0, whole(to)?),
            [from, to] => (whole(from)?, whole(to)?),
            _ => return Err("takes one or two numbers".into()),
        };
        Ok(Value::Counter(from, to))
    }),
    Function::sprig("env", "s", |run, values| done(variable(run, values))),
    Function::sprig("expandenv", "s", |run, values| {
        let text = chars(values, 0);
        done(expand(run, &text))
    }),
];

/// Without the slashes around it.
fn path(values: &[Value]) -> Result<String, Fault> {
    let text = chars(values, 0);
    let path = text.trim().trim_matches('/');
    if path.is_empty() {
        return Err("needs a path".into());
    }
    Ok(path.to_owned())
}

/// `key=value` each.
fn data(values: &[Value]) -> Result<Vec<(String, String)>, Fault> {
    let mut data = std::collections::BTreeMap::new();
    for index in 1..values.len() {
        let pair = chars(values, index);
        let Some((key, value)) = pair.split_once('=') else {
            return Err("takes `key=value` after the path".into());
        };
        data.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    Ok(data.into_iter().collect())
}

fn variable(run: &Run<'_>, values: &[Value]) -> String {
    let name = String::from_utf8_lossy(bytes(values, 0));
    run.sources.variable(&name).unwrap_or_default()
}

fn whole(value: &Value) -> Result<i64, Fault> {
    let number = match value {
        Value::Text(text) if text.is_empty() => Some(0),
        Value::Text(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok()),
        Value::Float(_) => None,
        other => other.integer().and_then(|value| i64::try_from(value).ok()),
    };
    number.ok_or_else(|| format!("cannot count with a {}", value.type_name()).into())
}

/// `$NAME` and `${NAME}`, as the shell has them; what is not set is empty.
fn expand(run: &Run<'_>, text: &str) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(rest.get(..dollar).unwrap_or_default());
        rest = rest.get(dollar + 1..).unwrap_or_default();
        let name = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((name, after)) => {
                rest = after;
                name
            }
            None => {
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let (name, after) = rest
                    .split_at_checked(end.unwrap_or(rest.len()))
                    .unwrap_or((rest, ""));
                rest = after;
                name
            }
        };
        if name.is_empty() {
            expanded.push('$');
        }
        expanded.push_str(&run.sources.variable(name).unwrap_or_default());
    }
    expanded.push_str(rest);
    expanded
}
