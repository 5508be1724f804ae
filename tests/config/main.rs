//! The reader of configurations against the real OpenBao: both get the same text and must agree on whether it is good.
//!
//! Where Keyside differs on purpose, the case says so and why; such a case fails when the difference goes away.

use std::process::Command;

use anyhow::Context as _;
use keyside_config::load::{self, Flags};
use keyside_config::source::{Source, Syntax};
use keyside_harness::{poll, process, tools};

/// What both must say.
#[derive(Clone, Copy)]
enum Expect {
    /// Both accept it.
    Good,
    /// Both refuse it.
    Bad,
    /// OpenBao accepts it, Keyside does not, for this reason.
    Stricter(&'static str),
    /// Keyside accepts it, OpenBao does not, for this reason.
    Looser(&'static str),
}

use Expect::{Bad, Good, Looser, Stricter};

impl Expect {
    /// Whether OpenBao, and whether Keyside, accepts.
    fn verdicts(self) -> (bool, bool) {
        match self {
            Good => (true, true),
            Bad => (false, false),
            Stricter(_) => (true, false),
            Looser(_) => (false, true),
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Good | Bad => "",
            Stricter(reason) | Looser(reason) => reason,
        }
    }
}

/// Reads every text both ways and names all disagreements.
fn check(syntax: Syntax, frame: impl Fn(&str) -> String, cases: &[(&str, Expect)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut surprises = Vec::new();
    for (text, expect) in cases {
        let whole = frame(text);
        let (bao, bao_says) = bao(folder.path(), syntax, &whole).expect("the real OpenBao");
        let (ours, we_say) = ours(syntax, &whole);
        if (bao, ours) != expect.verdicts() {
            let reason = expect.reason();
            surprises.push(format!(
                "{text:?} {reason}\n  OpenBao accepts: {bao} ({bao_says})\n  Keyside accepts: {ours} ({we_say})"
            ));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

fn ours(syntax: Syntax, text: &str) -> (bool, String) {
    let source = Source {
        name: "oracle".to_owned(),
        syntax,
        text: text.to_owned(),
    };
    match load::load(&[source], &|_| None, &Flags::default()) {
        Ok(_) => (true, String::new()),
        Err(mistakes) => (false, mistakes.to_string()),
    }
}

/// `bao agent` reads and checks its configuration and ends.
fn bao(folder: &std::path::Path, syntax: Syntax, text: &str) -> anyhow::Result<(bool, String)> {
    let extension = if syntax == Syntax::Json {
        "json"
    } else {
        "hcl"
    };
    let file = folder.join("agent").with_extension(extension);
    std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    let mut command = Command::new(tools::bao()?);
    // No address, token or helper of whoever runs the tests.
    command.env_clear().env("HOME", folder);
    command.arg("agent").arg("-test-verify-only");
    command.arg(format!("-config={}", file.display()));
    let mut child = process::Child::spawn("bao agent", command)?;
    let status = child.wait(poll::LIMIT)?;
    Ok((status.success(), child.lines().join(" ")))
}

/// A proxy, with the text at its top.
fn at_top(text: &str) -> String {
    format!(
        "{text}\nvault {{ address = \"http://127.0.0.1:9\" }}\nlistener \"tcp\" {{ address = \"127.0.0.1:0\" tls_disable = true }}\n"
    )
}

const NO_MEANING: &str = "it looks like a number and has no value";
const TWO_FIELDS: &str = "OpenBao reads 0 or 1, and then a block named `o17` or `_000`";
const NOT_TEXT: &str = "what it means is not Unicode";
const SLIP: &str = "it is rather a slip than meant";
const ONE_TREE: &str = "all syntaxes become one tree, and this is JSON's form of it";
const PREDICTABLE: &str = "one rule for every boolean";

#[test]
fn fields_blocks_and_comments() {
    let cases = [
        ("pid_file = \"/x\" log_level = \"info\"", Good),
        ("pid_file = \"/x\", log_level = \"info\"", Good),
        ("pid_file\n=\n\"/x\"", Good),
        ("\"pid_file\" = \"/x\"", Good),
        ("log_level = \"warn\"\nlog_level = \"info\"", Good),
        (
            "log_level = \"loud\"\nlog_level = \"info\"",
            Stricter("both values are read"),
        ),
        ("log_level = \"info\"\r\npid_file = \"/x\"\r\n", Good),
        ("log_level = \"info\"\rpid_file = \"/x\"", Good),
        ("\"cache\" {}", Good),
        ("cache = {},", Good),
        ("cache {}, api_proxy {}", Good),
        ("# a\n// b\n/* c\n d */ cache /* e */ { # f\n}", Good),
        ("/* open", Bad),
        ("/ a", Bad),
        ("pid_file", Bad),
        ("cache { , max_entries = 1 }", Bad),
        ("cache { max_entries = 1,, }", Bad),
        ("pid_file x = {}", Bad),
        ("true = 1", Bad),
        ("}", Bad),
        ("pid_file = \"/x\"; log_level = \"info\"", Bad),
        ("\u{feff}pid_file = \"/x\"", Bad),
        ("pid_file =\u{a0}\"/x\"", Bad),
        ("pid_file = \"/x\" \0", Bad),
        ("cache \"x\" {}", Stricter(SLIP)),
        ("cach {}", Stricter("unknown keys are mistakes")),
        (
            "Log_Level = \"info\"",
            Stricter("keys are spelt in one way"),
        ),
    ];
    check(Syntax::Hcl, at_top, &cases);
}

#[test]
fn a_text_that_ends_too_early() {
    let cases = [
        ("cache { max_entries = 1", Bad),
        ("pid_file = <<EOT\n/x\nEOT", Bad),
        ("pid_file =", Stricter("OpenBao drops the key silently")),
    ];
    check(Syntax::Hcl, |text| format!("{}{text}", at_top("")), &cases);
}

#[test]
fn numbers() {
    let cases = [
        ("0x3", Good),
        ("0640", Good),
        ("\"5\"", Good),
        ("0x", Bad),
        ("0o17", Stricter(TWO_FIELDS)),
        ("1_000", Stricter(TWO_FIELDS)),
        ("+5", Bad),
        ("08", Stricter(NO_MEANING)),
        ("99999999999999999999", Stricter(NO_MEANING)),
        ("1e3", Stricter("a number of threads is whole")),
    ];
    // OpenBao does not know the key, so that it judges the notation alone.
    let frame = |text: &str| at_top(&format!("worker_threads = {text}"));
    check(Syntax::Hcl, frame, &cases);
}

#[test]
fn strings_and_heredocs() {
    let cases = [
        (r#""${HOME:-/root} %{URI} %{if} $${x}""#, Good),
        (r#""${ "quoted" }""#, Good),
        ("\"${ \n }\"", Good),
        (r#""\x41 \101 \a \u00e9 \U0001F600""#, Good),
        (r#""\xff""#, Stricter(NOT_TEXT)),
        (r#""\400""#, Bad),
        (r#""\ud800""#, Stricter(NOT_TEXT)),
        (r#""\q""#, Bad),
        ("\"a\nb\"", Bad),
        ("\"${ open\"", Bad),
        ("<<EOT\n/x ${a} %{b}\nEOT\n", Good),
        ("<<EOT\r\n/x\r\nEOT\r\n", Good),
        ("<<EOT\n/x\n  EOT\n", Good),
        ("<<-EOT\n  /x\n  EOT\n", Good),
        ("<<-EOT\n/x\nEOT\n", Bad),
        ("<<\n/x\n\n", Bad),
        ("<<EOT \n/x\nEOT\n", Bad),
    ];
    let frame = |text: &str| at_top(&format!("pid_file = {text}"));
    check(Syntax::Hcl, frame, &cases);
}

#[test]
fn lists() {
    let cases = [
        ("[]", Good),
        ("[\"a\", \"b\",]", Good),
        ("[,,\"a\",,]", Good),
        ("[\"a\", # first\n\"b\"]", Good),
        ("[<<E\na\nE\n, \"b\"]", Good),
        ("[\"a\" \"b\"]", Bad),
        ("[a]", Bad),
        ("[[\"a\"]]", Stricter("hosts are texts")),
    ];
    let frame = |text: &str| {
        let listener =
            format!("tls_disable = true address = \"127.0.0.1:0\" allowed_hosts = {text}");
        format!("vault {{ address = \"http://127.0.0.1:9\" }}\nlistener \"tcp\" {{ {listener} }}")
    };
    check(Syntax::Hcl, frame, &cases);
}

#[test]
fn listeners() {
    let cases = [
        (
            r#""tcp" { address = "127.0.0.1:0" tls_disable = true }"#,
            Good,
        ),
        (
            r#"tcp { address = "127.0.0.1:0", tls_disable = "true" }"#,
            Good,
        ),
        (r#""TCP" { address = "127.0.0.1:0" tls_disable = 1 }"#, Good),
        (
            r#"{ type = "tcp" address = "127.0.0.1:0" tls_disable = "T" }"#,
            Good,
        ),
        (
            r#"= { type = "tcp" address = "127.0.0.1:0" tls_disable = true }"#,
            Good,
        ),
        (
            r#""unix" { address = "/s" tls_disable = true socket_mode = "0600" }"#,
            Good,
        ),
        (r#""udp" { address = "/s" tls_disable = true }"#, Bad),
        (r#"{ address = "127.0.0.1:0" tls_disable = true }"#, Bad),
        (
            r#""tcp" { address = "127.0.0.1:0" tls_disable = "yes" }"#,
            Bad,
        ),
        (
            r#""tcp" { address = "127.0.0.1:0" tls_disable = true role = "x" }"#,
            Bad,
        ),
        (
            r#""tcp" { address = "127.0.0.1:0" tls_disable = 2 }"#,
            Stricter(PREDICTABLE),
        ),
        (
            r#""tcp" { address = "127.0.0.1:0" tls_disable = "" }"#,
            Stricter(PREDICTABLE),
        ),
        (
            r#""tcp" { address = "127.0.0.1:0" }"#,
            Stricter("OpenBao would ask ACME for a certificate"),
        ),
        (
            r#""tcp" { type = "unix" address = "127.0.0.1:0" tls_disable = true }"#,
            Stricter(SLIP),
        ),
        (
            r#"= [{ type = "tcp" address = "127.0.0.1:0" tls_disable = true }]"#,
            Looser(ONE_TREE),
        ),
        (
            r#"{ tcp { address = "127.0.0.1:0" tls_disable = true } }"#,
            Looser(ONE_TREE),
        ),
    ];
    let frame =
        |text: &str| format!("vault {{ address = \"http://127.0.0.1:9\" }}\nlistener {text}");
    check(Syntax::Hcl, frame, &cases);
}

#[test]
fn auto_auth() {
    const SINK: &str = r#"sink "file" { config { path = "/t" } }"#;
    let with = |method: &str| format!("method {method} {SINK}");
    let method = |keys: &str| {
        with(&format!(
            "\"kubernetes\" {{ {keys} config {{ role = \"r\" }} }}"
        ))
    };
    let sink =
        |sink: &str| format!("method \"kubernetes\" {{ config = {{ role = \"r\" }} }} {sink}");
    let cases = [
        (method(""), Good),
        (
            with(r#"{ type = "kubernetes" config = { role = "r" } }"#),
            Good,
        ),
        (
            with(r#"= { type = "kubernetes" config = { role = "r" } }"#),
            Good,
        ),
        (method("min_backoff = 5 max_backoff = \"1m30s\""), Good),
        (method("min_backoff = \"5\" max_backoff = \"1d\""), Good),
        (method("namespace = \"\""), Good),
        (method("min_backoff = \"5x\""), Bad),
        (method("min_backoff = \" 5s\""), Bad),
        (
            method("min_backoff = \"-5s\""),
            Stricter("time does not run backwards"),
        ),
        (method("exit_on_err = true"), Good),
        (method("exit_on_err = \"true\""), Looser(PREDICTABLE)),
        (method("mount_path = 5"), Stricter(SLIP)),
        (
            with(r#""kubernetes" {}"#),
            Stricter("OpenBao finds it out when it logs in"),
        ),
        (with(r#"{ config { role = "r" } }"#), Bad),
        (
            with(r#""kubernetes" { config { role = "r" } } method "jwt" {}"#),
            Bad,
        ),
        (format!("{} {SINK}", sink("")), Good),
        (sink(""), Bad),
        (
            sink(r#"sink { type = "file" config = { path = "/t" mode = 0600 } }"#),
            Good,
        ),
        (
            sink(
                r#"sink "file" { config { path = "/t" } } sink "file" { config { path = "/u" } }"#,
            ),
            Good,
        ),
        (
            sink(
                r#"sinks { sink "file" { config { path = "/t" } } sink { type = "file" config { path = "/u" } } }"#,
            ),
            Good,
        ),
        (
            sink(r#"sinks = [{ sink "file" { config { path = "/t" } } }]"#),
            Good,
        ),
        (sink(r#"sink { config { path = "/t" } }"#), Bad),
        (
            sink(r#"sink "file" {}"#),
            Stricter("OpenBao finds it out when it starts"),
        ),
        (
            sink(r#"sink = [{ type = "file" config { path = "/t" } }]"#),
            Looser(ONE_TREE),
        ),
    ];
    let cases: Vec<_> = cases
        .iter()
        .map(|(text, expect)| (text.as_str(), *expect))
        .collect();
    let frame = |text: &str| {
        format!("vault {{ address = \"http://127.0.0.1:9\" }}\nauto_auth {{ {text} }}")
    };
    check(Syntax::Hcl, frame, &cases);
}

#[test]
fn combinations() {
    const AUTO_AUTH: &str = r#"auto_auth { method "kubernetes" { config { role = "r" } } sink "file" { config { path = "/t" } } }"#;
    const LISTENER: &str = r#"listener "tcp" { address = "127.0.0.1:0" tls_disable = true }"#;
    let both = |text: &str| format!("{AUTO_AUTH}\n{LISTENER}\n{text}");
    let cases = [
        (String::new(), Bad),
        ("cache {}".to_owned(), Bad),
        (format!("cache {{}}\n{AUTO_AUTH}"), Bad),
        (format!("api_proxy {{}}\n{AUTO_AUTH}"), Bad),
        (
            format!("api_proxy {{ use_auto_auth_token = true }}\n{LISTENER}"),
            Bad,
        ),
        (both("api_proxy { use_auto_auth_token = \"Force\" }"), Good),
        (both("api_proxy { use_auto_auth_token = 1 }"), Good),
        (both("api_proxy { use_auto_auth_token = \"maybe\" }"), Bad),
        (both("cache { use_auto_auth_token = \"true\" }"), Good),
        (
            both("cache { use_auto_auth_token = true } api_proxy { use_auto_auth_token = true }"),
            Bad,
        ),
        (both("cache {} cache {}"), Bad),
        (both("cache = true"), Bad),
        (both("vault {} vault {}"), Bad),
        (both("vault { tls_skip_verify = \"maybe\" }"), Bad),
        (
            both("vault { retry { num_retries = 5 } } disable_mlock = true"),
            Good,
        ),
        (both("disable_mlock = false"), Bad),
        (both("log_level = \"loud\""), Bad),
        (both("log_format = \"JSON\""), Good),
        (both("log_format = \"xml\""), Bad),
        (both("exit_after_auth = \"true\""), Looser(PREDICTABLE)),
    ];
    let cases: Vec<_> = cases
        .iter()
        .map(|(text, expect)| (text.as_str(), *expect))
        .collect();
    check(Syntax::Hcl, str::to_owned, &cases);
}

#[test]
fn json() {
    let cases = [
        (
            r#""listener": {"tcp": {"tls_disable": true, "address": "127.0.0.1:0"}}"#,
            Good,
        ),
        (
            r#""listener": [{"tcp": {"tls_disable": true, "address": "127.0.0.1:0"}}]"#,
            Good,
        ),
        (
            r#""listener": [{"type": "tcp", "tls_disable": true, "address": "127.0.0.1:0"}]"#,
            Good,
        ),
        (
            r#""listener": {"unix": {"address": "/a"}}, "listener": {"unix": {"address": "/b"}}"#,
            Good,
        ),
        (
            r#""listener": {"unix": {"address": "/a"}}, "cache": {}"#,
            Good,
        ),
        (
            r#""listener": {"unix": {"address": "/a"}}, "cache": 5"#,
            Bad,
        ),
        (r#""listener": {"unix": {"address": "/a"}} /* no */"#, Bad),
        (
            r#""listener": {"unix": {"address": "/a"}},"#,
            Stricter("this is not JSON"),
        ),
        (
            r#""listener": {"unix": {"address": "/a"}}, "pid_file": null"#,
            Stricter("a key without a value is a slip"),
        ),
        (
            r#""listener": {"unix": {"address": "/a"}}, "cache": null"#,
            Looser("YAML's `cache:` alone"),
        ),
        (
            r#""auto_auth": {"method": {"type": "kubernetes", "config": {"role": "r"}},
               "sink": [{"type": "file", "config": {"path": "/t"}}]}"#,
            Good,
        ),
        (
            r#""auto_auth": {"method": [{"type": "kubernetes", "config": {"role": "r"}}],
               "sinks": [{"sink": {"type": "file", "config": {"path": "/t"}}}]}"#,
            Good,
        ),
        (
            r#""auto_auth": {"method": {"kubernetes": {"config": {"role": "r"}}},
               "sink": [{"file": {"config": {"path": "/t"}}}]}"#,
            Looser("as OpenBao itself reads `listener`"),
        ),
    ];
    let frame =
        |text: &str| format!("{{\"vault\": {{\"address\": \"http://127.0.0.1:9\"}}, {text}}}");
    check(Syntax::Json, frame, &cases);
}
