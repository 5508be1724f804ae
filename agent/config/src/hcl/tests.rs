//! What is accepted and what it means. The same texts go through the real OpenBao in `tests/config`.

use proptest::prelude::*;

use super::read;
use crate::node::{Fault, Field, Node, Position, Value};

const START: Position = Position {
    source: 0,
    line: 1,
    column: 1,
};

/// A tree in a short notation: `key=value`, `block(label){…}`.
fn show(fields: &[Field]) -> String {
    let field = |field: &Field| {
        let labels = field.labels.iter().map(|label| format!("({})", label.text));
        let value = show_value(&field.node);
        format!("{}{}={value}", field.key.text, labels.collect::<String>())
    };
    fields.iter().map(field).collect::<Vec<_>>().join(" ")
}

fn show_value(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(show_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => format!("{{{}}}", show(fields)),
    }
}

fn check(text: &str, expected: &str) {
    let tree = read(text, START).map(|fields| show(&fields));
    assert_eq!(tree.as_deref(), Ok(expected), "{text}");
}

fn check_fault(text: &str, line: u32, column: u32, what: &str) {
    let Fault { at, what: found } = read(text, START).expect_err(text);
    assert_eq!(
        (at.line, at.column, found.as_str()),
        (line, column, what),
        "{text}"
    );
}

#[test]
fn fields_and_blocks() {
    check("", "");
    check(" # nothing\n// at\n/* all\n */ ", "");
    check("a = 1", "a=1");
    check("a\n=\n1", "a=1");
    check("a = 1 b = 2, c = 3", "a=1 b=2 c=3");
    check("a = 1\na = 2", "a=1 a=2");
    check("a {}", "a={}");
    check("a = {}", "a={}");
    check("a \"b\" c {}", "a(b)(c)={}");
    check("a\n{ b = 1, c = 2, }", "a={b=1 c=2}");
    check("\"a b\" = 1", "a b=1");
    check("\"\" = 1", "=1");
    check("a.b-c_1 = 1", "a.b-c_1=1");
    check("ключ = 1", "ключ=1");
    check("a = 1 /* c */ b /* d */ = /* e */ 2 # f", "a=1 b=2");
    check("a = 1\r\nb = 2\rc = 3\r\n", "a=1 b=2 c=3");
}

#[test]
fn numbers_and_booleans() {
    check("a = true b = false", "a=true b=false");
    check(
        "a = 0 b = -5 c = 0640 d = 0x1F e = -0x10 f = -010",
        "a=0 b=-5 c=416 d=31 e=-16 f=-8",
    );
    check(
        "a = 1.5 b = .5 c = 5. d = 1e3 e = -2.5E-1",
        "a=1.5 b=0.5 c=5.0 d=1000.0 e=-0.25",
    );
    check("a = 9223372036854775807", "a=9223372036854775807");
    check("a = -9223372036854775808", "a=-9223372036854775808");
    check_fault("a = 9223372036854775808", 1, 5, "the number is too large");
    check_fault("a = 0x", 1, 5, "the digits after `0x` are missing");
    check_fault(
        "a = 08",
        1,
        5,
        "a number that starts with 0 is octal, which has no 8 and no 9",
    );
    check_fault("a = 1e", 1, 5, "the number's exponent is missing");
    check_fault(
        "a = 5s",
        1,
        6,
        "a number with a unit needs quotes, as in \"5s\"",
    );
    check_fault("a = +5", 1, 5, "the character `+` has no meaning here");
    check_fault("a = - 5", 1, 5, "the character `-` has no meaning here");
}

#[test]
fn lists() {
    check("a = []", "a=[]");
    check(
        "a = [1, \"b\", true, { c = 1 }, [2], ]",
        "a=[1 \"b\" true {c=1} [2]]",
    );
    check("a = [,,1,,2,]", "a=[1 2]");
    check("a = [[1] [2]]", "a=[[1] [2]]");
    check("a = [1, # one\n2 // two\n]", "a=[1 2]");
    check("a = [<<E\nx\nE\n, 1]", "a=[\"x\\n\" 1]");
    check_fault("a = [1 2]", 1, 8, "expected `,` or `]`, found a number");
    check_fault(
        "a = [1",
        1,
        7,
        "expected `,` or `]`, found the end of the text",
    );
    check_fault(
        "a = [b]",
        1,
        6,
        "expected a value, found a word without quotes",
    );
}

