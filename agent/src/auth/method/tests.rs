use std::fs;

use keyside_config::model::Limits;
use keyside_config::model::auto_auth;
use keyside_config::model::vault::{ClientCertificate, Vault};

use super::*;
use crate::vault::gate;

fn kubernetes(path: &Path) -> Method {
    Method::new(&Login::Kubernetes {
        role: "app".to_owned(),
        token_path: path.to_owned(),
    })
}

fn jwt(path: &Path, remove_after_reading: bool) -> Method {
    Method::new(&Login::Jwt {
        role: "app".to_owned(),
        path: path.to_owned(),
        remove_after_reading,
        remove_follows_symlinks: false,
    })
}

fn approle(role_id: &Path, secret_id: Option<&Path>) -> Method {
    Method::new(&Login::AppRole {
        role_id: role_id.to_owned(),
        secret_id: secret_id.map(Path::to_owned),
        remove_secret_id_after_reading: true,
        secret_id_wrapping_path: None,
    })
}

/// Of a server that is never asked.
fn client() -> Client {
    let metrics = gate::metrics::Metrics::new(&prometheus::Registry::new()).unwrap();
    let vault = Vault {
        tls_skip_verify: true,
        ..Vault::default()
    };
    Client::new(&vault, gate::Gate::new(&Limits::default(), metrics)).unwrap()
}

/// No file method waits for anything.
fn attempt(method: &mut Method) -> Result<Attempt, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let vault = Asker {
        client: client(),
        namespace: None,
        ends: None,
        within: Duration::from_secs(1),
    };
    runtime.block_on(method.attempt(&vault))
}

fn sent(method: &mut Method) -> serde_json::Value {
    match attempt(method).unwrap() {
        Attempt::LogIn(body) => body.0.clone(),
        Attempt::LookUp(token) => token.expose().into(),
    }
}

fn error(method: &mut Method) -> String {
    attempt(method).unwrap_err().to_string()
}

#[test]
fn kubernetes_reads_the_token_again_at_each_login_and_trims_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let mut method = kubernetes(&path);
    fs::write(&path, "one\n").unwrap();
    assert_eq!(
        sent(&mut method),
        serde_json::json!({"role": "app", "jwt": "one"})
    );
    fs::write(&path, " two \n").unwrap();
    assert_eq!(sent(&mut method)["jwt"], "two");
    assert!(path.exists());
}

#[test]
fn kubernetes_without_a_token_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let mut method = kubernetes(&path);
    assert_eq!(error(&mut method), format!("read {}", path.display()));
    fs::write(&path, " \n").unwrap();
    assert_eq!(error(&mut method), format!("{} is empty", path.display()));
}

#[test]
fn kubernetes_hints_at_the_audience_and_never_shows_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    // {"aud":["vault"],"sub":"x"}
    fs::write(
        &path,
        "eyJhbGciOiJub25lIn0.eyJhdWQiOlsidmF1bHQiXSwic3ViIjoieCJ9.c2ln",
    )
    .unwrap();
    let hint = kubernetes(&path).hint().unwrap();
    assert!(hint.contains(r#"the audience ["vault"]"#), "{hint}");
    assert!(hint.contains("keyside.dev/audience"), "{hint}");
    assert!(!hint.contains("eyJ") && !hint.contains("c2ln"), "{hint}");
    for odd in ["", "x", "a.b.c", "a.bm90IGpzb24.c"] {
        fs::write(&path, odd).unwrap();
        assert_eq!(kubernetes(&path).hint(), None, "{odd}");
    }
}

#[test]
fn jwt_is_removed_when_it_was_accepted_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwt");
    let mut method = jwt(&path, true);
    assert_eq!(error(&mut method), format!("read {}", path.display()));
    fs::write(&path, "one\n").unwrap();
    assert_eq!(
        sent(&mut method),
        serde_json::json!({"role": "app", "jwt": "one"})
    );
    assert!(path.exists(), "nobody has accepted it yet");
    method.logged_in();
    assert!(!path.exists());
    assert_eq!(sent(&mut method)["jwt"], "one");
    fs::write(&path, "").unwrap();
    assert_eq!(
        sent(&mut method)["jwt"],
        "one",
        "an empty file is no new token"
    );
    fs::write(&path, "two").unwrap();
    assert_eq!(sent(&mut method)["jwt"], "two");
    fs::write(&path, "three").unwrap();
    method.logged_in();
    assert!(path.exists(), "it is not the one that was accepted");
    assert_eq!(sent(&mut method)["jwt"], "three");
    method.logged_in();
    assert!(!path.exists());
}

#[test]
fn what_a_link_leads_to_is_removed_only_where_that_is_wanted() {
    for follows in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let [link, between, target] =
            ["link", "between", "target"].map(|name| folder.path().join(name));
        for make in [
            |path: &Path, remove_follows_symlinks| Login::Jwt {
                role: "app".to_owned(),
                path: path.to_owned(),
                remove_after_reading: true,
                remove_follows_symlinks,
            },
            |path: &Path, remove_follows_symlinks| {
                Login::Ldap(auto_auth::Password {
                    username: "ann".to_owned(),
                    path: path.to_owned(),
                    remove_after_reading: true,
                    remove_follows_symlinks,
                })
            },
        ] {
            fs::write(&target, "secret").unwrap();
            drop(fs::remove_file(&link));
            drop(fs::remove_file(&between));
            std::os::unix::fs::symlink(&between, &link).unwrap();
            std::os::unix::fs::symlink(&target, &between).unwrap();
            let mut method = Method::new(&make(&link, follows));
            sent(&mut method);
            method.logged_in();
            assert_eq!(target.exists(), !follows, "{}", method.name());
            assert_eq!(link.is_symlink(), follows, "{}", method.name());
            assert!(between.is_symlink());
            sent(&mut method);
            method.logged_in();
        }
    }
}

