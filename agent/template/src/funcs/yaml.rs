//! YAML, in the layout of the library that consul-template uses: lists at the height of their key, lines folded at 80.

use std::cmp::Ordering;

use base64::Engine as _;

use super::yaml_read;
use crate::error::Fault;
use crate::format::{Writer, float};
use crate::quote;
use crate::value::Value;

/// Where lines are folded.
const WIDTH: usize = 80;

/// Writes a value, without the line end.
pub(super) fn write(value: &Value, room: usize) -> Result<Vec<u8>, Fault> {
    let mut emitter = Emitter {
        writer: Writer::new(room),
        column: 0,
    };
    emitter.node(value, 0, 0, false)?;
    let text = emitter.writer.finish()?;
    Ok(text.trim_ascii().to_vec())
}

struct Emitter {
    writer: Writer,
    column: usize,
}

impl Emitter {
    fn push(&mut self, text: &str) {
        self.column = match text.rfind('\n') {
            Some(newline) => text.len() - newline - 1,
            None => self.column + text.chars().count(),
        };
        self.writer.push(text);
    }

    fn line(&mut self, margin: usize) {
        self.push("\n");
        self.writer.blanks(margin);
        self.column = margin;
    }

    /// A value whose first line goes on where the writer is; `margin` is that of its own lines. After a key, what has
    /// lines of its own starts a new one.
    fn node(
        &mut self,
        value: &Value,
        margin: usize,
        depth: usize,
        after_key: bool,
    ) -> Result<(), Fault> {
        self.writer.check(depth)?;
        let blank = if after_key { " " } else { "" };
        match value {
            Value::List(list) if list.items.is_empty() => {
                self.push(blank);
                self.push("[]");
            }
            Value::List(list) => {
                // Under a key a list is not indented.
                let margin = if after_key {
                    margin.saturating_sub(2)
                } else {
                    margin
                };
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 || after_key {
                        self.line(margin);
                    }
                    self.push("- ");
                    self.node(item, margin + 2, depth + 1, false)?;
                }
            }
            Value::Map(map) => {
                let entries = map.entries.borrow();
                let mut keys: Vec<_> = entries.keys().collect();
                keys.sort_by(|left, right| natural(left, right));
                let fields = keys
                    .into_iter()
                    .filter_map(|key| Some((&**key, entries.get(key)?)));
                self.fields(fields, margin, depth, after_key)?;
            }
            Value::Record(record) => {
                let lower: Vec<_> = record
                    .fields
                    .iter()
                    .map(|field| field.0.to_lowercase())
                    .collect();
                let fields = lower.iter().zip(&record.fields);
                let fields = fields.map(|(name, field)| (name.as_bytes(), &field.1));
                self.fields(fields, margin, depth, after_key)?;
            }
            _ => {
                self.push(blank);
                self.scalar(value, margin)?;
            }
        }
        Ok(())
    }

    fn fields<'a>(
        &mut self,
        fields: impl Iterator<Item = (&'a [u8], &'a Value)>,
        margin: usize,
        depth: usize,
        after_key: bool,
    ) -> Result<(), Fault> {
        let mut is_empty = true;
        for (key, value) in fields {
            if !is_empty || after_key {
                self.line(margin);
            }
            is_empty = false;
            self.text(key, margin, true);
            self.push(":");
            self.node(value, margin + 2, depth + 1, true)?;
        }
        if is_empty {
            self.push(if after_key { " {}" } else { "{}" });
        }
        Ok(())
    }

    fn scalar(&mut self, value: &Value, margin: usize) -> Result<(), Fault> {
        match value {
            Value::Bool(flag) => self.push(if *flag { "true" } else { "false" }),
            Value::Int(_) | Value::Int64(_) | Value::Uint(_) => {
                self.push(&value.integer().unwrap_or(0).to_string());
            }
            Value::Float(number) => self.decimal(*number),
            Value::Number(text) => {
                let text = std::str::from_utf8(text).unwrap_or_default();
                match (text.parse::<i64>(), text.parse::<f64>()) {
                    (Ok(integer), _) => self.push(&integer.to_string()),
                    (_, Ok(number)) => self.decimal(number),
                    _ => self.text(text.as_bytes(), margin, false),
                }
            }
            Value::Text(text) => self.text(text, margin, false),
            Value::Time(now) => self.push(&super::time::rfc3339(*now)),
            other if other.is_nil() => self.push("null"),
            other => return Err(format!("a {} cannot be YAML", other.type_name()).into()),
        }
        Ok(())
    }

    fn decimal(&mut self, number: f64) {
        if number.is_nan() {
            self.push(".nan");
        } else if number.is_infinite() {
            self.push(if number > 0.0 { ".inf" } else { "-.inf" });
        } else {
            self.push(&float::general(number, None));
        }
    }

    fn text(&mut self, text: &[u8], margin: usize, is_key: bool) {
        let Ok(text) = std::str::from_utf8(text) else {
            let text = base64::engine::general_purpose::STANDARD.encode(text);
            self.push("!!binary ");
            return self.push(&text);
        };
        let shape = Shape::of(text);
        let is_text = yaml_read::is_text(text);
        let lines = text.contains('\n');
        if lines && !is_key && shape.literal {
            self.literal(text, margin);
        } else if !lines && is_text && shape.plain {
            self.folded(text, margin, is_key, "");
        } else if !lines && is_text && shape.single {
            self.folded(&text.replace('\'', "''"), margin, is_key, "'");
        } else {
            self.double(text, margin, is_key);
        }
    }

    /// With a line end in place of a blank where the line is full, not at the ends nor beside another blank.
    fn folded(&mut self, text: &str, margin: usize, is_key: bool, mark: &str) {
        self.push(mark);
        let mut before = ' ';
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let next = rest.peek().copied().unwrap_or(' ');
            let breaks = c == ' ' && before != ' ' && next != ' ' && self.column > WIDTH;
            if breaks && !is_key {
                self.line(margin);
            } else {
                self.push(c.encode_utf8(&mut [0; 4]));
            }
            before = c;
        }
        self.push(mark);
    }

    fn literal(&mut self, text: &str, margin: usize) {
        self.push("|");
        if text.starts_with([' ', '\n']) {
            self.push("2");
        }
        if !text.ends_with('\n') {
            self.push("-");
        } else if text == "\n" || text.ends_with("\n\n") {
            self.push("+");
        }
        let inner = text.strip_suffix('\n').unwrap_or(text);
        let margin = margin.max(2);
        for line in inner.split('\n') {
            if line.is_empty() {
                self.push("\n");
            } else {
                self.line(margin);
                self.push(line);
            }
        }
    }

    fn double(&mut self, text: &str, margin: usize, is_key: bool) {
        self.push("\"");
        let mut before = ' ';
        let mut rest = text.chars().peekable();
        let mut is_first = true;
        while let Some(c) = rest.next() {
            let breaks = c == ' ' && !is_first && before != ' ' && rest.peek().is_some();
            if breaks && !is_key && self.column > WIDTH {
                self.line(margin);
                if rest.peek() == Some(&' ') {
                    self.push("\\");
                }
            } else {
                self.push(&escape(c));
            }
            (before, is_first) = (c, false);
        }
        self.push("\"");
    }
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ if is_printed(c) => return c.to_string(),
        _ => {
            let code = u32::from(c);
            return match code {
                0..0x100 => format!("\\x{code:02X}"),
                0x100..0x1_0000 => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

fn is_printed(c: char) -> bool {
    matches!(u32::from(c), 0x0a | 0x20..=0x7e | 0xa0..=0xd7ff | 0xe000..=0xfffd) && c != '\u{feff}'
}

/// In which styles a text may be written.
struct Shape {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let marks = text.starts_with("---") || text.starts_with("...");
        let mut shape = Self {
            plain: !text.is_empty() && !marks,
            single: true,
            literal: true,
        };
        if text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']) {
            shape.plain = false;
        }
        if text.ends_with(' ') {
            shape.literal = false;
        }
        let mut before = ' ';
        let mut rest = text.chars().peekable();
        let mut is_first = true;
        while let Some(c) = rest.next() {
            let next = rest.peek().copied();
            let before_blank = matches!(next, None | Some(' ' | '\t' | '\n' | '\r'));
            let indicates = match c {
                '#' if is_first || before == ' ' => true,
                ':' => before_blank,
                '?' | '-' if is_first => before_blank,
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
                | '@' | '`' => is_first,
                _ => false,
            };
            shape.plain &= !indicates && c != '\n';
            if !is_printed(c) || (c == ' ' && before == '\n') {
                shape.plain = false;
                shape.single = false;
            }
            shape.literal &= is_printed(c) && !(c == ' ' && before == '\n');
            if c == '\n' && before == ' ' && !is_first {
                shape.plain = false;
                shape.single = false;
            }
            before = c;
            is_first = false;
        }
        shape
    }
}

