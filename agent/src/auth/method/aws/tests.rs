//! Where a key is found, with the services that are asked for it played on loopback; and what is made of it.

use std::fs;
use std::path::Path;

use super::*;
use crate::web::fake::{Asked, Fake, header};

const ID: &str = "ASIAEXAMPLE";
/// No message may hold these.
const SECRETS: [&str; 3] = ["the+secret", "the/token", "eyJ.web.identity"];

fn config() -> access_key::Aws {
    access_key::Aws {
        role: "app".to_owned(),
        region: "eu-central-1".to_owned(),
        header_value: None,
        key: None,
    }
}

fn aws(variables: &[(&'static str, &str)]) -> Aws {
    Aws::new(&config(), Environment::of(variables))
}

/// The key's id, or the chain of the error, which holds no secret.
async fn found(variables: &[(&'static str, &str)]) -> Result<String, String> {
    let found = aws(variables).find().await;
    found
        .map(|key| {
            assert_eq!(key.secret.as_str(), "the+secret");
            key.id
        })
        .map_err(|error| {
            let told = keyside_lifecycle::error::chain(&error);
            assert!(
                !SECRETS.iter().any(|secret| told.contains(secret)),
                "{told}"
            );
            told
        })
}

fn temporary(until: &str) -> String {
    json!({
        "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": ID, "SecretAccessKey": "the+secret",
        "Token": "the/token", "Expiration": until,
    })
    .to_string()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the body says, decoded.
fn decoded(body: &Value, field: &str) -> String {
    let encoded = body[field].as_str().unwrap();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

#[test]
fn the_body_of_a_login_is_what_vault_documents() {
    let mut config = config();
    config.header_value = Some("vault.example".to_owned());
    let key = AccessKey::new("AKID", "s", Some("tok"));
    let body = login(&config, &key, Moment(1_767_323_045));
    assert_eq!(body["role"], "app");
    assert_eq!(body["iam_http_request_method"], "POST");
    assert_eq!(
        decoded(&body, "iam_request_url"),
        "https://sts.eu-central-1.amazonaws.com/"
    );
    assert_eq!(decoded(&body, "iam_request_body"), BODY);
    let headers: Value = serde_json::from_str(&decoded(&body, "iam_request_headers")).unwrap();
    let authorization = headers["Authorization"][0].as_str().unwrap();
    assert!(
        authorization.starts_with(
            "AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-central-1/sts/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-vault-aws-iam-server-id, Signature="
        ),
        "{authorization}"
    );
    assert_eq!(
        headers,
        json!({
            "Authorization": [authorization],
            "Content-Type": ["application/x-www-form-urlencoded; charset=utf-8"],
            "Host": ["sts.eu-central-1.amazonaws.com"],
            "X-Amz-Date": ["20260102T030405Z"],
            "X-Amz-Security-Token": ["tok"],
            "X-Vault-AWS-IAM-Server-ID": ["vault.example"],
        })
    );
    // Nothing that is not there is signed.
    config.header_value = None;
    let body = login(&config, &AccessKey::new("AKID", "s", None), Moment(0));
    let headers = decoded(&body, "iam_request_headers");
    assert!(
        !headers.contains("Token") && !headers.contains("Vault"),
        "{headers}"
    );
}

#[test]
fn each_region_has_its_host() {
    for (region, expected) in [
        ("us-east-1", "sts.amazonaws.com"),
        ("us-east-2", "sts.us-east-2.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
        ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
    ] {
        assert_eq!(host(region), expected);
    }
}

/// Each place but the last is set up, and the places after it as well: the first one counts.
#[tokio::test]
async fn places_are_looked_at_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (credentials, token) = (
        folder.path().join("credentials"),
        folder.path().join("token"),
    );
    fs::write(&token, "eyJ.web.identity").unwrap();
    let section = "[default]\naws_access_key_id = FILE\naws_secret_access_key = the+secret\n";
    fs::write(&credentials, section).unwrap();
    let container = Fake::start(|_| {
        (
            200,
            temporary("2099-01-01T00:00:00Z").replace(ID, "CONTAINER"),
        )
    })
    .await;
    let instance = Fake::start(instance_service).await;
    let sts = Fake::start(|_| (200, sts_answer().replace(ID, "WEB"))).await;
    let all = [
        vec![
            ("AWS_ACCESS_KEY_ID", "ENV"),
            ("AWS_SECRET_ACCESS_KEY", "the+secret"),
        ],
        vec![
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(&token)),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
            ("AWS_ENDPOINT_URL_STS", &sts.address),
        ],
        vec![("AWS_SHARED_CREDENTIALS_FILE", text(&credentials))],
        vec![("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container.address)],
        vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", &instance.address)],
    ];
    for (first, expected) in ["ENV", "WEB", "FILE", "CONTAINER", ID]
        .into_iter()
        .enumerate()
    {
        let variables = all
            .iter()
            .skip(first)
            .flatten()
            .copied()
            .collect::<Vec<_>>();
        assert_eq!(found(&variables).await.as_deref(), Ok(expected));
    }
    let mut configured = aws(&all.concat());
    configured.config.key = Some(access_key::AccessKey {
        id: "CONFIGURED".to_owned(),
        secret: access_key::Secret("s".to_owned()),
        token: None,
    });
    assert_eq!(configured.find().await.unwrap().id, "CONFIGURED");
}

fn sts_answer() -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n\
         <AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>s</SubjectFromWebIdentityToken>\n\
         <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>\n\
         <Credentials>\n  <SessionToken>the/token</SessionToken>\n  <SecretAccessKey>the+secret</SecretAccessKey>\n\
         <Expiration>2099-01-01T00:00:00Z</Expiration>\n  <AccessKeyId>{ID}</AccessKeyId>\n</Credentials>\n\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
}

#[tokio::test]
async fn a_web_identity_is_exchanged_for_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "eyJ.web.identity\n").unwrap();
    let sts = Fake::start(|asked| {
        assert_eq!(header(asked, "content-type"), "application/x-www-form-urlencoded");
        assert_eq!(header(asked, "authorization"), "");
        assert_eq!(
            asked.body().as_ref(),
            b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
              &RoleSessionName=a%40b&WebIdentityToken=eyJ.web.identity"
        );
        (200, sts_answer())
    })
    .await;
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", text(&token)),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ROLE_SESSION_NAME", "a@b"),
        ("AWS_ENDPOINT_URL_STS", &sts.address),
    ];
    let key = aws(&variables).find().await.unwrap();
    assert_eq!((key.id.as_str(), key.secret.as_str()), (ID, "the+secret"));
    assert_eq!(key.token.as_ref().unwrap().as_str(), "the/token");
    assert_eq!(key.until, Moment::parse("2099-01-01T00:00:00Z"));
    assert_eq!(sts.asked(), ["POST /"]);

    let [file, ..] = variables;
    assert_eq!(
        found(&[file]).await.unwrap_err(),
        "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not; set both or neither"
    );
    fs::remove_file(&token).unwrap();
    let told = found(&variables).await.unwrap_err();
    assert!(
        told.starts_with(&format!("read {}: No such file", token.display())),
        "{told}"
    );
}

#[tokio::test]
async fn a_refused_web_identity_names_the_code_and_nothing_that_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "eyJ.web.identity").unwrap();
    for (status, body, said) in [
        (
            400,
            "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>\
             <Message>eyJ.web.identity is bad</Message></Error></ErrorResponse>",
            "answered 400 Bad Request: InvalidIdentityToken",
        ),
        (
            403,
            "<Error><Code>eyJ.web.identity</Code></Error>",
            "answered 403 Forbidden",
        ),
        (503, "", "answered 503 Service Unavailable"),
        (
            200,
            "{}",
            "answered something else than expected: an access key",
        ),
        (
            200,
            "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>the+secret&amp;</SecretAccessKey>\
             <SessionToken>t</SessionToken></Credentials>",
            "answered something else than expected: an access key",
        ),
    ] {
        let sts = Fake::start(move |_| (status, body.to_owned())).await;
        let told = found(&[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", text(&token)),
            ("AWS_ROLE_ARN", "r"),
            ("AWS_ENDPOINT_URL_STS", &sts.address),
        ])
        .await
        .unwrap_err();
        assert_eq!(told, format!("{}/ {said}", sts.address));
    }
}

