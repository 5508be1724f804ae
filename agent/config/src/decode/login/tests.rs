//! What each method's parameters come to, and which of them a message names.

use std::time::Duration;

use crate::load::{Flags, load_with_notes};
use crate::model::access_key::{AccessKey, AliCloud, Aws, Secret};
use crate::model::auto_auth::{Azure, Gcp, GcpType, GoogleKey, Login, Method, Password};
use crate::model::vault::ClientCertificate;
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

#[test]
fn cert_takes_what_the_vault_block_does_not_say() {
    let all = r#""cert" { config { name = "web" ca_cert = "/ca" client_cert = "/c" client_key = "/k"
                                  reload = true } }"#;
    let pair = ClientCertificate {
        certificate: "/c".into(),
        key: "/k".into(),
    };
    for (method, mount_path, name, ca_cert, pair, reload) in [
        (all, "auth/cert", Some("web"), Some("/ca"), Some(pair), true),
        (r#""cert" {}"#, "auth/cert", None, None, None, false),
        (
            r#""cert" { mount_path = "auth/tls" }"#,
            "auth/tls",
            None,
            None,
            None,
            false,
        ),
    ] {
        let login = Login::Cert {
            name: name.map(str::to_owned),
            ca_cert: ca_cert.map(Into::into),
            client_certificate: pair,
            reload,
        };
        check(method, mount_path, &login);
    }
    check_mistakes(
        "cert",
        r#"client_cert = "/c""#,
        &["client_cert: is of no use without `client_key`; write both or neither"],
    );
    check_mistakes(
        "cert",
        r#"client_key = "/k""#,
        &["client_key: is of no use without `client_cert`; write both or neither"],
    );
    check_mistakes(
        "cert",
        r#"reload = "often""#,
        &["reload: `often` is not a boolean; write true or false"],
    );
}

#[test]
fn userpass_and_ldap_take_a_name_and_the_file_of_a_password() {
    for (kind, login) in [
        ("userpass", Login::Userpass as fn(Password) -> Login),
        ("ldap", Login::Ldap),
    ] {
        for (flag, remove_after_reading, remove_follows_symlinks) in [
            ("", true, false),
            ("remove_password_after_reading = false", false, false),
            ("remove_password_follows_symlinks = \"true\"", true, true),
        ] {
            let method = format!(
                r#""{kind}" {{ config {{ username = "ann" password_file_path = "/pw" {flag} }} }}"#
            );
            let password = Password {
                username: "ann".to_owned(),
                path: "/pw".into(),
                remove_after_reading,
                remove_follows_symlinks,
            };
            check(&method, &format!("auth/{kind}"), &login(password));
        }
        check_mistakes(
            kind,
            "",
            &["username: is missing", "password_file_path: is missing"],
        );
        check_mistakes(
            kind,
            r#"username = "" password_file_path = "/pw" remove_password_after_reading = 2"#,
            &[
                "username: must not be empty",
                "remove_password_after_reading: is a number; write true or false",
            ],
        );
        check_mistakes(
            kind,
            r#"username = "ann" password_file_path = "/pw" remove_password_follows_symlinks = "on""#,
            &["remove_password_follows_symlinks: `on` is not a boolean; write true or false"],
        );
    }
}

