//! What each method's parameters come to, and which of them a message names.

use crate::load::{Flags, load_with_notes};
use crate::model::auto_auth::{Login, Method};
use crate::source::{Source, Syntax};

/// The method, and the fields that were noted to have no effect.
fn read(method: &str) -> Result<(Method, Vec<String>), String> {
    let source = Source {
        name: "a.hcl".to_owned(),
        syntax: Syntax::Hcl,
        text: format!(
            "auto_auth {{ method {method}\n sink \"file\" {{ config {{ path = \"/t\" }} }} }}"
        ),
    };
    let loaded = load_with_notes(&[source], &|_| None, &Flags::default());
    let loaded = loaded.map_err(|mistakes| mistakes.to_string())?;
    let notes = loaded.notes.into_iter().map(|note| note.field).collect();
    let auto_auth = loaded.config.auto_auth.expect("an auto_auth block");
    Ok((auto_auth.method, notes))
}

#[track_caller]
fn check(method: &str, mount_path: &str, login: &Login) {
    let (read, notes) = read(method).unwrap_or_else(|mistakes| panic!("{method}: {mistakes}"));
    assert_eq!(
        (read.mount_path.as_str(), &read.login),
        (mount_path, login),
        "{method}"
    );
    assert!(notes.is_empty(), "{method}: {notes:?}");
}

/// Each mistake of `kind` with these parameters, as field and text.
#[track_caller]
fn check_mistakes(kind: &str, config: &str, expected: &[&str]) {
    let method = format!("\"{kind}\" {{ config {{ {config} }} }}");
    let mistakes = read(&method).expect_err(&method);
    let found: Vec<_> = mistakes
        .lines()
        .filter_map(|line| Some(line.split_once("auto_auth.method.config.")?.1))
        .collect();
    assert_eq!(found, expected, "{method}: {mistakes}");
}

#[test]
fn token_file_takes_a_path_and_has_no_mount() {
    let login = Login::TokenFile {
        path: "/token".into(),
    };
    check(
        r#""token_file" { config { token_file_path = "/token" } }"#,
        "",
        &login,
    );
    let (method, notes) =
        read(r#""token_file" { mount_path = "auth/token" config { token_file_path = "/token" } }"#)
            .expect("a good configuration");
    assert_eq!(method.mount_path, "");
    assert_eq!(notes, ["auto_auth.method.mount_path"]);
    check_mistakes("token_file", "", &["token_file_path: is missing"]);
    check_mistakes(
        "token_file",
        r#"token_file_path = """#,
        &["token_file_path: must not be empty"],
    );
    check_mistakes(
        "token_file",
        r#"token_file_path = "/t" role = "r""#,
        &["role: is not known"],
    );
}