#[tokio::test]
async fn the_shared_file_is_read_by_profile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".aws/credentials");
    let home = ("HOME", text(folder.path()));
    let off = ("AWS_EC2_METADATA_DISABLED", "TRUE");
    let none = "there is no access key: none is configured, the environment and ~/.aws/credentials have none, and the \
                instance's metadata service is switched off by AWS_EC2_METADATA_DISABLED";
    assert_eq!(found(&[home, off]).await.unwrap_err(), none);
    fs::create_dir(folder.path().join(".aws")).unwrap();
    fs::write(
        &path,
        "# of ann\n[ default ]\naws_access_key_id=OLD\naws_access_key_id = HOME\naws_secret_access_key = the+secret\n\
         \n[other]\naws_access_key_id = OTHER ; \n[ops] # x\naws_secret_access_key = the+secret\n\
         aws_access_key_id = OPS\naws_session_token =\n; [default]\n[role]\nrole_arn = arn\nsource_profile = ops\n",
    )
    .unwrap();
    assert_eq!(found(&[home, off]).await.as_deref(), Ok("HOME"));
    let with = |profile| [home, off, ("AWS_PROFILE", profile)];
    assert_eq!(found(&with("ops")).await.as_deref(), Ok("OPS"));
    let path = path.display();
    for (profile, told) in [
        ("nobody", "is not there"),
        ("other", "lacks aws_secret_access_key"),
        (
            "role",
            "has no aws_access_key_id; roles, processes and single sign-on of a profile are not supported",
        ),
    ] {
        assert_eq!(
            found(&with(profile)).await.unwrap_err(),
            format!("{path} is read, and its profile {profile:?} {told}")
        );
    }
    let absent = [("AWS_SHARED_CREDENTIALS_FILE", "/absent/credentials"), off];
    let told = found(&absent).await.unwrap_err();
    assert!(told.starts_with("read /absent/credentials: "), "{told}");
}

