//! Methods, paths, queries and bodies.

use serde_json::json;

use crate::differences::case::{Case, Step, ask, case, get, post};

pub(super) fn cases() -> Vec<Case> {
    [methods(), paths(), refused(), bodies(), more_bodies()]
        .into_iter()
        .flatten()
        .collect()
}

/// Every method, of every kind of path.
fn methods() -> Vec<Case> {
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "LIST", "SCAN", "HEAD", "OPTIONS", "PURGE",
    ];
    let paths = [
        "/v1/kv1/methods",
        "/v1/kv2/data/methods",
        "/v1/kv2/metadata/methods",
        "/v1/sys/mounts",
        "/v1/cubbyhole/methods",
        "/v1/nowhere/methods",
    ];
    let mut cases = Vec::new();
    for path in paths {
        for method in methods {
            let bodied = matches!(method, "POST" | "PUT" | "PATCH");
            let step = ask(method, path);
            let step = match (method, bodied) {
                ("PATCH", _) => step
                    .with("content-type", "application/merge-patch+json")
                    .body(json!({ "data": { "b": "2" } }).to_string()),
                (_, true) => step.json(&json!({ "data": { "a": "1" } })),
                _ => step,
            };
            cases.push(case(format!("{method} {path}"), [step]));
        }
    }
    cases
}

