//! What each value does, and that nothing but a known value is taken. The table is `data/values.yaml`.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks what a test looks for reads as null"
)]

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use keyside_harness::tools;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::annotations;
use crate::helm::{self, Objects, Release};

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

/// Values that a running injector and everything beside it can have at once.
pub(crate) fn everything() -> anyhow::Result<Value> {
    let mut values: Value = read("tests/chart/data/everything.yaml")?;
    put(&mut values, "vault.ca", CA.into());
    Ok(values)
}

/// A row of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    set: Value,
    #[serde(default)]
    with: Value,
    #[serde(default)]
    sees: BTreeMap<String, Value>,
    #[serde(default)]
    gone: Vec<String>,
    wrong: Vec<Value>,
}

impl Entry {
    /// The values without which that of this row has no effect.
    fn without(&self) -> Value {
        if self.with.is_null() {
            json!({})
        } else {
            self.with.clone()
        }
    }

    /// With the value of this row.
    pub(crate) fn values(&self, path: &str) -> Value {
        let mut values = self.without();
        put(&mut values, path, self.set.clone());
        values
    }
}

/// By the value's path, with dots.
pub(crate) fn table() -> anyhow::Result<BTreeMap<String, Entry>> {
    read("tests/chart/data/values.yaml")
}

fn read<T: for<'de> Deserialize<'de>>(file: &str) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(tools::root()?.join(file))?;
    serde_yaml::from_str(&text).with_context(|| format!("read {file}"))
}

/// Sets what is at a path with dots.
fn put(values: &mut Value, path: &str, value: Value) {
    let place = path.split('.').fold(values, |place, key| &mut place[key]);
    *place = value;
}

/// What is at a place: `Kind pointer`, or `env NAME` of a container (see the table).
fn at(objects: &Objects, place: &str) -> anyhow::Result<Value> {
    let (part, pointer) = place.split_once(' ').context("a place is two words")?;
    let Some(component) = part.strip_prefix("env") else {
        return objects.at(part, pointer);
    };
    let container = match component {
        "" => objects.at("Deployment@injector", "/spec/template/spec/containers/0")?,
        "@test" => objects.at("Pod@test", "/spec/containers/0")?,
        other => objects.at(
            &format!("Deployment{other}"),
            "/spec/template/spec/containers/0",
        )?,
    };
    let mut all = container["env"].as_array().context("variables")?.iter();
    let found = all.find(|variable| variable["name"] == format!("KEYSIDE_INJECTOR_{pointer}"));
    Ok(found.map_or(Value::Null, |variable| variable["value"].clone()))
}

