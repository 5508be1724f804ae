//! Sinks, from text to types.

use std::time::Duration;

use super::{check_mistakes, config};
use crate::model::Mode;
use crate::model::auto_auth::{Aad, Encryption, Sink, SocketSink};

#[test]
fn a_socket_sink_is_for_the_group_unless_it_says_otherwise() {
    let text = |sinks: &str| {
        let method = "method \"kubernetes\" { config { role = \"web\" } }";
        format!("auto_auth {{ {method}\n{sinks} }}")
    };
    let sinks = r#"sink "socket" { config { path = "/a" } }
        sink { type = "socket" config = { path = "/b" mode = "0600" owner = 7 gid = "app" } }"#;
    let config = config("a.hcl", &text(sinks));
    let sink = |path: &str, mode, owner: Option<&str>, group: Option<&str>| {
        Sink::Socket(SocketSink {
            path: path.into(),
            mode: Mode(mode),
            owner: owner.map(str::to_owned),
            group: group.map(str::to_owned),
        })
    };
    let expected = [
        sink("/a", 0o660, None, None),
        sink("/b", 0o600, Some("7"), Some("app")),
    ];
    assert_eq!(config.auto_auth.expect("auto_auth").sinks, expected);
}

#[test]
fn a_file_sink_may_be_wrapped_and_encrypted() {
    let text = |keys: &str| {
        let method = "method \"kubernetes\" { config { role = \"web\" } }";
        format!("auto_auth {{ {method}\nsink \"file\" {{ config {{ path = \"/a\" }} {keys} }} }}")
    };
    let check = |keys: &str, wrap_ttl, encryption: Option<Encryption>| {
        let sinks = config("a.hcl", &text(keys)).auto_auth.expect(keys).sinks;
        let [Sink::File(sink)] = &sinks[..] else {
            panic!("{sinks:?}")
        };
        assert_eq!(sink.wrap_ttl, wrap_ttl, "{keys}");
        assert_eq!(sink.encryption, encryption, "{keys}");
    };
    let dh = |derive_key, aad| {
        let dh_path = "/dh".into();
        Some(Encryption {
            dh_path,
            derive_key,
            aad,
        })
    };
    let both = "dh_type = \"curve25519\" dh_path = \"/dh\"";
    let minutes = Some(Duration::from_mins(5));
    check("wrap_ttl = \"5m\"", minutes, None);
    check(
        "wrap_ttl = 300 derive_key = false aad = \"\"",
        minutes,
        None,
    );
    check(both, None, dh(false, None));
    let aad = Some(Aad::Text("a".to_owned()));
    check(
        &format!("{both} derive_key = true aad = \"a\""),
        None,
        dh(true, aad),
    );
    let aad = Some(Aad::Variable("A".to_owned()));
    check(&format!("{both} aad_env_var = \"A\""), None, dh(false, aad));

    let wrong = |keys: &str, expected: &str| {
        let expected = format!("a.hcl:2:{expected}");
        check_mistakes("a.hcl", &text(keys), &[&expected]);
    };
    wrong(
        "dh_type = \"curve25519\"",
        "48: auto_auth.sink.dh_type: needs `dh_path` beside it",
    );
    wrong(
        "dh_path = \"/dh\"",
        "48: auto_auth.sink.dh_path: needs `dh_type` beside it; write `dh_type = \"curve25519\"`",
    );
    wrong(
        "dh_path = \"/dh\" dh_type = \"rsa\"",
        "64: auto_auth.sink.dh_type: `rsa` is not supported; write \"curve25519\"",
    );
    let idle = "has no effect without `dh_type` and `dh_path`";
    wrong(
        "derive_key = true",
        &format!("51: auto_auth.sink.derive_key: {idle}"),
    );
    wrong("aad = \"a\"", &format!("44: auto_auth.sink.aad: {idle}"));
    wrong(
        "aad_env_var = \"A\"",
        &format!("52: auto_auth.sink.aad_env_var: {idle}"),
    );
    wrong(
        &format!("{both} aad = \"a\" aad_env_var = \"A\""),
        "101: auto_auth.sink.aad_env_var: says the same as `aad`; write one of them",
    );
    check_mistakes(
        "a.hcl",
        "auto_auth { method \"kubernetes\" { config { role = \"web\" } }\n\
         sink \"socket\" { config { path = \"/a\" } wrap_ttl = 5 } }",
        &["a.hcl:2:40: auto_auth.sink.wrap_ttl: is for a sink of type \"file\" only"],
    );
}
