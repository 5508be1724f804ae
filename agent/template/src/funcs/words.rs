//! The rest of Sprig on text.

use super::text::{lower_char, trim_space, upper_char};
use super::{Function, at, bytes, chars, done, int, list, shown};
use crate::error::Fault;
use crate::eval::Run;
use crate::quote;
use crate::value::Value;

pub(super) const TABLE: &[Function] = &[
    Function::sprig("quote", "a*", |run, values| {
        spaced(run, values, |text| quote::quote(text, false).into_bytes())
    }),
    Function::sprig("squote", "a*", |run, values| {
        spaced(run, values, |text| [b"'", text, b"'"].concat())
    }),
    Function::sprig("cat", "a*", |run, values| {
        let mut parts = Vec::new();
        for value in values.iter().filter(|value| !value.is_nil()) {
            parts.push(shown(run, value)?);
        }
        done(parts.join(&b' '))
    }),
    Function::sprig("untitle", "s", |_, values| {
        let mut before = ' ';
        let text = chars(values, 0);
        let lowered = text.chars().map(|c| {
            let starts = before.is_whitespace();
            before = c;
            if starts { lower_char(c) } else { c }
        });
        done(lowered.collect::<String>())
    }),
    Function::sprig("swapcase", "s", |_, values| {
        let swap = |c: char| {
            if c.is_lowercase() {
                upper_char(c)
            } else {
                lower_char(c)
            }
        };
        done(chars(values, 0).chars().map(swap).collect::<String>())
    }),
    Function::sprig("nospace", "s", |_, values| {
        let text = chars(values, 0);
        done(
            text.chars()
                .filter(|c| !c.is_whitespace())
                .collect::<String>(),
        )
    }),
    Function::sprig("initials", "s", |_, values| {
        let text = chars(values, 0);
        let words = text.split_whitespace();
        done(
            words
                .filter_map(|word| word.chars().next())
                .collect::<String>(),
        )
    }),
    Function::sprig("trunc", "is", trunc),
    Function::sprig("substr", "iis", substr),
    Function::sprig("abbrev", "is", |_, values| {
        let (width, text) = (int(values, 0), bytes(values, 1));
        let width = usize::try_from(width).unwrap_or(0);
        if width < 4 || text.len() <= width {
            return done(text);
        }
        let kept = text.get(..width - 3).unwrap_or_default();
        done([kept, b"..."].concat())
    }),
    Function::sprig("plural", "ssi", |_, values| {
        done(bytes(values, usize::from(int(values, 2) != 1)))
    }),
    Function::sprig("snakecase", "s", |_, values| {
        done(cased(&chars(values, 0), '_'))
    }),
    Function::sprig("kebabcase", "s", |_, values| {
        done(cased(&chars(values, 0), '-'))
    }),
    Function::sprig("camelcase", "s", |_, values| {
        let text = chars(values, 0);
        let words = text.split(|c: char| !c.is_alphanumeric());
        let camel = words.map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(upper_char);
            first.into_iter().chain(letters).collect::<String>()
        });
        done(camel.collect::<String>())
    }),
    Function::sprig("toString", "a", |run, values| {
        done(shown(run, at(values, 0))?)
    }),
    Function::sprig("toStrings", "a", |run, values| {
        Ok(Value::texts(strings(run, values, 0)?))
    }),
    Function::sprig("join", "sa", |run, values| {
        let parts = strings(run, values, 1)?;
        let parts = parts.iter().map(Vec::as_slice);
        done(super::join(run, parts, bytes(values, 0))?)
    }),
    Function::sprig("sortAlpha", "a", |run, values| {
        let mut texts = strings(run, values, 0)?;
        texts.sort_unstable();
        Ok(Value::texts(texts))
    }),
];

/// Any value's items as text, without nulls; a value that is no list is one item.
fn strings(run: &mut Run<'_>, values: &[Value], index: usize) -> Result<Vec<Vec<u8>>, Fault> {
    let items = match at(values, index) {
        Value::Nil => return Ok(Vec::new()),
        Value::List(_) => list(values, index),
        one => std::slice::from_ref(one),
    };
    let mut texts = Vec::new();
    for item in items.iter().filter(|item| !item.is_nil()) {
        let text = shown(run, item)?;
        run.charge(text.len())?;
        texts.push(text);
    }
    Ok(texts)
}

/// All that is not nil, each in its quotes.
fn spaced(
    run: &mut Run<'_>,
    values: &[Value],
    how: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<Value, Fault> {
    let mut parts = Vec::new();
    for value in values.iter().filter(|value| !value.is_nil()) {
        parts.push(how(&shown(run, value)?));
    }
    done(parts.join(&b' '))
}

/// Counted in bytes, from the end where the length is negative.
fn trunc(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let text = bytes(values, 1);
    let length = int(values, 0);
    let size = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    if size >= text.len() {
        return done(text);
    }
    let kept = if length < 0 {
        text.get(text.len() - size..)
    } else {
        text.get(..size)
    };
    done(kept.unwrap_or_default())
}

/// Counted in bytes; a negative start is the text's, a negative end too.
fn substr(_: &mut Run<'_>, values: &[Value]) -> Result<Value, Fault> {
    let text = bytes(values, 2);
    let start = usize::try_from(int(values, 0)).unwrap_or(0);
    let end = usize::try_from(int(values, 1)).unwrap_or(text.len());
    let part = text.get(start..end.min(text.len()));
    done(part.ok_or("the positions are out of range")?)
}

/// Words in lower case with a separator between.
fn cased(text: &str, separator: char) -> String {
    let text = trim_space(text.as_bytes());
    let characters: Vec<char> = quote::chars(text).collect();
    let mut cased = String::new();
    for (index, c) in characters.iter().copied().enumerate() {
        let before = index
            .checked_sub(1)
            .and_then(|before| characters.get(before));
        let after = characters.get(index + 1);
        if !c.is_alphanumeric() {
            cased.push(separator);
            continue;
        }
        let starts = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if starts {
            cased.push(separator);
        }
        cased.push(lower_char(c));
    }
    cased
}
