//! The limits, what is missing, messages, and any text.

use std::cell::RefCell;

use proptest::prelude::*;

use crate::{Answer, Dependency, Error, Limits, Now, Options, Outcome, Sources, Template, fuzzing};

/// Has this one secret at `kv/app`, once it was asked for twice.
#[derive(Default)]
struct Late(RefCell<usize>);

impl Sources for Late {
    fn fetch(&self, dependency: &Dependency) -> Option<Answer<'_>> {
        let path = "kv/app".to_owned();
        *self.0.borrow_mut() += 1;
        let is_there = *dependency == Dependency::Read { path } && *self.0.borrow() > 1;
        is_there.then_some(br#"{"data":{"password":"hunter2"}}"#.into())
    }

    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn now(&self) -> Now {
        Now::default()
    }
}

fn render(text: &str, limits: Limits) -> Result<Outcome, Error> {
    let sources = Late(RefCell::new(1));
    Template::parse("t", text, Options::default())?.render(&sources, limits)
}

fn fails(text: &str) -> String {
    match render(text, Limits::default()) {
        Err(error) => error.to_string(),
        Ok(outcome) => panic!("{text}: {outcome:?}"),
    }
}

#[test]
fn what_is_missing_is_told_once_and_hides_what_fails_over_it() {
    let text = r#"{{ $s := secret "kv/app" }}{{ secret "/kv/app/" "b=2" "a=1" | len }}{{ len $s.Data.password }}"#;
    let template = Template::parse("t", text, Options::default()).unwrap();
    let outcome = template
        .render(&Late::default(), Limits::default())
        .unwrap();
    let path = || "kv/app".to_owned();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let data = vec![pair("a", "1"), pair("b", "2")];
    let missing = vec![
        Dependency::Read { path: path() },
        Dependency::Write { path: path(), data },
    ];
    assert_eq!(outcome, Outcome::Missing(missing));
}

