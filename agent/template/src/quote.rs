//! Go's string literals, both ways, and UTF-8 as Go decodes it.

/// One character of a Go string, or a byte that belongs to none.
pub(crate) enum Rune {
    Char(char),
    Byte(u8),
}

/// The characters of a Go string, and the length of each.
pub(crate) fn runes(mut text: &[u8]) -> impl Iterator<Item = (Rune, usize)> {
    std::iter::from_fn(move || {
        let first = *text.first()?;
        let length = match first {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let char = text
            .get(..length)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .and_then(|text| text.chars().next());
        let (rune, length) = match char {
            Some(c) => (Rune::Char(c), length),
            None => (Rune::Byte(first), 1),
        };
        text = text.get(length..).unwrap_or_default();
        Some((rune, length))
    })
}

/// As text, each byte that is not UTF-8 as U+FFFD: what Go's functions on characters see.
pub(crate) fn chars(text: &[u8]) -> impl Iterator<Item = char> {
    runes(text).map(|(rune, _)| match rune {
        Rune::Char(c) => c,
        Rune::Byte(_) => char::REPLACEMENT_CHARACTER,
    })
}

/// What a literal in double quotes means.
pub(crate) fn unquote(literal: &str) -> Option<Vec<u8>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while !rest.is_empty() {
        let (code, is_byte, after) = unescape(rest, '"')?;
        if is_byte {
            text.push(u8::try_from(code).ok()?);
        } else {
            let mut buffer = [0; 4];
            text.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
        }
        rest = after;
    }
    Some(text)
}

/// The code of a literal in single quotes.
pub(crate) fn unquote_character(literal: &str) -> Option<u32> {
    let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    let (code, _, rest) = unescape(inner, '\'')?;
    rest.is_empty().then_some(code)
}

/// The first character, whether it was written as a byte, and the rest.
fn unescape(text: &str, quote: char) -> Option<(u32, bool, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return Some((u32::from(first), false, chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let digits = |count: usize, radix: u32| {
        let digits = rest.get(..count)?;
        let all = digits.chars().all(|digit| digit.is_digit(radix));
        let code = u32::from_str_radix(digits, radix).ok().filter(|_| all)?;
        Some((code, rest.get(count..)?))
    };
    let simple = |c: char| Some((u32::from(c), false, rest));
    match escape {
        'a' => simple('\x07'),
        'b' => simple('\x08'),
        'f' => simple('\x0c'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\x0b'),
        '\\' => simple('\\'),
        _ if escape == quote => simple(quote),
        'x' => digits(2, 16).map(|(code, rest)| (code, true, rest)),
        'u' => digits(4, 16).map(|(code, rest)| (code, false, rest)),
        'U' => digits(8, 16).map(|(code, rest)| (code, false, rest)),
        '0'..='7' => {
            let digits = text.get(1..4)?;
            let all = digits.chars().all(|digit| digit.is_digit(8));
            let code = u32::from_str_radix(digits, 8).ok();
            let code = code.filter(|code| all && *code < 256)?;
            Some((code, true, text.get(4..)?))
        }
        _ => None,
    }
}

/// Go's `%q`, with `ascii` its `%+q`.
pub(crate) fn quote(text: &[u8], ascii: bool) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for (rune, _) in runes(text) {
        match rune {
            Rune::Char(c) => escape(&mut quoted, c, '"', ascii),
            Rune::Byte(byte) => quoted.push_str(&format!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Go's `%q` of a character.
pub(crate) fn quote_character(c: char, ascii: bool) -> String {
    let mut quoted = String::from("'");
    escape(&mut quoted, c, '\'', ascii);
    quoted.push('\'');
    quoted
}

fn escape(quoted: &mut String, c: char, quote: char, ascii: bool) {
    let short = match c {
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\\' => '\\',
        _ if c == quote => c,
        _ => {
            let code = u32::from(c);
            if is_printed(c) && (c.is_ascii() || !ascii) {
                quoted.push(c);
            } else if code < 0x80 {
                quoted.push_str(&format!("\\x{code:02x}"));
            } else if code < 0x1_0000 {
                quoted.push_str(&format!("\\u{code:04x}"));
            } else {
                quoted.push_str(&format!("\\U{code:08x}"));
            }
            return;
        }
    };
    quoted.push('\\');
    quoted.push(short);
}

/// Roughly Go's `unicode.IsPrint`: Rust's own escapes tell what is not printed; of all blanks only the ASCII one is.
pub(crate) fn is_printed(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    if c.is_whitespace() || c.is_control() {
        return false;
    }
    // Combining marks are printed, though Rust escapes them.
    let mut escaped = c.escape_debug();
    escaped.len() == 1 || matches!(u32::from(c), 0x300..=0x36f) || escaped.next() != Some('\\')
}
