//! The real injector, started as the chart starts it, against an API server that holds what the chart installs.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use base64::Engine as _;
use keyside_harness::{kube, poll, process, web};
use serde_json::{Value, json};

use crate::helm::{Objects, Release};
use crate::values;

const CONTAINER: &str = "/spec/template/spec/containers/0";
const NAMESPACE: &str = "platform";

#[test]
fn the_installed_injector_becomes_ready_within_its_rights() -> anyhow::Result<()> {
    becomes_ready(json!({}))
}

#[test]
fn the_injector_knows_every_setting_of_the_chart() -> anyhow::Result<()> {
    becomes_ready(values::everything())
}

fn becomes_ready(values: Value) -> anyhow::Result<()> {
    let release = Release {
        name: "prod",
        namespace: NAMESPACE,
        values,
        ..Release::default()
    };
    let objects = release.objects()?;
    let webhook = objects.the("MutatingWebhookConfiguration")?;
    let api = kube::ApiServer::start()?;
    let path = kube::webhook(name_of(at(webhook, "/metadata"))?);
    drop(api.put(&path, webhook.clone()));

    let files = tempfile::tempdir()?;
    let command = command(&objects, &api, files.path())?;
    let mut injector = process::Child::spawn("injector", command)?;
    let health = web::Client::new(&injector.listening("health")?, None)?;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = format!("{CONTAINER}/{probe}/httpGet/path");
        let path = objects.at("Deployment", &path)?;
        let path = path.as_str().context("a path")?;
        poll::until(probe, poll::LIMIT, || {
            let status = health.get(path).map_err(|error| format!("{error:#}"))?;
            match status.status().as_u16() {
                200 => Ok(()),
                status => Err(format!("{path} answers {status}")),
            }
        })?;
    }

    // Ready means: the API server can verify the certificate under the name by which it calls the Service.
    let published = api.object(&path).context("the configuration is gone")?;
    let client = at(&published, "/webhooks/0/clientConfig");
    let bundle = decode(at(client, "/caBundle"))?;
    let (service, namespace) = (
        at(client, "/service/name"),
        at(client, "/service/namespace"),
    );
    let host = format!(
        "{}.{}.svc",
        service.as_str().context("a name")?,
        namespace.as_str().context("a namespace")?
    );
    let secret = api.object(&kube::secret(NAMESPACE, &secret_name(&objects)?));
    let secret = secret.context("no Secret of the name that the Role knows")?;
    let leaf = decode(at(&secret, "/data/tls.crt"))?;
    verifies(&leaf, &bundle, &host)?;

    for request in api.requests() {
        let path = request.path.split('?').next().unwrap_or_default();
        assert!(
            permits(&objects, request.method.as_str(), path),
            "the chart's RBAC has no {} {path}",
            request.method
        );
    }
    Ok(())
}

/// The container's command as the kubelet would run it, but for the ports, which the kernel picks, the way to the API,
/// and the root of what is mounted, which is `files`.
fn command(objects: &Objects, api: &kube::ApiServer, files: &Path) -> anyhow::Result<Command> {
    let container = objects.at("Deployment", CONTAINER)?;
    let mounts = mount(objects, &container, files)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyside-injector"));
    command.env_clear();
    for argument in at(&container, "/args").as_array().into_iter().flatten() {
        command.arg(argument.as_str().context("an argument")?);
    }
    for variable in at(&container, "/env").as_array().into_iter().flatten() {
        let mut value = match at(variable, "/valueFrom/fieldRef/fieldPath").as_str() {
            Some("metadata.namespace") => NAMESPACE.to_owned(),
            Some(other) => anyhow::bail!("the test knows no {other}"),
            None => at(variable, "/value")
                .as_str()
                .context("a value")?
                .to_owned(),
        };
        if mounts.iter().any(|mount| value.starts_with(mount)) {
            value.insert_str(0, files.to_str().context("a path")?);
        }
        command.env(name_of(variable)?, value);
    }
    command
        .args(["--listen", "127.0.0.1:0", "--health", "127.0.0.1:0"])
        .args(["--log-format", "json"])
        .arg("--kubeconfig")
        .arg(api.kubeconfig());
    Ok(command)
}

