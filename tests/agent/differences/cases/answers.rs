//! What the server answers: errors, redirects, forms and kinds of bodies.

use serde_json::json;

use crate::differences::case::{Case, ask, case, get, post};

const PATH: &str = "/v1/played/app";
const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) fn cases() -> Vec<Case> {
    [errors(), redirects(), forms(), contents()]
        .into_iter()
        .flatten()
        .collect()
}

fn errors() -> Vec<Case> {
    let statuses = [
        400, 401, 402, 403, 404, 405, 408, 409, 412, 413, 422, 429, 472, 473, 500, 501, 502, 503,
        504, 599,
    ];
    let body = r#"{"errors":["from the tap"]}"#;
    let mut cases = Vec::new();
    for status in statuses {
        let name = |method: &str| format!("{method} answered {status}");
        cases.push(case(name("GET"), [get(PATH)]).played(status, &[JSON], body));
        let post = post(PATH, &json!({ "a": "1" }));
        cases.push(case(name("POST"), [post]).played(status, &[JSON, ("retry-after", "1")], body));
    }
    for status in [404, 429, 500, 503] {
        cases.push(
            case(format!("HEAD answered {status}"), [ask("HEAD", PATH)]).played(
                status,
                &[JSON],
                "",
            ),
        );
    }
    cases.push(case("404 without a body", [get(PATH)]).played(404, &[], ""));
    cases.push(case("404 with warnings", [get(PATH)]).played(
        404,
        &[JSON],
        r#"{"warnings":["w"],"data":{"keys":["a"]}}"#,
    ));
    cases.push(case("503 in HTML", [get(PATH)]).played(
        503,
        &[("content-type", "text/html")],
        "<h1>away</h1>",
    ));
    cases.push(
        case("GET sys/health answered 429", [get("/v1/sys/health")]).played(
            429,
            &[JSON],
            r#"{"standby":true}"#,
        ),
    );
    cases.push(
        case("GET sys/health answered 503", [get("/v1/sys/health")]).played(
            503,
            &[JSON],
            r#"{"sealed":true}"#,
        ),
    );
    cases
}

fn redirects() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        for location in ["https://localhost:1/v1/a", "/v1/kv1/app"] {
            let case = case(format!("{status} to {location}"), [get(PATH)]).played(
                status,
                &[("location", location)],
                "",
            );
            // The peer passes the others on, as Keyside does with all that lead to another host.
            let followed =
                matches!(status, 301 | 302 | 307) || (status == 308 && location.starts_with('/'));
            cases.push(if followed {
                case.shows(&["redirects"])
            } else {
                case
            });
        }
    }
    cases.push(case("304", [get(PATH)]).played(304, &[], ""));
    cases.push(case("300", [get(PATH)]).played(300, &[JSON], "{}"));
    cases
}

fn forms() -> Vec<Case> {
    vec![
        case("204", [get(PATH)]).played(204, &[], ""),
        case("202", [post(PATH, &json!({}))]).played(202, &[JSON], "{}"),
        case("206", [get(PATH)]).played(206, &[("content-range", "bytes 0-1/9")], "ab"),
        case("200, empty", [get(PATH)]).played(200, &[], ""),
        case("200, empty, JSON", [get(PATH)]).played(200, &[JSON], ""),
        case("HEAD 200", [ask("HEAD", PATH)]).played(200, &[JSON], ""),
        case("OPTIONS 200", [ask("OPTIONS", PATH)]).played(200, &[("allow", "GET")], ""),
        case("cookies", [get(PATH)]).played(
            200,
            &[("set-cookie", "a=b"), ("set-cookie", "c=d")],
            "{}",
        ),
        case("many headers", [get(PATH)]).played(
            200,
            &[
                ("etag", "\"a\""),
                ("x-vault-index", "v1"),
                ("warning", "299 - \"a\""),
                ("cache-control", "no-store"),
                ("vary", "a"),
            ],
            "{}",
        ),
        case("hop-by-hop", [get(PATH)])
            .played(
                200,
                &[("keep-alive", "timeout=5"), ("proxy-authenticate", "Basic")],
                "{}",
            )
            .shows(&["hop-by-hop"]),
        case("a cache in front", [get(PATH)]).played(
            200,
            &[("x-cache", "HIT"), ("age", "7")],
            "{}",
        ),
    ]
}

fn contents() -> Vec<Case> {
    let json = |name: &str, body: &str| {
        case(format!("content: {name}"), [get(PATH)]).played(200, &[JSON], body)
    };
    let typed = |kind: &str, body: &str| {
        case(format!("content: {kind}"), [get(PATH)]).played(200, &[("content-type", kind)], body)
    };
    vec![
        json("empty object", "{}"),
        json("blanks", " {\n \"a\" : 1 , \"b\":2.50, \"c\":1e3 }\n"),
        json("big numbers", r#"{"a":123456789012345678901234567890}"#),
        json("escapes", r#"{"a":"\u00e9\/","<":"&"}"#),
        json("null", "null"),
        json("a list", "[1,2]").shows(&["not-a-secret"]),
        json("a text", "\"a\"").shows(&["not-a-secret"]),
        json("no JSON", "hello").shows(&["not-a-secret"]),
        json("broken off", r#"{"data":{"a":"#).shows(&["not-a-secret"]),
        json("two", r#"{"a":1}{"b":2}"#),
        json(
            "like a lease",
            r#"{"data":{"lease_id":"a","renewable":true,"lease_duration":9}}"#,
        ),
        json("renewable, a text", r#"{"data":{"renewable":"yes"}}"#).shows(&["not-a-secret"]),
        json("renewable, a number", r#"{"data":{"renewable":1}}"#),
        json("a lease that is a number", r#"{"lease_id":7}"#).shows(&["not-a-secret"]),
        json(
            "large",
            &format!(r#"{{"data":{{"a":"{}"}}}}"#, "x".repeat(100_000)),
        ),
        typed("text/plain", "hello"),
        typed("text/html", "<h1>a</h1>"),
        typed("application/pkix-cert", "MII"),
        typed("application/json; charset=utf-8", "{}"),
        typed("application/json;charset=UTF-8", "no JSON"),
        typed("application/octet-stream", "\u{1}\u{2}\u{0}"),
        typed("text/event-stream", "data: a\n\n"),
    ]
}
