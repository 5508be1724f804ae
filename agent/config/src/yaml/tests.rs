use std::fmt::Write as _;

use proptest::prelude::*;

use super::read;
use crate::node::{Position, Value};

const START: Position = Position {
    source: 0,
    line: 1,
    column: 1,
};

/// The value of the key `a`.
fn check(text: &str, expected: &Value) {
    let fields = read(text, START).unwrap_or_else(|fault| panic!("{text}: {fault:?}"));
    assert_eq!(fields[0].key.text, "a");
    assert_eq!(&fields[0].node.value, expected, "{text}");
}

fn check_fault(text: &str, line: u32, column: u32, what: &str) {
    let fault = read(text, START).expect_err(text);
    assert_eq!(
        (fault.at.line, fault.at.column, fault.what.as_str()),
        (line, column, what),
        "{text}"
    );
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn scalars_follow_the_core_schema() {
    check("a: true", &Value::Bool(true));
    check("a: 'true'", &text("true"));
    check("a: yes", &text("yes"));
    check("a:", &Value::Null);
    check("a: ~", &Value::Null);
    check("a: \"~\"", &text("~"));
    check("a: 12", &Value::Integer(12));
    check("a: -12", &Value::Integer(-12));
    check("a: 0o640", &Value::Integer(0o640));
    check("a: 0x1f", &Value::Integer(31));
    check("a: 0640", &text("0640"));
    check("a: 1.5", &Value::Float(1.5));
    check("a: 1e3", &Value::Float(1000.0));
    check("a: inf", &text("inf"));
    check("a: 1m30s", &text("1m30s"));
    check("a: 127.0.0.1:8200", &text("127.0.0.1:8200"));
    check("a: |\n  one\n  two\n", &text("one\ntwo\n"));
}

#[test]
fn an_empty_text_is_an_empty_configuration() {
    for text in ["", "# nothing\n", "---\n", "~"] {
        assert_eq!(read(text, START), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn aliases_repeat_values() {
    let fields = read("a: &x { b: 1 }\nc: *x\n", START).expect("YAML");
    assert_eq!(fields[0].node.value, fields[1].node.value);
}

#[test]
fn faults_have_places() {
    check_fault(
        "a: 1\nb: 2\na: 3\n",
        3,
        1,
        "`a` was already written on line 1",
    );
    check_fault("- a\n", 1, 1, "a configuration is a mapping: `key: value`");
    check_fault(
        "a: 1\n---\nb: 2\n",
        2,
        1,
        "a configuration is one YAML document",
    );
    check_fault("a: !x 1\n", 1, 7, "tags (`!…`) are not supported");
    check_fault(
        "? [a]\n: 1\n",
        1,
        3,
        "a key is text, not a list, a mapping or an alias",
    );
    check_fault("a: &x [*x]\n", 1, 8, "the alias is inside what it repeats");
    check_fault(
        "a:\n\tb: 2\n",
        2,
        2,
        "tabs disallowed within this context (block indentation)",
    );
    check_fault(
        "a: b: c\n",
        1,
        5,
        "mapping values are not allowed in this context",
    );
}

#[test]
fn what_aliases_repeat_is_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = format!("*a{}, ", level - 1).repeat(10);
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").expect("memory");
    }
    let fault = read(&bomb, START).expect_err("a bomb");
    assert_eq!(fault.what, "aliases repeat more than 10000 values");

    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..100 {
        writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).expect("memory");
    }
    let fault = read(&chain, START).expect_err("a chain");
    assert_eq!(fault.what, "nests more than 64 deep");
}

#[test]
fn nesting_is_bounded() {
    let flow = format!("a: {}", "[".repeat(100_000));
    let block: Vec<_> = (0..1000).map(|depth| " ".repeat(depth) + "a:").collect();
    let compact = format!("{}x", "- ".repeat(10_000));
    for text in [flow, block.join("\n"), compact] {
        assert!(read(&text, START).is_err());
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", ",", "&x ", "*x", "!t ", "'", "\"",
        "|\n", ">\n", "?", "#", "---\n", "...\n", "%", "\t", "é", "0", "~", "<<",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        prop_assert_eq!(read(&text, START), read(&text, START));
    }

    #[test]
    fn any_pieces_are_read_or_refused(text in pieces()) {
        prop_assert_eq!(read(&text, START), read(&text, START));
    }
}