#[test]
fn delimiters_and_missing_keys_are_options() {
    let options = Options {
        left_delimiter: "<%",
        right_delimiter: "%>",
        error_on_missing_key: true,
    };
    let render = |text| {
        let template = Template::parse("t", text, options).unwrap();
        template.render(&Late(RefCell::new(1)), Limits::default())
    };
    let rendered = render(r#"{{<%- with secret "kv/app" -%> <% .Data.password %><% end %>"#);
    assert_eq!(rendered, Ok(Outcome::Rendered(b"{{hunter2".to_vec())));
    let error = render(r#"<% with secret "kv/app" %><% .Data.user %><% end %>"#).unwrap_err();
    assert!(error.what.contains("no such key"), "{error}");
}

#[test]
fn messages_have_a_place_and_no_value() {
    let text = "a\n  {{ with secret \"kv/app\" }}{{ len .Data.password.length }}{{ end }}";
    let message = fails(text);
    assert!(
        message.starts_with("template t, line 2, column 36: "),
        "{message}"
    );
    for text in [
        r#"{{ with secret "kv/app" }}{{ index .Data .Data.password 1 }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ sprig_fail .Data.password }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ parseJSON .Data.password }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ parseInt .Data.password }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ executeTemplate .Data.password }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ regexMatch (print "(" .Data.password) "a" }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ mustEnv .Data.password }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ base64Decode (print "!" .Data.password) }}{{ end }}"#,
        r#"{{ with secret "kv/app" }}{{ lt .Data.password 1 }}{{ end }}"#,
    ] {
        let message = fails(text);
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn a_function_that_is_not_there_is_named() {
    assert!(fails("{{ key \"a\" }}").contains("`key` is not in Keyside: it reads from Consul"));
    assert!(fails("{{ upper \"a\" }}").contains("`sprig_upper`"));
    assert!(fails("{{ nope }}").contains("no function `nope`"));
}

#[test]
fn no_template_takes_more_than_the_limits() {
    for text in [
        "{{ range loop 0 9223372036854775807 }}{{ end }}",
        "{{ range 9223372036854775807 }}{{ end }}",
        "{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}",
        "{{ define \"a\" }}{{ executeTemplate \"a\" }}{{ end }}{{ template \"a\" }}",
        "{{ sprig_repeat 9223372036854775807 \"ab\" }}",
        "{{ indent 9223372036854775807 \"ab\" }}",
        "{{ sprig_until 9223372036854775807 }}",
        "{{ printf \"%999999d%999999d%999999d%999999d%999999d\" 1 2 3 4 5 }}",
        "{{ $x := \"aa\" }}{{ range loop 60 }}{{ $x = print $x $x }}{{ end }}",
        "{{ $x := sprig_list }}{{ range loop 999 }}{{ $x = sprig_list $x }}{{ end }}",
        "{{ $x := sprig_list 1 }}{{ range loop 60 }}{{ $x = sprig_list $x $x }}{{ end }}{{ $x }}",
        "{{ $x := sprig_list 1 }}{{ range loop 60 }}{{ $x = sprig_list $x $x }}{{ end }}{{ toJSON $x }}",
        "{{ $x := sprig_list 1 }}{{ range loop 60 }}{{ $x = sprig_list $x $x }}{{ end }}{{ sprig_deepCopy $x }}",
        "{{ $d := sprig_dict }}{{ $_ := sprig_set $d \"a\" $d }}",
        "{{ $d := sprig_dict }}{{ $e := $d }}{{ range loop 9999 }}{{ $f := sprig_dict }}{{ $_ := sprig_set $e \"a\" $f }}{{ $e = $f }}{{ end }}",
        "{{ scratch.MapSet \"a\" \"b\" 1 }}{{ scratch.MapSet \"a\" \"c\" (scratch.Get \"a\") }}",
        "{{ range loop 999999 }}aaaaaaaaaa{{ end }}",
        "{{ regexReplaceAll \"\" (sprig_repeat 10000 \"a\") (sprig_repeat 100000 \"b\") }}",
    ] {
        fails(text);
    }
    let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    fails(&format!("{{{{ {deep} }}}}"));
    fails(&"{{ if true }}".repeat(5_000));
    let json = format!("{{{{ parseJSON `{}` }}}}", "[".repeat(5_000));
    fails(&json);
}

/// All templates of the black-box test and of the corpus.
fn corpus() -> Vec<Vec<u8>> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let mut texts = Vec::new();
    for folder in ["tests/template", "fuzz/corpus"] {
        for inner in std::fs::read_dir(format!("{root}{folder}")).unwrap() {
            let inner = inner.unwrap().path();
            if !inner.is_dir() || (folder == "fuzz/corpus" && !inner.ends_with("template")) {
                continue;
            }
            for file in std::fs::read_dir(inner).unwrap() {
                texts.push(std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }
    assert!(texts.len() > 300, "{}", texts.len());
    texts
}

#[test]
fn the_corpus_holds_and_what_it_becomes_by_chance() {
    let texts = corpus();
    let mut random = 7_u64;
    let mut next = |below: usize| {
        // A linear congruential generator: all that is asked of it is variety.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below.max(1)
    };
    for text in &texts {
        fuzzing::template(text);
        for _ in 0..10 {
            let other = &texts[next(texts.len())];
            let (from, to) = (next(text.len()), next(other.len()));
            let mut mixed = text[..from].to_vec();
            mixed.extend_from_slice(&other[to..]);
            let place = next(mixed.len());
            if let Some(byte) = mixed.get_mut(place) {
                *byte = b" {}()|.\"$-0a\\%"[next(14)];
            }
            fuzzing::template(&mixed);
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_rendered_or_refused(text in r#"(\PC|\{\{|\}\}| (if|range|with|end|printf|sprig_dict|\||\.a|\$x|:=|"a"|5) ){0,40}"#) {
        fuzzing::template(text.as_bytes());
    }

    #[test]
    fn any_format_is_written(format in "(%[-+# 0]{0,2}[0-9]{0,2}(\\.[0-9]?)?[a-zA-Z]|\\PC){0,8}") {
        let format = format.replace('`', "");
        let text = format!("{{{{ printf `{format}` 1 \"a\" 1.5 nil true (sprig_list 1 \"a\") }}}}");
        fuzzing::template(text.as_bytes());
    }

    #[test]
    fn any_yaml_that_is_written_is_read_as_the_same(text in "[ -~\n\té#:'\"]{0,12}") {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        let quoted = format!("\"{}\"", escaped.replace('\n', "\\n").replace('\t', "\\t"));
        let round = format!("{{{{ $x := sprig_list {quoted} \"b\" }}}}{{{{ $x | toYAML | parseYAML | sprig_deepEqual $x }}}}");
        prop_assert_eq!(render(&round, Limits::default()), Ok(Outcome::Rendered(b"true".to_vec())));
    }
}