#[test]
fn jwt_takes_a_role_and_the_file_of_a_token() {
    for (flags, remove_after_reading, remove_follows_symlinks) in [
        ("", true, false),
        ("remove_jwt_after_reading = false", false, false),
        ("remove_jwt_follows_symlinks = true", true, true),
    ] {
        let method = format!(r#""jwt" {{ config {{ role = "r" path = "/j" {flags} }} }}"#);
        let login = Login::Jwt {
            role: "r".to_owned(),
            path: "/j".into(),
            remove_after_reading,
            remove_follows_symlinks,
        };
        check(&method, "auth/jwt", &login);
    }
    check_mistakes(
        "jwt",
        r#"role = "r" path = "/j" remove_jwt_follows_symlinks = 2"#,
        &["remove_jwt_follows_symlinks: is a number; write true or false"],
    );
}

#[test]
fn approle_takes_the_files_of_two_ids_and_where_the_second_was_wrapped() {
    let path = "auth/approle/role/r/secret-id";
    let wrapped =
        format!(r#"secret_id_file_path = "/s" secret_id_response_wrapping_path = "{path}""#);
    for (keys, secret_id, remove, wrapping) in [
        ("", None, true, None),
        (r#"secret_id_file_path = "/s""#, Some("/s"), true, None),
        (
            "remove_secret_id_file_after_reading = false",
            None,
            false,
            None,
        ),
        (wrapped.as_str(), Some("/s"), true, Some(path)),
    ] {
        let method = format!(r#""approle" {{ config {{ role_id_file_path = "/r" {keys} }} }}"#);
        let login = Login::AppRole {
            role_id: "/r".into(),
            secret_id: secret_id.map(Into::into),
            remove_secret_id_after_reading: remove,
            secret_id_wrapping_path: wrapping.map(str::to_owned),
        };
        check(&method, "auth/approle", &login);
    }
    let alone = r#""approle" { config { role_id_file_path = "/r" secret_id_response_wrapping_path = "p" } }"#;
    let (_, notes) = read(alone).expect("a good configuration");
    assert_eq!(
        notes,
        ["auto_auth.method.config.secret_id_response_wrapping_path"]
    );
    check_mistakes(
        "approle",
        r#"role_id_file_path = "/r" secret_id_file_path = "/s" secret_id_response_wrapping_path = """#,
        &["secret_id_response_wrapping_path: must not be empty"],
    );
    check_mistakes(
        "approle",
        r#"role_id_file_path = "/r" secret_id_file_path = "/s" secret_id_response_wraping_path = "p""#,
        &[
            "secret_id_response_wraping_path: is not known; did you mean `secret_id_response_wrapping_path`?",
        ],
    );
}

fn access_key(id: &str, secret: &str, token: Option<&str>) -> AccessKey {
    AccessKey {
        id: id.to_owned(),
        secret: Secret(secret.to_owned()),
        token: token.map(|token| Secret(token.to_owned())),
    }
}

#[test]
fn aws_takes_a_role_and_looks_for_a_key_where_none_is_written() {
    let least = r#""aws" { config { type = "iam" role = "app" } }"#;
    let all = r#""aws" { mount_path = "auth/aws-1/" config {
        type = "iam" role = "app" region = "us-gov-west-1" header_value = "vault.example"
        access_key = "AKID" secret_key = "s+/=" session_token = "t" } }"#;
    let aws = Aws {
        role: "app".to_owned(),
        region: "us-east-1".to_owned(),
        header_value: None,
        key: None,
    };
    check(least, "auth/aws", &Login::Aws(aws.clone()));
    let aws = Aws {
        region: "us-gov-west-1".to_owned(),
        header_value: Some("vault.example".to_owned()),
        key: Some(access_key("AKID", "s+/=", Some("t"))),
        ..aws
    };
    check(all, "auth/aws-1", &Login::Aws(aws));
}

#[test]
fn what_is_wrong_with_aws_is_told_by_key() {
    let check = |config: &str, expected: &[&str]| {
        check_mistakes(
            "aws",
            &format!("type = \"iam\" role = \"app\" {config}"),
            expected,
        );
    };
    check_mistakes("aws", "", &["type: is missing", "role: is missing"]);
    check_mistakes(
        "aws",
        r#"type = "ec2" role = """#,
        &[
            "type: `ec2` is not supported: it trusts whoever logs in first with an instance's public document, and \
             hangs on a nonce that a restart forgets; write \"iam\", which signs with the key of the instance's role",
            "role: must not be empty",
        ],
    );
    check_mistakes(
        "aws",
        r#"type = "sts" role = "app""#,
        &["type: `sts` is not a type of the aws method; write \"iam\""],
    );
    check(
        r#"access_key = "AKID""#,
        &["access_key: is of no use without `secret_key`; write both or neither"],
    );
    check(
        r#"secret_key = "s" session_token = "t""#,
        &["secret_key: is of no use without `access_key`; write both or neither"],
    );
    check(
        r#"session_token = "t""#,
        &["session_token: is of no use without `access_key`; write both or neither"],
    );
    check(
        r#"access_key = "AK/ID," secret_key = "s""#,
        &["access_key: is not the id of a key: it holds other characters than letters and digits"],
    );
    for region in [
        "eu central 1",
        "EU-CENTRAL-1",
        "eu.example.com/",
        "-eu",
        "eu-",
    ] {
        check(
            &format!("region = \"{region}\""),
            &[&format!(
                "region: `{region}` is not the name of a region; write one as in \"eu-central-1\""
            )],
        );
    }
    check(
        r#"header_value = "zoë""#,
        &["header_value: must be of printable ASCII characters: it is a header's value"],
    );
    check(
        r#"acces_key = "AKID" credentials = "x""#,
        &[
            "acces_key: is not known; did you mean `access_key`?",
            "credentials: is not known",
        ],
    );
}

#[test]
fn aws_notes_what_has_no_effect() {
    let (_, notes) = read(
        r#""aws" { config { type = "iam" role = "app" credential_poll_interval = 60 nonce = "n" } }"#,
    )
    .expect("a good configuration");
    assert_eq!(
        notes,
        [
            "auto_auth.method.config.credential_poll_interval",
            "auto_auth.method.config.nonce"
        ]
    );
}

#[test]
fn alicloud_takes_a_role_and_a_region_and_looks_for_a_key_where_none_is_written() {
    let alicloud = AliCloud {
        role: "app".to_owned(),
        region: "cn-hangzhou".to_owned(),
        key: None,
        role_name: None,
    };
    check(
        r#""alicloud" { config { role = "app" region = "cn-hangzhou" } }"#,
        "auth/alicloud",
        &Login::AliCloud(alicloud.clone()),
    );
    let alicloud = AliCloud {
        key: Some(access_key("LTAI", "s", Some("t"))),
        role_name: Some("vm".to_owned()),
        ..alicloud
    };
    for secret in ["secret_key", "access_secret"] {
        let method = format!(
            r#""alicloud" {{ config {{ role = "app" region = "cn-hangzhou" access_key = "LTAI" {secret} = "s"
                                      access_token = "t" role_name = "vm" }} }}"#
        );
        check(&method, "auth/alicloud", &Login::AliCloud(alicloud.clone()));
    }
}