#[test]
fn strings() {
    check(r#"a = """#, r#"a="""#);
    check(
        r#"a = "\a\b\f\n\r\t\v\\\"""#,
        r#"a="\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"""#,
    );
    check(r#"a = "\x41\101\u00e9\U0001F600\xc3\xa9""#, "a=\"AAé😀é\"");
    check(
        r#"a = "${HOME:-/root} %{if} $${x} $ { }""#,
        r#"a="${HOME:-/root} %{if} $${x} $ { }""#,
    );
    check(r#"a = "${ "q" {x} \n } b""#, r#"a="${ \"q\" {x} \\n } b""#);
    check("a = \"${ \n }\"", "a=\"${ \\n }\"");
    check_fault("a = \"x\ny\"", 1, 5, "the string is not closed on its line");
    check_fault("a = \"x", 1, 5, "the string is not closed on its line");
    check_fault("a = \"${ x\"", 1, 5, "`${` in the string is not closed");
    let escape = "there is no such escape; a backslash itself is written `\\\\`";
    check_fault(r#"a = "\q""#, 1, 7, escape);
    check_fault(r#"a = "${ \q }""#, 1, 10, escape);
    check_fault(r#"a = "\400""#, 1, 7, "an octal escape goes up to \\377");
    check_fault(
        r#"a = "\xff""#,
        1,
        5,
        "the escapes in the string make no UTF-8",
    );
    check_fault(r#"a = "\ud800""#, 1, 8, "the escape names no character");
    check_fault(
        r#"a = "\u12""#,
        1,
        10,
        "the escape needs 4 digits of base 16",
    );
}

#[test]
fn heredocs() {
    check(
        "a = <<EOT\none\n  two ${x} %{y} \"\\q\"\nEOT\n",
        "a=\"one\\n  two ${x} %{y} \\\"\\\\q\\\"\\n\"",
    );
    check("a = <<EOT\nEOT\nb = 1", "a=\"\" b=1");
    check("a = <<EOT\n x\n  EOT\n", "a=\" x\\n  \"");
    check("a = <<-EOT\n    x\n      y\n    EOT\n", "a=\"x\\n  y\\n\"");
    check("a = <<-EOT\n  x\n\n  EOT\n", "a=\"  x\\n\\n\"");
    check("a = <<-EOT\nEOT\n EOT\n", "a=\"EOT\\n\"");
    check("a = <<EOT\r\nx\r\nEOT\r\n", "a=\"x\\n\"");
    let unclosed = "the heredoc is not closed: its marker on a line of its own is missing";
    check_fault("a = <<EOT\nx\nEOT", 1, 5, unclosed);
    check_fault("a = <<-EOT\nx\nEOT\n", 1, 5, unclosed);
    check_fault("a = <<EOT", 1, 5, unclosed);
    check_fault("a = <EOT\n", 1, 6, "a heredoc begins with `<<`");
    check_fault(
        "a = <<\nx\n",
        1,
        7,
        "the heredoc's marker is missing, as in `<<EOT`",
    );
    check_fault(
        "a = <<EOT \nx\nEOT\n",
        1,
        10,
        "a heredoc's marker is letters and digits, then a new line",
    );
}

#[test]
fn what_is_not_hcl() {
    check_fault(
        "a",
        1,
        2,
        "expected `=` or `{` after the key, found the end of the text",
    );
    check_fault("a =", 1, 4, "expected a value, found the end of the text");
    check_fault(
        "a = b",
        1,
        5,
        "expected a value, found a word without quotes",
    );
    check_fault("a b = {}", 1, 5, "expected `{` after the labels, found `=`");
    check_fault(
        "a {\n b }",
        2,
        4,
        "expected `=` or `{` after the key, found `}`",
    );
    check_fault(
        "a { b = 1",
        1,
        10,
        "expected a key or `}`, found the end of the text",
    );
    check_fault("a { , b = 1 }", 1, 5, "expected a key, found `,`");
    check_fault("a { b = 1,, }", 1, 11, "expected a key, found `,`");
    check_fault("a {{}}", 1, 4, "expected a key, found `{`");
    check_fault("}", 1, 1, "expected a key, found `}`");
    check_fault("= 1", 1, 1, "expected a key, found `=`");
    check_fault("true = 1", 1, 1, "expected a key, found a boolean");
    check_fault(
        "a = 1; b = 2",
        1,
        6,
        "the character `;` has no meaning here",
    );
    check_fault("/ a", 1, 1, "a comment begins with `//` or `/*`");
    check_fault("/* a", 1, 1, "the comment is not closed: `*/` is missing");
    check_fault(
        "\u{feff}a = 1",
        1,
        1,
        "the character `\\u{feff}` has no meaning here",
    );
    check_fault("a = \"é\0\"", 1, 7, "a NUL character is not text");
}

#[test]
fn nesting_is_bounded() {
    let deep = |depth: usize| format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&deep(64), START).is_ok());
    check_fault(&deep(65), 1, 69, "nests more than 64 deep");
    let unclosed = "a{".repeat(500_000);
    check_fault(&unclosed, 1, 130, "nests more than 64 deep");
}

#[test]
fn places_are_those_of_the_text() {
    let fields = read("a = 1\nблок \"x\" {\n  b = \"c\" }", START).expect("HCL");
    let block = &fields[1];
    let Value::Object(inner) = &block.node.value else {
        panic!("{block:?}");
    };
    let place = |at: Position| (at.line, at.column);
    assert_eq!(place(block.key.at), (2, 1));
    assert_eq!(place(block.labels[0].at), (2, 6));
    assert_eq!(place(block.node.at), (2, 10));
    assert_eq!(place(inner[0].key.at), (3, 3));
    assert_eq!(place(inner[0].node.at), (3, 7));
}

/// Pieces of HCL in any order: nearer to the parser's branches than arbitrary text.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "\"b\"", " ", "\n", "=", "{", "}", "[", "]", ",", "1", "0x", "-", ".", "e", "true",
        "<<E\n", "<<-E\n", "E\n", "  E\n", "\"", "\\", "${", "#", "//", "/*", "*/", "\r\n", "é",
        "\0",
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
