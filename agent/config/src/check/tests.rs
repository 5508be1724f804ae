//! Combinations: each text has exactly the one mistake that its test names.

use crate::load::{Flags, load};
use crate::source::{Source, Syntax};

fn read(text: &str) -> Result<(), String> {
    let source = Source {
        name: "a.hcl".to_owned(),
        syntax: Syntax::Hcl,
        text: text.to_owned(),
    };
    let config = load(&[source], &|_| None, &Flags::default());
    config.map(|_| ()).map_err(|mistakes| mistakes.to_string())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(read(text), Err(expected.to_owned()), "{text}");
}

#[track_caller]
fn check_good(text: &str) {
    assert_eq!(read(text), Ok(()), "{text}");
}

const METHOD: &str = "method \"kubernetes\" { config { role = \"web\" } }";
const LISTENER: &str = "listener \"tcp\" { address = \"127.0.0.1:8100\" tls_disable = true }";
const SINK: &str = "sink \"file\" { config { path = \"/t\" } }";

#[test]
fn something_is_to_be_done() {
    check(
        "",
        "configuration: there is nothing to do: write an `auto_auth` or a `listener` block",
    );
    check(
        "log_level = \"info\"",
        "configuration: there is nothing to do: write an `auto_auth` or a `listener` block",
    );
    check_good(LISTENER);
}

#[test]
fn somebody_gets_the_token() {
    let nobody = "a.hcl:1:1: auto_auth: nobody gets the token: write a `sink` block, or `use_auto_auth_token = true` in `api_proxy`";
    check(&format!("auto_auth {{ {METHOD} }}"), nobody);
    check(
        &format!(
            "auto_auth {{ {METHOD} }}\n{LISTENER}\napi_proxy {{ use_auto_auth_token = false }}"
        ),
        nobody,
    );
    check_good(&format!(
        "auto_auth {{ {METHOD} }}\n{LISTENER}\napi_proxy {{ use_auto_auth_token = true }}"
    ));
    check_good(&format!(
        "auto_auth {{ {METHOD} }}\n{LISTENER}\ncache {{ use_auto_auth_token = \"force\" }}"
    ));
    check_good(&format!("auto_auth {{ {METHOD} {SINK} }}"));
}

#[test]
fn the_token_to_attach_comes_from_auto_auth() {
    let nothing = "a.hcl:1:35: api_proxy.use_auto_auth_token: there is no token to use: write an `auto_auth` block";
    check(
        &format!("api_proxy {{ use_auto_auth_token = true }}\n{LISTENER}"),
        nothing,
    );
    check_good(&format!(
        "api_proxy {{ use_auto_auth_token = false }}\n{LISTENER}"
    ));
    check(
        &format!(
            "cache {{ use_auto_auth_token = true }} api_proxy {{ use_auto_auth_token = true }}\n{LISTENER}\nauto_auth {{ {METHOD} }}"
        ),
        "a.hcl:1:31: cache.use_auto_auth_token: is also in `api_proxy`; leave it out here",
    );
}

#[test]
fn a_cache_needs_a_listener() {
    let rest = format!("\nauto_auth {{ {METHOD} {SINK} }}");
    check(
        &format!("cache {{}}{rest}"),
        "a.hcl:1:1: cache: nobody can reach it: write a `listener` block",
    );
    check(
        &format!("api_proxy {{}}{rest}"),
        "a.hcl:1:1: api_proxy: nobody can reach it: write a `listener` block",
    );
}

#[test]
fn the_backoff_does_not_shrink() {
    let with = |keys: &str| {
        format!(
            "auto_auth {{ method \"kubernetes\" {{ {keys} config {{ role = \"web\" }} }} {SINK} }}"
        )
    };
    let what = "auto_auth.method.max_backoff: `min_backoff` (3s) is more than `max_backoff` (2s)";
    check(
        &with("min_backoff = 3 max_backoff = 2"),
        &format!("a.hcl:1:65: {what}"),
    );
    let what =
        "auto_auth.method.min_backoff: `min_backoff` (600s) is more than `max_backoff` (300s)";
    check(
        &with("min_backoff = \"10m\""),
        &format!("a.hcl:1:49: {what}"),
    );
    check_good(&with("min_backoff = 3 max_backoff = 3"));
}