#[test]
fn what_is_wrong_with_alicloud_is_told_by_key() {
    check_mistakes("alicloud", "", &["role: is missing", "region: is missing"]);
    let check = |config: &str, expected: &[&str]| {
        check_mistakes("alicloud", &format!("role = \"app\" {config}"), expected);
    };
    check(
        r#"region = "cn hangzhou""#,
        &["region: `cn hangzhou` is not the name of a region; write one as in \"eu-central-1\""],
    );
    check(
        r#"region = "cn-hangzhou" access_secret = "s""#,
        &["access_secret: is of no use without `access_key`; write both or neither"],
    );
    check(
        r#"region = "cn-hangzhou" access_key = "LTAI" access_token = "t""#,
        &["access_key: is of no use without `secret_key`; write both or neither"],
    );
    check(
        r#"region = "cn-hangzhou" access_key = "LTAI" secret_key = "s" access_secret = "s""#,
        &["access_secret: is another name of `secret_key`; write one of them"],
    );
    check(
        r#"region = "cn-hangzhou" role_arn = "acs:ram::1:role/r""#,
        &["role_arn: is Vault Agent's; this version of keyside-agent does not support it"],
    );
}

fn gcp(of: GcpType) -> Gcp {
    Gcp {
        of,
        role: "web".to_owned(),
        credentials: None,
        service_account: None,
        jwt_exp: Duration::from_mins(15),
    }
}