/// Paths and queries that reach the server.
fn paths() -> Vec<Case> {
    let plain = [
        "/v1/kv1/app",
        "/v1/kv1/missing",
        "/v1/kv1/with%20space",
        "/v1/kv1/tilde~",
        "/v1/kv1/%C3%A9",
        "/v1/kv1/plus+plus",
        "/v1/kv1/at@colon:comma,",
        "/v1/kv1/a/b/c/d/e",
        "/v1/kv1/app?a=1",
        "/v1/kv1/app?a=1&b=2",
        "/v1/kv1/app?a=1&a=0",
        "/v1/kv1/semi;colon=1",
        "/v1/kv1?list=true",
        "/v1/kv2/data/app",
        "/v1/kv2/data/app?version=1",
        "/v1/kv2/metadata/app",
        "/v1/kv2/metadata?list=true",
        "/v1/sys/health",
        "/v1/sys/health?sealedcode=299&standbyok=true",
        "/v1/sys/seal-status",
        "/v1/sys/leader",
        "/v1/sys/internal/ui/mounts",
        "/v1/sys/policies/acl/default",
        "/v1/sys/capabilities-self",
        "/v1/auth/token/accessors",
        "/v1/identity/entity/id",
        "/v1/ns1/kv/app",
        "/v1/denied/app",
    ];
    let differing: [(&str, &[&'static str]); 14] = [
        ("/v1/kv1/app/", &["trailing-slash"]),
        ("/v1/kv1/", &["trailing-slash"]),
        ("/v1/kv1/a%2Fb", &["escapes"]),
        ("/v1/kv1/a%2fb%2fc", &["escapes"]),
        ("/v1/kv1/%7Etilde", &["escapes"]),
        ("/v1/kv1/%61pp", &["escapes"]),
        ("/v1/kv1/%2B", &["escapes"]),
        ("/v1/kv1/app?b=2&a=1", &["query"]),
        ("/v1/kv1/app?flag", &["query"]),
        ("/v1/kv1/app?flag&empty=", &["query"]),
        ("/v1/kv1/app?a=1;b=2", &["query"]),
        ("/v1/kv1/app?a=%61+b", &["query"]),
        ("/v1/kv1/app?", &["query"]),
        ("/v1/kv1/app?a=/?:@", &["query"]),
    ];
    let plain = plain
        .iter()
        .map(|path| case(format!("GET {path}"), [get(path)]));
    let differing = differing
        .iter()
        .map(|(path, rows)| case(format!("GET {path}"), [get(path)]).shows(rows));
    let lists = [
        "/v1/kv1",
        "/v1/kv2/metadata",
        "/v1/auth/token/accessors",
        "/v1/database/roles",
    ];
    let lists = lists
        .iter()
        .map(|path| case(format!("LIST {path}"), [ask("LIST", path)]));
    let slashed = ["/v1/kv1/", "/v1/kv2/metadata/"];
    let slashed = slashed
        .iter()
        .map(|path| case(format!("LIST {path}"), [ask("LIST", path)]).shows(&["trailing-slash"]));
    plain.chain(differing).chain(lists).chain(slashed).collect()
}

/// Paths that readers could take for different ones, and those that are not below `/v1/`.
fn refused() -> Vec<Case> {
    let ambiguous = [
        "/v1/kv1//app",
        "/v1//kv1/app",
        "//v1/kv1/app",
        "/v1/./kv1/app",
        "/v1/kv1/../kv1/app",
        "/v1/kv1/%2e%2e/kv1/app",
        "/v1/kv1%2f..%2fkv1/app",
        "/v1/kv1/a%00",
        "/v1/kv1/a%5cb",
        "/v1/kv1/a%zz",
    ];
    let outside = ["/", "/ui/", "/v2/kv1/app", "/v1", "/proxy/v1/none"];
    let proxy_v1 = ["/proxy/v1/metrics", "/proxy/v1/cache-clear"];
    let ambiguous = ambiguous
        .iter()
        .map(|path| case(format!("GET {path}"), [get(path)]).shows(&["ambiguous-paths"]));
    let outside = outside
        .iter()
        .map(|path| case(format!("GET {path}"), [get(path)]).shows(&["outside-v1"]));
    let proxy_v1 = proxy_v1
        .iter()
        .map(|path| case(format!("GET {path}"), [get(path)]).shows(&["proxy-v1"]));
    ambiguous.chain(outside).chain(proxy_v1).collect()
}

fn write(name: &str, step: Step) -> Case {
    case(format!("body: {name}"), [step])
}

fn bodies() -> Vec<Case> {
    vec![
        write(
            "JSON",
            post(
                "/v1/kv1/body",
                &json!({ "a": "1", "nested": { "b": [1, 2.5, null, true] } }),
            ),
        ),
        write(
            "JSON, PUT",
            ask("PUT", "/v1/kv1/body").json(&json!({ "a": "2" })),
        ),
        write(
            "JSON without a type",
            ask("POST", "/v1/kv1/body").body(r#"{"a":"1"}"#),
        ),
        write(
            "JSON with a charset",
            ask("POST", "/v1/kv1/body")
                .with("content-type", "application/json; charset=utf-8")
                .body(r#"{"a":"1"}"#),
        ),
        write(
            "JSON with blanks",
            ask("POST", "/v1/kv1/body").body("  {\n\t\"a\" : \"1\" }\n"),
        ),
        write(
            "JSON that breaks off",
            ask("POST", "/v1/kv1/body").body(r#"{"a":"#),
        ),
        write(
            "JSON twice",
            ask("POST", "/v1/kv1/body").body(r#"{"a":"1"}{"b":"2"}"#),
        ),
        write("a list", ask("POST", "/v1/kv1/body").body("[1]")),
        write("null", ask("POST", "/v1/kv1/body").body("null")),
        write(
            "text",
            ask("POST", "/v1/kv1/body")
                .with("content-type", "text/plain")
                .body("hello"),
        ),
        write(
            "a form",
            ask("POST", "/v1/kv1/body")
                .with("content-type", "application/x-www-form-urlencoded")
                .body("a=1&b=2"),
        ),
        write(
            "bytes",
            ask("POST", "/v1/kv1/body")
                .with("content-type", "application/octet-stream")
                .body((0..=255).collect::<Vec<u8>>()),
        ),
    ]
}

/// Bodies that are missing, in pieces, large or used twice.
fn more_bodies() -> Vec<Case> {
    let data = json!({ "plaintext": "aGVsbG8=" });
    let text = data.to_string();
    vec![
        write("none", ask("POST", "/v1/kv1/body")),
        write("none, PUT", ask("PUT", "/v1/kv1/body")),
        write("of a GET", get("/v1/kv1/app").body(r#"{"a":"1"}"#)),
        write(
            "of a DELETE",
            ask("DELETE", "/v1/kv1/body").json(&json!({ "versions": [1] })),
        ),
        write(
            "in chunks",
            ask("POST", "/v1/transit/encrypt/key")
                .with("transfer-encoding", "chunked")
                .body(text.clone()),
        ),
        write(
            "transit",
            post("/v1/transit/hash/sha2-256", &json!({ "input": "aGVsbG8=" })),
        ),
        write(
            "random",
            post(
                "/v1/sys/tools/hash/sha2-512",
                &json!({ "input": "aGVsbG8=" }),
            ),
        ),
        write(
            "large",
            post("/v1/kv1/body", &json!({ "a": "x".repeat(300_000) })),
        ),
        write(
            "many keys",
            post(
                "/v1/kv1/body",
                &(0..500)
                    .map(|key| (format!("key{key}"), json!("value")))
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
            ),
        ),
        write(
            "KV 2",
            post(
                "/v1/kv2/data/body",
                &json!({ "data": { "a": "1" }, "options": {} }),
            ),
        ),
        write(
            "KV 2 with a wrong version",
            post(
                "/v1/kv2/data/app",
                &json!({ "data": { "a": "1" }, "options": { "cas": 9000 } }),
            ),
        ),
        case(
            "body: write, read, delete, read",
            [
                post("/v1/kv1/round", &json!({ "a": "ä\u{1f511}\"\\/" })),
                get("/v1/kv1/round"),
                ask("DELETE", "/v1/kv1/round"),
                get("/v1/kv1/round"),
            ],
        ),
        case(
            "body: encrypt and decrypt",
            [
                post("/v1/transit/encrypt/key", &data).keep("sealed", "/data/ciphertext"),
                post(
                    "/v1/transit/decrypt/key",
                    &json!({ "ciphertext": "{sealed}" }),
                ),
            ],
        ),
    ]
}
