use std::collections::BTreeSet;

use keyside_config::load;
use keyside_config::source::{Source, Syntax};
use serde_json::{Value, json};

use super::*;
use crate::admission::{self, Request, Verdict};

/// What becomes of a pod with these annotations: the agent's method, its mounts and the files' volume; or the message.
fn ask(annotations: &[(&str, &str)]) -> Result<(Value, Value, Vec<String>), String> {
    let prefixed = |(key, value): &(&str, &str)| (format!("keyside.dev/{key}"), json!(value));
    let mut annotations: serde_json::Map<_, _> = annotations.iter().map(prefixed).collect();
    annotations.insert("keyside.dev/inject".to_owned(), json!("true"));
    let pod = json!({
        "metadata": { "annotations": annotations },
        "spec": { "containers": [{ "name": "app", "image": "app" }] },
    });
    let request = Request {
        pod: &pod,
        namespace: "shop",
        operation: "CREATE",
    };
    let defaults = Defaults {
        vault_address: Some("https://vault.example:8200".to_owned()),
        ..Defaults::new("keyside-agent:0.1.0")
    };
    match admission::admit(&request, &defaults) {
        Verdict::Patched {
            patch, warnings, ..
        } => {
            let pod = crate::inject::patch::applied(&pod, &patch);
            let agent = &pod["spec"]["initContainers"][0];
            let text = agent["env"][0]["value"].as_str().unwrap().to_owned();
            let source = Source {
                name: "KEYSIDE_CONFIG".to_owned(),
                syntax: Syntax::Json,
                text: text.clone(),
            };
            // The agent itself takes it.
            load::load(&[source], &|_| None, &load::Flags::default()).unwrap();
            let config: Value = serde_json::from_str(&text).unwrap();
            let volumes = pod["spec"]["volumes"].as_array().unwrap();
            let mounts = agent["volumeMounts"].as_array().unwrap();
            let mounts: Vec<_> = mounts.iter().map(|mount| &mount["name"]).collect();
            let names: Vec<_> = volumes.iter().map(|volume| &volume["name"]).collect();
            assert_eq!(mounts, names, "all volumes are the agent's");
            let files = volumes
                .iter()
                .find(|volume| volume["name"] == "keyside-files")
                .map_or(Value::Null, |volume| volume["projected"]["sources"].clone());
            let method = config["auto_auth"]["method"].clone();
            let uses_token = names.iter().any(|name| **name == "keyside-token");
            let reads_token = method.to_string().contains("serviceaccount/token");
            assert_eq!(uses_token, reads_token, "{method}");
            Ok((method, files, warnings))
        }
        Verdict::Denied { message, .. } => Err(message),
        Verdict::Untouched { why, .. } => panic!("{why}"),
    }
}

const FILES: &str = "/var/run/secrets/keyside.dev/files";

