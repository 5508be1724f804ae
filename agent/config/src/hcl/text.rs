//! HCL 1's strings and heredocs.

use crate::cursor::Cursor;
use crate::node::{Fault, Position};

use super::lexer::is_letter;

/// A string, from its opening quote on. `${…}` stays as it is written, and so does everything else but escapes.
pub(super) fn quoted(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let start = cursor.at();
    let unclosed = || Fault::new(start, "the string is not closed on its line");
    cursor.bump();
    // Bytes, not characters: `\xc3\xa9` is one character.
    let mut bytes = Vec::new();
    loop {
        let begin = cursor.offset();
        match cursor.bump().ok_or_else(unclosed)? {
            '"' => break,
            '\n' => return Err(unclosed()),
            '\\' => escape(cursor, &mut bytes)?,
            '$' if cursor.eat('{') => {
                interpolation(cursor, start)?;
                bytes.extend(cursor.since(begin).bytes());
            }
            _ => bytes.extend(cursor.since(begin).bytes()),
        }
    }
    let not_utf8 = |_| Fault::new(start, "the escapes in the string make no UTF-8");
    String::from_utf8(bytes).map_err(not_utf8)
}

/// Steps over what follows `${`: up to its `}` quotes and newlines have no meaning, and nothing is unescaped.
fn interpolation(cursor: &mut Cursor<'_>, start: Position) -> Result<(), Fault> {
    let mut open = 1_usize;
    while open > 0 {
        match cursor.bump() {
            Some('{') => open += 1,
            Some('}') => open -= 1,
            Some('\\') => escape(cursor, &mut Vec::new())?,
            Some(_) => {}
            None => return Err(Fault::new(start, "`${` in the string is not closed")),
        }
    }
    Ok(())
}

/// What follows a backslash.
fn escape(cursor: &mut Cursor<'_>, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    let at = cursor.at();
    if cursor.peek().is_some_and(|c| c.is_digit(8)) {
        let value = cursor.digits(3, 8)?;
        let too_large = |_| Fault::new(at, "an octal escape goes up to \\377");
        bytes.push(u8::try_from(value).map_err(too_large)?);
        return Ok(());
    }
    match cursor.bump() {
        Some('a') => bytes.push(0x07),
        Some('b') => bytes.push(0x08),
        Some('f') => bytes.push(0x0c),
        Some('n') => bytes.push(b'\n'),
        Some('r') => bytes.push(b'\r'),
        Some('t') => bytes.push(b'\t'),
        Some('v') => bytes.push(0x0b),
        Some('\\') => bytes.push(b'\\'),
        Some('"') => bytes.push(b'"'),
        // Two digits fill a byte exactly.
        Some('x') => bytes.extend(u8::try_from(cursor.digits(2, 16)?)),
        Some('u') => unicode(cursor, 4, bytes)?,
        Some('U') => unicode(cursor, 8, bytes)?,
        _ => {
            let what = "there is no such escape; a backslash itself is written `\\\\`";
            return Err(Fault::new(at, what));
        }
    }
    Ok(())
}

fn unicode(cursor: &mut Cursor<'_>, digits: usize, bytes: &mut Vec<u8>) -> Result<(), Fault> {
    let nobody = cursor.fault("the escape names no character");
    let character = char::from_u32(cursor.digits(digits, 16)?).ok_or(nobody)?;
    bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
    Ok(())
}

/// A heredoc, from its `<<` on.
pub(super) fn heredoc(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    let unclosed =
        cursor.fault("the heredoc is not closed: its marker on a line of its own is missing");
    cursor.bump();
    if !cursor.eat('<') {
        return Err(cursor.fault("a heredoc begins with `<<`"));
    }
    let unindent = cursor.eat('-');
    let marker = cursor.take_while(|c| is_letter(c) || c.is_numeric());
    if marker.is_empty() {
        return Err(cursor.fault("the heredoc's marker is missing, as in `<<EOT`"));
    }
    if cursor.peek().is_some_and(|c| c != '\n') {
        return Err(cursor.fault("a heredoc's marker is letters and digits, then a new line"));
    }
    cursor.bump();
    let mut lines = Vec::new();
    while let Some(line) = cursor.line() {
        match indentation_before(line, marker) {
            // The reference wants the marker of `<<-` indented.
            Some(indentation) if !unindent || !indentation.is_empty() => {
                return Ok(body(&lines, indentation, unindent));
            }
            _ => lines.push(line),
        }
    }
    Err(unclosed)
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
