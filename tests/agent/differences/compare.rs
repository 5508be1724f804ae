//! Where two sights of one step differ: a line for each, what the peer did before the bar, and Keyside after it.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{Received, Seen};

const SHOWN: usize = 160;

pub(super) fn compare(peer: &Seen, keyside: &Seen, exact: bool) -> Vec<String> {
    let mut differences = Vec::new();
    let mut note = |what: String, peer: &str, keyside: &str| {
        if peer != keyside {
            differences.push(format!("{what}: {} | {}", shown(peer), shown(keyside)));
        }
    };
    let (one, other) = (&peer.answer, &keyside.answer);
    note(
        "status".to_owned(),
        &one.status.to_string(),
        &other.status.to_string(),
    );
    headers("header", &one.headers, &other.headers, &mut note);
    note("body".to_owned(), &one.body, &other.body);
    if exact && one.body == other.body && one.raw != other.raw {
        note(
            "bytes".to_owned(),
            &String::from_utf8_lossy(&one.raw),
            &String::from_utf8_lossy(&other.raw),
        );
    }
    let counts = [&peer.received, &keyside.received].map(|received| received.len().to_string());
    note("asked".to_owned(), &counts[0], &counts[1]);
    for (one, other) in peer.received.iter().zip(&keyside.received) {
        requests(one, other, &mut note);
    }
    differences
}

fn requests(one: &Received, other: &Received, note: &mut impl FnMut(String, &str, &str)) {
    note("asked for".to_owned(), &one.line, &other.line);
    headers("asked with", &one.headers, &other.headers, note);
    note("asked with the body".to_owned(), &one.body, &other.body);
}

fn headers(
    what: &str,
    one: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
    note: &mut impl FnMut(String, &str, &str),
) {
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    for name in names {
        let value = |headers: &BTreeMap<String, String>| {
            headers
                .get(name)
                .map_or("none".to_owned(), |value| format!("{value:?}"))
        };
        note(format!("{what} {name}"), &value(one), &value(other));
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}

/// Whether a line is of this kind: `*` stands for any text.
pub(super) fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}
