//! Arithmetic: consul-template's, which keeps types apart, and Sprig's, which takes anything for a number.
//!
//! Whole numbers wrap, as Go's do.

use super::{Function, at, bytes, done, flag, int};
use crate::error::Fault;
use crate::eval::Run;
use crate::number;
use crate::value::{Of, Value};

pub(super) const TABLE: &[Function] = &[
    Function::own("add", "aa", |_, values| {
        own(
            values,
            i64::wrapping_add,
            u64::wrapping_add,
            |left, right| left + right,
        )
    }),
    Function::own("subtract", "aa", |_, values| {
        own(
            values,
            i64::wrapping_sub,
            u64::wrapping_sub,
            |left, right| left - right,
        )
    }),
    Function::own("multiply", "aa", |_, values| {
        own(
            values,
            i64::wrapping_mul,
            u64::wrapping_mul,
            |left, right| left * right,
        )
    }),
    Function::own("divide", "aa", |_, values| {
        not_by_zero(at(values, 0).integer() == Some(0) && at(values, 1).integer().is_some())?;
        own(
            values,
            |left, right| left.checked_div(right).unwrap_or(i64::MIN),
            |left, right| left.checked_div(right).unwrap_or(0),
            |left, right| left / right,
        )
    }),
    Function::own("modulo", "aa", |_, values| {
        not_by_zero(at(values, 0).integer() == Some(0) && at(values, 1).integer().is_some())?;
        if matches!(at(values, 0), Value::Float(_)) || matches!(at(values, 1), Value::Float(_)) {
            return Err("takes whole numbers".into());
        }
        own(
            values,
            |left, right| left.checked_rem(right).unwrap_or(0),
            |left, right| left.checked_rem(right).unwrap_or(0),
            |left, _| left,
        )
    }),
    Function::own("minimum", "aa", |_, values| {
        own(values, i64::min, u64::min, f64::min)
    }),
    Function::own("maximum", "aa", |_, values| {
        own(values, i64::max, u64::max, f64::max)
    }),
    Function::sprig("int", "a", |_, values| Ok(Value::Int(whole(at(values, 0))))),
    Function::sprig("int64", "a", |_, values| {
        Ok(Value::Int64(whole(at(values, 0))))
    }),
    Function::sprig("float64", "a", |_, values| {
        Ok(Value::Float(float(at(values, 0))))
    }),
    Function::sprig("atoi", "s", |_, values| {
        let text = std::str::from_utf8(bytes(values, 0)).unwrap_or_default();
        Ok(Value::Int(text.parse().unwrap_or(0)))
    }),
    Function::sprig("add", "a*", |_, values| fold(values, 0, i64::wrapping_add)),
    Function::sprig("add1", "a", |_, values| fold(values, 1, i64::wrapping_add)),
    Function::sprig("sub", "aa", |_, values| pair(values, i64::wrapping_sub)),
    Function::sprig("mul", "aa*", |_, values| fold(values, 1, i64::wrapping_mul)),
    Function::sprig("div", "aa", |_, values| {
        not_by_zero(whole(at(values, 1)) == 0)?;
        pair(values, i64::wrapping_div)
    }),
    Function::sprig("mod", "aa", |_, values| {
        not_by_zero(whole(at(values, 1)) == 0)?;
        pair(values, i64::wrapping_rem)
    }),
    Function::sprig("max", "aa*", |_, values| {
        fold(values, whole(at(values, 0)), i64::max)
    }),
    Function::sprig("biggest", "aa*", |_, values| {
        fold(values, whole(at(values, 0)), i64::max)
    }),
    Function::sprig("min", "aa*", |_, values| {
        fold(values, whole(at(values, 0)), i64::min)
    }),
    Function::sprig("addf", "a*", |_, values| {
        floats(values, |left, right| left + right)
    }),
    Function::sprig("add1f", "a", |_, values| {
        Ok(Value::Float(float(at(values, 0)) + 1.0))
    }),
    Function::sprig("subf", "aa*", |_, values| {
        floats(values, |left, right| left - right)
    }),
    Function::sprig("mulf", "aa*", |_, values| {
        floats(values, |left, right| left * right)
    }),
    Function::sprig("divf", "aa*", |_, values| {
        floats(values, |left, right| left / right)
    }),
    Function::sprig("maxf", "aa*", |_, values| floats(values, f64::max)),
    Function::sprig("minf", "aa*", |_, values| floats(values, f64::min)),
    Function::sprig("floor", "a", |_, values| {
        Ok(Value::Float(float(at(values, 0)).floor()))
    }),
    Function::sprig("ceil", "a", |_, values| {
        Ok(Value::Float(float(at(values, 0)).ceil()))
    }),
    Function::sprig("round", "aia*", round),
    Function::sprig("until", "i", |run, values| {
        let end = int(values, 0);
        sequence(run, 0, end, if end < 0 { -1 } else { 1 })
    }),
    Function::sprig("untilStep", "iii", |run, values| {
        sequence(run, int(values, 0), int(values, 1), int(values, 2))
    }),
    Function::sprig("seq", "i*", seq),
    Function::sprig("toDecimal", "a", |run, values| {
        let text = super::shown(run, at(values, 0))?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        Ok(Value::Int64(i64::from_str_radix(text, 8).unwrap_or(0)))
    }),
    Function::own("parseBool", "s", |_, values| match bytes(values, 0) {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => flag(true),
        b"" | b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => flag(false),
        _ => Err("the text is no boolean".into()),
    }),
    Function::own("parseInt", "s", |_, values| {
        Ok(Value::Int64(
            parse(values, "the text is no whole number")?.unwrap_or(0),
        ))
    }),
    Function::own("parseUint", "s", |_, values| {
        let fault = "the text is no whole number without a sign";
        if bytes(values, 0).starts_with(b"+") {
            return Err(fault.into());
        }
        Ok(Value::Uint(parse(values, fault)?.unwrap_or(0)))
    }),
    Function::own("parseFloat", "s", |_, values| {
        let fault = "the text is no number";
        let value: f64 = parse(values, fault)?.unwrap_or(0.0);
        // Rust reads an infinity where Go finds the number too large.
        let spelt = bytes(values, 0).iter().any(u8::is_ascii_digit);
        if value.is_infinite() && spelt {
            return Err(fault.into());
        }
        Ok(Value::Float(value))
    }),
];

