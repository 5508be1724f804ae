use std::time::Duration;

use super::{attach, count, duration, flag, host_port, mode, name_or_id, size, text, texts};
use crate::model::listener::HostPort;
use crate::model::vault::Address;
use crate::model::{AttachToken, Mode};
use crate::node::{Node, Position, Value};
use crate::scalar::{Read, address};

fn node(value: Value) -> Node {
    let at = Position::default();
    Node { at, value }
}

fn words(text: &str) -> Node {
    node(Value::Text(text.to_owned()))
}

fn number(value: i64) -> Node {
    node(Value::Integer(value))
}

/// `None` stands for a refusal.
#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(
    read: impl Fn(&Node) -> Read<T>,
    node: &Node,
    expected: impl Into<Option<T>>,
) {
    assert_eq!(read(node).ok(), expected.into(), "{:?}", node.value);
}

#[test]
fn flags() {
    for text in ["1", "t", "T", "true", "True", "TRUE"] {
        check(flag, &words(text), Some(true));
    }
    for text in ["0", "f", "F", "false", "False", "FALSE"] {
        check(flag, &words(text), Some(false));
    }
    for text in ["", "yes", "on", "tRUE", " true"] {
        check(flag, &words(text), None);
    }
    check(flag, &node(Value::Bool(true)), Some(true));
    check(flag, &number(1), Some(true));
    check(flag, &number(0), Some(false));
    check(flag, &number(2), None);
    check(flag, &node(Value::Float(1.0)), None);
}

#[test]
fn attaching() {
    check(attach, &words("force"), Some(AttachToken::Force));
    check(attach, &words("Force"), Some(AttachToken::Force));
    check(attach, &words("true"), Some(AttachToken::WhereAbsent));
    check(attach, &node(Value::Bool(false)), Some(AttachToken::Never));
    check(attach, &words("maybe"), None);
}

#[test]
fn durations() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let check = |text, expected| check(duration, &words(text), expected);
    check("5", seconds(5));
    check("5s", seconds(5));
    check("1h30m", seconds(5400));
    check("1d", seconds(86_400));
    check("1.5s", Some(Duration::from_millis(1500)));
    check(".5s", Some(Duration::from_millis(500)));
    check("1.1s", Some(Duration::from_millis(1100)));
    check("200ms", Some(Duration::from_millis(200)));
    check("3us", Some(Duration::from_micros(3)));
    check("3µs", Some(Duration::from_micros(3)));
    check("7ns", Some(Duration::from_nanos(7)));
    check("17520h", Some(crate::model::MAX_DURATION));
    for text in [
        "",
        "0",
        "0s",
        "s",
        ".s",
        "5x",
        "5 s",
        " 5s",
        "-5s",
        "5s5",
        "1..5s",
        "1e3s",
        "17520h1ns",
        "99999999999999999999h",
    ] {
        check(text, None);
    }
    let read = |value| duration(&node(value)).ok();
    assert_eq!(read(Value::Integer(5)), seconds(5));
    assert_eq!(read(Value::Integer(0)), None);
    assert_eq!(read(Value::Integer(-1)), None);
    assert_eq!(read(Value::Integer(i64::MAX)), None);
    assert_eq!(read(Value::Float(1.5)), None);
}

#[test]
fn modes() {
    let check = |node, expected: Option<u32>| check(mode, &node, expected.map(Mode));
    check(words("0640"), Some(0o640));
    check(words("640"), Some(0o640));
    check(words("0o640"), Some(0o640));
    check(words("0"), Some(0));
    // HCL's `0640`, and OpenBao's own notation for it.
    check(number(0o640), Some(0o640));
    check(number(416), Some(0o640));
    // Octal digits in decimal notation: 01200.
    check(number(640), None);
    check(number(-1), None);
    for text in ["", "0999", "1000", "+640", "rw", "0o", "-1"] {
        check(words(text), None);
    }
}

