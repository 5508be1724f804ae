//! Where a key is found, with the metadata service played on loopback; and what is made of it.

use super::*;
use crate::web::fake::{Asked, Fake, header};

fn config() -> access_key::AliCloud {
    access_key::AliCloud {
        role: "app".to_owned(),
        region: "cn-hangzhou".to_owned(),
        key: None,
        role_name: None,
    }
}

fn configured() -> access_key::AliCloud {
    let key = access_key::AccessKey {
        id: "CONFIGURED".to_owned(),
        secret: access_key::Secret("s".to_owned()),
        token: None,
    };
    access_key::AliCloud {
        key: Some(key),
        ..config()
    }
}

/// The key, or the chain of the error, which holds no secret.
async fn found(
    config: &access_key::AliCloud,
    variables: &[(&'static str, &str)],
) -> Result<AccessKey, String> {
    let method = AliCloud::new(config, Environment::of(variables));
    method.find().await.map_err(|error| {
        let told = keyside_lifecycle::error::chain(&error);
        assert!(!told.contains("the+"), "{told}");
        told
    })
}

fn service(asked: &Asked) -> (u16, String) {
    const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
    let path = asked.uri().path();
    if asked.method() == http::Method::PUT {
        assert_eq!(path, "/latest/api/token");
        assert_eq!(
            header(asked, "x-aliyun-ecs-metadata-token-ttl-seconds"),
            "60"
        );
        return (200, "session\n".to_owned());
    }
    if header(asked, "x-aliyun-ecs-metadata-token") != "session" {
        return (401, String::new());
    }
    answer(path.strip_prefix(ROLES))
}

fn answer(role: Option<&str>) -> (u16, String) {
    match role {
        Some("") => (200, "vm-role".to_owned()),
        Some(role @ ("vm-role" | "named")) => (
            200,
            json!({
                "Code": "Success", "AccessKeyId": format!("STS.{role}"), "AccessKeySecret": "the+secret",
                "SecurityToken": "the+token", "Expiration": "2099-01-01T00:00:00Z",
            })
            .to_string(),
        ),
        _ => (404, String::new()),
    }
}

#[test]
fn the_body_of_a_login_is_what_vault_documents() {
    let key = AccessKey::new("testid", "testsecret", Some("a+b/c="));
    let body = login(&config(), &key, "nonce-1", Moment(1_767_323_045));
    let decoded = |field: &str| {
        let encoded = body[field].as_str().unwrap();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    };
    assert_eq!(body["role"], "app");
    let url = decoded("identity_request_url");
    let (url, signature) = url.split_once("&Signature=").unwrap();
    assert_eq!(
        url,
        "https://sts.cn-hangzhou.aliyuncs.com/?AccessKeyId=testid&Action=GetCallerIdentity&Format=JSON\
         &RegionId=cn-hangzhou&SecurityToken=a%2Bb%2Fc%3D&SignatureMethod=HMAC-SHA1&SignatureNonce=nonce-1\
         &SignatureVersion=1.0&Timestamp=2026-01-02T03%3A04%3A05Z&Version=2015-04-01"
    );
    // Made with Python's hmac, hashlib and urllib from the documented steps.
    assert_eq!(signature, "u9jO5acVl6a2C0VuE90KlgM%2FvjM%3D");
    let headers: Value = serde_json::from_str(&decoded("identity_request_headers")).unwrap();
    assert!(
        headers.as_object().unwrap().values().all(Value::is_array),
        "{headers}"
    );
}

#[tokio::test]
async fn places_are_looked_at_in_order() {
    let service = Fake::start(service).await;
    let endpoint = (
        "ALIBABA_CLOUD_ECS_METADATA_ENDPOINT",
        service.address.as_str(),
    );
    let all = [
        ("ALICLOUD_ACCESS_KEY", "FIRST"),
        ("ALICLOUD_SECRET_KEY", "s"),
        ("ALICLOUD_ACCESS_KEY_STS_TOKEN", "t"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "SECOND"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "s"),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", "t"),
        endpoint,
    ];
    for (first, expected) in [(0, "FIRST"), (3, "SECOND"), (6, "CONFIGURED")] {
        let key = found(&configured(), &all[first..]).await.unwrap();
        assert_eq!(key.id, expected);
        assert_eq!(key.token.is_some(), first < 6);
    }
    assert!(service.asked().is_empty());
    let key = found(&config(), &[endpoint]).await.unwrap();
    assert_eq!(
        (key.id.as_str(), key.secret.as_str()),
        ("STS.vm-role", "the+secret")
    );
    assert_eq!(key.token.unwrap().as_str(), "the+token");
    assert_eq!(key.until, Moment::parse("2099-01-01T00:00:00Z"));
    assert_eq!(
        service.asked(),
        [
            "PUT /latest/api/token",
            "GET /latest/meta-data/ram/security-credentials/",
            "GET /latest/meta-data/ram/security-credentials/vm-role"
        ]
    );
    assert_eq!(
        found(&configured(), &all[..1]).await.unwrap_err(),
        "ALICLOUD_ACCESS_KEY is set and ALICLOUD_SECRET_KEY is not; set both or neither"
    );
}

#[tokio::test]
async fn a_named_role_is_not_asked_for() {
    let service = Fake::start(service).await;
    let endpoint = (
        "ALIBABA_CLOUD_ECS_METADATA_ENDPOINT",
        service.address.as_str(),
    );
    let named = access_key::AliCloud {
        role_name: Some("named".to_owned()),
        ..config()
    };
    assert_eq!(found(&named, &[endpoint]).await.unwrap().id, "STS.named");
    let variable = ("ALICLOUD_ROLE_NAME", "vm-role");
    assert_eq!(
        found(&named, &[endpoint, variable]).await.unwrap().id,
        "STS.vm-role"
    );
    let strange = ("ALICLOUD_ROLE_NAME", "a/../b c");
    let told = found(&named, &[endpoint, strange]).await.unwrap_err();
    assert!(
        told.ends_with("/a%2F..%2Fb%20c answered 404 Not Found"),
        "{told}"
    );
}

#[tokio::test]
async fn a_service_without_tokens_is_asked_without_one_unless_that_is_ruled_out() {
    let service = Fake::start(|asked| match asked.method().as_str() {
        "PUT" => (404, String::new()),
        _ => answer(
            asked
                .uri()
                .path()
                .strip_prefix("/latest/meta-data/ram/security-credentials/"),
        ),
    })
    .await;
    let endpoint = (
        "ALIBABA_CLOUD_ECS_METADATA_ENDPOINT",
        service.address.as_str(),
    );
    assert_eq!(
        found(&config(), &[endpoint]).await.unwrap().id,
        "STS.vm-role"
    );
    let strict = ("ALIBABA_CLOUD_IMDSV1_DISABLED", "true");
    assert_eq!(
        found(&config(), &[endpoint, strict]).await.unwrap_err(),
        format!(
            "{}/latest/api/token answered 404 Not Found",
            service.address
        )
    );
    let off = ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
    assert_eq!(
        found(&config(), &[endpoint, off]).await.unwrap_err(),
        "there is no access key: none is configured, the environment has none, and the instance's metadata service is \
         switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED"
    );
}

#[tokio::test]
async fn a_temporary_key_is_kept_until_shortly_before_its_end() {
    let service = Fake::start(service).await;
    let endpoint = (
        "ALIBABA_CLOUD_ECS_METADATA_ENDPOINT",
        service.address.as_str(),
    );
    let mut method = AliCloud::new(&config(), Environment::of(&[endpoint]));
    for (time, asked) in [
        ("2098-12-31T00:00:00Z", 3),
        ("2098-12-31T23:54:59Z", 3),
        ("2098-12-31T23:55:00Z", 6),
    ] {
        method.key(Moment::parse(time).unwrap()).await.unwrap();
        assert_eq!(service.asked().len(), asked, "{time}");
    }
}
