//! HCL 1, the language that Vault and OpenBao read agent files with.
//!
//! HCL 2 readers reject or misread a third of real files: blocks on one line, commas between attributes, quoted keys,
//! `0640`, and `${…}` in strings, which HCL 1 leaves alone. The grammar is small: newlines mean nothing, a field is
//! `key = value` or `key "label" … { … }`, a comma may follow it.
//!
//! Invariant: no input panics or recurses deeper than [`MAX_DEPTH`].

use crate::cursor::Cursor;
use crate::node::{Fault, Field, MAX_DEPTH, Name, Node, Position, Value};

use lexer::{Lexer, Token};

mod lexer;
mod text;

#[cfg(test)]
mod tests;

/// Reads a whole text.
///
/// # Errors
/// The first thing that is not HCL 1.
pub fn read(text: &str, start: Position) -> Result<Vec<Field>, Fault> {
    // As the reference does before it reads: only what strings and heredocs contain can tell the difference.
    let text = text.replace("\r\n", "\n");
    refuse_nul(&text, start)?;
    let mut parser = Parser::new(&text, start)?;
    let fields = parser.fields(0)?;
    match &parser.token {
        Token::End => Ok(fields),
        other => Err(parser.expected("a key", other)),
    }
}

fn refuse_nul(text: &str, start: Position) -> Result<(), Fault> {
    let mut cursor = Cursor::new(text, start);
    cursor.take_while(|c| c != '\0');
    match cursor.peek() {
        Some(_) => Err(Fault::new(cursor.at(), "a NUL character is not text")),
        None => Ok(()),
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token, not yet used, and its place.
    token: Token,
    at: Position,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, start: Position) -> Result<Self, Fault> {
        let mut lexer = Lexer::new(text, start);
        let (token, at) = lexer.next()?;
        Ok(Self { lexer, token, at })
    }

    fn advance(&mut self) -> Result<(Token, Position), Fault> {
        let (token, at) = self.lexer.next()?;
        let used = std::mem::replace(&mut self.token, token);
        let used_at = std::mem::replace(&mut self.at, at);
        Ok((used, used_at))
    }

    fn expected(&self, what: &str, found: &Token) -> Fault {
        Fault::new(self.at, format!("expected {what}, found {found}"))
    }

    /// Fields up to the `}` or the end of the text, which is left for the caller to judge.
    fn fields(&mut self, depth: usize) -> Result<Vec<Field>, Fault> {
        let mut fields = Vec::new();
        while !matches!(self.token, Token::End | Token::CloseBrace) {
            fields.push(self.field(depth)?);
            if self.token == Token::Comma {
                self.advance()?;
            }
        }
        Ok(fields)
    }

    fn field(&mut self, depth: usize) -> Result<Field, Fault> {
        let key = match &self.token {
            Token::Word(_) | Token::Text(_) => self.name()?,
            other => return Err(self.expected("a key", other)),
        };
        let mut labels = Vec::new();
        while matches!(self.token, Token::Word(_) | Token::Text(_)) {
            labels.push(self.name()?);
        }
        let node = match &self.token {
            Token::OpenBrace => self.value(depth)?,
            Token::Assign if labels.is_empty() => {
                self.advance()?;
                self.value(depth)?
            }
            // The key is not repeated: it could be a string whose quotes went astray.
            other if labels.is_empty() => {
                return Err(self.expected("`=` or `{` after the key", other));
            }
            other => return Err(self.expected("`{` after the labels", other)),
        };
        Ok(Field { key, labels, node })
    }

    /// The next token, which the caller has seen to be a name.
    fn name(&mut self) -> Result<Name, Fault> {
        let (token, at) = self.advance()?;
        let text = match token {
            Token::Word(text) | Token::Text(text) => text,
            _ => String::new(),
        };
        Ok(Name { at, text })
    }

    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        if depth >= MAX_DEPTH {
            let what = format!("nests more than {MAX_DEPTH} deep");
            return Err(Fault::new(self.at, what));
        }
        if !self.token.starts_value() {
            return Err(self.expected("a value", &self.token));
        }
        let (token, at) = self.advance()?;
        let value = match token {
            Token::Bool(value) => Value::Bool(value),
            Token::Integer(value) => Value::Integer(value),
            Token::Float(value) => Value::Float(value),
            Token::Text(text) | Token::Heredoc(text) => Value::Text(text),
            Token::OpenBrace => self.object(depth)?,
            _ => self.list(depth)?,
        };
        Ok(Node { at, value })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Fault> {
        let fields = self.fields(depth + 1)?;
        if self.token != Token::CloseBrace {
            return Err(self.expected("a key or `}`", &self.token));
        }
        self.advance()?;
        Ok(Value::Object(fields))
    }

    /// Commas may repeat, and follow the last item; between a list or an object and the next item none is needed.
    fn list(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut items = Vec::new();
        let mut needs_comma = false;
        loop {
            match &self.token {
                Token::Comma => {
                    self.advance()?;
                    needs_comma = false;
                }
                Token::CloseList => {
                    self.advance()?;
                    return Ok(Value::List(items));
                }
                other if needs_comma => return Err(self.expected("`,` or `]`", other)),
                other => {
                    needs_comma = *other != Token::OpenList;
                    items.push(self.value(depth + 1)?);
                }
            }
        }
    }
}
