//! Every message of the decoder, the checks and the readers of single values: what is written, and what is said.
//!
//! Which method lacks what, and where mistakes are, other tests tell.

use std::collections::HashMap;

use super::source;
use crate::load::{Flags, load_with_notes};
use crate::mistake::Mistake;

/// A place for a text in an otherwise good configuration.
#[derive(Clone, Copy, Debug)]
enum In {
    /// It is the whole.
    Whole,
    Top,
    Vault,
    Tcp,
    Unix,
    /// A listener with a certificate.
    Tls,
    AutoAuth,
    Method,
    Sink,
    FileSink,
    Cache,
    Admin,
}

use In::{Admin, AutoAuth, Cache, FileSink, Method, Sink, Tcp, Tls, Top, Unix, Vault, Whole};

const NO_CERTIFICATE: &str = "is not true, so that TLS needs `tls_cert_file` and `tls_key_file`; for plain HTTP write \
                              `tls_disable = true`";

const LISTENER: &str = r#"listener "tcp" { address = "127.0.0.1:8100" tls_disable = true }"#;
const KUBERNETES: &str = r#"method "kubernetes" { config { role = "web" } }"#;
const FILE: &str = r#"sink "file" { config { path = "/t" } }"#;

const BOTH_ATTACH: &str = r#"auto_auth { method "kubernetes" { config { role = "web" } } }
    listener "unix" { address = "/s" } cache { use_auto_auth_token = true } api_proxy { use_auto_auth_token = true }"#;
const WRAPPED_ATTACH: &str = r#"auto_auth { method "kubernetes" { wrap_ttl = 60 config { role = "web" } }
    sink "file" { config { path = "/t" } } } listener "unix" { address = "/s" } api_proxy { use_auto_auth_token = true }"#;
const CACHE_ALONE: &str = r#"auto_auth { method "kubernetes" { config { role = "web" } } sink "file" { config { path = "/t" } } }
    cache {}"#;

