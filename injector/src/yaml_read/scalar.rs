//! What a scalar without quotes is: pure, and as in `sigs.k8s.io/yaml` (`goyaml.v2/resolve.go`).

use serde_json::{Number, Value};

/// The value of a scalar without quotes.
pub(super) fn plain(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => {
            return Err(format!("JSON has no number {text}"));
        }
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    })
}

/// Whole numbers in the notations of Go and of YAML 1.1 (`0640` is octal), else a decimal fraction.
fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let text = text.replace('_', "");
    whole(&text).or_else(|| fraction(&text))
}

fn whole(text: &str) -> Option<Number> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)]
        .into_iter()
        .find_map(|(prefix, radix)| {
            let digits = lower.strip_prefix(prefix)?;
            (!digits.is_empty()).then_some((radix, digits))
        })
        .unwrap_or((10, lower.as_str()));
    // Rust reads a sign here, which stood in front already.
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let value = is_number.then(|| i128::from_str_radix(digits, radix).ok())??;
    let value = if is_negative { -value } else { value };
    i64::try_from(value)
        .map(Number::from)
        .or_else(|_| u64::try_from(value).map(Number::from))
        .ok()
}

fn fraction(text: &str) -> Option<Number> {
    let inside = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let is_decimal = text.bytes().all(inside) && text.bytes().any(|byte| byte.is_ascii_digit());
    let value: f64 = is_decimal.then(|| text.parse().ok())??;
    // As Go writes it: without a point where there is nothing behind it.
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}
