//! Text → tokens. Blanks inside actions are tokens, because `.a .b` and `.a.b` differ.

use crate::error::Fault;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text outside of actions, its ends trimmed where an action asks for that.
    Text,
    /// The left delimiter.
    Open,
    /// The right delimiter.
    Close,
    /// Blanks and line ends.
    Space,
    /// A name that is no keyword: a function.
    Name,
    /// `break`, `define`, `if` …
    Keyword,
    /// `true` or `false`.
    Bool,
    /// `nil`.
    Nil,
    /// `.` alone.
    Dot,
    /// `.name`, the dot included.
    Field,
    /// `$` or `$name`, the dollar included.
    Variable,
    /// With its sign and prefix.
    Number,
    /// `'a'`, the quotes included.
    Character,
    /// `"…"`, the quotes included.
    Quoted,
    /// `` `…` ``, the quotes included.
    Raw,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `|`
    Pipe,
    /// `(`
    Left,
    /// `)`
    Right,
    /// `,`
    Comma,
    /// After the last.
    End,
}

/// A piece of the text, and where it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

/// All tokens, with an [`Kind::End`].
pub(crate) fn lex<'a>(
    text: &'a str,
    left: &'a str,
    right: &str,
) -> Result<Vec<Token<'a>>, (usize, Fault)> {
    let mut lexer = Lexer {
        text,
        at: 0,
        right,
        tokens: Vec::new(),
    };
    let mut trim = false;
    loop {
        let rest = lexer.rest();
        let found = rest.find(left);
        let mut content = rest.get(..found.unwrap_or(rest.len())).unwrap_or(rest);
        let start = lexer.at;
        let next = start + content.len() + left.len();
        let trims_before = found.is_some() && trims(text.get(next..).unwrap_or_default());
        let mut skipped = 0;
        if trim {
            let trimmed = content.trim_start_matches(is_blank);
            skipped = content.len() - trimmed.len();
            content = trimmed;
        }
        if trims_before {
            content = content.trim_end_matches(is_blank);
        }
        if !content.is_empty() {
            lexer.push(Kind::Text, content, start + skipped);
        }
        if found.is_none() {
            lexer.push(Kind::End, "", text.len());
            return Ok(lexer.tokens);
        }
        let open = next - left.len();
        lexer.at = if trims_before { next + 2 } else { next };
        if lexer.rest().starts_with("/*") {
            trim = lexer.comment(open)?;
            continue;
        }
        lexer.push(Kind::Open, left, open);
        trim = lexer.action(open)?;
    }
}

/// Whether what follows a left delimiter asks for the text before to be trimmed.
fn trims(rest: &str) -> bool {
    rest.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(is_blank))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

const KEYWORDS: [&str; 11] = [
    "break", "continue", "define", "block", "else", "end", "if", "range", "template", "with", "nil",
];

struct Lexer<'a, 'b> {
    text: &'a str,
    at: usize,
    right: &'b str,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a, '_> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn push(&mut self, kind: Kind, text: &'a str, at: usize) {
        self.tokens.push(Token { kind, text, at });
    }

    /// Takes what the token is made of.
    fn take(&mut self, kind: Kind, length: usize) {
        let text = self.rest().get(..length).unwrap_or_default();
        self.push(kind, text, self.at);
        self.at += text.len();
    }

    /// The length of the right delimiter with its trim marker, and whether it has one.
    fn closes(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with(self.right) {
            return Some((self.right.len(), false));
        }
        let marked = rest.strip_prefix(is_blank)?.strip_prefix('-')?;
        marked
            .starts_with(self.right)
            .then(|| (self.right.len() + 2, true))
    }

    fn comment(&mut self, open: usize) -> Result<bool, (usize, Fault)> {
        let Some(end) = self.rest().find("*/") else {
            return Err((open, "the comment is not closed".into()));
        };
        self.at += end + 2;
        let Some((length, trim)) = self.closes() else {
            return Err((open, "the delimiter does not follow the comment".into()));
        };
        self.at += length;
        Ok(trim)
    }

