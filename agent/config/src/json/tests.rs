use proptest::prelude::*;

use super::read;
use crate::node::{Field, Node, Position, Value};

const START: Position = Position {
    source: 0,
    line: 1,
    column: 1,
};

/// What `serde_json` would have read; a repeated key's last value.
fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => object(fields),
    }
}

fn object(fields: &[Field]) -> serde_json::Value {
    let fields = fields
        .iter()
        .map(|field| (field.key.text.clone(), plain(&field.node)));
    fields.collect::<serde_json::Map<_, _>>().into()
}

fn check_fault(text: &str, line: u32, column: u32, what: &str) {
    let fault = read(text, START).expect_err(text);
    assert_eq!(
        (fault.at.line, fault.at.column, fault.what.as_str()),
        (line, column, what),
        "{text}"
    );
}

#[test]
fn values_are_what_serde_json_reads() {
    for text in [
        "{}",
        " {\"a\" : [ 1 , -2.5e3 , true , false , null , [ ] , { } ] } \r\n",
        r#"{"a": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é"}"#,
        r#"{"a": 1, "b": {"c": {"d": "e"}}}"#,
    ] {
        let expected: serde_json::Value = serde_json::from_str(text).expect(text);
        assert_eq!(
            read(text, START).map(|fields| object(&fields)),
            Ok(expected),
            "{text}"
        );
    }
}

#[test]
fn repeated_keys_are_kept_in_order() {
    let fields = read(r#"{"a": 1, "b": 2, "a": 3}"#, START).expect("JSON");
    let keys: Vec<_> = fields.iter().map(|field| field.key.text.as_str()).collect();
    assert_eq!(keys, ["a", "b", "a"]);
}

#[test]
fn faults_have_places() {
    check_fault("", 1, 1, "expected a value");
    check_fault("[]", 1, 1, "a configuration is an object: `{ … }`");
    check_fault("{\n \"a\": 1,\n}", 3, 1, "expected a key in double quotes");
    check_fault("{\"a\" 1}", 1, 6, "expected `:` after the key");
    check_fault("{\"a\": 1 \"b\": 2}", 1, 9, "expected `,` or `}`");
    check_fault("{\"a\": [1 2]}", 1, 10, "expected `,` or `]`");
    check_fault("{\"a\": [1,]}", 1, 10, "expected a value");
    check_fault("{\"a\": 01}", 1, 7, "is no number that JSON has");
    check_fault("{\"a\": truth}", 1, 7, "expected a value");
    check_fault("{\"a\": \"b", 1, 7, "the string is not closed");
    check_fault(
        "{\"a\": \"b\nc\"}",
        1,
        9,
        "a control character in a string is written `\\n`, `\\t` or `\\u….`",
    );
    check_fault(
        r#"{"a": "\ud800"}"#,
        1,
        10,
        "the escape is half of a surrogate pair",
    );
    check_fault("{} {}", 1, 4, "nothing may follow the object");
    let deep = format!("{{\"a\": {}", "[".repeat(500_000));
    check_fault(&deep, 1, 71, "nests more than 64 deep");
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ":", ",", "\"a\"", "\"", "\\", "\\u", "d800", "1", "-", ".", "e",
        "true", "null", " ", "\n", "é",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_object_is_read_as_serde_json_reads_it(text in "\\{(\"[a-c]\": (1|true|\"x\"|\\[1, 2\\]|\\{\\})(, )?){0,4}\\}") {
        if let Ok(expected) = serde_json::from_str::<serde_json::Value>(&text) {
            prop_assert_eq!(read(&text, START).map(|fields| object(&fields)), Ok(expected));
        } else {
            prop_assert!(read(&text, START).is_err());
        }
    }

    #[test]
    fn any_pieces_are_accepted_when_serde_json_accepts_them(text in pieces()) {
        let expected = serde_json::from_str::<serde_json::Value>(&text);
        let is_object = expected.is_ok_and(|value| value.is_object());
        prop_assert_eq!(read(&text, START).is_ok(), is_object, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        prop_assert_eq!(read(&text, START), read(&text, START));
    }
}