#[tokio::test]
async fn a_container_is_asked_with_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "from-file\n").unwrap();
    let service = Fake::start(|asked| match header(asked, "authorization") {
        "from-file" | "from-variable" => (200, temporary("2099-01-01T00:00:00Z")),
        other => (401, format!("{other}: the+secret")),
    })
    .await;
    let full = format!("{}/v1/credentials?a=b", service.address);
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", full.as_str());
    let variable = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "from-variable");
    let file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", text(&token));
    let wrong = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong");
    assert_eq!(found(&[full, variable]).await.as_deref(), Ok(ID));
    assert_eq!(found(&[full, file, wrong]).await.as_deref(), Ok(ID));
    assert_eq!(
        found(&[full, wrong]).await.unwrap_err(),
        format!(
            "{}/v1/credentials answered 401 Unauthorized",
            service.address
        )
    );
    assert_eq!(service.asked(), ["GET /v1/credentials?a=b"; 3]);
    let two_lines = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the/token\nx");
    let told = found(&[full, two_lines]).await.unwrap_err();
    assert!(
        told.starts_with(&format!("ask {}/v1/credentials: ", service.address)),
        "{told}"
    );
}

#[tokio::test]
async fn a_containers_token_goes_to_nobody_else() {
    for uri in [
        "http://example.com/",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "http://169.254.170.2.example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1@example.com/",
        "http://[fd00:ec2::24]/",
    ] {
        assert_eq!(
            found(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri)])
                .await
                .unwrap_err(),
            "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor the address of this host, of ECS or of EKS",
            "{uri}"
        );
    }
    for (name, value, expected) in [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/c",
            "http://169.254.170.23/v1/c",
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://[fd00:ec2::23]/v1/c",
            "http://[fd00:ec2::23]/v1/c",
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://[::1]:80/",
            "http://[::1]:80/",
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://localhost/c",
            "http://localhost/c",
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "https://example.com/c",
            "https://example.com/c",
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "/v2/c?id=1",
            "http://169.254.170.2/v2/c?id=1",
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "@example.com/",
            "http://169.254.170.2/@example.com/",
        ),
    ] {
        let endpoint = container::endpoint(&Environment::of(&[(name, value)])).unwrap();
        assert_eq!(endpoint.unwrap().to_string(), expected);
    }
}

fn instance_service(asked: &Asked) -> (u16, String) {
    let token = header(asked, "x-aws-ec2-metadata-token");
    match (asked.method().as_str(), asked.uri().path()) {
        ("PUT", "/latest/api/token") => {
            assert_eq!(header(asked, "x-aws-ec2-metadata-token-ttl-seconds"), "60");
            (200, "session".to_owned())
        }
        ("GET", _) if token != "session" => (401, String::new()),
        ("GET", "/latest/meta-data/iam/security-credentials/") => (200, "web-role\n".to_owned()),
        ("GET", "/latest/meta-data/iam/security-credentials/web-role") => {
            (200, temporary("2099-01-01T00:00:00Z"))
        }
        _ => (404, String::new()),
    }
}

#[tokio::test]
async fn an_instance_is_asked_for_a_token_its_role_and_its_key() {
    let service = Fake::start(instance_service).await;
    let endpoint = (
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        service.address.as_str(),
    );
    assert_eq!(found(&[endpoint]).await.as_deref(), Ok(ID));
    assert_eq!(
        service.asked(),
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/iam/security-credentials/",
            "GET /latest/meta-data/iam/security-credentials/web-role"
        ]
    );
    let without_role = Fake::start(|asked| match asked.method().as_str() {
        "PUT" => (200, "session".to_owned()),
        _ => (404, String::new()),
    })
    .await;
    let endpoint = (
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        without_role.address.as_str(),
    );
    assert_eq!(
        found(&[endpoint]).await.unwrap_err(),
        "there is no access key: none is configured, the environment and ~/.aws/credentials have none, and the \
         instance has no role"
    );
}

/// The listener never accepts: what is asked stays in its queue.
#[tokio::test(start_paused = true)]
async fn an_instance_that_does_not_answer_is_given_up_soon() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let told = found(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address)])
        .await
        .unwrap_err();
    assert!(
        told.starts_with(&format!(
            "{address}/latest/api/token did not answer within 3s; it was asked last"
        )),
        "{told}"
    );
}

#[tokio::test]
async fn a_temporary_key_is_kept_until_shortly_before_its_end() {
    let service = Fake::start(|_| (200, temporary("2026-01-01T01:00:00Z"))).await;
    let mut aws = aws(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &service.address)]);
    let at = |time| Moment::parse(time).unwrap();
    for (time, asked) in [
        ("2026-01-01T00:00:00Z", 1),
        ("2026-01-01T00:54:59Z", 1),
        ("2026-01-01T00:55:00Z", 2),
        ("2026-01-01T00:56:00Z", 3),
        // A clock that was put back: the key lasts again.
        ("2026-01-01T00:00:00Z", 3),
    ] {
        assert_eq!(aws.key(at(time)).await.unwrap().id, ID);
        assert_eq!(service.asked().len(), asked, "{time}");
    }
}
