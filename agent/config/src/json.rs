//! JSON (RFC 8259), because `serde_json` keeps no places.
//!
//! A repeated key is a repeated block, as in Vault and OpenBao.
//!
//! Invariant: no input panics or recurses deeper than [`MAX_DEPTH`].

use crate::cursor::Cursor;
use crate::node::{Fault, Field, MAX_DEPTH, Name, Node, Position, Value};

#[cfg(test)]
mod tests;

/// Reads a whole text, which is one object.
///
/// # Errors
/// The first thing that is not JSON.
pub fn read(text: &str, start: Position) -> Result<Vec<Field>, Fault> {
    let cursor = Cursor::new(text, start);
    let mut reader = Reader { cursor };
    reader.blanks();
    let Node { at, value } = reader.value(0)?;
    reader.blanks();
    if reader.cursor.peek().is_some() {
        return Err(reader.cursor.fault("nothing may follow the object"));
    }
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Fault::new(at, "a configuration is an object: `{ … }`")),
    }
}

struct Reader<'a> {
    cursor: Cursor<'a>,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        self.cursor
            .take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err(self
                .cursor
                .fault(format!("nests more than {MAX_DEPTH} deep")));
        }
        let at = self.cursor.at();
        let value = match self.cursor.peek() {
            Some('{') => Value::Object(self.object(depth)?),
            Some('[') => Value::List(self.list(depth)?),
            Some('"') => Value::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.literal()?,
        };
        Ok(Node { at, value })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Field>, Fault> {
        let mut fields = Vec::new();
        self.cursor.bump();
        self.blanks();
        if self.cursor.eat('}') {
            return Ok(fields);
        }
        loop {
            fields.push(self.field(depth)?);
            if !self.goes_on('}')? {
                return Ok(fields);
            }
        }
    }

    fn field(&mut self, depth: usize) -> Result<Field, Fault> {
        let at = self.cursor.at();
        if self.cursor.peek() != Some('"') {
            return Err(self.cursor.fault("expected a key in double quotes"));
        }
        let text = self.string()?;
        self.blanks();
        if !self.cursor.eat(':') {
            return Err(self.cursor.fault("expected `:` after the key"));
        }
        self.blanks();
        Ok(Field {
            key: Name { at, text },
            labels: Vec::new(),
            node: self.value(depth + 1)?,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        let mut items = Vec::new();
        self.cursor.bump();
        self.blanks();
        if self.cursor.eat(']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            if !self.goes_on(']')? {
                return Ok(items);
            }
        }
    }

    /// After an item: whether another one follows.
    fn goes_on(&mut self, close: char) -> Result<bool, Fault> {
        self.blanks();
        if self.cursor.eat(close) {
            return Ok(false);
        }
        if !self.cursor.eat(',') {
            return Err(self.cursor.fault(format!("expected `,` or `{close}`")));
        }
        self.blanks();
        Ok(true)
    }

    fn literal(&mut self) -> Result<Value, Fault> {
        let unknown = self.cursor.fault("expected a value");
        match self.cursor.take_while(|c| c.is_ascii_alphabetic()) {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(unknown),
        }
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let unread = self.cursor.fault("is no number that JSON has");
        let text = self
            .cursor
            .take_while(|c| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
        match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => Ok(number
                .as_i64()
                .map_or_else(|| float(&number), Value::Integer)),
            Err(_) => Err(unread),
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let unclosed = self.cursor.fault("the string is not closed");
        self.cursor.bump();
        let mut text = String::new();
        loop {
            let before = self.cursor.at();
            match self.cursor.bump() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) if c < ' ' => {
                    let what = "a control character in a string is written `\\n`, `\\t` or `\\u….`";
                    return Err(Fault::new(before, what));
                }
                Some(c) => text.push(c),
                None => return Err(unclosed),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        let unknown = self
            .cursor
            .fault("there is no such escape; a backslash itself is written `\\\\`");
        Ok(match self.cursor.bump() {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => self.unicode()?,
            _ => return Err(unknown),
        })
    }

    /// Characters beyond U+FFFF are two escapes, a surrogate pair.
    fn unicode(&mut self) -> Result<char, Fault> {
        let lone = self.cursor.fault("the escape is half of a surrogate pair");
        let first = self.cursor.digits(4, 16)?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        if !(self.cursor.eat('\\') && self.cursor.eat('u')) {
            return Err(lone);
        }
        let second = self.cursor.digits(4, 16)?;
        let pair = match (first, second) {
            (0xd800..=0xdbff, 0xdc00..=0xdfff) => {
                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            }
            _ => None,
        };
        pair.ok_or(lone)
    }
}

fn float(number: &serde_json::Number) -> Value {
    Value::Float(number.as_f64().unwrap_or(f64::INFINITY))
}
