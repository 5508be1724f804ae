//! Single values, read as weakly as people and templating write them, and no weaker.
//!
//! Every function says in its error what was read (shortened, for enumerations and numbers only) and what to write.

use std::time::Duration;

use crate::model::listener::HostPort;
use crate::model::{AttachToken, LogFormat, LogLevel, MAX_DURATION, Mode};
use crate::node::{Node, Value};

pub(crate) mod address;

#[cfg(test)]
mod tests;

/// What a reader of one value returns: the value, or what is wrong with it.
pub(crate) type Read<T> = Result<T, String>;

/// Text. Numbers are not text: `address = 8200` is rather a slip than a name.
pub(crate) fn text(node: &Node) -> Read<String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        _ => Err(format!("is {}; write text in double quotes", kind(node))),
    }
}

/// A user or group: a name, or an id with or without quotes.
pub(crate) fn name_or_id(node: &Node) -> Read<String> {
    match &node.value {
        Value::Integer(id) if u32::try_from(*id).is_ok() => Ok(id.to_string()),
        Value::Text(text) => Ok(text.clone()),
        _ => Err(format!("is {}; write a name or an id", kind(node))),
    }
}

/// A list of texts; one text alone is a list of one.
pub(crate) fn texts(node: &Node) -> Read<Vec<String>> {
    match &node.value {
        Value::List(items) => items.iter().map(text).collect(),
        _ => text(node).map(|text| vec![text]),
    }
}

/// A boolean: also 1 and 0, and as text what Go's `strconv.ParseBool` knows, at every place. (Vault Agent takes the
/// text at some keys and refuses it at others.)
pub(crate) fn flag(node: &Node) -> Read<bool> {
    match &node.value {
        Value::Bool(value) => Ok(*value),
        Value::Integer(0) => Ok(false),
        Value::Integer(1) => Ok(true),
        Value::Text(text) => flag_text(text),
        _ => Err(format!("is {}; write true or false", kind(node))),
    }
}

/// A boolean in an environment variable.
pub(crate) fn flag_text(text: &str) -> Read<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!(
            "{} is not a boolean; write true or false",
            quote(text)
        )),
    }
}

/// `use_auto_auth_token`.
pub(crate) fn attach(node: &Node) -> Read<AttachToken> {
    if let Value::Text(text) = &node.value
        && text.eq_ignore_ascii_case("force")
    {
        return Ok(AttachToken::Force);
    }
    match flag(node) {
        Ok(true) => Ok(AttachToken::WhereAbsent),
        Ok(false) => Ok(AttachToken::Never),
        Err(_) => Err("is not known; write true, false or \"force\"".to_owned()),
    }
}

/// A whole number between bounds, both allowed.
pub(crate) fn count(node: &Node, least: u64, most: u64) -> Read<u64> {
    let value = match &node.value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => return Err(format!("is {}; write a whole number", kind(node))),
    };
    let value = value.filter(|value| (least..=most).contains(value));
    value.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

/// A size in bytes: a whole number, or one with `KiB`, `MiB`, `GiB` (powers of 1024) or `kB`, `MB`, `GB` (of 1000).
pub(crate) fn size(node: &Node) -> Read<usize> {
    let wrong = "must be a size above 0, as in 1048576 or \"32MiB\"";
    let bytes = match &node.value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        Value::Text(text) => size_text(text),
        _ => return Err(format!("is {}; it {wrong}", kind(node))),
    };
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    // JSON and HCL numbers are signed 64-bit ones here, and what is read must be writable.
    let bytes = bytes.filter(|bytes| *bytes > 0 && i64::try_from(*bytes).is_ok());
    bytes.ok_or_else(|| wrong.to_owned())
}