#[test]
fn gcp_takes_what_vault_agent_takes_and_the_path_of_a_key() {
    let with = |of: &str, keys: &str| {
        format!(r#""gcp" {{ config {{ type = "{of}" role = "web" {keys} }} }}"#)
    };
    for (of, read) in [("gce", GcpType::Gce), ("iam", GcpType::Iam)] {
        check(&with(of, ""), "auth/gcp", &Login::Gcp(gcp(read)));
        let keys = r#"service_account = "a@b""#;
        let login = Gcp {
            service_account: Some("a@b".to_owned()),
            ..gcp(read)
        };
        check(&with(of, keys), "auth/gcp", &Login::Gcp(login));
    }
    let key = r#" {"type": "service_account"}"#;
    for (keys, credentials, minutes) in [
        (
            r#"credentials = "/key.json" jwt_exp = 5"#.to_owned(),
            GoogleKey::File("/key.json".into()),
            5,
        ),
        (
            format!("credentials = {key:?} jwt_exp = \"60\""),
            GoogleKey::Text(Secret(key.to_owned())),
            60,
        ),
    ] {
        let login = Gcp {
            credentials: Some(credentials),
            jwt_exp: Duration::from_mins(minutes),
            ..gcp(GcpType::Iam)
        };
        check(&with("iam", &keys), "auth/gcp", &Login::Gcp(login));
    }
    let idle = r#"credentials = "/key.json" jwt_exp = 5 project = "p""#;
    let (_, notes) = read(&with("gce", idle)).expect("a good configuration");
    let field = |key| format!("auto_auth.method.config.{key}");
    assert_eq!(notes, ["credentials", "jwt_exp", "project"].map(field));
}

#[test]
fn what_is_wrong_with_gcp_is_told_by_key() {
    check_mistakes("gcp", "", &["type: is missing", "role: is missing"]);
    let check = |config: &str, expected: &[&str]| {
        check_mistakes("gcp", &format!("role = \"web\" {config}"), expected);
    };
    check(r#"type = "gke""#, &["type: must be \"gce\" or \"iam\""]);
    check(r#"type = """#, &["type: must not be empty"]);
    let minutes = "jwt_exp: must be a whole number from 1 to 60";
    for wrong in ["0", "61", "-1", "\"15m\""] {
        check(&format!("type = \"iam\" jwt_exp = {wrong}"), &[minutes]);
    }
    check(
        r#"type = "iam" jwt_exp = true"#,
        &["jwt_exp: is a boolean; write a whole number"],
    );
    check(
        r#"type = "iam" credentials = 5 service_acount = "a""#,
        &[
            "credentials: is a number; write text in double quotes",
            "service_acount: is not known; did you mean `service_account`?",
        ],
    );
}

#[test]
fn azure_takes_a_resource_and_one_identity_or_the_environments() {
    let azure = Azure {
        role: "web".to_owned(),
        resource: "https://v".to_owned(),
        object_id: None,
        client_id: None,
        scope: None,
        from_environment: false,
    };
    let with = |keys: &str| {
        format!(r#""azure" {{ config {{ role = "web" resource = "https://v" {keys} }} }}"#)
    };
    check(&with(""), "auth/azure", &Login::Azure(azure.clone()));
    let login = Azure {
        object_id: Some("o".to_owned()),
        ..azure.clone()
    };
    check(
        &with(r#"object_id = "o""#),
        "auth/azure",
        &Login::Azure(login),
    );
    let login = Azure {
        client_id: Some("c".to_owned()),
        ..azure.clone()
    };
    check(
        &with(r#"client_id = "c""#),
        "auth/azure",
        &Login::Azure(login),
    );
    let login = Azure {
        scope: Some("api://v/.default".to_owned()),
        from_environment: true,
        ..azure
    };
    let keys = r#"authenticate_from_environment = "true" scope = "api://v/.default""#;
    check(&with(keys), "auth/azure", &Login::Azure(login));
    for (keys, idle) in [
        (r#"scope = "s""#, "scope"),
        (
            r#"authenticate_from_environment = true client_id = "c""#,
            "client_id",
        ),
        (
            r#"authenticate_from_environment = true object_id = "o""#,
            "object_id",
        ),
    ] {
        let (_, notes) = read(&with(keys)).expect("a good configuration");
        assert_eq!(notes, [format!("auto_auth.method.config.{idle}")], "{keys}");
    }
}

#[test]
fn what_is_wrong_with_azure_is_told_by_key() {
    check_mistakes("azure", "", &["role: is missing", "resource: is missing"]);
    check_mistakes(
        "azure",
        r#"role = "" resource = "" "#,
        &["role: must not be empty", "resource: must not be empty"],
    );
    let check = |config: &str, expected: &[&str]| {
        let config = format!("role = \"web\" resource = \"https://v\" {config}");
        check_mistakes("azure", &config, expected);
    };
    check(
        r#"object_id = "o" client_id = "c""#,
        &["client_id: is of no use beside `object_id`; write one of them"],
    );
    check(
        r#"authenticate_from_environment = "maybe""#,
        &["authenticate_from_environment: `maybe` is not a boolean; write true or false"],
    );
    check(
        "object_id = 1 scope = false",
        &[
            "object_id: is a number; write text in double quotes",
            "scope: is a boolean; write text in double quotes",
        ],
    );
}
