use serde_json::json;

use super::*;
use crate::admission::reason::Decision;

fn defaults() -> Defaults {
    Defaults::new("keyside-agent:test")
}

/// A review of a pod that did not ask for anything.
fn review() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "a-uid",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "shop",
            "operation": "CREATE",
            "object": { "metadata": { "generateName": "web-" }, "spec": { "containers": [] } },
            "oldObject": null,
            "dryRun": true,
        },
    })
}

/// The review with one place changed.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut review = review();
    review.pointer_mut(parent).unwrap()[key] = value;
    review.to_string().into_bytes()
}

fn check(body: &[u8], status: u16, decision: Decision, says: &str) {
    let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
    let answer = answer(body, &defaults());
    assert_eq!(answer.status.as_u16(), status, "{shown}");
    assert_eq!(
        answer.record.reason.decision(),
        decision,
        "{shown}: {:?}",
        answer.record
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.contains(says), "{shown}: {text}");
    if status == 200 {
        let review: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(review["response"]["uid"], "a-uid", "{shown}");
        assert_eq!(
            review["response"]["allowed"],
            decision != Decision::Denied,
            "{shown}"
        );
    }
}

#[test]
fn what_is_none_of_our_business_is_allowed() {
    use Decision::Untouched;
    for body in [
        review().to_string().into_bytes(),
        with("/request/resource/resource", json!("services")),
        with("/request/resource/group", json!("metrics.k8s.io")),
        with("/request/subResource", json!("ephemeralcontainers")),
        with("/request/operation", json!("DELETE")),
        with("/request/subResource", Value::Null),
        with("/unknown", json!({ "to": "us" })),
    ] {
        check(&body, 200, Untouched, "\"allowed\":true");
    }
    // An API server sends no object for a DELETE.
    let mut delete = review();
    delete["request"]["operation"] = json!("DELETE");
    delete["request"]["object"] = Value::Null;
    check(
        delete.to_string().as_bytes(),
        200,
        Untouched,
        "\"allowed\":true",
    );
}

#[test]
fn what_cannot_be_read_below_the_uid_is_denied_with_it() {
    for (body, says) in [
        (with("/request/operation", json!(5)), "cannot be read"),
        (with("/request/operation", Value::Null), "cannot be read"),
        (with("/request/resource", json!("pods")), "cannot be read"),
        (
            with("/request/namespace", json!(["shop"])),
            "cannot be read",
        ),
        (with("/request/dryRun", json!("yes")), "cannot be read"),
        (with("/request/object", Value::Null), "brings no pod"),
        (nested(200), "recursion limit"),
    ] {
        check(&body, 200, Decision::Denied, says);
        check(
            &body,
            200,
            Decision::Denied,
            r#""reason":"BadRequest","code":400"#,
        );
    }
}

#[test]
fn what_has_no_uid_is_refused() {
    for (body, says) in [
        (b"".to_vec(), "not an AdmissionReview"),
        (b"null".to_vec(), "not an AdmissionReview"),
        (b"[]".to_vec(), "cannot be answered"),
        (b"{\"kind\":".to_vec(), "not an AdmissionReview"),
        (b"\xff".to_vec(), "not an AdmissionReview"),
        (with("/request", Value::Null), "no request"),
        (with("/request", json!("request")), "no uid"),
        (with("/request/uid", Value::Null), "no uid"),
        (with("/request/uid", json!("")), "no uid"),
        (with("/request/uid", json!(7)), "no uid"),
        (
            with("/apiVersion", json!("admission.k8s.io/v1beta1")),
            "speaks AdmissionReview of admission.k8s.io/v1",
        ),
        (with("/kind", json!("Pod")), "\"Pod\" of"),
        (
            with("/kind", json!("x".repeat(10_000))),
            "cannot be answered",
        ),
    ] {
        check(&body, 400, Decision::Refused, says);
    }
    let long = json!("x".repeat(10_000));
    for body in [
        with("/kind", long.clone()),
        long.to_string().into_bytes(),
        with("/request/resource", long),
    ] {
        let huge = answer(&body, &defaults());
        assert!(huge.body.len() < 500, "{} bytes", huge.body.len());
    }
}

#[test]
fn a_truncated_review_is_refused_wherever_it_ends() {
    let body = review().to_string();
    for end in 0..body.len() {
        check(
            &body.as_bytes()[..end],
            400,
            Decision::Refused,
            "not an AdmissionReview",
        );
    }
    check(
        format!("{body}x").as_bytes(),
        400,
        Decision::Refused,
        "not an AdmissionReview",
    );
}