#[test]
fn every_value_of_the_file_is_in_the_table() -> anyhow::Result<()> {
    let mut written = BTreeSet::new();
    leaves(&read("charts/keyside/values.yaml")?, "", &mut written);
    let tried: BTreeSet<String> = table()?.into_keys().collect();
    assert_eq!(written, tried);
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
fn every_value_has_its_effect() -> anyhow::Result<()> {
    let table = table()?;
    let both = table
        .iter()
        .flat_map(|(path, entry)| [entry.without(), entry.values(path)]);
    let renders = helm::render_all(&both.collect::<Vec<_>>())?;
    for ((path, entry), renders) in table.iter().zip(renders.chunks(2)) {
        let [before, after] = renders else {
            anyhow::bail!("two renders for each");
        };
        assert!(
            !entry.sees.is_empty() || !entry.gone.is_empty(),
            "{path}: no effect is named"
        );
        for (place, expected) in &entry.sees {
            let found = at(after, place).with_context(|| path.clone())?;
            assert_eq!(found, *expected, "{path}: {place}");
            let default = at(before, place).unwrap_or(Value::Null);
            let is_new = default != *expected || before.all(place_kind(place)).count() == 0;
            assert!(is_new, "{path}: {place} is so by default already");
        }
        for kind in &entry.gone {
            assert!(before.all(kind).count() > 0, "{path}: there is no {kind}");
            assert_eq!(after.all(kind).count(), 0, "{path}: there is a {kind}");
        }
    }
    Ok(())
}

fn place_kind(place: &str) -> &str {
    place.split(' ').next().unwrap_or_default()
}

#[test]
fn every_wrong_value_is_refused_by_its_path() -> anyhow::Result<()> {
    let table = table()?;
    let mut wrong = Vec::new();
    for (path, entry) in &table {
        assert!(!entry.wrong.is_empty(), "{path}: nothing wrong is named");
        wrong.extend(entry.wrong.iter().map(|value| (path, value)));
    }
    let calls = wrong.iter().map(|(path, value)| {
        let mut values = json!({});
        put(&mut values, path, (*value).clone());
        json!({ "values": values })
    });
    let answers = helm::batch(&calls.collect::<Vec<_>>())?;
    for ((path, value), answer) in wrong.iter().zip(answers) {
        let pointer = format!("at '/{}", path.replace('.', "/"));
        match answer {
            Ok(_) => panic!("{path}: {value} is taken"),
            Err(refusal) => assert!(refusal.contains(&pointer), "{path}: {value}: {refusal}"),
        }
    }
    Ok(())
}

/// Helm takes `null` for "not there", which templates would have to expect everywhere.
#[test]
fn no_value_can_be_taken_away() -> anyhow::Result<()> {
    let table = table()?;
    // What a container asks for may be less; a label is the user's own.
    let may_go = |path: &str| path.contains("resources.") || path.contains("dashboard.labels.");
    let paths: Vec<&String> = table.keys().filter(|path| !may_go(path)).collect();
    let calls = paths.iter().map(|path| {
        let mut values = json!({});
        put(&mut values, path, Value::Null);
        json!({ "values": values })
    });
    for (path, answer) in paths.iter().zip(helm::batch(&calls.collect::<Vec<_>>())?) {
        let refusal = answer.err().with_context(|| format!("{path}: null"))?;
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = parent.replace('.', "/");
        let slash = if parent.is_empty() { "" } else { "/" };
        let expected = format!("at '{slash}{parent}': missing property '{key}'");
        assert!(refusal.contains(&expected), "{refusal}");
    }
    Ok(())
}

/// No level takes a key that it does not know, and none of free keys one that Kubernetes would not take.
#[test]
fn an_unknown_key_is_refused_at_every_level() -> anyhow::Result<()> {
    let schema: Value = read("charts/keyside/values.schema.json")?;
    let mut levels = Vec::new();
    closed(&schema, &schema, &mut Vec::new(), &mut levels);
    assert!(levels.len() > 60, "{levels:?}");
    let calls = levels.iter().map(|level| {
        let inside = json!({ UNKNOWN: 1 });
        let values = level.iter().rev().fold(inside, |inside, step| match step {
            Step::Key(key) => json!({ key: inside }),
            Step::Item => json!([inside]),
        });
        json!({ "values": values })
    });
    let answers = helm::batch(&calls.collect::<Vec<_>>())?;
    for (level, answer) in levels.iter().zip(answers) {
        let path: String = level.iter().map(Step::pointer).collect();
        let refusal = answer.err().with_context(|| format!("at {path}"))?;
        let expected = format!("at '{path}': additional properties '{UNKNOWN}' not allowed");
        assert!(refusal.contains(&expected), "{path}: {refusal}");
    }
    Ok(())
}

const UNKNOWN: &str = "no such key";

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Item,
}

impl Step {
    fn pointer(&self) -> String {
        match self {
            Self::Key(key) => format!("/{key}"),
            Self::Item => "/0".to_owned(),
        }
    }
}

