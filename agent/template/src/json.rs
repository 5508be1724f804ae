//! JSON as Go's `encoding/json` reads and writes it: numbers keep their text where Vault's client keeps it, and what is
//! no Unicode becomes U+FFFD.
//!
//! Invariant: no input panics or recurses deeper than [`MAX_DEPTH`].

use crate::error::Fault;
use crate::format::{Writer, float};
use crate::quote;
use crate::value::{Entries, MAX_DEPTH, Value};

/// Reads one value. With `exact`, numbers are `json.Number`, otherwise `float64`.
pub(crate) fn read(text: &[u8], exact: bool) -> Result<Value, Fault> {
    let mut reader = Reader { text, at: 0, exact };
    let value = reader.value(0).ok_or(NOT_JSON)?;
    reader.blanks();
    if reader.at < text.len() {
        return Err(NOT_JSON.into());
    }
    Ok(value)
}

const NOT_JSON: &str = "the text is not JSON";

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    exact: bool,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn eat(&mut self, word: &[u8]) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        rest.starts_with(word).then(|| self.at += word.len())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth >= MAX_DEPTH {
            return None;
        }
        self.blanks();
        match self.peek() {
            b'{' => {
                self.at += 1;
                let mut entries = Entries::new();
                if !self.closes(b'}') {
                    loop {
                        self.blanks();
                        let key = self.string()?;
                        self.blanks();
                        self.eat(b":")?;
                        let value = self.value(depth + 1)?;
                        entries.insert(key.into(), value);
                        if !self.goes_on(b'}')? {
                            break;
                        }
                    }
                }
                Value::map(entries).ok()
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                if !self.closes(b']') {
                    loop {
                        items.push(self.value(depth + 1)?);
                        if !self.goes_on(b']')? {
                            break;
                        }
                    }
                }
                Value::list(items).ok()
            }
            b'"' => self.string().map(Value::text),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.eat(b"true").map(|()| Value::Bool(true)),
            b'f' => self.eat(b"false").map(|()| Value::Bool(false)),
            _ => self.eat(b"null").map(|()| Value::Nil),
        }
    }

    fn closes(&mut self, close: u8) -> bool {
        self.blanks();
        let closes = self.peek() == close;
        self.at += usize::from(closes);
        closes
    }

    /// After an item: whether another one follows.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        if self.closes(close) {
            return Some(false);
        }
        self.eat(b",").map(|()| true)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        let text = self.text.get(start..self.at)?;
        if self.exact {
            return Some(Value::Number(text.into()));
        }
        let float: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        float.is_finite().then_some(Value::Float(float))
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        self.eat(b"\"")?;
        let mut string = Vec::new();
        loop {
            let rest = self.text.get(self.at..)?;
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
            let text = String::from_utf8_lossy(rest.get(..plain)?);
            string.extend_from_slice(text.as_bytes());
            self.at += plain + 1;
            match rest.get(plain)? {
                b'"' => return Some(string),
                b'\\' => {
                    let c = self.escape()?;
                    string.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        self.at += 1;
        Some(match self.text.get(self.at - 1)? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.code()?;
                if let Some(c) = char::from_u32(first) {
                    return Some(c);
                }
                let before = self.at;
                if (0xd800..0xdc00).contains(&first) && self.eat(b"\\u").is_some() {
                    let second = self.code()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return char::from_u32(code);
                    }
                    self.at = before;
                }
                char::REPLACEMENT_CHARACTER
            }
            _ => return None,
        })
    }

    fn code(&mut self) -> Option<u32> {
        let digits = std::str::from_utf8(self.text.get(self.at..self.at + 4)?).ok()?;
        self.at += 4;
        let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| all)
    }
}

/// How JSON is written.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// Two blanks for each level.
    pub(crate) pretty: bool,
    /// `<`, `>` and `&` as escapes.
    pub(crate) html: bool,
}

/// Writes a value.
pub(crate) fn write(writer: &mut Writer, value: &Value, style: Style) -> Result<(), Fault> {
    write_at(writer, value, style, 0)
}

fn write_at(writer: &mut Writer, value: &Value, style: Style, depth: usize) -> Result<(), Fault> {
    writer.check(depth)?;
    match value {
        Value::Nil | Value::Null | Value::NoRecord(_) => writer.push("null"),
        Value::Bool(flag) => writer.push(if *flag { "true" } else { "false" }),
        Value::Int(_) | Value::Int64(_) | Value::Uint(_) => {
            writer.push(&value.integer().unwrap_or(0).to_string());
        }
        Value::Float(number) if number.is_finite() => writer.push(&float::json(*number)),
        Value::Number(text) if text.is_empty() => writer.push("0"),
        Value::Number(text) => writer.bytes(text),
        Value::Text(text) => string(writer, text, style.html),
        Value::List(list) if list.absent => writer.push("null"),
        Value::List(list) => {
            let items = list.items.iter().map(|item| (None, item));
            block(writer, items, style, depth, ["[", "]"])?;
        }
        Value::Map(map) if map.absent => writer.push("null"),
        Value::Map(map) => {
            let entries = map.entries.borrow();
            let items = entries.iter().map(|(key, value)| (Some(&**key), value));
            block(writer, items, style, depth, ["{", "}"])?;
        }
        Value::Record(record) => {
            let fields = record.fields.iter();
            let items = fields.map(|(name, value)| (Some(name.as_bytes()), value));
            block(writer, items, style, depth, ["{", "}"])?;
        }
        Value::Time(now) => {
            let text = crate::funcs::time::rfc3339(*now);
            string(writer, text.as_bytes(), false);
        }
        Value::Float(_) | Value::Counter(..) | Value::Scratch => {
            return Err(format!("a {} cannot be JSON", value.type_name()).into());
        }
    }
    Ok(())
}

fn block<'a>(
    writer: &mut Writer,
    items: impl Iterator<Item = (Option<&'a [u8]>, &'a Value)>,
    style: Style,
    depth: usize,
    [open, close]: [&str; 2],
) -> Result<(), Fault> {
    let line = |writer: &mut Writer, depth: usize| {
        if style.pretty {
            writer.push("\n");
            writer.blanks(depth * 2);
        }
    };
    writer.push(open);
    let mut is_empty = true;
    for (key, value) in items {
        if !is_empty {
            writer.push(",");
        }
        is_empty = false;
        line(writer, depth + 1);
        if let Some(key) = key {
            string(writer, key, style.html);
            writer.push(if style.pretty { ": " } else { ":" });
        }
        write_at(writer, value, style, depth + 1)?;
    }
    if !is_empty {
        line(writer, depth);
    }
    writer.push(close);
    Ok(())
}

fn string(writer: &mut Writer, text: &[u8], html: bool) {
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
            '\0'..' ' | '\u{2028}' | '\u{2029}' => writer.code(c),
            '<' | '>' | '&' if html => writer.code(c),
            _ => writer.char(c),
        }
    }
    writer.push("\"");
}
