//! Every sentence that a pod's author can be told, word for word: `tests/injector/data/messages.yaml`.
//!
//! What is missing there, or says something else now, fails here. So does a sentence of the program's text that no
//! entry brings up.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::admission::{self, Defaults, Request, Verdict};
use crate::profile::read::profile;
use crate::profile::{Profile, Profiles};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/injector/data/messages.yaml"
);

fn entries() -> Vec<Value> {
    let text = std::fs::read_to_string(FILE).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

/// What the pod of an entry is told: the denial or what becomes of it, then the warnings.
fn said(entry: &Value) -> Vec<String> {
    let mut annotations = json!({ "keyside.dev/inject": "true", "keyside.dev/role": "shop" });
    let all = annotations.as_object_mut().unwrap();
    for (prefix, list) in [("keyside.dev/", "annotations"), ("", "others")] {
        for (key, value) in entry[list].as_object().into_iter().flatten() {
            let key = format!("{prefix}{key}");
            all.remove(&key);
            if !value.is_null() {
                all.insert(key, value.clone());
            }
        }
    }
    let mut spec = entry["spec"].clone();
    if spec.is_null() {
        spec = json!({ "containers": [{ "name": "app", "image": "app" }] });
    }
    let pod = json!({ "metadata": { "annotations": annotations }, "spec": spec });
    let has_vault = entry["no-vault"].is_null();
    let given = |value: &str| has_vault.then(|| value.to_owned());
    let of_all = entry["profile"].as_str().unwrap_or_default();
    let broken: (String, Option<Arc<Profile>>) = ("broken".to_owned(), None);
    let default = profile("default", of_all).unwrap();
    let defaults = Defaults {
        vault_address: given("https://vault.example:8200"),
        vault_namespace: given("team"),
        vault_ca: entry["own-ca"].as_bool().map(|_| "PEM".to_owned()),
        own_namespace: Some("keyside".to_owned()),
        profiles: Profiles::from_iter([("default".to_owned(), Some(default.into())), broken]),
        ..Defaults::new("keyside-agent:0.1.0")
    };
    let request = Request {
        pod: &pod,
        namespace: entry["namespace"].as_str().unwrap_or("shop"),
        operation: "CREATE",
    };
    let (verdict, mut warnings) = match admission::admit(&request, &defaults) {
        Verdict::Denied {
            message, warnings, ..
        } => (format!("denied: {message}"), warnings),
        Verdict::Untouched { warnings, .. } => ("untouched".to_owned(), warnings),
        Verdict::Patched { warnings, .. } => ("injected".to_owned(), warnings),
    };
    warnings.insert(0, verdict);
    warnings
}

#[test]
fn every_message_is_on_record() {
    for entry in entries() {
        let expected: Vec<String> = serde_json::from_value(entry["says"].clone()).unwrap();
        assert_eq!(said(&entry), expected, "{entry}");
    }
}

/// Where sentences for authors of pods are written.
const SOURCES: [&str; 13] = [
    "admission.rs",
    "annotation.rs",
    "annotation/injection.rs",
    "annotation/login.rs",
    "annotation/reader.rs",
    "annotation/value.rs",
    "inject.rs",
    "inject/agent_config.rs",
    "inject/containers.rs",
    "inject/environment.rs",
    "inject/fingerprint.rs",
    "inject/mesh.rs",
    "inject/volumes.rs",
];

/// Sentences that are not for them: the operator's, and those that no pod brings up.
const OTHERS: [&str; 7] = [
    // `authorities` tells the operator at the start; an author is told what is allowed.
    "certificate {number} in it cannot be read",
    "there is no certificate in it",
    "{} bytes of certificates; a pod can be given {MOST_AUTHORITIES}: keep the ones that Vault needs",
    // The flag is read before any pod.
    "the installation's own --vault-address is no address",
    // Where Kubernetes' own types find no fault with a pod, neither does our look at it.
    "a value is not of its field's type",
    // For the log.
    "operation is {}",
    "not annotated with keyside.dev/inject: \"true\"",
];

#[test]
fn every_sentence_of_the_program_is_among_them() {
    let texts: Vec<String> = entries().iter().flat_map(said).collect();
    let all = texts.join("\n");
    let mut count = 0;
    for source in SOURCES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(source);
        let program = std::fs::read_to_string(&path).unwrap();
        let program = program.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for sentence in sentences(program) {
            if OTHERS.contains(&sentence.as_str()) {
                continue;
            }
            for part in parts(&sentence) {
                assert!(all.contains(&part), "{source}: no entry brings up {part:?}");
                count += 1;
            }
        }
    }
    assert!(count > 120, "{count}");
}

/// The string literals with a space in them, but for those of `expect` and of attributes.
fn sentences(program: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = String::new();
    let mut rest = program.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => {
                rest.by_ref().find(|c| *c == '\n');
            }
            '\'' if before.ends_with(['(', '[', ' ']) => {
                // A character, which may be a quote.
                let first = rest.next();
                if first == Some('\\') || rest.peek() == Some(&'\'') {
                    rest.by_ref().find(|c| *c == '\'');
                }
            }
            '"' => {
                let literal = literal(&mut rest);
                let is_none = before.ends_with("expect(") || before.ends_with("reason = ");
                if literal.contains(' ') && !is_none {
                    found.push(literal);
                }
                before.clear();
            }
            c => before.push(c),
        }
    }
    found
}

/// The literal whose opening quote was read, as the compiler reads it.
fn literal(rest: &mut std::iter::Peekable<std::str::Chars>) -> String {
    let mut literal = String::new();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => match rest.next() {
                Some('\n') => while rest.next_if(|c| c.is_whitespace()).is_some() {},
                Some(escaped) => literal.push(escaped),
                None => break,
            },
            c => literal.push(c),
        }
    }
    literal
}

/// What stands between the placeholders, as far as that says anything.
fn parts(sentence: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in sentence.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                parts.push(String::new());
            }
            c if depth == 0 => parts.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    parts.retain(|part| part.trim().len() > 3);
    parts
}

#[test]
fn reads_the_sentences_of_a_program() {
    let program = r#"
        // "not this one"
        let a = "one \
                 line"; let b = expect("not this"); let c = 'x'; let d = ['"'];
        format!("a {b} sentence \"{}\"", "word")
    "#;
    assert_eq!(sentences(program), ["one line", "a {b} sentence \"{}\""]);
    assert_eq!(parts("a {b} sentence: \"{}\""), [" sentence: \""]);
}
