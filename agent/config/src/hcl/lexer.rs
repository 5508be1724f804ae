//! HCL 1 as tokens.

use std::fmt;

use crate::cursor::Cursor;
use crate::node::{Fault, Position};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    End,
    Word(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Heredoc(String),
    OpenBrace,
    CloseBrace,
    OpenList,
    CloseList,
    Comma,
    Assign,
}

impl Token {
    pub(super) fn starts_value(&self) -> bool {
        !matches!(
            self,
            Self::End
                | Self::Word(_)
                | Self::CloseBrace
                | Self::CloseList
                | Self::Comma
                | Self::Assign
        )
    }
}

/// As messages name it: never a string's content, which could be a secret.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End => "the end of the text",
            Self::Word(_) => "a word without quotes",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::Heredoc(_) => "a heredoc",
            Self::OpenBrace => "`{`",
            Self::CloseBrace => "`}`",
            Self::OpenList => "`[`",
            Self::CloseList => "`]`",
            Self::Comma => "`,`",
            Self::Assign => "`=`",
        })
    }
}

pub(super) struct Lexer<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, start: Position) -> Self {
        let cursor = Cursor::new(text, start);
        Self { cursor }
    }

    /// The next token and its place; [`Token::End`] for ever at the end.
    pub(super) fn next(&mut self) -> Result<(Token, Position), Fault> {
        self.skip()?;
        let at = self.cursor.at();
        let Some(next) = self.cursor.peek() else {
            return Ok((Token::End, at));
        };
        let second = self.cursor.peek_second();
        let starts_number = next.is_ascii_digit()
            || (matches!(next, '-' | '.') && second.is_some_and(|c| c.is_ascii_digit()));
        let token = match next {
            _ if starts_number => self.number()?,
            _ if is_letter(next) => self.word(),
            '"' => self.quoted()?,
            '<' => self.heredoc()?,
            _ => self.punctuation(next)?,
        };
        Ok((token, at))
    }

    fn fault(&self, what: impl Into<String>) -> Fault {
        Fault::new(self.cursor.at(), what)
    }

    /// Steps over blanks and comments.
    fn skip(&mut self) -> Result<(), Fault> {
        loop {
            self.cursor
                .take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            match (self.cursor.peek(), self.cursor.peek_second()) {
                (Some('#'), _) | (Some('/'), Some('/')) => {
                    self.cursor.take_while(|c| c != '\n');
                }
                (Some('/'), Some('*')) => self.block_comment()?,
                (Some('/'), _) => return Err(self.fault("a comment begins with `//` or `/*`")),
                _ => return Ok(()),
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), Fault> {
        let unclosed = self.fault("the comment is not closed: `*/` is missing");
        self.cursor.bump();
        self.cursor.bump();
        loop {
            match self.cursor.bump() {
                Some('*') if self.cursor.eat('/') => return Ok(()),
                Some(_) => {}
                None => return Err(unclosed),
            }
        }
    }

    fn punctuation(&mut self, next: char) -> Result<Token, Fault> {
        let token = match next {
            '{' => Token::OpenBrace,
            '}' => Token::CloseBrace,
            '[' => Token::OpenList,
            ']' => Token::CloseList,
            ',' => Token::Comma,
            '=' => Token::Assign,
            other => {
                let other = other.escape_default();
                return Err(self.fault(format!("the character `{other}` has no meaning here")));
            }
        };
        self.cursor.bump();
        Ok(token)
    }

    fn word(&mut self) -> Token {
        let word = self
            .cursor
            .take_while(|c| is_letter(c) || c.is_numeric() || matches!(c, '-' | '.'));
        match word {
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            word => Token::Word(word.to_owned()),
        }
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let (start, unread) = (self.cursor.offset(), self.fault(""));
        let negative = self.cursor.eat('-');
        let digits = self.cursor.take_while(|c| c.is_ascii_digit());
        let token = if digits == "0" && matches!(self.cursor.peek(), Some('x' | 'X')) {
            self.cursor.bump();
            let digits = self.cursor.take_while(|c| c.is_ascii_hexdigit());
            integer(negative, digits, 16)
        } else if matches!(self.cursor.peek(), Some('.' | 'e' | 'E')) {
            self.fraction();
            float(self.cursor.since(start))
        } else if digits.len() > 1 && digits.starts_with('0') {
            integer(negative, digits, 8)
        } else {
            integer(negative, digits, 10)
        };
        let token = token.map_err(|what| Fault { what, ..unread })?;
        if self.cursor.peek().is_some_and(is_letter) {
            return Err(self.fault("a number with a unit needs quotes, as in \"5s\""));
        }
        Ok(token)
    }

    /// Steps over `.5`, `e3`, `.5e-3`.
    fn fraction(&mut self) {
        if self.cursor.eat('.') {
            self.cursor.take_while(|c| c.is_ascii_digit());
        }
        if self.cursor.eat('e') || self.cursor.eat('E') {
            let _signed = self.cursor.eat('-') || self.cursor.eat('+');
            self.cursor.take_while(|c| c.is_ascii_digit());
        }
    }

    fn quoted(&mut self) -> Result<Token, Fault> {
        let start = self.cursor.at();
        let unclosed = || Fault::new(start, "the string is not closed on its line");
        self.cursor.bump();
        // Bytes: `\xc3\xa9` is one character.
        let mut bytes = Vec::new();
        loop {
            let begin = self.cursor.offset();
            match self.cursor.bump().ok_or_else(unclosed)? {
                '"' => break,
                '\n' => return Err(unclosed()),
                '\\' => self.escape(&mut bytes)?,
                '$' if self.cursor.eat('{') => {
                    self.interpolation(start)?;
                    bytes.extend(self.cursor.since(begin).bytes());
                }
                _ => bytes.extend(self.cursor.since(begin).bytes()),
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Token::Text(text)),
            Err(_not_utf8) => Err(Fault::new(start, "the escapes in the string make no UTF-8")),
        }
    }

    /// Steps over what follows `${`: up to its `}` quotes and newlines have no meaning, and nothing is unescaped.
    fn interpolation(&mut self, start: Position) -> Result<(), Fault> {
        let mut open = 1_usize;
        while open > 0 {
            match self.cursor.bump() {
                Some('{') => open += 1,
                Some('}') => open -= 1,
                Some('\\') => self.escape(&mut Vec::new())?,
                Some(_) => {}
                None => return Err(Fault::new(start, "`${` in the string is not closed")),
            }
        }
        Ok(())
    }

    /// What follows a backslash.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Fault> {
        let unknown = self.fault("there is no such escape; a backslash itself is written `\\\\`");
        let next = self.cursor.peek();
        if let Some(octal) = next.filter(|c| matches!(c, '0'..='7')) {
            let value = self.cursor.digits(3, 8)?;
            let too_large = format!("the escape \\{octal}… is larger than \\377");
            bytes.push(u8::try_from(value).map_err(|_larger| Fault {
                what: too_large,
                ..unknown
            })?);
            return Ok(());
        }
        self.cursor.bump();
        let byte = match next {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => {
                let value = self.cursor.digits(2, 16)?;
                u8::try_from(value).unwrap_or(u8::MAX)
            }
            Some(unicode @ ('u' | 'U')) => {
                let count = if unicode == 'u' { 4 } else { 8 };
                let value = self.cursor.digits(count, 16)?;
                let character = char::from_u32(value).ok_or(Fault {
                    what: "the escape names no character".to_owned(),
                    ..unknown
                })?;
                bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
                return Ok(());
            }
            _ => return Err(unknown),
        };
        bytes.push(byte);
        Ok(())
    }

    fn heredoc(&mut self) -> Result<Token, Fault> {
        let unclosed =
            self.fault("the heredoc is not closed: its marker on a line of its own is missing");
        self.cursor.bump();
        if !self.cursor.eat('<') {
            return Err(self.fault("a heredoc begins with `<<`"));
        }
        let unindent = self.cursor.eat('-');
        let marker = self.cursor.take_while(|c| is_letter(c) || c.is_numeric());
        if marker.is_empty() {
            return Err(self.fault("the heredoc's marker is missing, as in `<<EOT`"));
        }
        if self.cursor.peek().is_some_and(|c| c != '\n') {
            return Err(self.fault("a heredoc's marker is letters and digits, then a new line"));
        }
        self.cursor.bump();
        let mut lines = Vec::new();
        loop {
            let line = self.cursor.line().ok_or_else(|| unclosed.clone())?;
            match indentation_before(line, marker) {
                // The reference wants the marker of `<<-` indented.
                Some(indentation) if !unindent || !indentation.is_empty() => {
                    let text = body(&lines, indentation, unindent);
                    return Ok(Token::Heredoc(text));
                }
                _ => lines.push(line),
            }
        }
    }
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// What stands before the marker, if the line holds nothing else.
fn indentation_before<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let indentation = line.trim_end_matches('\r').strip_suffix(marker)?;
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c');
    indentation.chars().all(is_blank).then_some(indentation)
}