/// Lays out the container's mounts below `root`; answers their paths. They come from the chart's `ConfigMap`, or from one
/// that the operator made.
fn mount(objects: &Objects, container: &Value, root: &Path) -> anyhow::Result<Vec<String>> {
    let volumes = objects.at("Deployment", "/spec/template/spec/volumes")?;
    let mut paths = Vec::new();
    for mount in at(container, "/volumeMounts")
        .as_array()
        .into_iter()
        .flatten()
    {
        let mut all = volumes.as_array().into_iter().flatten();
        let volume = all.find(|volume| volume.get("name") == mount.get("name"));
        let source = at(volume.context("no such volume")?, "/configMap/name").clone();
        let path = at(mount, "/mountPath").as_str().context("a path")?;
        let folder = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(&folder)?;
        let data = if source == "callers" {
            json!({ "api.pem": values::CA })
        } else {
            assert_eq!(source, objects.at("ConfigMap", "/metadata/name")?);
            objects.at("ConfigMap", "/data")?
        };
        for (file, text) in data.as_object().context("data")? {
            std::fs::write(folder.join(file), text.as_str().context("text")?)?;
        }
        paths.push(path.to_owned());
    }
    Ok(paths)
}

/// Whether a chain that begins with `leaf` is good for `host` where the API server trusts `bundle`, both in PEM.
fn verifies(leaf: &[u8], bundle: &[u8], host: &str) -> anyhow::Result<()> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    let read = |pem| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let mut roots = rustls::RootCertStore::empty();
    for root in read(bundle)? {
        roots.add(root)?;
    }
    let chain = read(leaf)?;
    let (end, rest) = chain.split_first().context("no certificate")?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()?;
    rustls::client::danger::ServerCertVerifier::verify_server_cert(
        &*verifier,
        end,
        rest,
        &ServerName::try_from(host)?,
        &[],
        UnixTime::now(),
    )
    .with_context(|| format!("the certificate for {host}"))?;
    Ok(())
}

/// Whether a rule of the render's roles permits the request.
fn permits(objects: &Objects, method: &str, path: &str) -> bool {
    let verb = match method {
        "GET" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        other => other,
    };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (role, resource, object) = match *parts.as_slice() {
        ["api", "v1", "namespaces", NAMESPACE, resource] => ("Role", resource, None),
        ["api", "v1", "namespaces", NAMESPACE, resource, name] => ("Role", resource, Some(name)),
        ["apis", "admissionregistration.k8s.io", "v1", resource, name] => {
            ("ClusterRole", resource, Some(name))
        }
        _ => return false,
    };
    let rules = objects.at(role, "/rules").unwrap_or_default();
    rules.as_array().into_iter().flatten().any(|rule| {
        let names = |key: &str, wanted: &str| {
            let list = rule.get(key).and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|entry| entry == wanted))
        };
        names("verbs", verb)
            && names("resources", resource)
            && match object {
                // `create` names no object, so that a rule with names never permits it.
                None => rule.get("resourceNames").is_none(),
                Some(object) => names("resourceNames", object),
            }
    })
}

fn secret_name(objects: &Objects) -> anyhow::Result<String> {
    let name = objects.at("Role", "/rules/0/resourceNames/0")?;
    Ok(name.as_str().context("the Secret's name")?.to_owned())
}

fn name_of(object: &Value) -> anyhow::Result<&str> {
    at(object, "/name").as_str().context("a name")
}

fn decode(text: &Value) -> anyhow::Result<Vec<u8>> {
    let text = text.as_str().context("nothing is published")?;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}

/// What is at a JSON pointer; null where there is nothing.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