#[test]
fn methods_have_what_they_need() {
    let with = |method: &str| format!("auto_auth {{ method {method} {SINK} }}");
    check(
        &with("\"kubernetes\" {}"),
        "a.hcl:1:13: auto_auth.method.config.role: is missing",
    );
    check(
        &with("\"jwt\" {}"),
        "a.hcl:1:13: auto_auth.method.config.role: is missing\na.hcl:1:13: auto_auth.method.config.path: is missing",
    );
    check(
        &with("\"approle\" {}"),
        "a.hcl:1:13: auto_auth.method.config.role_id_file_path: is missing",
    );
    check(
        &with("{}"),
        "a.hcl:1:13: auto_auth.method.type: is missing; write one of alicloud, approle, aws, azure, cert, gcp, jwt, kubernetes, ldap, token_file, userpass",
    );
    check(
        &with("\"azure\" {}"),
        "a.hcl:1:13: auto_auth.method.config.role: is missing
a.hcl:1:13: auto_auth.method.config.resource: is missing",
    );
    check(
        &with("\"oci\" {}"),
        "a.hcl:1:20: auto_auth.method.type: `oci` is a method that Keyside does not support; write one of alicloud, approle, aws, azure, cert, gcp, jwt, kubernetes, ldap, token_file, userpass",
    );
    check(
        &with("\"kubernets\" {}"),
        "a.hcl:1:20: auto_auth.method.type: `kubernets` is not a method, did you mean `kubernetes`?; write one of alicloud, approle, aws, azure, cert, gcp, jwt, kubernetes, ldap, token_file, userpass",
    );
    check(
        &with(
            "\"jwt\" { type = \"approle\" config { role_id_file_path = \"/r\" role = \"r\" path = \"/p\" } }",
        ),
        "a.hcl:1:35: auto_auth.method.type: differs from the label `jwt`; write one of them\n\
         a.hcl:1:54: auto_auth.method.config.role_id_file_path: is not known",
    );
    check(
        &format!("auto_auth {{ {SINK} }}"),
        "a.hcl:1:1: auto_auth.method: is missing; write one `method` block",
    );
    let first = "\"jwt\" { config { role = \"r\" path = \"/p\" } }";
    check(
        &with(&format!("{first}\nmethod \"jwt\" {{}}")),
        "a.hcl:2:1: auto_auth.method: was already written on line 1; one is allowed",
    );
}

#[test]
fn blocks_that_stand_alone_are_written_once_in_a_file() {
    let text = format!("cache {{}}\ncache {{}}\n{LISTENER}");
    check(
        &text,
        "a.hcl:2:1: cache: was already written on line 1; one is allowed",
    );
    let text = format!("vault \"x\" {{ address = \"http://v\" }}\n{LISTENER}");
    check(&text, "a.hcl:1:7: vault: takes no label");
    let text = format!("cache = true\n{LISTENER}");
    check(&text, "a.hcl:1:9: cache: is a boolean; it must be a block");
}

#[test]
fn sockets_are_distinct() {
    let with = |first: &str, second: &str| {
        let listener =
            |at: &str| format!("listener \"tcp\" {{ tls_disable = true address = \"{at}\" }}\n");
        format!("{}{}", listener(first), listener(second))
    };
    for (first, second) in [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("localhost:1", "127.0.0.1:1"),
        ("[::1]:1", "localhost:1"),
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "127.0.0.1:1"),
        ("[::]:1", "0.0.0.0:1"),
        ("a:1", "A:1"),
    ] {
        check(
            &with(first, second),
            "a.hcl:2:47: listener.address: is already taken by `listener.address` at a.hcl:1:47",
        );
    }
    for (first, second) in [
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.1:2"),
        ("127.0.0.1:1", "[::1]:1"),
        ("0.0.0.0:1", "[::1]:1"),
        ("a:1", "b:1"),
    ] {
        check_good(&with(first, second));
    }
    check(
        "listener \"unix\" { address = \"/s\" }\nlistener \"unix\" { address = \"/s\" }",
        "a.hcl:2:29: listener.address: is already taken by `listener.address` at a.hcl:1:29",
    );
    check(
        &format!("{LISTENER}\nadmin {{ address = \"127.0.0.1:8100\" }}"),
        "a.hcl:2:19: admin.address: is already taken by `listener.address` at a.hcl:1:28",
    );
}

