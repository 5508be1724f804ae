//! What is told when a token is not to be had. That a token is right, Vault's own verification tells: the black-box
//! tests have that.

use super::*;
use crate::web::fake::{Fake, Reply};

fn config(of: GcpType) -> Config {
    Config {
        of,
        role: "web".to_owned(),
        credentials: None,
        service_account: None,
        jwt_exp: Duration::from_mins(15),
    }
}

/// The chain of the error of a login, all of whose requests are answered so.
async fn told(config: &Config, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    let google = Fake::start(move |asked| answer(asked.uri().path())).await;
    let metadata = google.address.trim_start_matches("http://").to_owned();
    let environment = Environment::of(&[
        ("GCE_METADATA_HOST", &metadata),
        (
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS",
            &google.address,
        ),
    ]);
    let error = Gcp::new(config, environment).credential().await;
    let told = keyside_lifecycle::error::chain(&error.unwrap_err());
    assert!(!told.contains("s3cret"), "{told}");
    told.replace(&google.address, "http://google")
}

#[tokio::test]
async fn an_instance_without_an_identity_says_what_the_metadata_server_said() {
    let at = "http://google/computeMetadata/v1/instance/service-accounts/default/identity";
    for (status, body, expected) in [
        (404, "not found", format!("{at} answered 404 Not Found")),
        (503, "", format!("{at} answered 503 Service Unavailable")),
        (
            200,
            "",
            format!("{at} answered something else than expected: one line of text"),
        ),
        (
            200,
            "<html>\nlog in to the Wi-Fi",
            format!("{at} answered something else than expected: one line of text"),
        ),
    ] {
        let told = told(&config(GcpType::Gce), move |_| (status, body.to_owned())).await;
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn what_google_says_of_a_signature_that_it_refuses_is_told() {
    let token = r#"{"access_token": "s3cret"}"#;
    let refusal = r#"{"error": {"code": 403, "status": "PERMISSION_DENIED",
        "message": "Permission 'iam.serviceAccounts.signJwt' denied\n on s3cret (or it may not exist)."}}"#;
    let at = "http://google/v1/projects/-/serviceAccounts/web%40shop:signJwt";
    for (signed, expected) in [
        (
            (403, refusal.to_owned()),
            format!(
                "{at} answered 403 Forbidden: Permission 'iam.serviceAccounts.signJwt' denied on (redacted) (or it \
                 may not exist)."
            ),
        ),
        (
            (200, r#"{"signedJwt": 5}"#.to_owned()),
            format!("{at} answered something else than expected: signedJwt"),
        ),
        (
            (200, "s3cret".to_owned()),
            format!("{at} answered something else than expected: signedJwt"),
        ),
    ] {
        let config = Config {
            service_account: Some("web@shop".to_owned()),
            ..config(GcpType::Iam)
        };
        let answer = move |path: &str| match path {
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                (200, token.to_owned())
            }
            _ => signed.clone(),
        };
        assert_eq!(told(&config, answer).await, expected);
    }
}

#[tokio::test]
async fn an_account_that_nobody_names_is_asked_for() {
    let answer = |path: &str| match path {
        "/computeMetadata/v1/instance/service-accounts/default/email" => (200, "a@b\n".to_owned()),
        "/computeMetadata/v1/instance/service-accounts/default/token" => {
            (200, r#"{"access_token": "s3cret"}"#.to_owned())
        }
        _ => (404, String::new()),
    };
    let told = told(&config(GcpType::Iam), answer).await;
    let expected =
        "http://google/v1/projects/-/serviceAccounts/a%40b:signJwt answered 404 Not Found";
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_key_that_is_none_is_named_without_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.json");
    let field = |name: &str| {
        let mut key = json!({
            "type": "service_account", "client_email": "a@b", "private_key_id": "1", "private_key": "s3cret",
        });
        key[name] = Value::Null;
        key.to_string()
    };
    for (text, expected) in [
        ("{s3cret}".to_owned(), "it is not JSON"),
        (
            "[\"s3cret\"]".to_owned(),
            "its `type` is not `service_account`",
        ),
        (
            r#"{"type": "external_account"}"#.to_owned(),
            "its `type` is not `service_account`",
        ),
        (field("type"), "its `type` is not `service_account`"),
        (field("private_key"), "it has no `private_key`"),
        (field("client_id"), "its `private_key` is no RSA key in PEM"),
    ] {
        for (credentials, place) in [
            (GoogleKey::File(path.clone()), path.display().to_string()),
            (
                GoogleKey::Text(keyside_config::model::access_key::Secret(text.clone())),
                "`credentials`".to_owned(),
            ),
        ] {
            std::fs::write(&path, &text).unwrap();
            let config = Config {
                credentials: Some(credentials),
                ..config(GcpType::Iam)
            };
            let told = told(&config, |_| (500, String::new())).await;
            let expected = format!("{place} holds no key of a service account: {expected}");
            assert_eq!(told, expected);
        }
    }
    std::fs::remove_file(&path).unwrap();
    let config = Config {
        credentials: Some(GoogleKey::File(path.clone())),
        ..config(GcpType::Iam)
    };
    let told = told(&config, |_| (500, String::new())).await;
    assert!(
        told.starts_with(&format!("read {}", path.display())),
        "{told}"
    );
}