#[test]
fn sizes() {
    let check = |text, expected| check(size, &words(text), expected);
    check("1024", Some(1024));
    check("32MiB", Some(32 << 20));
    check("32 MiB", Some(32 << 20));
    check("8Mi", Some(8 << 20));
    check("1KiB", Some(1024));
    check("2GiB", Some(2 << 30));
    check("1kB", Some(1000));
    check("1MB", Some(1_000_000));
    for text in [
        "",
        "0",
        "0MiB",
        "MiB",
        "1.5MiB",
        "-1",
        "1 XB",
        "99999999999GiB",
        "9223372036854775808",
    ] {
        check(text, None);
    }
    assert_eq!(size(&number(4096)), Ok(4096));
    assert!(size(&number(0)).is_err());
}

#[test]
fn numbers_names_and_texts() {
    let bounded = |node: &_| count(node, 1, 10);
    check(bounded, &number(1), Some(1));
    check(bounded, &words("10"), Some(10));
    check(bounded, &number(0), None);
    check(bounded, &number(11), None);
    check(bounded, &words("x"), None);
    check(name_or_id, &number(1000), Some("1000".to_owned()));
    check(name_or_id, &words("app"), Some("app".to_owned()));
    check(name_or_id, &number(-1), None);
    check(text, &number(5), None);
    check(texts, &words("a"), Some(vec!["a".to_owned()]));
    let list = node(Value::List(vec![words("a"), words("b")]));
    check(texts, &list, Some(vec!["a".to_owned(), "b".to_owned()]));
    check(texts, &node(Value::List(vec![number(1)])), None);
}

#[test]
fn listener_addresses() {
    let check = |text: &str, expected: Option<(&str, u16)>| {
        let expected = expected.map(|(host, port)| HostPort {
            host: host.to_owned(),
            port,
        });
        assert_eq!(host_port(text).ok(), expected, "{text}");
    };
    check("127.0.0.1:8200", Some(("127.0.0.1", 8200)));
    check("localhost:0", Some(("localhost", 0)));
    check("[::1]:8200", Some(("::1", 8200)));
    check("[::]:65535", Some(("::", 65535)));
    for text in [
        "",
        ":8200",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:+1",
        "::1:8200",
        "[::1]",
        "[::1]8200",
        "[localhost]:1",
        "[::1:1",
        "1.2.3:80",
        "1.2.3.400:80",
        "a b:1",
        "http://a:1",
        "{{ GetPrivateIP }}:8200",
        "ü:1",
    ] {
        check(text, None);
    }
}

#[test]
fn server_addresses() {
    let check = |text: &str, expected: Option<(bool, &str, u16, &str)>| {
        let expected = expected.map(|(tls, host, port, prefix)| Address::Tcp {
            tls,
            at: HostPort {
                host: host.to_owned(),
                port,
            },
            prefix: prefix.to_owned(),
        });
        assert_eq!(address::vault(text).ok(), expected, "{text}");
    };
    check("https://vault:8200", Some((true, "vault", 8200, "")));
    check("HTTPS://vault", Some((true, "vault", 443, "")));
    check("http://127.0.0.1", Some((false, "127.0.0.1", 80, "")));
    check("https://[::1]:8200/", Some((true, "::1", 8200, "")));
    check(
        "https://vault/a/b%20c/",
        Some((true, "vault", 443, "/a/b%20c")),
    );
    for text in [
        "",
        "vault",
        "vault:8200",
        "ftp://vault",
        "https://",
        "https://:8200",
        "https://vault:0",
        "https://vault:x",
        "https://a:b@vault",
        "https://vault/?q",
        "https://vault#f",
        "https://vault/a b",
        "https://va ult",
        "unix://",
    ] {
        check(text, None);
    }
    assert_eq!(
        address::vault("unix:///run/v.sock"),
        Ok(Address::Unix("/run/v.sock".into()))
    );
}
