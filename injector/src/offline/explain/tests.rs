use super::*;
use crate::admission::{self, Defaults, Request, Verdict};
use crate::annotation::key::KNOWN;
use crate::inject::patch;
use crate::profile::set::Set;

fn defaults() -> Defaults {
    Defaults {
        allow_address_override: true,
        allow_image_override: true,
        vault_address: Some("https://vault.example:8200".to_owned()),
        ..Defaults::new("keyside-agent:0.1.0")
    }
}

fn pod(annotations: &[(&str, &str)]) -> Value {
    let mut all = json!({ "keyside.dev/inject": "true" });
    for (key, value) in annotations {
        all[format!("keyside.dev/{key}")] = json!(value);
    }
    json!({
        "metadata": { "annotations": all },
        "spec": { "containers": [{ "name": "app", "image": "a" }, { "name": "other", "image": "a" }] },
    })
}

#[track_caller]
fn explain(pod: &Value, defaults: &Defaults) -> Explanation {
    let request = Request {
        pod,
        namespace: "shop",
        operation: "CREATE",
    };
    let mut trace = Trace::on();
    match admission::admit_noting(&request, defaults, &mut trace) {
        Verdict::Patched { patch, .. } => {
            Explanation::new("Pod", pod, &patch::applied(pod, &patch), &trace)
        }
        other => panic!("{other:?}"),
    }
}

fn settings(one: &Explanation) -> impl Iterator<Item = (String, &Value, &Source)> {
    one.added.iter().flat_map(|piece| {
        let settings = piece.settings.iter();
        settings.map(|one| {
            (
                // Which of its containers the agent's settings stand in is another matter.
                if piece.name.contains("container keyside-agent") {
                    one.path.clone()
                } else {
                    format!("{}: {}", piece.name, one.path)
                },
                &one.value,
                &one.from,
            )
        })
    })
}

type Context = &'static [(&'static str, &'static str)];

/// Each key with a value that is not the default, and what it takes beside it.
const SAMPLES: [(&str, &str, Context); 56] = [
    ("role", "r", &[]),
    ("address", "http://other:8200", ROLE),
    ("namespace", "team", ROLE),
    ("ca", "configmap:c/ca.crt", ROLE),
    ("tls-server-name", "vault", ROLE),
    ("auth-method", "jwt", ROLE),
    ("auth-mount", "auth/k", ROLE),
    ("auth-authenticate-from-environment", "true", AZURE),
    ("auth-ca-cert", "secret:s/ca", CERT),
    ("auth-client-cert", "secret:s/crt", CERT),
    ("auth-client-id", "id", AZURE),
    ("auth-client-key", "secret:s/key", CERT),
    ("auth-credentials", "secret:s/c", GCP),
    ("auth-header-value", "h", AWS),
    ("auth-jwt-exp", "5", GCP),
    ("auth-name", "n", CERT),
    ("auth-object-id", "id", AZURE),
    ("auth-password-file-path", "secret:s/p", LDAP),
    ("auth-path", "secret:s/jwt", JWT),
    ("auth-region", "eu-central-1", AWS),
    ("auth-resource", "r", AZURE),
    ("auth-role-id-file-path", "secret:s/r", APPROLE),
    ("auth-role-name", "r", ALICLOUD),
    ("auth-scope", "s", AZURE_ENVIRONMENT),
    ("auth-secret-id-file-path", "secret:s/s", APPROLE),
    ("auth-secret-id-response-wrapping-path", "p", APPROLE),
    ("auth-service-account", "a", GCP),
    ("auth-token-file-path", "secret:s/t", TOKEN_FILE),
    ("auth-type", "iam", GCP),
    ("auth-username", "u", LDAP),
    ("audience", "vault", ROLE),
    ("token-expiration", "2h", ROLE),
    ("containers", "app", ROLE),
    ("token", "false", ROLE),
    ("token-path", "/keyside/t", ROLE),
    ("token-mode", "0600", ROLE),
    ("proxy", "false", ROLE),
    ("proxy-port", "8201", ROLE),
    ("proxy-socket", "false", ROLE),
    ("proxy-token", "force", ROLE),
    ("proxy-require-header", "true", ROLE),
    ("cache-kv", "true", ROLE),
    ("client-rate-limit", "7:9", ROLE),
    ("metrics-port", "9102", ROLE),
    ("log-level", "debug", ROLE),
    ("log-format", "json", ROLE),
    ("run-as-user", "7", ROLE),
    ("run-as-group", "7", ROLE),
    ("image", "i:1", ROLE),
    ("cpu-request", "7m", ROLE),
    ("cpu-limit", "700m", ROLE),
    ("memory-request", "17Mi", ROLE),
    ("memory-limit", "128Mi", ROLE),
    ("sidecar", "classic", ROLE),
    ("revoke-on-exit", "true", ROLE),
    ("start-timeout", "5m", ROLE),
];

