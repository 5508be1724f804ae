//! JSON values as YAML that every reader understands in the same way.
//!
//! `kubectl` reads YAML 1.1, in which `yes`, `1_000` and `0640` are no texts; the library that we read with writes
//! such texts without quotes. Here a text is left bare only where no version of YAML can take it for anything else.
//!
//! Invariant: reading what was written gives the same value.

use std::fmt::Write;

use serde_json::Value;

/// One document, ending in a line feed.
pub(crate) fn write(document: &Value) -> String {
    let mut text = String::new();
    block(&mut text, document, 0);
    text
}

/// Writes a value that starts where the line is now, `indent` deep. Ends the line.
fn block(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (index, (key, value)) in members.iter().enumerate() {
                start(text, index, indent);
                text.push_str(&scalar(key));
                text.push(':');
                // Lists are not deeper than their key, as `kubectl` writes them.
                let deeper = if value.is_array() { indent } else { indent + 1 };
                nested(text, value, deeper);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for (index, element) in elements.iter().enumerate() {
                start(text, index, indent);
                text.push_str("- ");
                block(text, element, indent + 1);
            }
        }
        Value::String(value) if is_literal(value) => literal(text, value, indent.max(1)),
        Value::String(value) => line(text, &scalar(value)),
        other => line(text, &other.to_string()),
    }
}

/// What comes after a key: on the same line where it is one word, else below it.
fn nested(text: &mut String, value: &Value, indent: usize) {
    let is_below = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        _ => false,
    };
    if is_below {
        text.push('\n');
        text.push_str(&"  ".repeat(indent));
    } else {
        text.push(' ');
    }
    block(text, value, indent);
}

/// The first entry starts where its parent left off.
fn start(text: &mut String, index: usize, indent: usize) {
    if index > 0 {
        text.push_str(&"  ".repeat(indent));
    }
}

fn line(text: &mut String, value: &str) {
    text.push_str(value);
    text.push('\n');
}

/// A text of one line, in the least quotes that are safe.
fn scalar(text: &str) -> String {
    if is_bare(text) {
        text.to_owned()
    } else if text.chars().all(is_plain) {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        double_quoted(text)
    }
}

/// Letters first, and none of the words that are a boolean or nothing in some version of YAML.
fn is_bare(text: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let ends = text.ends_with(|c: char| c.is_ascii_alphanumeric());
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:@".contains(&byte);
    starts && ends && !is_word && text.bytes().all(inside)
}

/// Characters that mean themselves in quotes; the rest YAML forbids, folds or drops.
fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_plain(c) => quoted.push(c),
            c => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("writing to a string cannot fail");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Several lines, none of which needs quotes.
fn is_literal(text: &str) -> bool {
    let lines = text.trim_end_matches('\n');
    lines.contains('\n')
        && !lines.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_plain(c))
}

fn literal(text: &mut String, value: &str, indent: usize) {
    let lines = value.trim_end_matches('\n');
    text.push_str(match value.len() - lines.len() {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        if !line.is_empty() {
            text.push_str(&"  ".repeat(indent));
        }
        text.push_str(line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::yaml_read;

    #[test]
    fn looks_like_a_manifest() {
        let value = json!({
            "metadata": {"annotations": {"keyside.dev/inject": "true"}, "labels": {}},
            "spec": {
                "containers": [{"args": ["-c", "a: b"], "image": "localhost/app:1", "ports": [{"port": 80}]}],
                "volumes": [],
                "script": "#!/bin/sh\n\necho\n",
            },
        });
        let expected = "\
metadata:
  annotations:
    keyside.dev/inject: 'true'
  labels: {}
spec:
  containers:
  - args:
    - '-c'
    - 'a: b'
    image: localhost/app:1
    ports:
    - port: 80
  script: |
    #!/bin/sh

    echo
  volumes: []
";
        assert_eq!(write(&value), expected);
    }

    #[test]
    fn quotes_what_some_reader_takes_for_no_text() {
        for text in [
            "yes",
            "No",
            "ON",
            "y",
            "~",
            "null",
            "0640",
            "1_000",
            "0x1F",
            "1e3",
            "2026-11-23",
            ".inf",
            "",
            "=",
            "<<",
        ] {
            assert_eq!(scalar(text), format!("'{text}'"));
        }
        assert_eq!(scalar("app:1"), "app:1");
        assert_eq!(scalar("it's"), "'it''s'");
        assert_eq!(scalar("a\u{1}\u{feff}\\"), "\"a\\u0001\\uFEFF\\\\\"");
    }

    fn document() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ -~\n\t]{0,12}",
            "[a\n ]{0,6}",
            any::<String>(),
            Just("yes".to_owned()),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_back_what_it_wrote(value in document()) {
            let written = write(&value);
            let read: Value = serde_yaml::from_str(&written)
                .map_err(|error| TestCaseError::fail(format!("{error}\n{written}")))?;
            prop_assert_eq!(&read, &value, "{}", written);
            let read = yaml_read::read(&written)
                .map_err(|error| TestCaseError::fail(format!("{error}\n{written}")))?;
            prop_assert_eq!(read, [value], "{}", written);
        }
    }
}