/// A Secret's file as the volume has it.
fn secret(name: &str, key: &str, path: &str) -> Value {
    json!({ "secret": { "name": name, "items": [{ "key": key, "path": path }] } })
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_method_becomes_what_the_agent_takes() {
    let sa = names::SERVICE_ACCOUNT_TOKEN;
    for (annotations, mount, config, files) in [
        (
            &[("role", "shop")][..],
            json!("auth/kubernetes"),
            json!({"role": "shop", "token_path": sa}),
            Value::Null,
        ),
        (
            &[
                ("auth-method", "jwt"),
                ("role", "shop"),
                ("auth-mount", "auth/eu/jwt"),
            ],
            json!("auth/eu/jwt"),
            json!({"role": "shop", "path": sa, "remove_jwt_after_reading": false, "remove_jwt_follows_symlinks": false}),
            Value::Null,
        ),
        (
            &[
                ("auth-method", "jwt"),
                ("role", "shop"),
                ("auth-path", "secret:ci/token"),
            ],
            json!("auth/jwt"),
            json!({
                "role": "shop", "path": format!("{FILES}/path"),
                "remove_jwt_after_reading": false, "remove_jwt_follows_symlinks": false,
            }),
            json!([secret("ci", "token", "path")]),
        ),
        (
            &[
                ("auth-method", "approle"),
                ("auth-role-id-file-path", "configmap:shop.roles/role_id"),
                ("auth-secret-id-file-path", "secret:shop/secret-id"),
                (
                    "auth-secret-id-response-wrapping-path",
                    "auth/approle/role/shop/secret-id",
                ),
            ],
            json!("auth/approle"),
            json!({
                "role_id_file_path": format!("{FILES}/role-id-file-path"),
                "secret_id_file_path": format!("{FILES}/secret-id-file-path"),
                "secret_id_response_wrapping_path": "auth/approle/role/shop/secret-id",
                "remove_secret_id_file_after_reading": false,
            }),
            json!([
                {"configMap": {"name": "shop.roles", "items": [{"key": "role_id", "path": "role-id-file-path"}]}},
                secret("shop", "secret-id", "secret-id-file-path"),
            ]),
        ),
        (
            &[
                ("auth-method", "cert"),
                ("auth-name", "web"),
                ("auth-client-cert", "secret:tls/tls.crt"),
                ("auth-client-key", "secret:tls/tls.key"),
                ("auth-ca-cert", "configmap:ca/ca.crt"),
            ],
            json!("auth/cert"),
            json!({
                "name": "web", "reload": true,
                "client_cert": format!("{FILES}/client-cert"),
                "client_key": format!("{FILES}/client-key"),
                "ca_cert": format!("{FILES}/ca-cert"),
            }),
            json!([
                secret("tls", "tls.crt", "client-cert"),
                secret("tls", "tls.key", "client-key"),
                {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca-cert"}]}},
            ]),
        ),
        (
            &[
                ("auth-method", "token_file"),
                ("auth-token-file-path", "secret:boot/token"),
            ],
            Value::Null,
            json!({"token_file_path": format!("{FILES}/token-file-path")}),
            json!([secret("boot", "token", "token-file-path")]),
        ),
        (
            &[
                ("auth-method", "userpass"),
                ("auth-username", "shop"),
                ("auth-password-file-path", "secret:shop/password"),
            ],
            json!("auth/userpass"),
            json!({
                "username": "shop", "password_file_path": format!("{FILES}/password-file-path"),
                "remove_password_after_reading": false, "remove_password_follows_symlinks": false,
            }),
            json!([secret("shop", "password", "password-file-path")]),
        ),
        (
            &[
                ("auth-method", "ldap"),
                ("auth-username", "shop"),
                ("auth-password-file-path", "secret:shop/password"),
            ],
            json!("auth/ldap"),
            json!({
                "username": "shop", "password_file_path": format!("{FILES}/password-file-path"),
                "remove_password_after_reading": false, "remove_password_follows_symlinks": false,
            }),
            json!([secret("shop", "password", "password-file-path")]),
        ),
        (
            &[
                ("auth-method", "aws"),
                ("role", "shop"),
                ("auth-header-value", "vault.example"),
                ("auth-type", "iam"),
            ],
            json!("auth/aws"),
            json!({"role": "shop", "region": "us-east-1", "header_value": "vault.example", "type": "iam"}),
            Value::Null,
        ),
        (
            &[
                ("auth-method", "gcp"),
                ("role", "shop"),
                ("auth-type", "iam"),
                ("auth-service-account", "shop@project"),
                ("auth-jwt-exp", "20"),
                ("auth-credentials", "secret:gcp/key.json"),
            ],
            json!("auth/gcp"),
            json!({
                "role": "shop", "type": "iam", "service_account": "shop@project", "jwt_exp": 20,
                "credentials": format!("{FILES}/credentials"),
            }),
            json!([secret("gcp", "key.json", "credentials")]),
        ),
        (
            &[
                ("auth-method", "azure"),
                ("role", "shop"),
                ("auth-resource", "https://vault.example"),
                ("auth-client-id", "00-11"),
            ],
            json!("auth/azure"),
            json!({
                "role": "shop", "resource": "https://vault.example", "client_id": "00-11",
                "authenticate_from_environment": false,
            }),
            Value::Null,
        ),
        (
            &[
                ("auth-method", "azure"),
                ("role", "shop"),
                ("auth-resource", "https://vault.example"),
                ("auth-authenticate-from-environment", "true"),
                ("auth-scope", "https://vault.example/.default"),
            ],
            json!("auth/azure"),
            json!({
                "role": "shop", "resource": "https://vault.example", "scope": "https://vault.example/.default",
                "authenticate_from_environment": true,
            }),
            Value::Null,
        ),
        (
            &[
                ("auth-method", "alicloud"),
                ("role", "shop"),
                ("auth-region", "eu-central-1"),
                ("auth-role-name", "node"),
            ],
            json!("auth/alicloud"),
            json!({"role": "shop", "region": "eu-central-1", "role_name": "node"}),
            Value::Null,
        ),
    ] {
        let (method, found_files, warnings) = ask(annotations).unwrap();
        assert_eq!(warnings, Vec::<String>::new(), "{annotations:?}");
        assert_eq!(method.get("mount_path").cloned().unwrap_or_default(), mount);
        assert_eq!(method["config"], config, "{annotations:?}");
        assert_eq!(found_files, files, "{annotations:?}");
    }
}

#[test]
fn names_what_a_method_needs_and_what_it_does_not_have() {
    for (annotations, expected) in [
        (
            &[
                ("auth-method", "approle"),
                ("role", "shop"),
                ("auth-secret-id-file-path", "configmap:a/b"),
            ][..],
            "annotation keyside.dev/role: read \"shop\"; the method approle has no role: leave it away. \
             annotation keyside.dev/auth-role-id-file-path is missing; the method approle needs it; allowed: \
             secret:NAME/KEY or configmap:NAME/KEY, of the pod's namespace. \
             annotation keyside.dev/auth-secret-id-file-path: read \"configmap:a/b\"; allowed: secret:NAME/KEY, of the \
             pod's namespace",
        ),
        (
            &[("role", "shop"), ("auth-path", "secret:a/b")],
            "annotation keyside.dev/auth-path: read \"secret:a/b\"; the method kubernetes has no such parameter: it has \
             none",
        ),
        (
            &[
                ("auth-method", "token_file"),
                ("auth-mount", "auth/token"),
                ("auth-username", "a"),
            ],
            "annotation keyside.dev/auth-username: read \"a\"; the method token_file has no such parameter: it has \
             auth-token-file-path. \
             annotation keyside.dev/auth-mount: read \"auth/token\"; the method token_file has no mount: leave it away. \
             annotation keyside.dev/auth-token-file-path is missing; the method token_file needs it; allowed: \
             secret:NAME/KEY, of the pod's namespace",
        ),
        (
            &[
                ("auth-method", "azure"),
                ("role", "a"),
                ("auth-resource", "b"),
                ("auth-object-id", "c"),
                ("auth-client-id", "d"),
            ],
            "annotation keyside.dev/auth-client-id: read \"d\"; keyside.dev/auth-object-id is there as well: write one \
             of them",
        ),
        (
            &[
                ("auth-method", "gcp"),
                ("role", "a"),
                ("auth-jwt-exp", "90"),
            ],
            "annotation keyside.dev/auth-type is missing; the method gcp needs it; allowed: gce or iam. \
             annotation keyside.dev/auth-jwt-exp: read \"90\"; allowed: a number of minutes from 1 to 60",
        ),
        (
            &[
                ("auth-method", "aws"),
                ("role", "a"),
                ("auth-type", "ec2"),
                ("auth-region", "EU"),
            ],
            "annotation keyside.dev/auth-type: read \"ec2\"; allowed: iam. \
             annotation keyside.dev/auth-region: read \"EU\"; allowed: the name of a region, such as eu-central-1",
        ),
        (
            &[
                ("auth-method", "aws"),
                ("role", "a"),
                ("auth-secret-key", "s3cret"),
            ],
            "annotation keyside.dev/auth-secret-key: a secret does not belong in an annotation: give the role to the \
             pod's service account or to its node",
        ),
        (
            &[("role", "a"), ("auth-pth", "b"), ("auth-token-path", "/t")],
            "annotation keyside.dev/auth-pth: read \"b\"; no way to log in has such a parameter; did you mean \
             keyside.dev/auth-path? \
             annotation keyside.dev/auth-token-path: read \"/t\"; the service-account token is one of Keyside's own: \
             keyside.dev/audience and keyside.dev/token-expiration shape it",
        ),
        (
            &[("auth-method", "kerberos"), ("role", "a")],
            "annotation keyside.dev/auth-method: read \"kerberos\"; allowed: alicloud, approle, aws, azure, cert, gcp, \
             jwt, kubernetes, ldap, token_file or userpass",
        ),
    ] {
        assert_eq!(ask(annotations).unwrap_err(), expected);
    }
}

#[test]
fn warns_of_parameters_without_effect() {
    for (annotations, expected) in [
        (
            &[
                ("auth-method", "approle"), ("auth-role-id-file-path", "secret:a/b"),
                ("auth-secret-id-response-wrapping-path", "c"), ("audience", "d"),
            ][..],
            [
                "annotation keyside.dev/auth-secret-id-response-wrapping-path has no effect, because there is no \
                 keyside.dev/auth-secret-id-file-path",
                "annotation keyside.dev/audience has no effect, because the service-account token is not used to log in",
            ].as_slice(),
        ),
        (
            &[("auth-method", "gcp"), ("role", "a"), ("auth-type", "gce"), ("auth-jwt-exp", "10")],
            &["annotation keyside.dev/auth-jwt-exp has no effect, because Google signs for an instance by itself"],
        ),
        (
            &[("auth-method", "azure"), ("role", "a"), ("auth-resource", "b"), ("auth-scope", "c")],
            &[
                "annotation keyside.dev/auth-scope has no effect, because \
                 keyside.dev/auth-authenticate-from-environment is not true",
            ],
        ),
    ] {
        assert_eq!(ask(annotations).unwrap().2, expected);
    }
}

/// The keys, the methods' own lists and the message say the same.
#[test]
fn every_parameter_is_a_key_of_some_method() {
    let of_methods = METHODS.iter().flat_map(|method| method.parameters);
    let of_methods: BTreeSet<String> = of_methods.map(|name| format!("auth-{name}")).collect();
    let general = ["auth-method", "auth-mount"];
    let keys = key::KNOWN
        .iter()
        .filter(|key| key.starts_with(key::PARAMETER));
    let keys: BTreeSet<String> = keys
        .filter(|key| !general.contains(key))
        .map(|key| (*key).to_owned())
        .collect();
    assert_eq!(keys, of_methods);
    let names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
    assert_eq!(NAMES.replace(" or ", ", "), names.join(", "));
}

#[test]
fn knows_which_parameters_are_files() {
    for method in &METHODS {
        for parameter in method.parameters {
            let name = format!("auth-{parameter}");
            let mut pairs = vec![("auth-method", method.name), (&name, "/a file")];
            if method.has_role {
                pairs.push(("role", "r"));
            }
            let message = ask(&pairs).err().unwrap_or_default();
            let refused = format!("keyside.dev/{name}: read \"/a file\"; allowed: secret:NAME/KEY");
            assert_eq!(
                is_file(parameter),
                message.contains(&refused),
                "{name}: {message}"
            );
        }
    }
}
