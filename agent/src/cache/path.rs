//! A request's path as Vault will read it: decoded once, with nothing in it that two readers could take differently.
//!
//! Invariant: what is checked here is what is keyed and what is sent. A path that Vault's router, a balancer or we
//! could read in two ways is refused, never repaired.

use std::borrow::Cow;

/// Below which everything is Vault's.
pub(crate) const API: &str = "/v1/";

/// A path below `/v1/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    /// As Vault sees it: every escape decoded. For telling what a request does.
    pub(crate) decoded: Cow<'a, str>,
    /// As the key has it: only escapes that change nothing for anybody are decoded (RFC 3986 §6.2.2).
    pub(crate) normal: Cow<'a, str>,
}

/// Why a path is refused. No variant repeats the path, which may hold a lease id or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("the path holds a percent sign that starts no escape")]
    Escape,
    #[error("the path is not UTF-8 once its escapes are decoded")]
    Utf8,
    #[error("the path holds a control character")]
    Control,
    #[error("the path holds a backslash")]
    Backslash,
    #[error("the path holds a '.' or '..' segment")]
    Dot,
    #[error("the path holds an empty segment ('//')")]
    Empty,
    #[error("\"X-Vault-Namespace\" holds what no namespace can")]
    Namespace,
}

impl<'a> Path<'a> {
    /// Reads what follows `/v1/`.
    pub(crate) fn read(raw: &'a str) -> Result<Self, Error> {
        let path = Self {
            decoded: decode(raw)?,
            normal: normalise(raw),
        };
        check(&path.decoded)?;
        Ok(path)
    }
}

/// Segments without the empty one that a trailing slash leaves: Vault's routes take both forms.
pub(crate) fn segments(path: &str) -> Vec<&str> {
    path.trim_end_matches('/').split('/').collect()
}

fn check(decoded: &str) -> Result<(), Error> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\\';
    // Most paths hold nothing that is worth a second look.
    if !decoded.bytes().all(plain) {
        if decoded.chars().any(char::is_control) {
            return Err(Error::Control);
        }
        if decoded.contains('\\') {
            return Err(Error::Backslash);
        }
    }
    let mut segments = decoded.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(Error::Dot),
            // The last one may be empty: that is a trailing slash.
            "" if segments.peek().is_some() => return Err(Error::Empty),
            _ => {}
        }
    }
    Ok(())
}

fn decode(raw: &str) -> Result<Cow<'_, str>, Error> {
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            escape(&mut rest).ok_or(Error::Escape)?
        } else {
            byte
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Cow::Owned(text)),
        Err(_not_utf8) => Err(Error::Utf8),
    }
}

/// Escapes of unreserved characters decoded, the others in capitals. Text with a broken escape stays as it is.
pub(super) fn normalise(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    let mut normal = String::with_capacity(raw.len());
    let mut parts = raw.split('%');
    normal.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let mut bytes = part.bytes();
        let Some((byte, rest)) = escape(&mut bytes).zip(part.get(2..)) else {
            return Cow::Borrowed(raw);
        };
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            normal.push(char::from(byte));
        } else {
            normal.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
        normal.push_str(rest);
    }
    Cow::Owned(normal)
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

/// The byte that two hexadecimal digits stand for.
fn escape(digits: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    let value = digit()? * 16 + digit()?;
    u8::try_from(value).ok()
}

/// A form or query value: escapes decoded, `+` a space. `None` where it is broken.
pub(super) fn form_value(raw: &str) -> Option<String> {
    decode(&raw.replace('+', " ")).ok().map(Cow::into_owned)
}

/// A namespace as Vault canonicalises it: without slashes at its ends, `root` the same as none.
pub(crate) fn namespace(text: &str) -> &str {
    let trimmed = text.trim().trim_matches('/');
    if trimmed == "root" { "" } else { trimmed }
}

/// The namespace that a header names, if it could be one: escapes have no meaning there, and would in a path.
pub(crate) fn named(header: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(header).map_err(|_not_utf8| Error::Namespace)?;
    let namespace = namespace(text);
    // A blank at an end would be gone the next time it is read.
    let bare = namespace == self::namespace(namespace);
    if !bare || namespace.contains('%') || check(namespace).is_err() {
        return Err(Error::Namespace);
    }
    Ok(namespace)
}

