//! Where the certificate of the webhook comes from, in the three modes.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::helm::{Objects, Release};
use crate::values;

const WEBHOOK: &str = "MutatingWebhookConfiguration";

fn rendered(certificate: &Value) -> anyhow::Result<Objects> {
    Release {
        namespace: "platform",
        values: json!({ "certificate": certificate }),
        ..Release::default()
    }
    .objects()
}

/// The objects of that kind, by name.
fn named<'a>(objects: &'a Objects, kind: &str, name: &str) -> anyhow::Result<&'a Value> {
    let mut all = objects.iter();
    let found = all.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.with_context(|| format!("no {kind} {name}"))
}

fn kinds(objects: &Objects) -> Vec<&str> {
    objects
        .iter()
        .filter_map(|object| object["kind"].as_str())
        .collect()
}

#[test]
fn cert_manager_makes_an_authority_and_a_leaf_that_is_renewed_often() -> anyhow::Result<()> {
    let objects = rendered(&json!({"mode": "certManager"}))?;
    let leaf = &named(&objects, "Certificate", "keyside-injector")?["spec"];
    assert_eq!(leaf["dnsNames"], json!(["keyside-injector.platform.svc"]));
    assert_eq!(leaf["duration"], "2160h");
    assert_eq!(leaf["renewBefore"], "720h");
    assert_eq!(leaf["usages"], json!(["digital signature", "server auth"]));
    // Each is signed by what comes before it; the first signs itself.
    let authority = &named(&objects, "Certificate", "keyside-injector-ca")?["spec"];
    assert_eq!(authority["isCA"], true);
    for (certificate, issuer) in [
        (leaf, "keyside-injector-ca"),
        (authority, "keyside-injector"),
    ] {
        let expected = json!({"name": issuer, "kind": "Issuer", "group": "cert-manager.io"});
        assert_eq!(certificate["issuerRef"], expected);
    }
    let spec = |name| anyhow::Ok(named(&objects, "Issuer", name)?["spec"].clone());
    assert_eq!(spec("keyside-injector")?, json!({"selfSigned": {}}));
    let secret = &authority["secretName"];
    assert_eq!(
        spec("keyside-injector-ca")?,
        json!({"ca": {"secretName": secret}})
    );
    Ok(())
}

#[test]
fn cert_manager_publishes_the_authority_and_the_pod_mounts_the_leaf() -> anyhow::Result<()> {
    let objects = rendered(&json!({"mode": "certManager"}))?;
    let webhook = objects.the(WEBHOOK)?;
    assert_eq!(
        webhook["metadata"]["annotations"],
        json!({"cert-manager.io/inject-ca-from": "platform/keyside-injector"})
    );
    assert!(
        webhook["webhooks"][0]["clientConfig"]
            .get("caBundle")
            .is_none()
    );
    let leaf = named(&objects, "Certificate", "keyside-injector")?;
    let volume = objects.at(
        "Deployment",
        "/spec/template/spec/volumes/0/secret/secretName",
    )?;
    assert_eq!(volume, leaf["spec"]["secretName"]);
    let kinds = kinds(&objects);
    assert!(
        !kinds.contains(&"Role") && !kinds.contains(&"ClusterRole"),
        "{kinds:?}"
    );
    Ok(())
}

#[test]
fn an_issuer_that_is_there_already_is_used() -> anyhow::Result<()> {
    let issuer = json!({"name": "corp", "kind": "ClusterIssuer", "group": "example.com"});
    let objects = rendered(&json!({"mode": "certManager", "certManager": {
        "issuer": issuer, "duration": "48h", "renewBefore": "16h",
    }}))?;
    let certificate = objects.the("Certificate")?;
    assert_eq!(certificate["spec"]["issuerRef"], issuer);
    assert_eq!(certificate["spec"]["duration"], "48h");
    assert_eq!(certificate["spec"]["renewBefore"], "16h");
    assert!(!kinds(&objects).contains(&"Issuer"));
    Ok(())
}

#[test]
fn a_given_secret_is_mounted_and_its_authority_published_or_rendered() -> anyhow::Result<()> {
    for (given, published, bundle) in [
        (json!({"secret": "mine"}), false, false),
        (json!({"secret": "mine", "publish": true}), true, false),
        (
            json!({"secret": "mine", "caBundle": values::CA}),
            false,
            true,
        ),
    ] {
        let objects = rendered(&json!({"mode": "given", "given": given}))?;
        let volume = objects.at(
            "Deployment",
            "/spec/template/spec/volumes/0/secret/secretName",
        )?;
        assert_eq!(volume, "mine");
        let environment = objects.at("Deployment", "/spec/template/spec/containers/0/env")?;
        let publishes = environment
            .to_string()
            .contains("KEYSIDE_INJECTOR_PUBLISH_CA_FILE");
        assert_eq!(publishes, published, "{given}");
        assert_eq!(
            kinds(&objects).contains(&"ClusterRole"),
            published,
            "{given}"
        );
        assert!(!kinds(&objects).contains(&"Role"), "{given}");
        let client = objects.at(WEBHOOK, "/webhooks/0/clientConfig")?;
        assert_eq!(client.get("caBundle").is_some(), bundle, "{given}");
        assert!(client.get("service").is_some(), "{client}");
    }
    Ok(())
}