fn parse<T: std::str::FromStr>(values: &[Value], fault: &'static str) -> Result<Option<T>, Fault> {
    let text = bytes(values, 0);
    if text.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(text).map_err(|_not_text| fault)?;
    text.parse().map(Some).map_err(|_no_number| fault.into())
}

fn not_by_zero(is_zero: bool) -> Result<(), Fault> {
    if is_zero {
        return Err("divides by zero".into());
    }
    Ok(())
}

/// consul-template's order: `subtract 1 5` is 4, so that a pipe brings what is subtracted from.
fn own(
    values: &[Value],
    signed: fn(i64, i64) -> i64,
    unsigned: fn(u64, u64) -> u64,
    floating: fn(f64, f64) -> f64,
) -> Result<Value, Fault> {
    let (right, left) = (at(values, 0), at(values, 1));
    if let (Value::Uint(left), Value::Uint(right)) = (left, right) {
        return Ok(Value::Uint(unsigned(*left, *right)));
    }
    #[expect(clippy::cast_possible_truncation, reason = "Go wraps a uint64 too")]
    let wrapped = |value: &Value| value.integer().map(|value| value as i64);
    if let (Some(left), Some(right)) = (wrapped(left), wrapped(right)) {
        return Ok(Value::Int64(signed(left, right)));
    }
    match (number(left), number(right)) {
        (Some(left), Some(right)) => Ok(Value::Float(floating(left, right))),
        (Some(_), None) => Err(format!("cannot calculate with a {}", right.type_name()).into()),
        _ => Err(format!("cannot calculate with a {}", left.type_name()).into()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "that is what a float is")]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        _ => value.integer().map(|value| value as f64),
    }
}

