use std::fmt::Debug;

use keyside_config::model::listener::HostPort;

use super::*;

#[track_caller]
fn check<T: Debug + PartialEq>(
    parse: fn(&str) -> Result<T, Allowed>,
    good: &[(&str, T)],
    bad: &[&str],
) {
    for (text, expected) in good {
        assert_eq!(parse(text).as_ref(), Ok(expected), "{text:?}");
    }
    for text in bad.iter().chain(&["", " ", "\0"]) {
        assert!(parse(text).is_err(), "{text:?} gave {:?}", parse(text));
    }
}

#[test]
fn booleans_are_what_the_match_condition_knows() {
    check(
        boolean,
        &[
            ("true", true),
            ("t", true),
            ("1", true),
            ("false", false),
            ("f", false),
            ("0", false),
        ],
        &["True", "TRUE", "yes", "on", " true", "true ", "2"],
    );
}

#[test]
fn ids_are_never_root() {
    check(
        id,
        &[("1", 1), ("65532", 65532), ("2147483647", 2_147_483_647)],
        &[
            "0",
            "-1",
            "+1",
            "1 ",
            "0x10",
            "2147483648",
            "99999999999999999999",
            "root",
        ],
    );
}

#[test]
fn modes_are_octal() {
    check(
        mode,
        &[
            ("0640", Mode(0o640)),
            ("600", Mode(0o600)),
            ("0777", Mode(0o777)),
        ],
        &[
            "640 ",
            "0800",
            "64",
            "06400",
            "1777",
            "rw-r-----",
            "0o640",
            "-640",
            "+640",
        ],
    );
}

#[test]
fn ports_are_those_that_need_no_privilege() {
    check(
        proxy_port,
        &[
            ("none", Port::None),
            ("1024", Port::Asked(1024)),
            ("65535", Port::Asked(65535)),
        ],
        &["0", "80", "1023", "65536", "None", "8200/tcp", "+8200"],
    );
}

#[test]
fn token_files_stay_in_the_shared_folder() {
    check(
        token_path,
        &[
            ("/keyside/token", PathBuf::from("/keyside/token")),
            (
                "/keyside/.vault-token",
                PathBuf::from("/keyside/.vault-token"),
            ),
        ],
        &[
            "/keyside",
            "/keyside/",
            "/keyside/..",
            "/keyside/../etc/x",
            "/keyside/a/b",
            "/keysidex/a",
            "token",
            "/etc/token",
            "/keyside//token",
            "/keyside/agent.sock",
            "/keyside/secrets",
            "/keyside/a\nb",
        ],
    );
}

#[test]
fn lifetimes_are_what_the_api_server_takes() {
    check(
        token_expiration,
        &[
            ("600s", 600),
            ("3600s", 3600),
            ("1h", 3600),
            ("1h30m", 5400),
            ("10m", 600),
            ("24h", 86400),
        ],
        &[
            "3600",
            "599s",
            "1d",
            "-1h",
            "h",
            "1h1h",
            "30m1h",
            "1.5h",
            "99999999999999999999s",
            "8761h",
        ],
    );
}

#[test]
fn container_names_are_trimmed_and_none_is_empty() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    check(
        containers,
        &[("a", names(&["a"])), ("a, b ,c", names(&["a", "b", "c"]))],
        &[",", "a,", ",a", "a,,b", "A", "a b", "a\"b"],
    );
}

#[test]
fn addresses_are_urls_of_three_schemes() {
    let tcp = |tls, host: &str, port, prefix: &str| Address::Tcp {
        tls,
        at: HostPort {
            host: host.to_owned(),
            port,
        },
        prefix: prefix.to_owned(),
    };
    check(
        address,
        &[
            (
                "https://vault.example:8200",
                tcp(true, "vault.example", 8200, ""),
            ),
            ("https://vault.example", tcp(true, "vault.example", 443, "")),
            ("http://10.0.0.1/", tcp(false, "10.0.0.1", 80, "")),
            ("https://[::1]:8200/a/b/", tcp(true, "::1", 8200, "/a/b")),
            (
                "unix:///run/vault.sock",
                Address::Unix(PathBuf::from("/run/vault.sock")),
            ),
        ],
        &[
            "vault.example:8200",
            "ftp://a",
            "HTTPS://a",
            "https://",
            "https://:8200",
            "https://a:",
            "https://a:0",
            "https://a:65536",
            "https://a:b",
            "https://user@a",
            "https://user:pass@a",
            "https://a?x",
            "https://a#x",
            "https://a/../b",
            "https://a//b",
            "https://a b",
            "https://a\\b",
            "https://[::1",
            "https://[x]",
            "https://::1",
            "https://10.0.0",
            "https://a/%2e%2e",
            "unix://run/a",
            "unix:///",
            "unix:///a/../b",
            "https://ä",
        ],
    );
}

#[test]
fn mounts_and_namespaces_are_plain_paths() {
    check(
        auth_mount,
        &[
            ("auth/kubernetes", "auth/kubernetes".to_owned()),
            ("auth/eu/k8s_1/", "auth/eu/k8s_1".to_owned()),
        ],
        &[
            "kubernetes",
            "auth/",
            "auth",
            "/auth/a",
            "auth//a",
            "auth/../sys",
            "auth/a?b",
            "auth/a b",
            "auth/a//",
        ],
    );
    check(
        namespace,
        &[
            ("team/shop", "team/shop".to_owned()),
            ("root/", "root".to_owned()),
        ],
        &["/", "a//b", "..", "a/./b", "a b", "/a"],
    );
}

#[test]
fn images_are_references() {
    let digest = "r.example:5000/a/keyside-agent@sha256:0123";
    check(
        image,
        &[
            ("keyside-agent:1", "keyside-agent:1".to_owned()),
            (digest, digest.to_owned()),
        ],
        &["-x", "a b", "a\n", "a;b", "/a", "$(x)"],
    );
}

#[test]
fn texts_are_one_line() {
    check(
        text,
        &[
            ("a role", "a role".to_owned()),
            ("$(X){{\"'}}", "$(X){{\"'}}".to_owned()),
            ("ä", "ä".to_owned()),
        ],
        &["a\nb", " a", "a ", "a\u{7f}", "\u{85}"],
    );
    assert!(text(&"x".repeat(512)).is_ok());
    assert!(text(&"x".repeat(513)).is_err());
}

#[test]
fn cache_kv_is_a_switch_or_a_time() {
    let of = |ttl| {
        Some(StaticSecrets {
            ttl: Duration::from_secs(ttl),
            ..StaticSecrets::default()
        })
    };
    check(
        cache_kv,
        &[
            ("true", of(30)),
            ("1", of(30)),
            ("false", None),
            ("1s", of(1)),
            ("1m30s", of(90)),
            ("24h", of(86_400)),
        ],
        &["0s", "30", "25h", "on", "30S", "-1s", "1.5s"],
    );
}
