//! JSON read for what it says, with where it says it: for keys that do not depend on spelling, and for changing one
//! number of an answer while every other byte stays.
//!
//! Invariant: numbers are kept as text. `1`, `1.0` and `1e0` are three things here, for Vault may tell them apart.

use std::ops::Range;

use serde::de::IgnoredAny;

/// A value with its place in the text.
#[derive(Debug)]
enum Node {
    /// A number, `true`, `false` or `null`.
    Bare(Range<usize>),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// The one spelling of a JSON text: keys sorted, no white space, strings escaped in one way. `None` where it is no
/// JSON, where an object names a key twice (readers disagree on which one counts), or where it nests too deep.
pub(crate) fn canonical(text: &[u8]) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let mut node = parse(text)?;
    if !sort(&mut node) {
        return None;
    }
    let mut canonical = String::with_capacity(text.len());
    write(text, &node, &mut canonical)?;
    Some(canonical)
}

/// Where an answer of Vault says `lease_duration`: at its top, and below `auth`. Places are of the numbers' digits.
pub(crate) fn lease_durations(text: &[u8]) -> Vec<Range<usize>> {
    let Some(Node::Object(top)) = std::str::from_utf8(text).ok().and_then(parse) else {
        return Vec::new();
    };
    let auth = top.iter().find_map(|(name, node)| match node {
        Node::Object(fields) if name == "auth" => Some(fields.as_slice()),
        _ => None,
    });
    let mut places: Vec<_> = [Some(top.as_slice()), auth]
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|(name, node)| match node {
            Node::Bare(place) if name == "lease_duration" => Some(place.clone()),
            _ => None,
        })
        .collect();
    places.sort_unstable_by_key(|place| place.start);
    places
}

/// Sorts every object by key; false where a key is there twice.
fn sort(node: &mut Node) -> bool {
    match node {
        Node::Bare(_) | Node::Text(_) => true,
        Node::List(items) => items.iter_mut().all(sort),
        Node::Object(fields) => {
            fields.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let unique = fields.is_sorted_by(|(a, _), (b, _)| a < b);
            unique && fields.iter_mut().all(|(_, value)| sort(value))
        }
    }
}

fn write(text: &str, node: &Node, out: &mut String) -> Option<()> {
    match node {
        Node::Bare(place) => out.push_str(text.get(place.clone())?),
        Node::Text(value) => out.push_str(&quoted(value)?),
        Node::List(items) => {
            out.push('[');
            for item in items {
                write(text, item, out)?;
                out.push(',');
            }
            out.push(']');
        }
        Node::Object(fields) => {
            out.push('{');
            for (name, value) in fields {
                out.push_str(&quoted(name)?);
                out.push(':');
                write(text, value, out)?;
                out.push(',');
            }
            out.push('}');
        }
    }
    Some(())
}

fn quoted(text: &str) -> Option<String> {
    serde_json::to_string(text).ok()
}

/// How deep a text may nest: deeper than any request or answer of Vault, and far from the end of the stack.
const DEPTH: usize = 64;

/// Reads one JSON text. `serde_json` judges its grammar first, so that the walk can rely on a text that is well
/// formed.
fn parse(text: &str) -> Option<Node> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut walk = Walk {
        text,
        at: 0,
        depth: 0,
    };
    walk.value()
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Walk<'_> {
    fn value(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let node = match self.peek()? {
            b'{' => self.object()?,
            b'[' => self.list()?,
            b'"' => Node::Text(self.string()?),
            _ => self.bare(),
        };
        self.depth -= 1;
        Some(node)
    }

    fn object(&mut self) -> Option<Node> {
        let mut fields = Vec::new();
        self.at += 1;
        loop {
            match self.peek()? {
                b'}' => break self.at += 1,
                b',' => self.at += 1,
                _ => {
                    let name = self.string()?;
                    self.peek()?;
                    self.at += 1; // the colon
                    fields.push((name, self.value()?));
                }
            }
        }
        Some(Node::Object(fields))
    }

    fn list(&mut self) -> Option<Node> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            match self.peek()? {
                b']' => break self.at += 1,
                b',' => self.at += 1,
                _ => items.push(self.value()?),
            }
        }
        Some(Node::List(items))
    }

    /// A string with its escapes resolved; `None` where one of them is half a surrogate pair.
    fn string(&mut self) -> Option<String> {
        self.peek()?;
        let start = self.at;
        let mut escaped = false;
        let length = self
            .text
            .as_bytes()
            .get(start + 1..)?
            .iter()
            .position(|byte| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            })?;
        self.at = start + length + 2;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn bare(&mut self) -> Node {
        let start = self.at;
        let rest = self.text.as_bytes().iter().skip(start);
        self.at += rest
            .take_while(|byte| !b",]} \t\r\n".contains(byte))
            .count();
        Node::Bare(start..self.at)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let gap = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.at += gap;
        rest.get(gap).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn spellings_of_one_value_are_equal() {
        let one = canonical(br#"{"b":[1,2.50,{"y":null,"x":"\u00e9\/"}],"a":"1"}"#).unwrap();
        let other =
            canonical("\t{ \"a\" : \"1\" ,\n\"b\":[1 ,2.50,{\"x\":\"é/\",\"y\":null}]}".as_bytes());
        assert_eq!(Some(one), other);
    }

    #[test]
    fn values_that_differ_stay_apart() {
        for (one, other) in [
            ("1", "1.0"),
            ("1", "\"1\""),
            ("[1,2]", "[2,1]"),
            ("[[1],2]", "[1,[2]]"),
            ("{}", "[]"),
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":"b\",\"c"}"#, r#"{"a":"b","c":""}"#),
            ("10000000000000000000000001", "10000000000000000000000002"),
        ] {
            let (one, other) = (canonical(one.as_bytes()), canonical(other.as_bytes()));
            assert!(one.is_some() && one != other, "{one:?}");
        }
    }

    #[test]
    fn what_readers_may_disagree_on_has_no_canonical_form() {
        let deep = "[".repeat(DEPTH + 1) + &"]".repeat(DEPTH + 1);
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"a":1,"a":1}}"#,
            r#""\ud800""#,
            "{} {}",
            "{'a':1}",
            "",
            "\u{feff}{}",
            &deep,
        ] {
            assert_eq!(canonical(text.as_bytes()), None, "{text}");
        }
        assert_eq!(canonical(b"\"\xff\""), None);
    }

    #[test]
    fn finds_the_two_durations_and_no_other() {
        let text = r#"{"data":{"lease_duration":1,"auth":{"lease_duration":2}}, "lease_duration" : 3600,
            "auth":{"x":[{"lease_duration":3}],"lease_duration":60}}"#;
        let found: Vec<_> = lease_durations(text.as_bytes())
            .into_iter()
            .map(|place| text.get(place).unwrap())
            .collect();
        assert_eq!(found, ["3600", "60"]);
        assert_eq!(lease_durations(br#"{"lease_duration":"1h"}"#), []);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn two_values_have_one_form_exactly_when_they_are_equal(one in values(), other in values()) {
            let plain = |value: &Value| canonical(value.to_string().as_bytes()).unwrap();
            let pretty = canonical(&serde_json::to_vec_pretty(&one).unwrap()).unwrap();
            prop_assert_eq!(plain(&one), pretty);
            prop_assert_eq!(plain(&one) == plain(&other), one == other);
        }

        #[test]
        fn no_text_breaks_the_walk(text in any::<Vec<u8>>()) {
            let _form = canonical(&text);
            let _places = lease_durations(&text);
        }
    }
}