/// `<<-` removes the marker's indentation where every line has it, and none otherwise. `<<` removes nothing, not
/// even what stands before the marker.
fn body(lines: &[&str], indentation: &str, unindent: bool) -> String {
    let strip = unindent && lines.iter().all(|line| line.starts_with(indentation));
    let mut text = String::new();
    for line in lines {
        let line = if strip {
            line.strip_prefix(indentation).unwrap_or(line)
        } else {
            line
        };
        text.push_str(line);
        text.push('\n');
    }
    if !unindent {
        text.push_str(indentation);
    }
    text
}

fn integer(negative: bool, digits: &str, radix: u32) -> Result<Token, String> {
    let sign = if negative { "-" } else { "" };
    match i64::from_str_radix(&format!("{sign}{digits}"), radix) {
        Ok(value) => Ok(Token::Integer(value)),
        Err(_) if radix == 16 && digits.is_empty() => {
            Err("the digits after `0x` are missing".to_owned())
        }
        Err(_) if digits.contains(['8', '9']) && radix == 8 => {
            Err("a number that starts with 0 is octal, which has no 8 and no 9".to_owned())
        }
        Err(_) => Err("the number is too large".to_owned()),
    }
}

fn float(text: &str) -> Result<Token, String> {
    match text.parse() {
        Ok(value) => Ok(Token::Float(value)),
        Err(_) => Err("the number's exponent is missing".to_owned()),
    }
}
