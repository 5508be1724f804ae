//! Whom the environment makes the agent, and what is told when a token is not to be had.

use super::*;
use crate::web::fake::{Asked, Fake, Reply, header};

fn config(from_environment: bool) -> Config {
    Config {
        role: "web".to_owned(),
        resource: "https://v".to_owned(),
        object_id: None,
        client_id: None,
        scope: None,
        from_environment,
    }
}

/// The body of a login, or the chain of its error; and the requests that it took.
async fn tried(
    config: &Config,
    variables: &[(&'static str, &str)],
    answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
) -> (Result<Value, String>, Vec<String>) {
    let azure = Fake::start(answer).await;
    let endpoint = format!("{}/msi/token", azure.address);
    let mut all = vec![
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.address.as_str()),
        ("AZURE_AUTHORITY_HOST", &azure.address),
    ];
    all.extend(variables.iter().map(|(name, value)| match *name {
        "IDENTITY_ENDPOINT" => (*name, endpoint.as_str()),
        _ => (*name, *value),
    }));
    let method = Azure::new(config, Environment::of(&all));
    let tried = method.credential().await;
    let tried = tried.map(|body| body.0.clone()).map_err(|error| {
        let told = keyside_lifecycle::error::chain(&error);
        assert!(!told.contains("s3cret"), "{told}");
        told.replace(&azure.address, "http://azure")
    });
    (tried, azure.asked())
}

/// Gives a token out for whatever is right, and knows no machine.
fn service(asked: &Asked) -> Reply {
    let token = |of: &str| (200, json!({ "access_token": of }).to_string());
    let form = String::from_utf8_lossy(asked.body()).into_owned();
    match asked.uri().path() {
        "/metadata/identity/oauth2/token" if header(asked, "metadata") == "true" => {
            token("machine")
        }
        "/msi/token" if header(asked, "x-identity-header") == "s3cret" => token("platform"),
        "/t/oauth2/v2.0/token" if form.contains("&client_secret=s3cret") => token("secret"),
        "/t/oauth2/v2.0/token" if form.contains("&client_assertion=s3cret") => token("workload"),
        _ => (404, String::new()),
    }
}

#[tokio::test]
async fn the_environment_says_who_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    let file = file.to_str().unwrap();
    let machine =
        "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fv";
    let client = format!("{machine}&client_id=c");
    let platform = "GET /msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fv&client_id=c";
    let directory = "POST /t/oauth2/v2.0/token";
    let secret = ("AZURE_CLIENT_SECRET", "s3cret");
    let workload = ("AZURE_FEDERATED_TOKEN_FILE", file);
    let endpoint = [("IDENTITY_ENDPOINT", "x"), ("IDENTITY_HEADER", "s3cret")];
    let [tenant, id] = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
    for (variables, who, asked) in [
        (vec![], "machine", machine),
        (vec![id], "machine", &client),
        (vec![tenant, id], "machine", &client),
        (vec![endpoint[0]], "machine", machine),
        (vec![endpoint[0], endpoint[1], id], "platform", platform),
        (vec![tenant, id, workload], "workload", directory),
        (vec![tenant, id, workload, secret], "secret", directory),
        (
            vec![tenant, id, secret, endpoint[0], endpoint[1]],
            "secret",
            directory,
        ),
    ] {
        let (body, requests) = tried(&config(true), &variables, service).await;
        assert_eq!(
            body,
            Ok(json!({ "role": "web", "jwt": who })),
            "{variables:?}"
        );
        assert_eq!(
            requests,
            [asked, "GET /metadata/instance?api-version=2018-02-01"],
            "{variables:?}"
        );
    }
    for half in [vec![secret], vec![tenant, workload], vec![id, secret]] {
        let (told, requests) = tried(&config(true), &half, service).await;
        let told = told.unwrap_err();
        assert!(told.contains("AZURE_TENANT_ID"), "{told}");
        assert!(requests.is_empty());
    }
}

#[tokio::test]
async fn the_scope_is_what_the_token_is_for() {
    let variables = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_SECRET", "s3cret"),
    ];
    for (scope, escaped) in [
        (None, "https%3A%2F%2Fv%2F.default"),
        (Some("api://v/.default"), "api%3A%2F%2Fv%2F.default"),
    ] {
        let config = Config {
            scope: scope.map(str::to_owned),
            ..config(true)
        };
        let expected = format!(
            "client_id=c&grant_type=client_credentials&scope={escaped}&client_secret=s3cret"
        );
        let answer = move |asked: &Asked| {
            let form = std::str::from_utf8(asked.body()).unwrap();
            let is_form = header(asked, "content-type") == "application/x-www-form-urlencoded";
            let status = if form == expected && is_form {
                200
            } else {
                400
            };
            (status, r#"{"access_token": "a"}"#.to_owned())
        };
        let (body, _) = tried(&config, &variables, answer).await;
        assert_eq!(body, Ok(json!({ "role": "web", "jwt": "a" })), "{scope:?}");
    }
}

/// Without the environment the login is that of a machine.
#[tokio::test]
async fn a_machine_that_is_not_known_does_not_log_in() {
    let (told, _) = tried(&config(false), &[], service).await;
    let expected = "http://azure/metadata/instance answered 404 Not Found";
    assert_eq!(told, Err(expected.to_owned()));
}

/// Nothing answers: a service that only takes connections.
#[tokio::test(start_paused = true)]
async fn a_workload_does_not_wait_long_for_the_name_of_its_machine() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", address.as_str())];
    let method = Azure::new(&config(true), Environment::of(&variables));
    let began = time::Instant::now();
    assert_eq!(method.instance_if_there().await, Value::Null);
    assert_eq!(began.elapsed(), PATIENCE);
}

#[tokio::test]
async fn what_azure_says_of_a_refusal_is_told() {
    let at = "http://azure/metadata/identity/oauth2/token answered";
    let refusal = r#"{"error": "invalid_request", "error_description": "Identity not found"}"#;
    for (status, body, expected) in [
        (
            400,
            refusal,
            format!("{at} 400 Bad Request: Identity not found"),
        ),
        (429, "", format!("{at} 429 Too Many Requests")),
        (
            200,
            "{}",
            format!("{at} something else than expected: access_token"),
        ),
        (
            200,
            r#"{"access_token": "a b"}"#,
            format!("{at} something else than expected: access_token"),
        ),
    ] {
        let answer = move |_: &Asked| (status, body.to_owned());
        let (told, _) = tried(&config(false), &[], answer).await;
        assert_eq!(told, Err(expected));
    }
    let directory = r#"{"error": "invalid_client",
        "error_description": "AADSTS70021: No matching federated identity record found for s3cret.\r\nTrace ID: 1"}"#;
    let variables = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_SECRET", "s3cret"),
    ];
    let answer = move |_: &Asked| (401, directory.to_owned());
    let (told, _) = tried(&config(true), &variables, answer).await;
    let expected = "http://azure/t/oauth2/v2.0/token answered 401 Unauthorized: AADSTS70021: No matching federated \
                    identity record found for (redacted). Trace ID: 1";
    assert_eq!(told, Err(expected.to_owned()));
}