/// Every object below a part of the schema, each of which has to be closed.
fn closed(schema: &Value, part: &Value, path: &mut Vec<Step>, levels: &mut Vec<Vec<Step>>) {
    if let Some(reference) = part["$ref"].as_str() {
        let definition = schema.pointer(reference.trim_start_matches('#'));
        return closed(schema, definition.unwrap_or(&Value::Null), path, levels);
    }
    if part["type"] == "object" {
        assert_eq!(part["additionalProperties"], false, "{path:?} is open");
        levels.push(path.clone());
    }
    let mut below = |step, part| {
        path.push(step);
        closed(schema, part, path, levels);
        path.pop();
    };
    for (key, part) in part["properties"].as_object().into_iter().flatten() {
        // Helm puts it into every chart, and this one reads nothing from it.
        if key != "global" {
            below(Step::Key(key.clone()), part);
        }
    }
    for (_, part) in part["patternProperties"].as_object().into_iter().flatten() {
        below(Step::Key("a".to_owned()), part);
    }
    if part["items"].is_object() {
        below(Step::Item, &part["items"]);
    }
}

/// Values that are right each, and not together.
#[test]
fn contradictions_are_refused() -> anyhow::Result<()> {
    let given = |secret| json!({"certificate": {"mode": "given", "given": {"secret": secret, "publish": true, "caBundle": CA}}});
    for (values, said) in [
        (given("mine"), "one of them"),
        (given(""), "/certificate/given/secret"),
        (
            json!({"port": 9000, "healthPort": 9000}),
            "port and healthPort: both are 9000",
        ),
        (
            json!({"certificate": {"certManager": {"duration": "48h"}}}),
            "certificate.certManager.renewBefore is 720h",
        ),
        (
            json!({"autoscaling": {"enabled": true, "minReplicas": 6}}),
            "autoscaling.minReplicas is 6",
        ),
    ] {
        let refusal = Release::with(values.clone()).refusal()?;
        assert!(refusal.contains(said), "{values}: {refusal}");
    }
    Ok(())
}

#[test]
fn objects_are_named_after_the_release() -> anyhow::Result<()> {
    for (release, name) in [
        ("keyside", "keyside-injector"),
        ("my-keyside", "my-keyside-injector"),
        ("prod", "prod-keyside-injector"),
        // A number is a name too, and no number in YAML.
        ("7", "7-keyside-injector"),
    ] {
        let release = Release {
            name: release,
            ..Release::default()
        };
        let objects = release.objects()?;
        for object in objects.iter() {
            assert_eq!(object["metadata"]["name"], name, "{}", object["kind"]);
            let instance = &object["metadata"]["labels"]["app.kubernetes.io/instance"];
            assert_eq!(*instance, release.name);
        }
        let selector = objects.at("Service", "/spec/selector/app.kubernetes.io~1instance")?;
        assert_eq!(selector, release.name);
    }
    Ok(())
}

/// Labels of the user's never change what a selector finds.
#[test]
fn the_charts_own_labels_stay() -> anyhow::Result<()> {
    let name = json!({"app.kubernetes.io/name": "ours", "app.kubernetes.io/component": "ours"});
    let values = json!({"commonLabels": name, "podLabels": name, "watch": {"enabled": true}});
    let objects = Release::with(values).objects()?;
    for deployment in objects.all("Deployment") {
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let selector = deployment["spec"]["selector"]["matchLabels"].as_object();
        for (key, value) in selector.context("a selector")? {
            assert_eq!(labels[key], *value);
        }
    }
    Ok(())
}

/// The schema knows every key that the injector reads, but for those by which a pod asks.
#[test]
fn a_profile_may_set_every_annotation() -> anyhow::Result<()> {
    let schema: Value = read("charts/keyside/values.schema.json")?;
    let named = schema["definitions"]["annotation"]["enum"].as_array();
    let named = named.context("no keys")?.iter().filter_map(Value::as_str);
    let mut named: BTreeSet<String> = named.map(str::to_owned).collect();
    let set = schema["definitions"]["annotationValues"]["properties"].as_object();
    assert_eq!(
        named,
        set.context("no values")?.keys().cloned().collect(),
        "annotation and annotationValues"
    );
    named.extend(["inject", "profile"].map(str::to_owned));
    assert_eq!(named, annotations::known()?);
    Ok(())
}