fn framed(place: In, text: &str) -> String {
    match place {
        Whole => text.to_owned(),
        Top => format!("{LISTENER} {text}"),
        Vault => format!("{LISTENER} vault {{ {text} }}"),
        Tcp => format!(
            r#"listener "tcp" {{ tls_disable = true {text} }} vault {{ address = "http://v" }}"#
        ),
        Tls => format!(
            r#"listener "unix" {{ address = "/s" tls_cert_file = "/c" tls_key_file = "/k" {text} }}"#
        ),
        Unix => format!(r#"listener "unix" {{ address = "/s" {text} }}"#),
        AutoAuth => format!("auto_auth {{ {text} }}"),
        Method => format!(
            r#"auto_auth {{ method "kubernetes" {{ config {{ role = "web" }} {text} }} {FILE} }}"#
        ),
        Sink => format!(
            r#"auto_auth {{ {KUBERNETES} sink "file" {{ config {{ path = "/t" }} {text} }} }}"#
        ),
        FileSink => format!(
            r#"auto_auth {{ {KUBERNETES} sink "file" {{ config {{ path = "/t" {text} }} }} }}"#
        ),
        Cache => format!("{LISTENER} cache {{ {text} }}"),
        Admin => format!("{LISTENER} admin {{ {text} }}"),
    }
}

/// Each mistake: the last part of the field, and the text.
type Said = &'static [(&'static str, &'static str)];

/// What is written where, and all that is said of it.
#[rustfmt::skip]
const MISTAKES: &[(In, &str, Said)] = &[
    // Blocks and keys.
    (Top, "log_levle = \"info\"", &[("log_levle", "is not known; did you mean `log_level`?")]),
    (Top, "colour = 1", &[("colour", "is not known")]),
    (Top, "exec {}",
        &[("exec", "is Vault Agent's and OpenBao's; this version of keyside-agent does not support it")]),
    (Top, "entropy {}", &[("entropy", "is Vault Agent's; this version of keyside-agent does not support it")]),
    (Tcp, "tls_acme_domains = []",
        &[("tls_acme_domains", "is OpenBao's; this version of keyside-agent does not support it")]),
    (Cache, "cache_static_secrets = true",
        &[("cache_static_secrets", "is Vault Agent's; write `static_secrets {}` instead")]),
    (Cache, "static_secrets { ttl = \"500ms\" }", &[("ttl", "must be at least \"1s\"")]),
    (Cache, "static_secrets { maxstale = 0 }",
        &[("maxstale", "is not known; did you mean `max_stale`?")]),
    (Cache, "static_secrets { max_stale = \"-1s\" }",
        &[("max_stale", "is not a duration; write seconds, or a duration as in \"90s\" or \"1h30m\"")]),
    (Tcp, "agent_api { enable_quite = true }",
        &[("agent_api.enable_quite", "is not known; did you mean `enable_quit`?")]),
    (Top, "cache {} cache {}", &[("cache", "was already written on line 1; one is allowed")]),
    (Top, "cache \"x\" {}", &[("cache", "takes no label")]),
    (Top, "log_level \"x\" {}", &[("log_level", "takes a value, not a label")]),
    (Top, "listener \"tcp\" \"x\" { tls_disable = true }",
        &[
        ("listener.address", "is also where the server is looked for: write `vault.address`, or another address here"),
        ("listener", "takes one label"),
    ]),
    (Top, "cache = true", &[("cache", "is a boolean; it must be a block")]),
    (Top, "cache = 1", &[("cache", "is a number; it must be a block")]),
    (Top, "cache = \"x\"", &[("cache", "is text; it must be a block")]),
    (Top, "cache = [[]]", &[("cache", "must be a list of blocks")]),
    // Texts, names, numbers.
    (Top, "pid_file = 1", &[("pid_file", "is a number; write text in double quotes")]),
    (Top, "pid_file = []", &[("pid_file", "is a list; write text in double quotes")]),
    (Top, "pid_file {}", &[("pid_file", "is a block; write text in double quotes")]),
    (Top, "exit_after_auth = \"yes\"", &[("exit_after_auth", "`yes` is not a boolean; write true or false")]),
    (Top, "exit_after_auth = 2", &[("exit_after_auth", "is a number; write true or false")]),
    (Top, "worker_threads = true", &[("worker_threads", "is a boolean; write a whole number")]),
    (Top, "worker_threads = 65536", &[("worker_threads", "must be a whole number from 0 to 65535")]),
    (Top, "log_level = \"loud\"", &[("log_level", "`loud` is not a level; write trace, debug, info, warn or error")]),
    (Top, "log_format = \"xml\"", &[("log_format", "`xml` is not a format; write standard or json")]),
    (Top, "disable_mlock = false", &[("disable_mlock", "must be true: memory is never locked")]),
    (Top, "disable_keep_alives = [\"all\"]",
        &[("disable_keep_alives", "`all` is not known; write auto-auth, caching or proxying")]),
    (FileSink, "owner = true", &[("owner", "is a boolean; write a name or an id")]),
    (FileSink, "owner = \"a\" uid = 1", &[("uid", "says the same as `owner`; write one of them")]),
    (FileSink, "mode = \"0999\"", &[("mode", "must be a file mode up to 0777 in octal, as in \"0640\"")]),
    (FileSink, "mode = true",
        &[("mode", "is a boolean; it must be a file mode up to 0777 in octal, as in \"0640\"")]),
    (Top, "limits { client_burst = 5 }", &[("client_burst", "needs `client_requests_per_second` beside it")]),
    // Durations and sizes.
    (Top, "start_timeout = 0",
        &[("start_timeout", "must be more than 0; write seconds, or a duration as in \"90s\" or \"1h30m\"")]),
    (Method, "min_backoff = \"5x\"",
        &[("min_backoff", "is not a duration; write seconds, or a duration as in \"90s\" or \"1h30m\"")]),
    (Method, "min_backoff = \"0s\"",
        &[("min_backoff", "must be more than 0; write seconds, or a duration as in \"90s\" or \"1h30m\"")]),
    (Method, "min_backoff = true",
        &[("min_backoff", "is a boolean; write seconds, or a duration as in \"90s\" or \"1h30m\"")]),
    (Method, "max_backoff = \"17521h\"", &[("max_backoff", "must not be more than two years")]),
    (Method, "min_backoff = \"10m\"", &[("min_backoff", "`min_backoff` (600s) is more than `max_backoff` (300s)")]),
    (Cache, "max_bytes = \"lots\"", &[("max_bytes", "must be a size above 0, as in 1048576 or \"32MiB\"")]),
    (Cache, "max_bytes = true",
        &[("max_bytes", "is a boolean; it must be a size above 0, as in 1048576 or \"32MiB\"")]),
    (Cache, "max_bytes = 5 max_body = 6",
        &[("max_body", "is more than `max_bytes` (5), so that the largest bodies never fit")]),
    (Cache, "use_auto_auth_token = \"maybe\"",
        &[("use_auto_auth_token", "is not known; write true, false or \"force\"")]),
    // The server's address.
    (Vault, "address = \"\"", &[("address", "must not be empty; leave the key out for https://127.0.0.1:8200")]),
    (Vault, "address = \"vault\"", &[("address", "has no scheme; write it as in \"https://vault.example:8200\"")]),
    (Vault, "address = \"ftp://vault\"", &[("address", "must begin with https://, http:// or unix://")]),
    (Vault, "address = \"unix://\"", &[("address", "has no path; write it as in \"unix:///run/vault.sock\"")]),
    (Vault, "address = \"http://a@v\"", &[("address", "must not hold a user or password")]),
    (Vault, "address = \"http://v/?q\"",
        &[("address", "may have a path after the host, but no query, fragment or blank")]),
    (Vault, "address = \"http://:1\"", &[("address", "has no host")]),
    (Vault, "address = \"http://v:0\"", &[("address", "must have a port from 1 to 65535")]),
    (Vault, "address = \"http://1.2.3\"", &[("address", "holds something that is almost an IPv4 address")]),
    (Vault, "address = \"http://v\u{fc}\"", &[("address", "has a host with characters that no host name has")]),
    (Vault, "client_cert = \"/c\"", &[("client_cert", "is of no use without `client_key`; write both or neither")]),
    // Listeners.
    (Tcp, "address = \"{{ GetPrivateIP }}:1\"",
        &[("address", "is a go-sockaddr template, which is not supported; write host and port")]),
    (Tcp, "address = \"http://a:1\"", &[("address", "must be a host and a port, as in \"127.0.0.1:8200\"")]),
    (Tcp, "address = \"127.0.0.1\"", &[("address", "has no port; write it as in \"127.0.0.1:8200\"")]),
    (Tcp, "address = \":1\"",
        &[("address", "names no interface; write \"127.0.0.1\" before the colon, or \"[::]\" for all of them")]),
    (Tcp, "address = \"[::1:1\"", &[("address", "has `[` without `]`")]),
    (Tcp, "address = \"[a]:1\"", &[("address", "has brackets around something that is not an IPv6 address")]),
    (Tcp, "address = \"[::1]1\"", &[("address", "has something other than a port after `]`")]),
    (Tcp, "address = \"::1:1\"",
        &[("address", "holds an IPv6 address without brackets; write it as in \"[::1]:8200\"")]),
    (Tcp, "address = \"a:65536\"", &[("address", "must have a port from 0 to 65535")]),
    (Tcp, "role = \"x\"", &[("role", "`x` is not a role; write default or metrics_only")]),
    (Vault, "redirect_hosts = [\"*\"]", &[("redirect_hosts", "`*` is no host; write `name`, `name:port`, or `*.domain` for all names below a domain")]),
    (Tcp, "allowed_hosts = [\"\"]", &[("allowed_hosts", "must not hold an empty name")]),
    (Unix, "tls_disable = false", &[("tls_disable", NO_CERTIFICATE)]),
    (Whole, "listener \"tcp\" { address = \"a:1\" }", &[("tls_disable", NO_CERTIFICATE)]),
    (Tls, "tls_min_version = \"tls11\"", &[("tls_min_version", "`tls11` is not supported; write tls12 or tls13")]),
    (Tls, "tls_min_version = \"tls13\" tls_max_version = \"tls12\"",
        &[("tls_min_version", "is later than `tls_max_version`")]),
    (Tls, "tls_require_and_verify_client_cert = true",
        &[("tls_require_and_verify_client_cert",
            "needs `tls_client_ca_file`: it says whose certificates are good, and the system's roots are not meant")]),
    (Tls, "tls_client_ca_file = \"/ca\"",
        &[("tls_client_ca_file",
            "is of no use without `tls_require_and_verify_client_cert = true`: nobody is asked for a certificate")]),
    (Tcp, "tls_cert_file = \"/c\"",
        &[("tls_cert_file", "is of no use without `tls_key_file`; write both or neither")]),
    (Whole, "listener {}", &[("type", "is missing; write \"tcp\" or \"unix\"")]),
    (Whole, "listener \"udp\" {}", &[("type", "`udp` is not known; write tcp or unix")]),
    // Methods. Their parameters are beside their decoders.
    (AutoAuth, "sink \"file\" { config { path = \"/t\" } }", &[("method", "is missing; write one `method` block")]),
    (Method, "type = 1", &[("type", "is a number; write text in double quotes")]),
    (Method, "type = \"jwt\"", &[("type", "differs from the label `kubernetes`; write one of them")]),
    // Sinks.
    (Sink, "dh_type = \"rsa\" dh_path = \"/d\"", &[("dh_type", "`rsa` is not supported; write \"curve25519\"")]),
    (Sink, "dh_type = \"curve25519\"", &[("dh_type", "needs `dh_path` beside it")]),
    (Sink, "dh_path = \"/d\"", &[("dh_path", "needs `dh_type` beside it; write `dh_type = \"curve25519\"`")]),
    (Sink, "derive_key = true", &[("derive_key", "has no effect without `dh_type` and `dh_path`")]),
    (Sink, "dh_type = \"curve25519\" dh_path = \"/d\" aad = \"a\" aad_env_var = \"A\"",
        &[("aad_env_var", "says the same as `aad`; write one of them")]),
    (AutoAuth, "method \"kubernetes\" { config { role = \"web\" } } sink {}",
        &[("type", "is missing; write \"file\" or \"socket\"")]),
    (AutoAuth, "method \"kubernetes\" { config { role = \"web\" } } sink \"inmem\" {}",
        &[("type", "`inmem` is not supported; write \"file\" or \"socket\"")]),
    (AutoAuth, "method \"kubernetes\" { config { role = \"web\" } } sink \"socket\" { config { path = \"/t\" } wrap_ttl = 5 }",
        &[("wrap_ttl", "is for a sink of type \"file\" only")]),
    (AutoAuth, "method \"kubernetes\" { config { role = \"\" } } sink \"file\" {}",
        &[("role", "must not be empty"), ("path", "is missing")]),
    // Combinations.
    (Whole, "log_level = \"info\"", &[("", "there is nothing to do: write an `auto_auth` or a `listener` block")]),
    (AutoAuth, "method \"kubernetes\" { config { role = \"web\" } }",
        &[("auto_auth", "nobody gets the token: write a `sink` block, or `use_auto_auth_token = true` in `api_proxy`")]),
    (Top, "api_proxy { use_auto_auth_token = true }",
        &[("use_auto_auth_token", "there is no token to use: write an `auto_auth` block")]),
    // A wrapped login.
    (AutoAuth,
        "method \"kubernetes\" { wrap_ttl = 60 config { role = \"web\" } } sink \"file\" { config { path = \"/t\" } } revoke_on_exit = true",
        &[("revoke_on_exit", "there is no token to revoke: `auto_auth.method.wrap_ttl` hides it from the agent")]),
    (AutoAuth,
        "method \"token_file\" { config { token_file_path = \"/s\" } } sink \"file\" { config { path = \"/t\" } } revoke_on_exit = true",
        &[("revoke_on_exit", "the token of `token_file` is somebody else's")]),
    (Method, "wrap_ttl = 60 } sink \"file\" { config { path = \"/u\" }",
        &[("wrap_ttl", "needs exactly one `sink`, of type \"file\": a wrapping token opens once")]),
    (AutoAuth, "method \"kubernetes\" { wrap_ttl = 60 config { role = \"web\" } } sink \"socket\" { config { path = \"/t\" } }",
        &[("wrap_ttl", "needs exactly one `sink`, of type \"file\": a wrapping token opens once")]),
    (AutoAuth,
        "method \"kubernetes\" { wrap_ttl = 60 config { role = \"web\" } } sink \"file\" { wrap_ttl = 5 config { path = \"/t\" } }",
        &[("wrap_ttl", "is also in the sink; wrap in one place")]),
    (AutoAuth,
        "method \"token_file\" { wrap_ttl = 60 config { token_file_path = \"/s\" } } sink \"file\" { config { path = \"/t\" } }",
        &[("wrap_ttl", "the token_file method makes no login that could be wrapped")]),
    (Whole, WRAPPED_ATTACH,
        &[("use_auto_auth_token", "there is no token to use: `auto_auth.method.wrap_ttl` hides it from the agent")]),
    (Whole, BOTH_ATTACH, &[("cache.use_auto_auth_token", "is also in `api_proxy`; leave it out here")]),
    (Whole, CACHE_ALONE, &[("cache", "nobody can reach it: write a `listener` block")]),
    (Top, "listener \"tcp\" { address = \"localhost:8100\" tls_disable = true }",
        &[("listener.address", "is already taken by `listener.address` at a.hcl:1:28")]),
    (Sink, "} sink \"file\" { config { path = \"/t\" }",
        &[("path", "is already the path of the sink at a.hcl:1:91")]),
    (Sink, "} sink \"socket\" { config { path = \"/t\" }",
        &[("path", "is also the socket `auto_auth.sink.config.path` at a.hcl:1:132")]),
    (Vault, "address = \"http://127.0.0.1:8100\"",
        &[("address", "is the agent's own `listener.address` at a.hcl:1:28; write the server's address")]),
    (Admin, "address = \"127.0.0.1:8200\"",
        &[("address", "is also where the server is looked for: write `vault.address`, or another address here")]),
];

/// The same for methods, of which all are named.
const METHODS: &[(&str, &str)] = &[
    ("method {}", "is missing; write one of {}"),
    (
        "method \"oci\" {}",
        "`oci` is a method that Keyside does not support; write one of {}",
    ),
    (
        "method \"kubernets\" {}",
        "`kubernets` is not a method, did you mean `kubernetes`?; write one of {}",
    ),
    (
        "method \"pigeon\" {}",
        "`pigeon` is not a method; write one of {}",
    ),
];

/// What is accepted and noted.
const NOTES: &[(In, &str, &str, &str)] = &[
    (
        Top,
        "disable_mlock = true",
        "disable_mlock",
        "has no effect: memory is never locked",
    ),
    (
        Top,
        "telemetry { statsd_address = \"s:1\" }",
        "telemetry",
        "has no effect: metrics are always there in Prometheus' form, under names of their own, and are pushed nowhere",
    ),
    (
        Top,
        "log_file = \"/log\"",
        "log_file",
        "has no effect: the log goes to standard error alone, where whoever runs the agent collects it",
    ),
    (
        Tls,
        "tls_disable = true",
        "listener.tls_cert_file",
        "has no effect: `tls_disable` is true",
    ),
];

/// The environment, which has its own readers.
const VARIABLES: &[(&str, &str, &str)] = &[(
    "VAULT_RATE_LIMIT",
    "0",
    "must be numbers from 1: `rate` or `rate:burst`",
)];

const EMPTY: &str = "has no value; write one, or leave the key out";

/// What is said of a text: mistakes, or notes where there are none.
fn said(text: &str, environment: &HashMap<&str, &str>) -> Vec<Mistake> {
    let look_up = |name: &str| environment.get(name).map(|&text| text.to_owned());
    match load_with_notes(&[source("a.hcl", text)], &look_up, &Flags::default()) {
        Ok(loaded) => loaded.notes,
        Err(mistakes) => mistakes.0,
    }
}

#[test]
fn every_message_is_said_where_it_belongs() {
    for (place, text, expected) in MISTAKES {
        let said = said(&framed(*place, text), &HashMap::new());
        let what: Vec<_> = said.iter().map(|said| said.what.as_str()).collect();
        let texts: Vec<_> = expected.iter().map(|(_, what)| *what).collect();
        assert_eq!(what, texts, "{text}");
        for (said, (field, _)) in said.iter().zip(*expected) {
            assert!(said.field.ends_with(field), "{text}: {said}");
        }
    }
    for (place, text, field, what) in NOTES {
        let said = said(&framed(*place, text), &HashMap::new());
        let said: Vec<_> = said
            .iter()
            .map(|note| (note.field.as_str(), note.what.as_str()))
            .collect();
        assert_eq!(said, [(*field, *what)], "{text}");
    }
    let methods = crate::decode::auto_auth::METHODS.join(", ");
    for (text, what) in METHODS {
        let said = said(
            &framed(AutoAuth, &format!("{text} {FILE}")),
            &HashMap::new(),
        );
        let said: Vec<_> = said.iter().map(|said| said.what.as_str()).collect();
        assert_eq!(said, [what.replace("{}", &methods)], "{text}");
    }
    for (name, text, what) in VARIABLES {
        let said = said(LISTENER, &HashMap::from([(*name, *text)]));
        let said: Vec<_> = said
            .iter()
            .map(|said| (said.field.as_str(), said.what.as_str()))
            .collect();
        assert_eq!(said, [(*name, *what)]);
    }
    // What JSON and YAML can say and HCL cannot.
    let yaml = source(
        "a.yaml",
        "pid_file:\nlistener: {tcp: {tls_disable: true, address: 'a:1'}}\n",
    );
    let mistakes = load_with_notes(&[yaml], &|_| None, &Flags::default()).expect_err("null");
    assert_eq!(
        mistakes.to_string(),
        format!("a.yaml:1:9: pid_file: {EMPTY}")
    );
}

/// The sources of messages. Those of methods' parameters, of the environment and of syntax have tests beside them.
const SOURCES: &[&str] = &[
    include_str!("../../block.rs"),
    include_str!("../../check.rs"),
    include_str!("../../decode.rs"),
    include_str!("../../decode/auto_auth.rs"),
    include_str!("../../decode/kind.rs"),
    include_str!("../../decode/listener.rs"),
    include_str!("../../decode/listener/tls.rs"),
    include_str!("../../decode/own.rs"),
    include_str!("../../decode/sink.rs"),
    include_str!("../../decode/vault.rs"),
    include_str!("../../scalar.rs"),
    include_str!("../../scalar/address.rs"),
];

/// The texts between double quotes that have a blank in them, without comments and attributes.
fn literals(source: &str) -> Vec<String> {
    let lines = source.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.starts_with("reason =")
    });
    let text = lines.collect::<Vec<_>>().join("\n").replace("b'\"'", "");
    let text = text.replace("\\\"", "\u{1}");
    let inside = text.split('"').skip(1).step_by(2);
    let inside = inside.filter(|literal| literal.trim().contains(' '));
    inside
        .map(|literal| literal.replace('\u{1}', "\""))
        .collect()
}

#[test]
fn every_message_of_the_sources_is_in_the_tables() {
    let mistakes = MISTAKES
        .iter()
        .flat_map(|(.., said)| said.iter().map(|(_, what)| *what));
    let methods = METHODS.iter().map(|(_, what)| *what);
    let notes = NOTES.iter().map(|(.., what)| *what);
    let variables = VARIABLES.iter().map(|(.., what)| *what);
    let all = mistakes.chain(methods).chain(notes).chain(variables);
    let all: Vec<_> = all.chain([EMPTY]).collect();
    let mut missing = Vec::new();
    for literal in SOURCES.iter().copied().flat_map(literals) {
        // What a text is filled with is in braces.
        let fixed: Vec<_> = literal.split(['{', '}']).step_by(2).collect();
        let is_in = |what: &&str| fixed.iter().all(|part| what.contains(part));
        if !all.iter().any(is_in) {
            missing.push(literal);
        }
    }
    assert!(missing.is_empty(), "write a row for {missing:#?}");
}