/// Sprig's reading of anything as a whole number.
#[expect(clippy::cast_possible_truncation, reason = "Go converts so")]
fn whole(value: &Value) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        Value::Float(value) => *value as i64,
        Value::Text(text) | Value::Number(text) => {
            let text = std::str::from_utf8(text).unwrap_or_default();
            let (digits, negative) = match text.strip_prefix('-') {
                Some(digits) => (digits, true),
                None => (text.strip_prefix('+').unwrap_or(text), false),
            };
            let value = number::whole(digits).map(i128::from);
            let value = value.map(|value| if negative { -value } else { value });
            value
                .and_then(|value| i64::try_from(value).ok())
                .unwrap_or(0)
        }
        _ => value.integer().map_or(0, |value| value as i64),
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) | Value::Number(text) => {
            let text = std::str::from_utf8(text).unwrap_or_default();
            text.parse().unwrap_or(0.0)
        }
        _ => number(value).unwrap_or(0.0),
    }
}

fn fold(values: &[Value], start: i64, with: fn(i64, i64) -> i64) -> Result<Value, Fault> {
    let sum = values.iter().map(whole).fold(start, with);
    Ok(Value::Int64(sum))
}

fn pair(values: &[Value], with: fn(i64, i64) -> i64) -> Result<Value, Fault> {
    Ok(Value::Int64(with(
        whole(at(values, 0)),
        whole(at(values, 1)),
    )))
}

fn floats(values: &[Value], with: fn(f64, f64) -> f64) -> Result<Value, Fault> {
    let result = values.iter().map(float).reduce(with);
    Ok(Value::Float(result.unwrap_or(0.0)))
}

/// Halves up, or from what the third argument says.
fn round(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let on = match at(values, 2) {
        Value::Nil => 0.5,
        other => float(other),
    };
    let places = i32::try_from(int(values, 1)).unwrap_or(i32::MAX);
    let scale = 10_f64.powi(places);
    let digits = scale * float(at(values, 0));
    let fraction = digits.fract();
    let rounded = if fraction >= on {
        digits.ceil()
    } else {
        digits.floor()
    };
    Ok(Value::Float(rounded / scale))
}

/// From the first towards the last, which it leaves out.
fn sequence(run: &mut Run<'_>, from: i64, to: i64, step: i64) -> Result<Value, Fault> {
    let mut items = Vec::new();
    let mut next = Some(from);
    while let Some(number) = next.filter(|_| step != 0) {
        let inside = if step > 0 { number < to } else { number > to };
        if !inside {
            break;
        }
        run.step(1)?;
        items.push(Value::Int(number));
        next = number.checked_add(step);
    }
    Value::list_of(Of::Int, items)
}

/// As the shell's `seq`.
fn seq(run: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let towards = |from: i64, to: i64| if to < from { -1 } else { 1 };
    let (from, to, step) = match values.len() {
        1 => (1, int(values, 0), towards(1, int(values, 0))),
        2 => {
            let (from, to) = (int(values, 0), int(values, 1));
            (from, to, towards(from, to))
        }
        3 => {
            let (from, step, to) = (int(values, 0), int(values, 1), int(values, 2));
            if (step > 0 && to < from) || (step < 0 && to > from) {
                return done("");
            }
            (from, to, step)
        }
        _ => return done(""),
    };
    let sequence = sequence(run, from, to.saturating_add(step.signum()), step)?;
    let mut writer = crate::format::Writer::new(run.room());
    if let Value::List(list) = &sequence {
        for (index, item) in list.items.iter().enumerate() {
            if index > 0 {
                writer.push(" ");
            }
            crate::format::print_value(&mut writer, item)?;
        }
    }
    done(writer.finish()?)
}
