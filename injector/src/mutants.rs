//! Reviews as no API server sends them: recorded ones, changed at random. Whatever comes, there is an answer, and where
//! the review has a uid, the answer has it too.
//!
//! `REVIEWS=1000000 cargo test --profile measure -p keyside-injector mutants` plays more of them; a failure names its
//! seed, which `SEED=…` plays alone.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::admission::Defaults;
use crate::admission::reason::Decision;
use crate::annotation::key;
use crate::profile::set::Set;
use crate::webhook::review;

const PLAYED: u64 = 3_000;
/// Where reviews have to end, for that to be worth something. (What is patched is sent again, and then unchanged.)
const ENDS: [Decision; 4] = [
    Decision::Patched,
    Decision::Untouched,
    Decision::Denied,
    Decision::Refused,
];

#[test]
fn every_review_is_answered_with_its_uid() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name} is no number")),
        )
    };
    let recorded = recorded();
    let installations = installations();
    let mut decisions = BTreeMap::new();
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("REVIEWS").unwrap_or(PLAYED),
    };
    let played = seeds.end - seeds.start;
    for seed in seeds {
        let named = Named(seed);
        let decision = play(&mut Rng::with_seed(seed), &recorded, &installations);
        *decisions.entry(decision).or_insert(0_u64) += 1;
        drop(named);
    }
    if played >= PLAYED {
        for decision in ENDS {
            let count = decisions.get(decision.name()).copied().unwrap_or_default();
            assert!(count > played / 200, "{decisions:?}");
        }
    }
}

/// Tells the seed of what failed.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("play it alone with SEED={}", self.0);
        }
    }
}

fn recorded() -> Vec<Value> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/injector/data/admission"
    );
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    let read = |path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let recorded: Vec<Value> = paths.into_iter().map(read).collect();
    assert_eq!(recorded.len(), 10);
    recorded
}

fn installations() -> Vec<Defaults> {
    let profiles = [
        "",
        "{strict: true, locked: [token-mode], defaults: {sidecar: classic}}",
        "{openshift: true, overridable: [role, containers, proxy], allow: {addresses: ['*'], images: []}}",
    ];
    let mut all = vec![Defaults::new("keyside-agent")];
    for profile in profiles {
        let mut set = Set::default();
        let texts = [
            ("default", profile),
            ("gold", "defaults: {role: gold}"),
            ("broken", "["),
        ];
        set.update(
            texts
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into(),
        );
        all.push(Defaults {
            vault_address: Some("https://vault.example:8200".to_owned()),
            own_namespace: Some("keyside".to_owned()),
            profiles: set.profiles(),
            ..Defaults::new("keyside-agent")
        });
    }
    all
}

fn play(rng: &mut Rng, recorded: &[Value], installations: &[Defaults]) -> &'static str {
    let mut review = rng.choice(recorded).unwrap().clone();
    let defaults = rng.choice(installations).unwrap();
    for _ in 0..rng.usize(0..6) {
        annotate(rng, &mut review);
    }
    for _ in 0..rng.usize(0..5) {
        change(rng, &mut review, recorded);
    }
    let mut bytes = review.to_string().into_bytes();
    let is_text = rng.u8(..8) > 0;
    if !is_text {
        for _ in 0..rng.usize(1..4) {
            damage(rng, &mut bytes);
        }
    }
    let answer = review::answer(&bytes, defaults);
    let uid = review.pointer("/request/uid").and_then(Value::as_str);
    let uid = uid.filter(|uid| !uid.is_empty());
    let is_review =
        review["apiVersion"] == "admission.k8s.io/v1" && review["kind"] == "AdmissionReview";
    match answer.status.as_u16() {
        200 => {
            let said: Value = serde_json::from_slice(&answer.body).unwrap();
            let response = &said["response"];
            assert!(response["allowed"].is_boolean(), "{said}");
            assert_eq!(said["apiVersion"], "admission.k8s.io/v1");
            assert_ne!(response["uid"].as_str().unwrap_or_default(), "");
            // A request that is a list is taken for one whose fields have no names.
            if is_text && review["request"].is_object() {
                assert_eq!(response["uid"].as_str(), uid);
                again(&review, response, defaults);
            }
        }
        400 => {
            assert!(!is_text || uid.is_none() || !is_review, "{:?}", answer.body);
            assert!(answer.body.len() < 1000, "{:?}", answer.body);
        }
        other => panic!("{other}: {:?}", answer.body),
    }
    answer.record.reason.decision().name()
}

/// A patch can be applied, and leads to a pod that needs no other.
fn again(review: &Value, response: &Value, defaults: &Defaults) {
    let Some(patch) = response["patch"].as_str() else {
        return;
    };
    let patch: json_patch::Patch =
        serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
    let mut next = review.clone();
    json_patch::patch(&mut next["request"]["object"], &patch).unwrap();
    let answer = review::answer(next.to_string().as_bytes(), defaults);
    let said = String::from_utf8_lossy(&answer.body);
    assert_eq!(
        answer.record.reason.decision(),
        Decision::Unchanged,
        "{said}: {next}"
    );
}