/// A path in a namespace as one path. Vault reads `ns1` + `a/b` and `ns1/a/b` alike: it joins the header and the path
/// and looks for the longest namespace that this starts with.
pub(crate) fn join(namespace: &str, path: &str) -> String {
    let namespace = self::namespace(namespace);
    if namespace.is_empty() {
        path.to_owned()
    } else {
        format!("{namespace}/{path}")
    }
}

/// Whether `path` is `parent` or below it. The empty parent holds everything.
pub(crate) fn is_under(path: &str, parent: &str) -> bool {
    let parent = parent.trim_end_matches('/');
    parent.is_empty()
        || path
            .strip_prefix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_two_readers_could_take_differently() {
        for (raw, expected) in [
            ("secret/../sys/seal", Error::Dot),
            ("secret/%2e%2E/sys", Error::Dot),
            ("secret%2f..%2fsys", Error::Dot),
            ("./secret", Error::Dot),
            ("secret//a", Error::Empty),
            ("/secret", Error::Empty),
            ("secret%2F%2Fa", Error::Empty),
            ("secret/a%00b", Error::Control),
            ("secret/a%0d%0ab", Error::Control),
            ("secret/a\\b", Error::Backslash),
            ("secret/a%5cb", Error::Backslash),
            ("secret/a%zzb", Error::Escape),
            ("secret/a%2", Error::Escape),
            ("secret/a%ffb", Error::Utf8),
        ] {
            assert_eq!(Path::read(raw), Err(expected), "{raw}");
        }
    }

    #[test]
    fn decodes_once_and_normalises_only_what_changes_nothing() {
        for (raw, decoded, normal) in [
            ("secret/a", "secret/a", "secret/a"),
            ("secret/a/", "secret/a/", "secret/a/"),
            ("secret/%61", "secret/a", "secret/a"),
            ("secret/a%2fb", "secret/a/b", "secret/a%2Fb"),
            ("secret/%252e%252e", "secret/%2e%2e", "secret/%252e%252e"),
            ("secret/a;b", "secret/a;b", "secret/a;b"),
            ("secret/%c3%A9%7e", "secret/é~", "secret/%C3%A9~"),
            ("secret/...", "secret/...", "secret/..."),
        ] {
            let path = Path::read(raw).unwrap();
            assert_eq!((&*path.decoded, &*path.normal), (decoded, normal), "{raw}");
        }
    }

    #[test]
    fn the_root_namespace_has_many_spellings() {
        for (text, expected) in [
            ("root", ""),
            ("root/", ""),
            ("/", ""),
            ("", ""),
            ("ns1/", "ns1"),
            ("/ns1/ns2", "ns1/ns2"),
            ("roots", "roots"),
        ] {
            assert_eq!(namespace(text), expected, "{text}");
        }
        assert_eq!(join("ns1/", "a/b"), "ns1/a/b");
        assert_eq!(join("root", "a/b"), "a/b");
    }

    #[test]
    fn a_namespace_that_a_path_would_read_differently_is_refused() {
        assert_eq!(named(b"ns1/ns2/"), Ok("ns1/ns2"));
        assert_eq!(named(b""), Ok(""));
        for header in [
            &b"ns1%2Fns2"[..],
            b"ns1//ns2",
            b"ns1 /",
            b"/ ns1",
            b"ns1/..",
            b"a\\b",
            b"\xff",
        ] {
            assert_eq!(named(header), Err(Error::Namespace), "{header:?}");
        }
    }

    #[test]
    fn under_means_whole_segments() {
        for (path, parent, expected) in [
            ("database/creds/app", "database/creds", true),
            ("database/creds/app", "database/creds/", true),
            ("database/creds/app", "database/creds/app", true),
            ("database/creds/app2", "database/creds/app", false),
            ("database", "database/creds", false),
            ("anything", "", true),
        ] {
            assert_eq!(is_under(path, parent), expected, "{path} {parent}");
        }
    }
}
