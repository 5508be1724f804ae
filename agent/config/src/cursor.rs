//! A text read character by character, with the place of the next one.

use crate::node::{Fault, Position};

pub(crate) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    at: Position,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str, start: Position) -> Self {
        let (offset, at) = (0, start);
        Self { text, offset, at }
    }

    /// Where the next character is.
    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// Something is wrong with what comes next.
    pub(crate) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::new(self.at, what)
    }

    /// How many bytes lie behind.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    /// What was read since `offset`.
    pub(crate) fn since(&self, offset: usize) -> &'a str {
        self.text.get(offset..self.offset).unwrap_or_default()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The character after the next one.
    pub(crate) fn peek_second(&self) -> Option<char> {
        self.rest().chars().nth(1)
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.offset += next.len_utf8();
        if next == '\n' {
            self.at.line = self.at.line.saturating_add(1);
            self.at.column = 1;
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(next)
    }

    /// Steps over the next character if it is `wanted`.
    pub(crate) fn eat(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.bump();
        }
        is_next
    }

    /// Reads as far as `belongs` says.
    pub(crate) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let start = self.offset;
        while self.peek().is_some_and(&belongs) {
            self.bump();
        }
        self.since(start)
    }

    /// Reads one line without its newline, or `None` where the text ends before one.
    pub(crate) fn line(&mut self) -> Option<&'a str> {
        let line = self.take_while(|c| c != '\n');
        self.eat('\n').then_some(line)
    }

    /// Reads exactly `count` digits of base `radix`, as in `\u00e9`.
    pub(crate) fn digits(&mut self, count: usize, radix: u32) -> Result<u32, Fault> {
        let mut value = 0_u32;
        for _ in 0..count {
            let at = self.at;
            let digit = self.peek().and_then(|c| c.to_digit(radix));
            let digit = digit.ok_or_else(|| {
                Fault::new(
                    at,
                    format!("the escape needs {count} digits of base {radix}"),
                )
            })?;
            self.bump();
            // Eight hexadecimal digits fill 32 bits exactly.
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        Ok(value)
    }
}
