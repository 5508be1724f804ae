//! What each value does, and that nothing but a known value is taken.

use std::collections::BTreeSet;

use anyhow::Context as _;
use keyside_harness::tools;
use serde_json::{Value, json};

use crate::annotations;
use crate::helm::{Objects, Release};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A real one, for a century: the injector reads it at its start.
pub(crate) const CA: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBhTCCASugAwIBAgIUPDTg26zePFp/2eWfOVrUhkjQzmkwCgYIKoZIzj0EAwIw\n\
FzEVMBMGA1UEAwwMQ0Egb2YgYSB0ZXN0MCAXDTI2MTEyMzE3MDIzMFoYDzIxMjYx\n\
MDMwMTcwMjMwWjAXMRUwEwYDVQQDDAxDQSBvZiBhIHRlc3QwWTATBgcqhkjOPQIB\n\
BggqhkjOPQMBBwNCAASCBTP2CZpvKRIxJnsgQo6tSxMg0qnOES7L6cvsCzETNJ9K\n\
+7UuygkoZ0Grl7jr1zfD08q7D+stEsW9eOOwybzuo1MwUTAdBgNVHQ4EFgQUN+gW\n\
ld7OR999EDh52gOUlQKvOiQwHwYDVR0jBBgwFoAUN+gWld7OR999EDh52gOUlQKv\n\
OiQwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAfZtM3M9qiAdqg\n\
yMznzjLSs8JaLvd31KXrFgjF55JBywIhAMRb+6/s8QFtoWCJgOdY329qASSbSFFZ\n\
u68sOBTtSLM4\n\
-----END CERTIFICATE-----\n";

/// A value other than the default for every key of `values.yaml`.
pub(crate) fn everything() -> Value {
    json!({
        "fullnameOverride": "ks",
        "image": {"repository": "mirror:5000/injector", "tag": "edge", "digest": DIGEST, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "mirror"}],
        "agent": {"image": {"repository": "mirror:5000/agent", "tag": "edge", "digest": DIGEST}, "logLevel": "warn", "logFormat": "json"},
        "vault": {
            "address": "https://vault.example.com:8200",
            "ca": CA,
            "tlsServerName": "vault",
            "namespace": "team",
            "authMount": "auth/prod",
            "audience": "vault",
        },
        "allowAddressOverride": true,
        "allowImageOverride": true,
        "sidecar": "classic",
        "profiles": {
            "default": {
                "defaults": {"token-mode": "0600", "proxy-port": "9000", "log-format": "json", "proxy-socket": "false"},
                "locked": ["audience"],
                "allow": {
                    "addresses": ["https://eu.example", "*"],
                    "namespaces": ["team/*", "team/shop", "*"],
                    "images": ["mirror:5000/agent:*", "mirror/agent@sha256:*"],
                },
                "strict": true,
                "openshift": true,
            },
            "eu": {"overridable": ["role", "containers"]},
            "plain": {},
        },
        "replicas": 3,
        "logLevel": "debug",
        "logFormat": "text",
        "webhook": {
            "failurePolicy": "Ignore",
            "timeoutSeconds": 10,
            "excludedNamespaces": ["legacy"],
            "namespaceLabels": {"keyside": "on"},
        },
        "certificate": {"self": {"leafLifetime": "48h", "settle": "30s"}},
        "denialEvents": true,
        "callers": {"configMap": "callers", "key": "api.pem", "names": ["api", "other"]},
        "drainSeconds": 25,
        "podDisruptionBudget": {"enabled": true, "maxUnavailable": 2},
        "serviceAccount": {"annotations": {"a": "account"}},
        "service": {"annotations": {"a": "service"}},
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "96Mi"}},
        "podAnnotations": {"a": "pod"},
        "podLabels": {"l": "pod"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "system-cluster-critical",
        "topologySpread": {"whenUnsatisfiable": "DoNotSchedule"},
    })
}

