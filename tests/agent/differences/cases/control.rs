//! The agents' own endpoints.

use serde_json::{Value, json};

use crate::differences::case::{Case, Setting, ask, case, get, post};

const CLEAR: &str = "/agent/v1/cache-clear";
const QUIT: &str = "/agent/v1/quit";
const METRICS: &str = "/agent/v1/metrics";

pub(super) fn cases() -> Vec<Case> {
    let clear = |body: Value| case(format!("clear: {body}"), [post(CLEAR, &body)]);
    let text =
        |body: &'static str| case(format!("clear: {body:?}"), [ask("POST", CLEAR).body(body)]);
    let mut cases = vec![
        clear(json!({})).shows(&["cache-clear"]),
        clear(json!({ "type": "leases" })).shows(&["cache-clear"]),
        clear(json!({ "type": 7 })).shows(&["cache-clear"]),
        clear(json!({ "type": "token" })).shows(&["cache-clear"]),
        clear(json!({ "type": "token_accessor" })).shows(&["cache-clear"]),
        clear(json!({ "type": "lease" })).shows(&["cache-clear"]),
        clear(json!({ "type": "request_path" })).shows(&["cache-clear"]),
        clear(json!({ "type": "token", "value": "hvs.none" })),
        clear(json!({ "type": "token_accessor", "value": "none" })),
        clear(json!({ "type": "lease", "value": "none" })),
        clear(json!({ "type": "request_path", "value": "/v1/none" })),
        clear(json!({ "type": "request_path", "value": "/v1/none", "namespace": "ns1" })),
        clear(json!({ "type": "lease", "value": "none", "more": 1 })),
        text("").shows(&["cache-clear"]),
        text("[]").shows(&["cache-clear"]),
        text("hello").shows(&["cache-clear"]),
        case(
            "clear: PUT",
            [ask("PUT", CLEAR).json(&json!({ "type": "lease", "value": "none" }))],
        ),
    ];
    for method in ["GET", "DELETE", "PATCH", "HEAD"] {
        cases.push(case(format!("clear: {method}"), [ask(method, CLEAR)]).shows(&["cache-clear"]));
    }
    for method in ["GET", "POST", "HEAD", "DELETE"] {
        cases.push(case(format!("metrics: {method}"), [ask(method, METRICS)]).shows(&["metrics"]));
    }
    for query in ["format=prometheus", "format=xx"] {
        cases.push(
            case(
                format!("metrics: {query}"),
                [get(&format!("{METRICS}?{query}"))],
            )
            .shows(&["metrics"]),
        );
    }
    for method in ["GET", "POST"] {
        cases.push(case(format!("quit: {method}"), [ask(method, QUIT)]).shows(&["outside-v1"]));
    }
    for path in [METRICS, "/v1/kv1/app", CLEAR, "/"] {
        let row = if path == METRICS { "metrics" } else { "texts" };
        cases.push(
            case(format!("metrics only: {path}"), [get(path)])
                .on(Setting::MetricsOnly)
                .shows(&[row]),
        );
    }
    // From here on the peer keeps nothing of the agent's token, and then there is no agent any more.
    cases.push(case("clear: all", [post(CLEAR, &json!({ "type": "all" }))]));
    cases.push(
        case("quit, enabled: GET", [get(QUIT)])
            .on(Setting::Quitting)
            .shows(&["texts"]),
    );
    cases.push(case("quit, enabled: POST", [ask("POST", QUIT)]).on(Setting::Quitting));
    cases
}
