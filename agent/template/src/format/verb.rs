//! One verb and one value of `printf`.

use super::{Writer, float, scalar};
use crate::error::Fault;
use crate::quote::{self, Rune};
use crate::value::{Record, Value};

/// Between `%` and the verb.
#[expect(clippy::struct_excessive_bools, reason = "they are Go's flags")]
#[derive(Clone, Copy, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// No width is larger, as in Go.
const MAX_WIDTH: usize = 1_000_000;

/// `%v`
pub(super) fn plain(writer: &mut Writer, value: &Value) -> Result<(), Fault> {
    argument(writer, value, 'v', Spec::default(), 0)
}

/// What a template prints of a record.
pub(super) fn record(writer: &mut Writer, record: &Record) -> Result<(), Fault> {
    fields(writer, record, 'v', Spec::default(), 0)
}

/// `fmt.Sprintf`
pub(crate) fn printf(writer: &mut Writer, format: &[u8], values: &[Value]) -> Result<(), Fault> {
    let mut state = State {
        format,
        at: 0,
        values,
        next: 0,
        reordered: false,
        good: true,
    };
    while let Some(rest) = format.get(state.at..).filter(|rest| !rest.is_empty()) {
        let literal = rest.iter().position(|byte| *byte == b'%');
        let literal = literal.unwrap_or(rest.len());
        writer.bytes(rest.get(..literal).unwrap_or_default());
        state.at += literal;
        if state.at < format.len() {
            state.at += 1;
            state.directive(writer)?;
        }
    }
    if !state.reordered && state.next < values.len() {
        writer.push("%!(EXTRA ");
        for (index, value) in values.iter().skip(state.next).enumerate() {
            if index > 0 {
                writer.push(", ");
            }
            if value.is_nil() {
                writer.push("<nil>");
            } else {
                writer.push(value.type_name());
                writer.push("=");
                plain(writer, value)?;
            }
        }
        writer.push(")");
    }
    Ok(())
}

struct State<'a> {
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    next: usize,
    reordered: bool,
    good: bool,
}

impl State<'_> {
    fn peek(&self) -> u8 {
        self.format.get(self.at).copied().unwrap_or(0)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while self.peek().is_ascii_digit() {
            let digit = usize::from(self.peek() - b'0');
            number = Some((number.unwrap_or(0) * 10 + digit).min(MAX_WIDTH + 1));
            self.at += 1;
        }
        number
    }

    /// `[3]`
    fn index(&mut self) {
        if self.peek() != b'[' {
            return;
        }
        self.reordered = true;
        let close = self.format.iter().skip(self.at).position(|b| *b == b']');
        let Some(close) = close else {
            self.at += 1;
            self.good = false;
            return;
        };
        let end = self.at + close + 1;
        self.at += 1;
        match self.number() {
            Some(number) if self.at + 1 == end && (1..=self.values.len()).contains(&number) => {
                self.next = number - 1;
            }
            _ => self.good = false,
        }
        self.at = end;
    }

    /// `*`: the number is an argument.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next).and_then(Value::integer);
        self.next += usize::from(self.next < self.values.len());
        let number = value.and_then(|value| i64::try_from(value).ok());
        number.filter(|number| number.unsigned_abs() <= MAX_WIDTH as u64)
    }

    fn directive(&mut self, writer: &mut Writer) -> Result<(), Fault> {
        let mut spec = Spec::default();
        self.good = true;
        loop {
            match self.peek() {
                b'#' => spec.sharp = true,
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b' ' => spec.space = true,
                _ => break,
            }
            self.at += 1;
        }
        self.index();
        if self.peek() == b'*' {
            self.at += 1;
            match self.star() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => writer.push("%!(BADWIDTH)"),
            }
        } else {
            spec.width = self.number().filter(|width| *width <= MAX_WIDTH);
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.index();
            if self.peek() == b'*' {
                self.at += 1;
                spec.precision = self.star().and_then(|number| usize::try_from(number).ok());
                if spec.precision.is_none() {
                    writer.push("%!(BADPREC)");
                }
            } else {
                spec.precision = Some(self.number().unwrap_or(0)).filter(|n| *n <= MAX_WIDTH);
            }
        }
        self.index();
        spec.zero &= !spec.minus;
        let rest = self.format.get(self.at..).unwrap_or_default();
        let Some((rune, length)) = quote::runes(rest).next() else {
            writer.push("%!(NOVERB)");
            return Ok(());
        };
        self.at += length;
        let verb = match rune {
            Rune::Char(c) => c,
            Rune::Byte(_) => char::REPLACEMENT_CHARACTER,
        };
        if verb == '%' {
            writer.push("%");
            return Ok(());
        }
        let problem = if self.good { "(MISSING)" } else { "(BADINDEX)" };
        match self.values.get(self.next).filter(|_| self.good) {
            Some(value) => {
                self.next += 1;
                argument(writer, value, verb, spec, 0)
            }
            None => {
                writer.push("%!");
                writer.char(verb);
                writer.push(problem);
                Ok(())
            }
        }
    }
}