fn size_text(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(unit_at.unwrap_or(text.len()));
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A duration above 0: whole seconds, or text.
pub(crate) fn duration(node: &Node) -> Read<Duration> {
    bounded(unbounded(node)?)
}

/// A duration, or 0.
pub(crate) fn duration_or_zero(node: &Node) -> Read<Duration> {
    match unbounded(node)? {
        Some(Duration::ZERO) => Ok(Duration::ZERO),
        found => bounded(found),
    }
}

fn unbounded(node: &Node) -> Read<Option<Duration>> {
    match &node.value {
        Value::Integer(seconds) => Ok(u64::try_from(*seconds).ok().map(Duration::from_secs)),
        Value::Text(text) => Ok(seconds_or_units(text)),
        _ => Err(format!("is {}; {DURATION}", kind(node))),
    }
}

/// A duration above 0 in Go's notation (`1h30m`, `1.5s`, `200ms`) with `d` for days, or whole seconds.
pub(crate) fn duration_text(text: &str) -> Read<Duration> {
    bounded(seconds_or_units(text))
}

fn seconds_or_units(text: &str) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => units(text),
    }
}

const DURATION: &str = "write seconds, or a duration as in \"90s\" or \"1h30m\"";

fn bounded(duration: Option<Duration>) -> Read<Duration> {
    match duration {
        None => Err(format!("is not a duration; {DURATION}")),
        Some(Duration::ZERO) => Err(format!("must be more than 0; {DURATION}")),
        Some(long) if long > MAX_DURATION => Err("must not be more than two years".to_owned()),
        Some(duration) => Ok(duration),
    }
}

/// `1h30m`: numbers, each with its unit. `None` also where the sum does not fit.
fn units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        sum = sum.checked_add(part(number, unit)?)?;
        rest = tail;
    }
    Some(sum).filter(|_| !text.is_empty())
}

/// One `1.5h`, exact to the nanosecond: floating point would make `1.1s` something else.
fn part(number: &str, unit: &str) -> Option<Duration> {
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut total = whole.checked_mul(nanos)?;
    let mut place = nanos;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(place.checked_mul(digit.to_digit(10)?.into())?)?;
    }
    Some(Duration::from_nanos(total))
}

/// A file mode. Text is octal. A number is the mode itself, as in Vault Agent: HCL's `0640` is octal by its notation
/// and equals 416. Nothing above 0777 is allowed, which also catches `"mode": 640` in JSON, meant as octal but decimal.
pub(crate) fn mode(node: &Node) -> Read<Mode> {
    let wrong = "must be a file mode up to 0777 in octal, as in \"0640\"";
    let bits = match &node.value {
        Value::Integer(bits) => u32::try_from(*bits).ok(),
        Value::Text(text) => octal(text),
        _ => return Err(format!("is {}; it {wrong}", kind(node))),
    };
    bits.filter(|bits| *bits <= 0o777)
        .map(Mode)
        .ok_or_else(|| wrong.to_owned())
}

fn octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let starts_well = digits.starts_with(|c: char| c.is_digit(8));
    let bits = u32::from_str_radix(digits, 8).ok();
    bits.filter(|_| starts_well)
}

/// `log_level`, in any case.
pub(crate) fn log_level(text: &str) -> Read<LogLevel> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Ok(LogLevel::Trace),
        "debug" => Ok(LogLevel::Debug),
        "info" | "notice" => Ok(LogLevel::Info),
        "warn" | "warning" => Ok(LogLevel::Warn),
        "error" | "err" => Ok(LogLevel::Error),
        _ => Err(format!(
            "{} is not a level; write trace, debug, info, warn or error",
            quote(text)
        )),
    }
}

/// `log_format`, in any case.
pub(crate) fn log_format(text: &str) -> Read<LogFormat> {
    match text.to_ascii_lowercase().as_str() {
        "standard" | "text" => Ok(LogFormat::Standard),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!(
            "{} is not a format; write standard or json",
            quote(text)
        )),
    }
}

/// `host:port`, as listeners bind.
pub(crate) fn host_port(text: &str) -> Read<HostPort> {
    address::host_port(text)
}

/// What kind of value was written.
pub(crate) fn kind(node: &Node) -> &'static str {
    match node.value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Object(_) => "a block",
    }
}

/// A short value as messages show it.
pub(crate) fn quote(text: &str) -> String {
    let short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    let dots = if text.chars().nth(40).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{short}{dots}`")
}