/// As the library sorts keys: letters after all else, runs of digits by their number.
fn natural(left: &[u8], right: &[u8]) -> Ordering {
    let left: Vec<char> = quote::chars(left).collect();
    let right: Vec<char> = quote::chars(right).collect();
    let common = left
        .iter()
        .zip(&right)
        .take_while(|pair| pair.0 == pair.1)
        .count();
    let (Some(&a), Some(&b)) = (left.get(common), right.get(common)) else {
        return left.len().cmp(&right.len());
    };
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => return a.cmp(&b),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let run = |text: &[char]| {
        let digits = text.iter().skip(common).take_while(|c| c.is_ascii_digit());
        let number = digits.clone().fold(0_u64, |number, digit| {
            number
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit.to_digit(10).unwrap_or(0)))
        });
        (number, digits.count())
    };
    // A number that goes on with zeros is larger than one that ends before them.
    let mut seen = left
        .iter()
        .take(common)
        .rev()
        .take_while(|c| c.is_ascii_digit());
    let goes_on = (a == '0' || b == '0') && seen.any(|c| *c != '0');
    let (mut one, mut other) = (run(&left), run(&right));
    if goes_on {
        let scale = |number: u64, count: usize| {
            let power = u32::try_from(count)
                .ok()
                .and_then(|count| 10_u64.checked_pow(count));
            power.unwrap_or(0).wrapping_add(number)
        };
        one.0 = scale(one.0, one.1);
        other.0 = scale(other.0, other.1);
    }
    one.cmp(&other).then(a.cmp(&b))
}