fn argument(
    writer: &mut Writer,
    value: &Value,
    verb: char,
    spec: Spec,
    depth: usize,
) -> Result<(), Fault> {
    writer.check(depth)?;
    let go_syntax = verb == 'v' && spec.sharp;
    match (value, verb) {
        (_, 'T') if depth == 0 => pad(writer, value.type_name(), spec),
        (Value::Nil | Value::Null | Value::NoRecord(_), 'v') => {
            let nil = if go_syntax && depth > 0 {
                "interface {}(nil)"
            } else {
                "<nil>"
            };
            pad(writer, nil, spec);
        }
        (Value::Nil | Value::Null, _) => {
            writer.push("%!");
            writer.char(verb);
            writer.push("(<nil>)");
        }
        (Value::Bool(_), 't' | 'v')
        | (Value::Time(_), 'v' | 's')
        | (Value::Counter(..) | Value::Scratch, 'v' | 'p') => {
            pad(writer, &scalar(value).unwrap_or_default(), spec);
        }
        (Value::Int(_) | Value::Int64(_) | Value::Uint(_), _) => {
            integer(writer, value, verb, spec)?;
        }
        (Value::Float(number), 'v' | 'g' | 'G' | 'e' | 'E' | 'f' | 'F') => {
            decimal(writer, *number, verb, spec);
        }
        (Value::Text(text) | Value::Number(text), _) => string(writer, value, text, verb, spec)?,
        (Value::List(list), _) => {
            if go_syntax {
                writer.push(value.type_name());
            }
            let [open, separator, close] = if go_syntax {
                ["{", ", ", "}"]
            } else {
                ["[", " ", "]"]
            };
            writer.push(open);
            for (index, item) in list.items.iter().enumerate() {
                if index > 0 {
                    writer.push(separator);
                }
                argument(writer, item, verb, spec, depth + 1)?;
            }
            writer.push(close);
        }
        (Value::Map(map), _) => {
            let [open, separator, close] = if go_syntax {
                ["{", ", ", "}"]
            } else {
                ["[", " ", "]"]
            };
            writer.push(if go_syntax { value.type_name() } else { "map" });
            writer.push(open);
            for (index, (key, value)) in map.entries.borrow().iter().enumerate() {
                if index > 0 {
                    writer.push(separator);
                }
                string(writer, &Value::Bool(false), key, verb, spec)?;
                writer.push(":");
                argument(writer, value, verb, spec, depth + 1)?;
            }
            writer.push(close);
        }
        (Value::Record(record), _) => {
            if record.name.starts_with('*') {
                writer.push(if depth == 0 { "&" } else { "0xc000000000" });
            }
            if depth == 0 || !record.name.starts_with('*') {
                fields(writer, record, verb, spec, depth)?;
            }
        }
        _ => bad(writer, value, verb, spec)?,
    }
    Ok(())
}

fn fields(
    writer: &mut Writer,
    record: &Record,
    verb: char,
    spec: Spec,
    depth: usize,
) -> Result<(), Fault> {
    writer.push("{");
    for (index, (name, value)) in record.fields.iter().enumerate() {
        if index > 0 {
            writer.push(" ");
        }
        if spec.plus && verb == 'v' {
            writer.push(name);
            writer.push(":");
        }
        argument(writer, value, verb, spec, depth + 1)?;
    }
    writer.push("}");
    Ok(())
}

/// A verb that the value does not have: Go writes what it was.
fn bad(writer: &mut Writer, value: &Value, verb: char, spec: Spec) -> Result<(), Fault> {
    writer.push("%!");
    writer.char(verb);
    writer.push("(");
    writer.push(value.type_name());
    writer.push("=");
    argument(writer, value, 'v', spec, 1)?;
    writer.push(")");
    Ok(())
}

/// To the width, counted in characters.
fn pad(writer: &mut Writer, text: &str, spec: Spec) {
    pad_bytes(writer, text.as_bytes(), spec);
}

fn pad_bytes(writer: &mut Writer, text: &[u8], spec: Spec) {
    let missing = match spec.width {
        Some(width) => width.saturating_sub(quote::runes(text).count()),
        None => 0,
    };
    if !spec.minus {
        writer.fill(if spec.zero { b'0' } else { b' ' }, missing);
    }
    writer.bytes(text);
    if spec.minus {
        writer.blanks(missing);
    }
}