#[test]
fn what_is_kept_for_the_next_process_is_said_once_and_of_the_one_type() {
    let good = "persist \"kubernetes\" { path = \"/p\" }";
    check_good(&format!("{LISTENER}\ncache {{ {good} }}"));
    check_good(&format!(
        "{LISTENER}\nresume {{ path = \"/p\" max_bytes = \"1MiB\" }}"
    ));
    for (persist, expected) in [
        (
            "persist { path = \"/p\" }",
            "a.hcl:2:9: cache.persist.type: is missing; write `kubernetes`",
        ),
        (
            "persist \"kubernetes\" {}",
            "a.hcl:2:9: cache.persist.path: is missing",
        ),
        (
            "persist \"kubernetes\" { path = \"\" }",
            "a.hcl:2:39: cache.persist.path: must not be empty",
        ),
        (
            "persist \"file\" { path = \"/p\" }",
            "a.hcl:2:17: cache.persist.type: must be `kubernetes`, as in Vault Agent; or write a `resume` block instead",
        ),
        (
            "persist \"kubernetes\" { path = \"/p\" }\n}\nresume {",
            "a.hcl:2:39: cache.persist.path: is also in `resume`; leave it out here",
        ),
    ] {
        check(&format!("{LISTENER}\ncache {{ {persist} }}"), expected);
    }
    check(
        &format!("{LISTENER}\nresume {{ max_bytes = 0 }}"),
        "a.hcl:2:22: resume.max_bytes: must be a size above 0, as in 1048576 or \"32MiB\"",
    );
}

#[test]
fn two_sinks_write_two_files() {
    let text = format!("auto_auth {{ {METHOD}\n{SINK}\n{SINK} }}");
    check(
        &text,
        "a.hcl:3:31: auto_auth.sink.config.path: is already the path of the sink at a.hcl:2:31",
    );
}

#[test]
fn a_socket_of_a_sink_is_one_of_all_sockets() {
    const SOCKET: &str = "sink \"socket\" { config { path = \"/t\" } }";
    let taken = "is already taken by `auto_auth.sink.config.path` at a.hcl:2:33";
    check(
        &format!("auto_auth {{ {METHOD}\n{SOCKET}\n{SOCKET} }}"),
        &format!("a.hcl:3:33: auto_auth.sink.config.path: {taken}"),
    );
    check(
        &format!("auto_auth {{ {METHOD}\n{SOCKET} }}\nlistener \"unix\" {{ address = \"/t\" }}"),
        &format!("a.hcl:3:29: listener.address: {taken}"),
    );
    check(
        &format!("auto_auth {{ {METHOD}\n{SOCKET}\n{SINK} }}"),
        "a.hcl:3:31: auto_auth.sink.config.path: is also the socket `auto_auth.sink.config.path` at a.hcl:2:33",
    );
    check_good(&format!("auto_auth {{ {METHOD}\n{SOCKET} }}"));
}

#[test]
fn a_sink_says_what_it_is() {
    let with = |sink: &str| format!("auto_auth {{ {METHOD}\n{sink} }}");
    check(
        &with("sink \"inmem\" {}"),
        "a.hcl:2:6: auto_auth.sink.type: `inmem` is not supported; write \"file\" or \"socket\"",
    );
    check(
        &with("sink { config { path = \"/t\" } }"),
        "a.hcl:2:1: auto_auth.sink.type: is missing; write \"file\" or \"socket\"",
    );
    check(
        &with("sink \"socket\" {}"),
        "a.hcl:2:1: auto_auth.sink.config.path: is missing",
    );
    check(
        &with("sink \"socket\" { config { path = \"/t\" mode = \"0999\" user = \"a\" } }"),
        "a.hcl:2:45: auto_auth.sink.config.mode: must be a file mode up to 0777 in octal, as in \"0640\"\n\
         a.hcl:2:52: auto_auth.sink.config.user: is not known",
    );
}

#[test]
fn the_agent_does_not_ask_itself() {
    let listener =
        |at: &str| format!("listener \"tcp\" {{ address = \"{at}\" tls_disable = true }}\n");
    check(
        &listener("127.0.0.1:8200"),
        "a.hcl:1:28: listener.address: is also where the server is looked for: write `vault.address`, or another address here",
    );
    check(
        &format!(
            "{}vault {{ address = \"http://localhost:8100\" }}",
            listener("0.0.0.0:8100")
        ),
        "a.hcl:2:19: vault.address: is the agent's own `listener.address` at a.hcl:1:28; write the server's address",
    );
    check(
        "listener \"unix\" { address = \"/s\" }\nvault { address = \"unix:///s\" }",
        "a.hcl:2:19: vault.address: is the agent's own `listener.address` at a.hcl:1:29; write the server's address",
    );
    check_good(&format!(
        "{}vault {{ address = \"http://vault:8200\" }}",
        listener("0.0.0.0:8200")
    ));
}