#[test]
fn a_record_names_the_pod_by_what_it_has() {
    let named = |change: fn(&mut Value)| {
        let mut review = review();
        change(&mut review["request"]);
        let record = answer(review.to_string().as_bytes(), &defaults()).record;
        (record.namespace, record.name)
    };
    let pair = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
    assert_eq!(named(|_| ()), pair("shop", "web-"));
    assert_eq!(
        named(|request| request["name"] = json!("given")),
        pair("shop", "given")
    );
    assert_eq!(
        named(|request| request["object"]["metadata"]["name"] = json!("web-0")),
        pair("shop", "web-0")
    );
    assert_eq!(
        named(|request| {
            request["namespace"] = json!("");
            request["object"]["metadata"]["namespace"] = json!("own");
        }),
        pair("own", "web-")
    );
    // Names are checked by the API server after admission.
    assert_eq!(
        named(|request| request["object"]["metadata"]["generateName"] = json!("ünï\u{1F511}-")).1,
        "ünï\u{1F511}-"
    );
    assert_eq!(
        named(|request| request["object"]["metadata"]["generateName"] = json!("é".repeat(9_999)))
            .1
            .chars()
            .count(),
        253
    );
    for place in ["name", "namespace"] {
        let (namespace, name) = match place {
            "name" => named(|request| request["name"] = json!("n".repeat(9_999))),
            _ => named(|request| request["namespace"] = json!("n".repeat(9_999))),
        };
        let longest = namespace.chars().count().max(name.chars().count());
        assert_eq!(longest, 253, "{place}");
        assert!(namespace.ends_with('…') || name.ends_with('…'), "{place}");
    }
    let mut review = review();
    review["request"]["uid"] = json!("u".repeat(9_999));
    let asked = answer(review.to_string().as_bytes(), &defaults());
    assert_eq!(asked.record.uid.chars().count(), 253);
    let said: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(
        said["response"]["uid"], review["request"]["uid"],
        "all of it"
    );
    assert_eq!(
        named(|request| request["object"] = json!("no object")),
        pair("shop", "")
    );
}

#[test]
fn a_verdict_becomes_the_response_that_the_api_server_reads() {
    let conclude = |verdict| {
        let mut record = Record::default();
        let response = conclude("a-uid", verdict, &mut record);
        let review: Value = serde_json::from_slice(&response.into_json()).unwrap();
        (review, record)
    };
    let (warnings, audit) = (
        vec!["mind this".to_owned()],
        vec![("decision".to_owned(), "x".to_owned())],
    );
    let patch = vec![crate::inject::patch::Operation::Add {
        path: "/a".to_owned(),
        value: json!("ü"),
    }];

    let (review, record) = conclude(Verdict::Patched {
        patch,
        warnings: warnings.clone(),
        audit: audit.clone(),
    });
    assert_eq!(record.reason, Reason::Asked);
    assert_eq!(
        review,
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {
                "uid": "a-uid",
                "allowed": true,
                "patchType": "JSONPatch",
                "patch": "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6IsO8In1d",
                "warnings": ["mind this"],
                "auditAnnotations": { "decision": "x" },
            },
        })
    );

    let (review, record) = conclude(Verdict::Patched {
        patch: vec![],
        warnings: vec![],
        audit: vec![],
    });
    assert_eq!(record.reason, Reason::Complete);
    assert_eq!(
        review["response"],
        json!({ "uid": "a-uid", "allowed": true })
    );

    let (review, record) = conclude(Verdict::Denied {
        reason: Reason::Placement,
        message: "quotes s3cret".to_owned(),
        warnings,
        audit,
    });
    assert_eq!(record.reason, Reason::Placement);
    assert!(!record.why.contains("s3cret"));
    assert_eq!(
        review["response"],
        json!({
            "uid": "a-uid",
            "allowed": false,
            "status": { "message": "quotes s3cret", "reason": "Forbidden", "code": 403 },
            "warnings": ["mind this"],
            "auditAnnotations": { "decision": "x" },
        })
    );
}

/// A review whose pod is `depth` objects deep: more than the JSON reader follows.
fn nested(depth: usize) -> Vec<u8> {
    let deep = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let review = String::from_utf8(with("/request/object", json!("HERE"))).unwrap();
    review.replace("\"HERE\"", &deep).into_bytes()
}
