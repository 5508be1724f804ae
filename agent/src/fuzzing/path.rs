//! Paths: what is checked is what is keyed and what is sent.

use http::{Method, Uri};

use crate::cache::path::{self, Path};
use crate::cache::{policy, revocation};

/// A path below `/v1/`, and after a line break a namespace.
pub fn path(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let raw = lines.next().unwrap_or_default();
    let namespace = path::named(lines.next().unwrap_or_default()).ok();
    if let Some(namespace) = namespace {
        assert!(is_plain(namespace), "{namespace:?}");
        assert!(!namespace.contains('%'), "{namespace:?}");
        assert_eq!(path::named(namespace.as_bytes()), Ok(namespace));
    }
    let Ok(raw) = std::str::from_utf8(raw) else {
        return;
    };
    let Ok(read) = Path::read(raw) else {
        return;
    };
    let (decoded, normal) = (&*read.decoded, &*read.normal);
    assert!(is_plain(decoded), "{raw:?}");
    assert_eq!(decode(raw).as_deref(), Some(decoded.as_bytes()), "{raw:?}");
    // The key's spelling stands for the same path, and is its own.
    let again = Path::read(normal);
    assert_eq!(again, Ok(read.clone()), "{raw:?}");
    check_sent(raw, &read);
    if let Some(namespace) = namespace {
        let place = path::join(namespace, decoded);
        assert!(is_plain(&place), "{place:?}");
        assert!(path::is_under(&place, namespace) || decoded.is_empty());
        // A namespace in the header and one in the path are one.
        let (first, rest) = place.split_once('/').unwrap_or(("", &place));
        if path::namespace(first) == first {
            assert_eq!(path::join(first, rest), place);
        }
        judge(&place);
    }
    judge(decoded);
}

/// What hyper reads off the wire as a path is what is judged, and what it writes.
fn check_sent(raw: &str, read: &Path<'_>) {
    let Ok(uri) = format!("{}{raw}", path::API).parse::<Uri>() else {
        return;
    };
    let cut = raw.find(['?', '#']).unwrap_or(raw.len());
    let below = uri.path().strip_prefix(path::API);
    assert_eq!(below, raw.get(..cut), "{raw:?}");
    if cut == raw.len() {
        let normal = format!("{}{}", path::API, read.normal);
        let spelt = normal.parse::<Uri>();
        assert!(spelt.is_ok_and(|uri| uri.path() == normal && uri.query().is_none()));
    }
}

/// The decisions that are made of a path hold together.
fn judge(place: &str) {
    let post = revocation::may_revoke(&Method::POST, place);
    assert_eq!(post, revocation::may_revoke(&Method::PUT, place));
    assert!(!revocation::may_revoke(&Method::GET, place));
    if policy::is_login(place) {
        assert!(path::segments(place).contains(&"auth"), "{place:?}");
    }
    let trimmed = place.trim_end_matches('/');
    assert_eq!(policy::is_login(trimmed), policy::is_login(place));
}

/// No segment that a router could take for another path.
fn is_plain(path: &str) -> bool {
    let inner = path.strip_suffix('/').unwrap_or(path);
    let odd = |segment: &str| matches!(segment, "." | "..");
    !path.split('/').any(odd)
        && !path.contains(['\\', '\0', '\r', '\n', '\u{7f}'])
        && (inner.is_empty() || !inner.split('/').any(str::is_empty))
}

fn decode(raw: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = raw.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, after) = match first {
            b'%' => {
                let (digits, after) = after.split_first_chunk::<2>()?;
                let digit = |at: u8| char::from(at).to_digit(16);
                let byte = digit(digits[0])? << 4 | digit(digits[1])?;
                (u8::try_from(byte).ok()?, after)
            }
            plain => (*plain, after),
        };
        decoded.push(byte);
        rest = after;
    }
    Some(decoded)
}