    /// Whether the text behind is trimmed.
    #[expect(clippy::too_many_lines, reason = "a case for each kind of token")]
    fn action(&mut self, open: usize) -> Result<bool, (usize, Fault)> {
        let mut parentheses = 0_usize;
        loop {
            if let Some((length, trim)) = self.closes() {
                if parentheses > 0 {
                    return Err((self.at, "a parenthesis is not closed".into()));
                }
                if trim {
                    self.at += 2;
                }
                self.take(Kind::Close, if trim { length - 2 } else { length });
                return Ok(trim);
            }
            let rest = self.rest();
            let mut characters = rest.chars();
            let Some(first) = characters.next() else {
                return Err((open, "the action is not closed".into()));
            };
            let second = characters.next().unwrap_or(' ');
            let fault: &'static str = match first {
                ' ' | '\t' | '\r' | '\n' => {
                    self.space();
                    continue;
                }
                ':' if second == '=' => {
                    self.take(Kind::Declare, 2);
                    continue;
                }
                '=' => {
                    self.take(Kind::Assign, 1);
                    continue;
                }
                '|' => {
                    self.take(Kind::Pipe, 1);
                    continue;
                }
                ',' => {
                    self.take(Kind::Comma, 1);
                    continue;
                }
                '(' => {
                    parentheses += 1;
                    self.take(Kind::Left, 1);
                    continue;
                }
                ')' if parentheses > 0 => {
                    parentheses -= 1;
                    self.take(Kind::Right, 1);
                    continue;
                }
                ')' => "there is nothing that this parenthesis closes",
                '"' => match quoted(rest, '"') {
                    Some(length) => {
                        self.take(Kind::Quoted, length);
                        continue;
                    }
                    None => "the string is not closed",
                },
                '\'' => match quoted(rest, '\'') {
                    Some(length) => {
                        self.take(Kind::Character, length);
                        continue;
                    }
                    None => "the character is not closed",
                },
                '`' => match rest.get(1..).and_then(|rest| rest.find('`')) {
                    Some(length) => {
                        self.take(Kind::Raw, length + 2);
                        continue;
                    }
                    None => "the raw string is not closed",
                },
                '.' if !second.is_ascii_digit() => {
                    let name = name(rest.get(1..).unwrap_or_default());
                    let kind = if name == 0 { Kind::Dot } else { Kind::Field };
                    self.word(kind, name + 1)?;
                    continue;
                }
                '$' => {
                    let name = name(rest.get(1..).unwrap_or_default());
                    self.word(Kind::Variable, name + 1)?;
                    continue;
                }
                '+' | '-' | '.' | '0'..='9' => {
                    self.number(rest)?;
                    continue;
                }
                _ if is_name(first) => {
                    let length = name(rest);
                    let word = rest.get(..length).unwrap_or_default();
                    let kind = match word {
                        "true" | "false" => Kind::Bool,
                        "nil" => Kind::Nil,
                        _ if KEYWORDS.contains(&word) => Kind::Keyword,
                        _ => Kind::Name,
                    };
                    self.word(kind, length)?;
                    continue;
                }
                _ => "this character means nothing in an action",
            };
            return Err((self.at, fault.into()));
        }
    }

    /// Up to a trim marker, which takes the last blank.
    fn space(&mut self) {
        let start = self.at;
        while self.closes().is_none() && self.rest().starts_with(is_blank) {
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        if !text.is_empty() {
            self.push(Kind::Space, text, start);
        }
    }

    /// What has to end where a name may end.
    fn word(&mut self, kind: Kind, length: usize) -> Result<(), (usize, Fault)> {
        let after = self.rest().get(length..).unwrap_or_default();
        let ends = after.is_empty()
            || after.starts_with(self.right)
            || after.starts_with([' ', '\t', '\r', '\n', '.', ',', '|', ':', ')', '(', '=']);
        if !ends && kind != Kind::Dot {
            return Err((
                self.at + length,
                "this character cannot follow a name".into(),
            ));
        }
        self.take(kind, length);
        Ok(())
    }

    fn number(&mut self, rest: &str) -> Result<(), (usize, Fault)> {
        let length = crate::number::scan(rest);
        let after = rest.get(length..).unwrap_or_default();
        if length == 0 || after.starts_with(is_name) || after.starts_with('.') {
            return Err((self.at, "this is no number".into()));
        }
        self.take(Kind::Number, length);
        Ok(())
    }
}

fn name(rest: &str) -> usize {
    rest.find(|c| !is_name(c)).unwrap_or(rest.len())
}

/// The length of a literal in these quotes, on one line.
fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}
