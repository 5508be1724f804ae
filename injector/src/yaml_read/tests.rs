use serde_json::json;

use super::*;

#[test]
fn reads_scalars_as_kubectl_does() {
    for (text, expected) in [
        ("0400", json!(256)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("1_000", json!(1000)),
        ("+12", json!(12)),
        ("-0x10", json!(-16)),
        ("0", json!(0)),
        ("08", json!(8)),
        ("18446744073709551615", json!(u64::MAX)),
        ("1.50", json!(1.5)),
        (".5", json!(0.5)),
        ("1e9", json!(1_000_000_000)),
        ("1.", json!(1)),
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!(true)),
        ("~", json!(null)),
        ("\"0400\"", json!("0400")),
        ("'yes'", json!("yes")),
        ("!!str 0400", json!("0400")),
        ("! yes", json!("yes")),
        ("!!int 0400", json!(256)),
        ("|\n  yes\n", json!("yes\n")),
        ("yEs", json!("yEs")),
        ("-", json!([null])),
        ("0x", json!("0x")),
        ("10.0.0.1", json!("10.0.0.1")),
        ("1.2.3", json!("1.2.3")),
        ("2026-11-23", json!("2026-11-23")),
        ("12:30:45", json!("12:30:45")),
        ("100m", json!("100m")),
        ("1e", json!("1e")),
        ("infinity", json!("infinity")),
        ("-inf", json!("-inf")),
    ] {
        assert_eq!(read(text).unwrap(), [expected], "{text}");
    }
}

#[test]
fn merges_as_kubectl_does() {
    let text =
        "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {y: 0, <<: *a}\nd:\n  <<: [*a, *b]\non: 0";
    assert_eq!(
        read(text).unwrap(),
        [json!({
            "a": {"x": 1, "true": 2},
            "b": {"true": 3, "z": 4},
            "c": {"x": 1, "true": 0},
            "d": {"x": 1, "true": 2, "z": 4},
            "true": 0,
        })]
    );
}

#[test]
fn refuses_what_has_no_form_in_json_or_no_end() {
    let bomb = (0..20).fold("- &a0 [x, x]\n".to_owned(), |text, n| {
        format!("{text}- &a{} [*a{n}, *a{n}]\n", n + 1)
    });
    for (text, line, expected) in [
        ("a: 1\na: 2", 2, "was written before"),
        ("a: .inf", 1, "JSON has no number"),
        ("a: !thing x", 1, "tag"),
        ("? [a]\n: b", 1, "a key is text"),
        ("a: &a [*a]", 1, "alias"),
        ("<<: 1", 1, "<<"),
        (&bomb, 15, "aliases repeat"),
        (&"[".repeat(1000), 1, ""),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.what.contains(expected), "{error}");
        assert_eq!((error.number, error.line), (1, line), "{error}");
    }
    assert_eq!(read("a: 1\n---\nb: [").unwrap_err().number, 2);
}