const ROLE: Context = &[("role", "r")];
const AZURE: Context = &[
    ("role", "r"),
    ("auth-method", "azure"),
    ("auth-resource", "a"),
];
const AZURE_ENVIRONMENT: Context = &[
    ("role", "r"),
    ("auth-method", "azure"),
    ("auth-resource", "a"),
    ("auth-authenticate-from-environment", "true"),
];
const CERT: Context = &[
    ("auth-method", "cert"),
    ("auth-client-cert", "secret:x/c"),
    ("auth-client-key", "secret:x/k"),
];
const GCP: Context = &[("role", "r"), ("auth-method", "gcp"), ("auth-type", "iam")];
const AWS: Context = &[("role", "r"), ("auth-method", "aws")];
const JWT: Context = &[("role", "r"), ("auth-method", "jwt")];
const LDAP: Context = &[
    ("auth-method", "ldap"),
    ("auth-username", "x"),
    ("auth-password-file-path", "secret:x/p"),
];
const APPROLE: Context = &[
    ("auth-method", "approle"),
    ("auth-role-id-file-path", "secret:x/r"),
    ("auth-secret-id-file-path", "secret:x/s"),
];
const ALICLOUD: Context = &[
    ("role", "r"),
    ("auth-method", "alicloud"),
    ("auth-region", "eu-central-1"),
];
const TOKEN_FILE: Context = &[
    ("auth-method", "token_file"),
    ("auth-token-file-path", "secret:x/t"),
];

fn with<'a>(
    context: &[(&'a str, &'a str)],
    key: &'a str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<_> = context
        .iter()
        .filter(|(name, _)| *name != key)
        .copied()
        .collect();
    all.push((key, value));
    all
}

/// Whatever an annotation changes is told to come from it, and nothing else is.
#[test]
fn what_an_annotation_changes_is_told_to_come_from_it() {
    for key in KNOWN
        .iter()
        .filter(|key| !["inject", "profile"].contains(key))
    {
        assert!(
            SAMPLES.iter().any(|(sample, ..)| sample == key),
            "{key} has no sample"
        );
    }
    let mut wrong = Vec::new();
    for (key, value, context) in SAMPLES {
        let before = explain(
            &pod(if key == "role" { ROLE } else { context }),
            &defaults(),
        );
        let after = explain(&pod(&with(context, key, value)), &defaults());
        let own = |source: &Source| matches!(source, Source::Annotation { key: found, .. } if found.strip_prefix("keyside.dev/") == Some(key));
        let named = settings(&after).any(|(_, _, from)| own(from))
            || after.left_out.iter().any(|one| own(&one.why));
        if !named {
            wrong.push(format!("{key}: nothing comes from it"));
        }
        for (path, value, from) in settings(&after) {
            let is_new = !settings(&before).any(|(old, was, _)| old == path && was == value);
            if is_new && !own(from) && !path.starts_with("annotations: ") {
                wrong.push(format!("{key}: {path} = {value} came from {from:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_profile_says_is_told_to_come_from_it() {
    for (key, value, context) in SAMPLES {
        let mut set = Set::default();
        let text = serde_json::json!({ "defaults": { key: value } }).to_string();
        set.update([("default".to_owned(), text)].into());
        let profiles = Defaults {
            profiles: set.profiles(),
            ..defaults()
        };
        let pod = pod(&context
            .iter()
            .filter(|(name, _)| *name != key)
            .copied()
            .collect::<Vec<_>>());
        let explanation = explain(&pod, &profiles);
        let expected = Source::Profile {
            name: "default".to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let named = settings(&explanation).any(|(_, _, from)| *from == expected)
            || explanation.left_out.iter().any(|one| one.why == expected);
        assert!(named, "{key}");
    }
}

#[test]
fn no_piece_is_missing() {
    for (key, value, context) in SAMPLES {
        let before = pod(&with(context, key, value));
        let after = explain(&before, &defaults());
        let request = Request {
            pod: &before,
            namespace: "shop",
            operation: "CREATE",
        };
        let Verdict::Patched { patch, .. } = admission::admit(&request, &defaults()) else {
            panic!("{key}");
        };
        let injected = patch::applied(&before, &patch);
        // What is listed, put back into a text each, against what is there.
        let mut there = 0;
        for volume in new_in(&before, &injected, "/spec/volumes") {
            leaves("", &without_name(volume).into(), &mut |_, _| there += 1);
        }
        let listed = settings(&after)
            .filter(|(path, ..)| path.starts_with("volume "))
            .count();
        assert_eq!(listed, there, "{key}");
        let mut bare = injected.clone();
        for pointer in ["/spec/volumes", "/spec/initContainers"] {
            *bare.pointer_mut(pointer).unwrap_or(&mut Value::Null) = Value::Null;
        }
        for container in bare["spec"]["containers"].as_array_mut().unwrap() {
            container["env"].take();
            container["volumeMounts"].take();
        }
        // Nothing else of the application's has changed.
        assert_eq!(
            bare["spec"]["containers"][0],
            json!({ "name": "app", "image": "a", "env": null, "volumeMounts": null }),
            "{key}"
        );
    }
}