#[test]
fn jwt_stays_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwt");
    fs::write(&path, "one").unwrap();
    let mut method = jwt(&path, false);
    sent(&mut method);
    method.logged_in();
    assert!(path.exists());
}

#[test]
fn approle_removes_the_secret_id_only() {
    let folder = tempfile::tempdir().unwrap();
    let (role_id, secret_id) = (folder.path().join("role"), folder.path().join("secret"));
    fs::write(&role_id, "r\n").unwrap();
    let mut method = approle(&role_id, Some(&secret_id));
    assert_eq!(error(&mut method), format!("read {}", secret_id.display()));
    fs::write(&secret_id, "s\n").unwrap();
    let expected = serde_json::json!({"role_id": "r", "secret_id": "s"});
    assert_eq!(sent(&mut method), expected);
    assert!(secret_id.exists(), "nobody has accepted it yet");
    method.logged_in();
    assert!(role_id.exists() && !secret_id.exists());
    fs::remove_file(&role_id).unwrap();
    assert_eq!(sent(&mut method), expected, "both are remembered");
}

#[test]
fn approle_without_a_secret_id_sends_none() {
    let folder = tempfile::tempdir().unwrap();
    let role_id = folder.path().join("role");
    fs::write(&role_id, "r").unwrap();
    assert_eq!(
        sent(&mut approle(&role_id, None)),
        serde_json::json!({"role_id": "r"})
    );
}

#[test]
fn a_token_file_is_read_again_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let mut method = Method::new(&Login::TokenFile { path: path.clone() });
    assert_eq!(method.path(""), "auth/token/lookup-self");
    assert_eq!(error(&mut method), format!("read {}", path.display()));
    fs::write(&path, " s.one\n").unwrap();
    assert_eq!(sent(&mut method), "s.one");
    fs::write(&path, "s.two").unwrap();
    assert_eq!(sent(&mut method), "s.two");
    fs::remove_file(&path).unwrap();
    assert_eq!(sent(&mut method), "s.two");
    fs::write(&path, "two\nlines").unwrap();
    assert_eq!(
        error(&mut method),
        format!("{} holds something that is no token", path.display())
    );
}

#[test]
fn a_cert_login_sends_its_name_and_needs_no_client_of_its_own() {
    for (name, body) in [
        (None, serde_json::json!({})),
        (Some("web"), serde_json::json!({"name": "web"})),
    ] {
        let mut method = Method::new(&Login::Cert {
            name: name.map(str::to_owned),
            ca_cert: None,
            client_certificate: None,
            reload: false,
        });
        assert_eq!(method.path("auth/tls"), "auth/tls/login");
        assert_eq!(sent(&mut method), body);
        assert!(method.client().is_none());
    }
}

#[test]
fn a_certificate_that_cannot_be_read_is_a_missing_credential_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tls.crt");
    let mut method = Method::new(&Login::Cert {
        name: None,
        ca_cert: None,
        client_certificate: Some(ClientCertificate {
            certificate: path.clone(),
            key: folder.path().join("tls.key"),
        }),
        reload: false,
    });
    let error = attempt(&mut method).unwrap_err();
    let told = keyside_lifecycle::error::chain(&error);
    assert!(told.contains(&format!("read {}", path.display())), "{told}");
}

#[test]
fn a_password_is_sent_to_the_path_of_its_user_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    for login in [Login::Userpass as fn(_) -> _, Login::Ldap] {
        for (username, segment) in [
            ("ann.o-hara_1~", "ann.o-hara_1~"),
            ("a b/c%?#", "a%20b%2Fc%25%3F%23"),
            ("zo\u{eb}@x", "zo%C3%AB%40x"),
        ] {
            let mut method = Method::new(&login(auto_auth::Password {
                username: username.to_owned(),
                path: path.clone(),
                remove_after_reading: true,
                remove_follows_symlinks: false,
            }));
            assert_eq!(method.path("auth/m"), format!("auth/m/login/{segment}"));
            assert_eq!(error(&mut method), format!("read {}", path.display()));
            fs::write(&path, " p w \r\n").unwrap();
            let expected = serde_json::json!({"password": " p w "});
            assert_eq!(sent(&mut method), expected);
            assert!(path.exists());
            method.logged_in();
            assert!(!path.exists());
            assert_eq!(sent(&mut method), expected, "it is remembered");
        }
    }
}

#[test]
fn a_password_stays_where_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    fs::write(&path, "pw").unwrap();
    let mut method = Method::new(&Login::Ldap(auto_auth::Password {
        username: "ann".to_owned(),
        path: path.clone(),
        remove_after_reading: false,
        remove_follows_symlinks: true,
    }));
    sent(&mut method);
    method.logged_in();
    assert!(path.exists());
}