/// Which value is seen where, once [`everything`] is set: value, place (see [`at`]), what is there.
const EFFECTS: [(&str, &str, &str); 49] = [
    (
        "fullnameOverride",
        "Service /metadata/name",
        r#""ks-injector""#,
    ),
    ("image.repository", "container /image", INJECTOR),
    ("image.digest", "container /image", INJECTOR),
    (
        "image.pullPolicy",
        "container /imagePullPolicy",
        r#""Always""#,
    ),
    (
        "imagePullSecrets",
        "pod /imagePullSecrets",
        r#"[{"name": "mirror"}]"#,
    ),
    ("agent.image.repository", "env AGENT_IMAGE", AGENT),
    ("agent.image.digest", "env AGENT_IMAGE", AGENT),
    (
        "vault.address",
        "env VAULT_ADDRESS",
        r#""https://vault.example.com:8200""#,
    ),
    ("agent.logLevel", "env AGENT_LOG_LEVEL", r#""warn""#),
    ("agent.logFormat", "env AGENT_LOG_FORMAT", r#""json""#),
    (
        "vault.ca",
        "env VAULT_CA_FILE",
        r#""/etc/keyside/vault-ca.pem""#,
    ),
    (
        "vault.tlsServerName",
        "env VAULT_TLS_SERVER_NAME",
        r#""vault""#,
    ),
    ("vault.namespace", "env VAULT_NAMESPACE", r#""team""#),
    (
        "allowAddressOverride",
        "env ALLOW_ADDRESS_OVERRIDE",
        r#""true""#,
    ),
    (
        "allowImageOverride",
        "env ALLOW_IMAGE_OVERRIDE",
        r#""true""#,
    ),
    ("vault.authMount", "env AUTH_MOUNT", r#""auth/prod""#),
    ("vault.audience", "env AUDIENCE", r#""vault""#),
    ("sidecar", "env SIDECAR", r#""classic""#),
    ("profiles", "env PROFILES", r#""/etc/keyside-profiles""#),
    ("replicas", "Deployment /spec/replicas", "3"),
    ("logLevel", "env LOG_LEVEL", r#""debug""#),
    ("logFormat", "env LOG_FORMAT", r#""text""#),
    (
        "webhook.failurePolicy",
        "webhook /failurePolicy",
        r#""Ignore""#,
    ),
    ("webhook.timeoutSeconds", "webhook /timeoutSeconds", "10"),
    (
        "webhook.excludedNamespaces",
        "webhook /namespaceSelector/matchExpressions/0/values/3",
        r#""legacy""#,
    ),
    (
        "webhook.namespaceLabels",
        "webhook /namespaceSelector/matchLabels/keyside",
        r#""on""#,
    ),
    (
        "certificate.self.leafLifetime",
        "env LEAF_LIFETIME",
        r#""48h""#,
    ),
    ("certificate.self.settle", "env SETTLE", r#""30s""#),
    ("denialEvents", "env DENIAL_EVENTS", r#""true""#),
    ("denialEvents", "webhook /sideEffects", r#""NoneOnDryRun""#),
    (
        "denialEvents",
        "ClusterRole /rules/1",
        r#"{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}"#,
    ),
    (
        "callers.configMap",
        "pod /volumes/2/configMap/name",
        r#""callers""#,
    ),
    (
        "callers.key",
        "env CLIENT_CA",
        r#""/etc/keyside-callers/api.pem""#,
    ),
    ("callers.names", "env CLIENT_NAMES", r#""api,other""#),
    ("drainSeconds", "env DRAIN", r#""25s""#),
    ("drainSeconds", "pod /terminationGracePeriodSeconds", "45"),
    (
        "podDisruptionBudget.maxUnavailable",
        "PodDisruptionBudget /spec/maxUnavailable",
        "2",
    ),
    (
        "serviceAccount.annotations",
        "ServiceAccount /metadata/annotations/a",
        r#""account""#,
    ),
    (
        "service.annotations",
        "Service /metadata/annotations/a",
        r#""service""#,
    ),
    (
        "resources.requests.cpu",
        "container /resources/requests/cpu",
        r#""50m""#,
    ),
    (
        "resources.requests.memory",
        "container /resources/requests/memory",
        r#""32Mi""#,
    ),
    (
        "resources.limits.memory",
        "container /resources/limits/memory",
        r#""96Mi""#,
    ),
    (
        "podAnnotations",
        "Deployment /spec/template/metadata/annotations/a",
        r#""pod""#,
    ),
    (
        "podLabels",
        "Deployment /spec/template/metadata/labels/l",
        r#""pod""#,
    ),
    ("nodeSelector", "pod /nodeSelector/disk", r#""ssd""#),
    (
        "tolerations",
        "pod /tolerations/0",
        r#"{"key": "k", "operator": "Exists", "effect": "NoSchedule"}"#,
    ),
    ("affinity", "pod /affinity/nodeAffinity", "{}"),
    (
        "priorityClassName",
        "pod /priorityClassName",
        r#""system-cluster-critical""#,
    ),
    (
        "topologySpread.whenUnsatisfiable",
        "pod /topologySpreadConstraints/0/whenUnsatisfiable",
        r#""DoNotSchedule""#,
    ),
];

const INJECTOR: &str = r#""mirror:5000/injector@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#;
const AGENT: &str = r#""mirror:5000/agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef""#;

/// What is at a place: a kind, or a part that is named often, and a JSON pointer into it; or a setting of the injector.
fn at(objects: &Objects, place: &str) -> anyhow::Result<Value> {
    let (part, pointer) = place.split_once(' ').context("a place is two words")?;
    match part {
        "container" => objects.at(
            "Deployment",
            &format!("/spec/template/spec/containers/0{pointer}"),
        ),
        "pod" => objects.at("Deployment", &format!("/spec/template/spec{pointer}")),
        "webhook" => objects.at(
            "MutatingWebhookConfiguration",
            &format!("/webhooks/0{pointer}"),
        ),
        "env" => {
            let variables = at(objects, "container /env")?;
            let mut all = variables.as_array().context("variables")?.iter();
            let found =
                all.find(|variable| variable["name"] == format!("KEYSIDE_INJECTOR_{pointer}"));
            Ok(found.map_or(Value::Null, |variable| variable["value"].clone()))
        }
        kind => objects.at(kind, pointer),
    }
}

/// Values whose effect has a test of its own below.
const ELSEWHERE: [&str; 19] = [
    "watch.enabled",
    "watch.replicas",
    "watch.period",
    "watch.events",
    "watch.resources.requests.cpu",
    "watch.resources.requests.memory",
    "watch.resources.limits.memory",
    "certificate.mode",
    "certificate.certManager.issuer.name",
    "certificate.certManager.issuer.kind",
    "certificate.certManager.issuer.group",
    "certificate.certManager.duration",
    "certificate.certManager.renewBefore",
    "certificate.given.secret",
    "certificate.given.publish",
    "certificate.given.caBundle",
    "image.tag",
    "agent.image.tag",
    "podDisruptionBudget.enabled",
];

#[test]
fn every_value_has_its_effect() -> anyhow::Result<()> {
    let (before, after) = (
        Release::default().objects()?,
        Release::with(everything()).objects()?,
    );
    for (value, place, expected) in EFFECTS {
        let expected: Value = serde_json::from_str(expected)?;
        assert_eq!(at(&after, place)?, expected, "{value}");
        assert_ne!(
            at(&before, place)?,
            expected,
            "{value}: so by default already"
        );
    }
    Ok(())
}

#[test]
fn every_value_of_the_file_is_tried() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(tools::root()?.join("charts/keyside/values.yaml"))?;
    let defaults: Value = serde_yaml::from_str(&text).context("read values.yaml")?;
    let mut written = BTreeSet::new();
    leaves(&defaults, "", &mut written);

    let tried = EFFECTS.iter().map(|(value, ..)| *value).chain(ELSEWHERE);
    assert_eq!(written, tried.map(str::to_owned).collect());
    Ok(())
}

/// The paths at which a value can be set: a map with keys of its own is a step on the way.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                leaves(value, &path, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn a_tag_is_used_where_no_digest_is_given() -> anyhow::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let plain = Release::default().objects()?;
    assert_eq!(
        at(&plain, "container /image")?,
        format!("keyside-injector:{version}")
    );
    assert_eq!(
        at(&plain, "env AGENT_IMAGE")?,
        format!("keyside-agent:{version}")
    );

    let tagged = json!({"image": {"tag": "edge"}, "agent": {"image": {"tag": "edge"}}});
    let tagged = Release::with(tagged).objects()?;
    assert_eq!(at(&tagged, "container /image")?, "keyside-injector:edge");
    assert_eq!(at(&tagged, "env AGENT_IMAGE")?, "keyside-agent:edge");
    Ok(())
}

#[test]
fn the_disruption_budget_can_be_left_out() -> anyhow::Result<()> {
    let objects = Release::with(json!({"podDisruptionBudget": {"enabled": false}})).objects()?;
    assert!(
        objects
            .iter()
            .all(|object| object["kind"] != "PodDisruptionBudget")
    );
    Ok(())
}

#[test]
fn objects_are_named_after_the_release() -> anyhow::Result<()> {
    for (release, name) in [
        ("keyside", "keyside-injector"),
        ("my-keyside", "my-keyside-injector"),
        ("prod", "prod-keyside-injector"),
    ] {
        let objects = Release {
            name: release,
            ..Release::default()
        }
        .objects()?;
        for object in objects.iter() {
            assert_eq!(object["metadata"]["name"], name, "{}", object["kind"]);
        }
    }
    Ok(())
}

/// What is wrong, and the path by which Helm has to name it.
#[test]
fn wrong_values_are_refused_by_their_path() -> anyhow::Result<()> {
    for (values, path) in [
        (json!({"replicaCount": 3}), "'replicaCount'"),
        (
            json!({"webhook": {"failurepolicy": "Fail"}}),
            "'failurepolicy'",
        ),
        (
            json!({"webhook": {"failurePolicy": "Maybe"}}),
            "/webhook/failurePolicy",
        ),
        (
            json!({"webhook": {"timeoutSeconds": 99}}),
            "/webhook/timeoutSeconds",
        ),
        (
            json!({"webhook": {"excludedNamespaces": ["Not A Name"]}}),
            "/webhook/excludedNamespaces/0",
        ),
        (json!({"replicas": -1}), "/replicas"),
        (json!({"replicas": "2"}), "/replicas"),
        (json!({"logLevel": "loud"}), "/logLevel"),
        (json!({"image": {"digest": "latest"}}), "/image/digest"),
        (
            json!({"profiles": {"Gold": {}}}),
            "invalid propertyName 'Gold'",
        ),
        (
            json!({"profiles": {"gold": {"default": {}}}}),
            "/profiles/gold",
        ),
        (
            json!({"profiles": {"gold": {"defaults": {"roll": "x"}}}}),
            "invalid propertyName 'roll'",
        ),
        (
            json!({"profiles": {"gold": {"defaults": {"token": true}}}}),
            "/profiles/gold/defaults/token",
        ),
        (
            json!({"profiles": {"gold": {"locked": ["inject"]}}}),
            "/profiles/gold/locked/0",
        ),
        (
            json!({"profiles": {"gold": {"locked": [], "overridable": []}}}),
            "/profiles/gold",
        ),
        (
            json!({"profiles": {"gold": {"allow": {"namespaces": ["team*"]}}}}),
            "/profiles/gold/allow/namespaces/0",
        ),
        (
            json!({"profiles": {"gold": {"allow": {"images": ["mirror/agent*"]}}}}),
            "/profiles/gold/allow/images/0",
        ),
        (
            json!({"vault": {"address": "vault.example.com"}}),
            "/vault/address",
        ),
        (
            json!({"vault": {"authMount": "/auth/kubernetes/"}}),
            "/vault/authMount",
        ),
        (
            json!({"resources": {"limits": {"memory": "much"}}}),
            "/resources/limits/memory",
        ),
        (json!({"certificate": {"mode": "own"}}), "/certificate/mode"),
        (
            json!({"certificate": {"mode": "given"}}),
            "/certificate/given/secret",
        ),
        (
            json!({"certificate": {"self": {"leafLifetime": "7 days"}}}),
            "/certificate/self/leafLifetime",
        ),
        (
            json!({"certificate": {"certManager": {"duration": "90d"}}}),
            "/certificate/certManager/duration",
        ),
        (
            json!({"certificate": {"given": {"caBundle": "no certificate"}}}),
            "/certificate/given/caBundle",
        ),
        (json!({"watch": {"period": "often"}}), "/watch/period"),
        (json!({"watch": {"replicas": 0}}), "/watch/replicas"),
        (json!({"callers": {"key": "a/b"}}), "/callers/key"),
        (json!({"callers": {"names": ["a,b"]}}), "/callers/names/0"),
        (json!({"drainSeconds": -1}), "/drainSeconds"),
        (json!({"podAnnotations": {"a": true}}), "/podAnnotations/a"),
        (
            json!({"topologySpread": {"whenUnsatisfiable": "Never"}}),
            "/topologySpread/whenUnsatisfiable",
        ),
    ] {
        let refusal = Release::with(values.clone()).refusal()?;
        assert!(refusal.contains(path), "{values}: {refusal}");
    }
    Ok(())
}

/// The schema knows every key that the injector reads, but for those by which a pod asks.
#[test]
fn a_profile_may_set_every_annotation() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(tools::root()?.join("charts/keyside/values.schema.json"))?;
    let schema: Value = serde_json::from_str(&text)?;
    let keys = schema["definitions"]["annotation"]["enum"].as_array();
    let keys = keys.context("no keys")?.iter().filter_map(Value::as_str);
    let mut keys: BTreeSet<String> = keys.map(str::to_owned).collect();
    keys.extend(["inject", "profile"].map(str::to_owned));
    assert_eq!(keys, annotations::known()?);
    Ok(())
}
