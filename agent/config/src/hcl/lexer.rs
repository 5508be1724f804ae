//! HCL 1 as tokens.

use std::fmt;

use crate::cursor::Cursor;
use crate::node::{Fault, Position};

use super::text;

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
            '"' => Token::Text(text::quoted(&mut self.cursor)?),
            '<' => Token::Heredoc(text::heredoc(&mut self.cursor)?),
            _ => self.punctuation(next)?,
        };
        Ok((token, at))
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
                (Some('/'), _) => {
                    return Err(self.cursor.fault("a comment begins with `//` or `/*`"));
                }
                _ => return Ok(()),
            }
        }
    }

    fn block_comment(&mut self) -> Result<(), Fault> {
        let unclosed = self
            .cursor
            .fault("the comment is not closed: `*/` is missing");
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
                return Err(self
                    .cursor
                    .fault(format!("the character `{other}` has no meaning here")));
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
        let (start, unread) = (self.cursor.offset(), self.cursor.fault(""));
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
            return Err(self
                .cursor
                .fault("a number with a unit needs quotes, as in \"5s\""));
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
}

pub(super) fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
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