fn integer(writer: &mut Writer, value: &Value, verb: char, spec: Spec) -> Result<(), Fault> {
    let number = value.integer().unwrap_or(0);
    let size = number.unsigned_abs();
    let character = u32::try_from(number).ok().and_then(char::from_u32);
    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
    let (digits, base) = match verb {
        'v' | 'd' => (size.to_string(), 10),
        'b' => (format!("{size:b}"), 2),
        'o' | 'O' => (format!("{size:o}"), 8),
        'x' => (format!("{size:x}"), 16),
        'X' => (format!("{size:X}"), 16),
        'c' => {
            pad(writer, character.encode_utf8(&mut [0; 4]), spec);
            return Ok(());
        }
        'q' => {
            pad(writer, &quote::quote_character(character, spec.plus), spec);
            return Ok(());
        }
        'U' => {
            let mut text = format!("U+{size:04X}");
            if spec.sharp && quote::is_printed(character) {
                text.push_str(&format!(" '{character}'"));
            }
            pad(
                writer,
                &text,
                Spec {
                    zero: false,
                    ..spec
                },
            );
            return Ok(());
        }
        _ => return bad(writer, value, verb, spec),
    };
    let has_sign = number < 0 || (verb != 'v' && (spec.plus || spec.space));
    let least = match (spec.precision, spec.width) {
        (Some(0), _) if size == 0 => {
            writer.blanks(spec.width.unwrap_or(0));
            return Ok(());
        }
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero => width.saturating_sub(usize::from(has_sign)),
        _ => 0,
    };
    let mut text = String::new();
    if number < 0 {
        text.push('-');
    } else if spec.plus && verb != 'v' {
        text.push('+');
    } else if spec.space && verb != 'v' {
        text.push(' ');
    }
    let zeros = least.saturating_sub(digits.len());
    if spec.sharp && verb != 'v' {
        text.push_str(match (base, verb) {
            (2, _) => "0b",
            (8, 'o') if zeros == 0 && !digits.starts_with('0') => "0",
            (16, 'x') => "0x",
            (16, _) => "0X",
            _ => "",
        });
    }
    if verb == 'O' {
        text.push_str("0o");
    }
    text.push_str(&"0".repeat(zeros));
    text.push_str(&digits);
    pad(
        writer,
        &text,
        Spec {
            zero: false,
            ..spec
        },
    );
    Ok(())
}

fn decimal(writer: &mut Writer, number: f64, verb: char, spec: Spec) {
    let precision = spec.precision;
    let text = match verb {
        'e' | 'E' => float::exponent(number, precision.or(Some(6))),
        'f' | 'F' => float::fixed(number, precision.or(Some(6))),
        _ => float::general(number, precision),
    };
    let text = if matches!(verb, 'E' | 'G') {
        text.to_uppercase()
    } else {
        text
    };
    let plus = spec.plus && verb != 'v';
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None if text.starts_with('+') => ("+", text.trim_start_matches('+')),
        None if plus => ("+", text.as_str()),
        None if spec.space => (" ", text.as_str()),
        None => ("", text.as_str()),
    };
    let is_number = number.is_finite();
    let length = sign.len() + digits.len();
    match spec.width {
        Some(width) if spec.zero && is_number && width > length => {
            writer.push(sign);
            writer.fill(b'0', width - length);
            writer.push(digits);
        }
        _ => pad(
            writer,
            &format!("{sign}{digits}"),
            Spec {
                zero: false,
                ..spec
            },
        ),
    }
}

fn string(
    writer: &mut Writer,
    value: &Value,
    text: &[u8],
    verb: char,
    spec: Spec,
) -> Result<(), Fault> {
    let cut = |text: &[u8]| match spec.precision {
        Some(precision) => {
            let length: usize = quote::runes(text)
                .take(precision)
                .map(|(_, length)| length)
                .sum();
            text.get(..length).unwrap_or_default().to_vec()
        }
        None => text.to_vec(),
    };
    match verb {
        'v' if spec.sharp => pad(writer, &quote::quote(text, false), spec),
        'v' | 's' => pad_bytes(writer, &cut(text), spec),
        'q' => {
            let text = cut(text);
            let raw = std::str::from_utf8(&text).ok().filter(|text| {
                spec.sharp
                    && text
                        .chars()
                        .all(|c| c != '`' && (c == '\t' || quote::is_printed(c)))
            });
            match raw {
                Some(text) => pad(writer, &format!("`{text}`"), spec),
                None => pad(writer, &quote::quote(&text, spec.plus), spec),
            }
        }
        'x' | 'X' => {
            let mut digits = String::new();
            for (index, byte) in text
                .iter()
                .take(spec.precision.unwrap_or(text.len()))
                .enumerate()
            {
                if index > 0 && spec.space {
                    digits.push(' ');
                }
                if spec.sharp && (index == 0 || spec.space) {
                    digits.push_str("0x");
                }
                digits.push_str(&format!("{byte:02x}"));
            }
            let digits = if verb == 'X' {
                digits.to_uppercase()
            } else {
                digits
            };
            pad(writer, &digits, spec);
        }
        // A key of a map is given by its text alone.
        _ if matches!(value, Value::Bool(_)) => bad(writer, &Value::text(text), verb, spec)?,
        _ => bad(writer, value, verb, spec)?,
    }
    Ok(())
}