/// Adds an annotation of ours: mostly a known key, often with a value that means something.
fn annotate(rng: &mut Rng, review: &mut Value) {
    let mut name = match rng.u8(..8) {
        0 => "secret-db".to_owned(),
        1 => text(rng),
        _ => (*rng.choice(key::KNOWN).unwrap()).to_owned(),
    };
    if rng.u8(..16) == 0 {
        name.push('x');
    }
    let plausible = [
        "true",
        "false",
        "none",
        "force",
        "app",
        "web",
        "jwt",
        "approle",
        "aws",
        "gcp",
        "cert",
        "auth/x",
        "/keyside/x",
        "0600",
        "9000",
        "1h",
        "https://vault.example:8200",
        "team",
        "json",
        "debug",
        "1",
        "64Mi",
        "classic",
        "native",
        "init-only",
        "gold",
        "broken",
        "default",
        "secret:a/b",
        "configmap:a/b",
        "eu-central-1",
        "iam",
        "gce",
    ];
    let value = match rng.u8(..4) {
        0 => text(rng),
        _ => (*rng.choice(plausible).unwrap()).to_owned(),
    };
    if let Some(metadata) = review.pointer_mut("/request/object/metadata")
        && let Some(metadata) = metadata.as_object_mut()
    {
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(format!("{}{name}", key::PREFIX), value.into());
        }
    }
}

/// Changes one place of the review; mostly one below the pod's `spec`.
fn change(rng: &mut Rng, review: &mut Value, recorded: &[Value]) {
    let other = rng.choice(recorded).unwrap();
    let donor = somewhere(rng, &mut other.clone()).clone();
    let root = match rng.u8(..8) {
        0 => Some(&mut *review),
        1 => review.pointer_mut("/request"),
        2 => review.pointer_mut("/request/object/metadata"),
        _ => review.pointer_mut("/request/object/spec"),
    };
    let Some(root) = root else {
        return;
    };
    let place = somewhere(rng, root);
    match (rng.u8(..6), &mut *place) {
        (0, Value::Object(fields)) => {
            let key = rng.choice(fields.keys()).cloned();
            key.map(|key| fields.remove(&key));
        }
        (1, Value::Object(fields)) => {
            fields.insert(text(rng), donor);
        }
        (0, Value::Array(elements)) if !elements.is_empty() => {
            elements.remove(rng.usize(..elements.len()));
        }
        (1, Value::Array(elements)) => {
            let twice = rng.choice(elements.iter()).cloned();
            elements.extend(twice);
        }
        (2, _) => *place = donor,
        _ => *place = scalar(rng),
    }
}

/// A place in `value`, itself included.
fn somewhere<'a>(rng: &mut Rng, value: &'a mut Value) -> &'a mut Value {
    let inner = match &*value {
        Value::Object(fields) => fields.len(),
        Value::Array(elements) => elements.len(),
        _scalar => 0,
    };
    if inner == 0 || rng.u8(..5) == 0 {
        return value;
    }
    let number = rng.usize(..inner);
    let inner = match value {
        Value::Object(fields) => fields.values_mut().nth(number),
        Value::Array(elements) => elements.get_mut(number),
        _scalar => None,
    };
    somewhere(rng, inner.expect("there are so many"))
}

fn scalar(rng: &mut Rng) -> Value {
    match rng.u8(..10) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(1e300),
        5 => json!([]),
        6 => json!({}),
        7 => json!("Always"),
        8 => json!("keyside-agent"),
        _ => text(rng).into(),
    }
}

fn text(rng: &mut Rng) -> String {
    let odd = [
        "",
        "$(PATH)",
        "\u{0}",
        "\u{1b}[31m",
        "\u{202e}",
        "é",
        "'\"\\",
        "keyside",
        "/keyside",
        "windows",
        "..",
        "\u{1F511}",
    ];
    match rng.u8(..4) {
        0 => rng.choice(odd).unwrap().repeat(rng.usize(..200)),
        1 => (0..rng.usize(..12)).map(|_| rng.char(..)).collect(),
        _ => (*rng.choice(odd).unwrap()).to_owned(),
    }
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.usize(..bytes.len());
    match rng.u8(..5) {
        0 => bytes.truncate(at),
        1 => drop(bytes.remove(at)),
        2 => bytes.insert(at, rng.u8(..)),
        3 => {
            let end = bytes.len().min(at + rng.usize(..40));
            let part: Vec<u8> = bytes.get(at..end).unwrap_or_default().to_vec();
            let to = rng.usize(..bytes.len());
            bytes.splice(to..to, part);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
    }
}
