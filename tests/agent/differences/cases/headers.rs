//! Headers, tokens and namespaces.

use serde_json::json;

use crate::differences::case::{Case, Setting, Step, ask, case, get, post};

const APP: &str = "/v1/kv1/app";
const SELF: &str = "/v1/auth/token/lookup-self";

pub(super) fn cases() -> Vec<Case> {
    [plain(), tokens(), namespaces(), guarded(), forced(), bare()]
        .into_iter()
        .flatten()
        .collect()
}

fn plain() -> Vec<Case> {
    let one =
        |name: &str, value: &str| case(format!("{name}: {value}"), [get(APP).with(name, value)]);
    vec![
        one("accept", "*/*"),
        one("accept", "application/json"),
        one("accept-language", "en"),
        one("cookie", "a=b"),
        one("x-request-id", "7"),
        one(
            "traceparent",
            "00-00000000000000000000000000000001-0000000000000001-01",
        ),
        one("x-vault-request", "true"),
        one("x-vault-policy-override", "true"),
        one("x-vault-index", "v1:abc"),
        one("x-empty", ""),
        one("if-none-match", "\"a\""),
        one("range", "bytes=0-3"),
        one("cache-control", "no-cache"),
        one("user-agent", "app/1.0"),
        one("accept-encoding", "identity"),
        one("accept-encoding", "br, gzip"),
        one("connection", "close, x-mine").shows(&["hop-by-hop"]),
        one("te", "trailers").shows(&["hop-by-hop"]),
        one("keep-alive", "timeout=5").shows(&["hop-by-hop"]),
        one("proxy-connection", "keep-alive").shows(&["hop-by-hop"]),
        one("proxy-authorization", "Basic YTpi").shows(&["hop-by-hop"]),
        one("upgrade", "h2c").shows(&["hop-by-hop"]),
        case(
            "a large header",
            [get(APP).with("x-large", &"a".repeat(20_000))],
        ),
        case(
            "a larger header",
            [get(APP).with("x-large", &"a".repeat(40_000))],
        )
        .shows(&["header-limit"]),
        case(
            "a header twice",
            [get(APP).with("x-twice", "a").with("x-twice", "b")],
        ),
        case(
            "an answer wrapped",
            [get(APP).with("x-vault-wrap-ttl", "60s")],
        ),
        case(
            "wrap and unwrap",
            [
                get(APP)
                    .with("x-vault-wrap-ttl", "60s")
                    .keep("wrapped", "/wrap_info/token"),
                post("/v1/sys/wrapping/lookup", &json!({ "token": "{wrapped}" })),
                post("/v1/sys/wrapping/unwrap", &json!({ "token": "{wrapped}" })),
                post("/v1/sys/wrapping/unwrap", &json!({ "token": "{wrapped}" })),
            ],
        ),
        case(
            "unwrap with the token itself",
            [
                get(APP)
                    .with("x-vault-wrap-ttl", "60s")
                    .keep("wrapped", "/wrap_info/token"),
                ask("POST", "/v1/sys/wrapping/unwrap").token("{wrapped}"),
            ],
        ),
        case(
            "wrap what is sent",
            [post("/v1/sys/wrapping/wrap", &json!({ "a": "b" })).with("x-vault-wrap-ttl", "77s")],
        )
        .shows(&["wrap-ttl"]),
    ]
}

fn tokens() -> Vec<Case> {
    let bearer = |token: &str| get(SELF).with("authorization", &format!("Bearer {token}"));
    vec![
        case("the client's token", [get(SELF).token("{root}")]),
        case("a dead token", [get(SELF).token("hvs.dead")]),
        case("an empty token", [get(APP).token("")]),
        case(
            "no token where none is needed",
            [get("/v1/sys/seal-status")],
        ),
        case("two tokens", [get(APP).token("{root}").token("hvs.other")])
            .shows(&["repeated-headers"]),
        case("a token that cannot be one", [get(APP).token("a\u{fc}b")]),
        case("the token as a bearer", [bearer("{root}")]).shows(&["bearer"]),
        case("a dead bearer", [bearer("hvs.dead")]).shows(&["bearer"]),
        case("a bearer and a token", [bearer("hvs.dead").token("{root}")]).shows(&["bearer"]),
        case(
            "basic authorization",
            [get(APP).with("authorization", "Basic YTpi")],
        )
        .shows(&["bearer"]),
        case(
            "inline authentication",
            [get(APP)
                .with("x-vault-inline-auth-path", "auth/approle/login")
                .with("x-vault-inline-auth-operation", "update")],
        )
        .shows(&["inline-auth"]),
        case("the agent's own token", [get(SELF).token("{own}")]).shows(&["own-token"]),
        case(
            "look up the agent's token",
            [post("/v1/auth/token/lookup", &json!({ "token": "{own}" }))],
        )
        .shows(&["own-token"]),
        case(
            "look up nothing",
            [ask("POST", "/v1/auth/token/lookup").json(&json!({}))],
        )
        .shows(&["own-token"]),
        case(
            "look up without a body",
            [ask("POST", "/v1/auth/token/lookup")],
        )
        .shows(&["own-token"]),
        case(
            "look up the agent's token, with a slash",
            [get("/v1/auth/token/lookup-self/")],
        )
        .shows(&["trailing-slash"]),
        case("look up without a token of one's own", [get(SELF)]).shows(&["own-token"]),
        case(
            "look up without a token of one's own, wrapped",
            [get(SELF).with("x-vault-wrap-ttl", "60s")],
        )
        .shows(&["own-token"]),
        case(
            "capabilities of the agent's token",
            [post(
                "/v1/sys/capabilities-self",
                &json!({ "paths": ["kv1/app", "denied/app"] }),
            )],
        ),
    ]
}

fn namespaces() -> Vec<Case> {
    let named = |value: &str| {
        get("/v1/kv/app")
            .with("x-vault-namespace", value)
            .token("{root}")
    };
    vec![
        case("namespace: ns1", [named("ns1")]),
        case("namespace: ns1/", [named("ns1/")]),
        case("namespace: /ns1", [named("/ns1")]),
        case(
            "namespace: root",
            [get(APP).with("x-vault-namespace", "root")],
        ),
        case("namespace: empty", [get(APP).with("x-vault-namespace", "")])
            .shows(&["empty-namespace"]),
        case("namespace: unknown", [named("ns9")]),
        case(
            "namespace: in the path",
            [get("/v1/ns1/kv/app").token("{root}")],
        ),
        case(
            "namespace: both",
            [get("/v1/ns2/kv/app")
                .with("x-vault-namespace", "ns1")
                .token("{root}")],
        ),
        case(
            "namespace: twice",
            [named("ns1").with("x-vault-namespace", "ns9")],
        )
        .shows(&["repeated-headers"]),
        case(
            "namespace: not the token's",
            [get("/v1/kv/app").with("x-vault-namespace", "ns1")],
        ),
    ]
}

fn guarded() -> Vec<Case> {
    let marked = |name: &str, value: &str| {
        case(
            format!("guard: {name} {value}"),
            [get(APP).with(name, value)],
        )
        .shows(&["guard"])
    };
    let demanding =
        |name: &str, step: Step| case(format!("demanding: {name}"), [step]).on(Setting::Demanding);
    vec![
        marked("host", "evil.test"),
        marked("origin", "http://evil.test"),
        marked("x-forwarded-for", "10.0.0.1"),
        marked("forwarded", "for=10.0.0.1"),
        marked("sec-fetch-site", "cross-site"),
        case(
            "guard: host localhost",
            [get(APP).with("host", "localhost:8200")],
        ),
        demanding("nothing", get(APP)).shows(&["texts"]),
        demanding("true", get(APP).with("x-vault-request", "true")),
        demanding("false", get(APP).with("x-vault-request", "false")).shows(&["texts"]),
        demanding(
            "twice",
            get(APP)
                .with("x-vault-request", "true")
                .with("x-vault-request", "true"),
        )
        .shows(&["texts"]),
        demanding("metrics", get("/agent/v1/metrics")).shows(&["texts"]),
        demanding(
            "cache-clear",
            post(
                "/agent/v1/cache-clear",
                &json!({ "type": "lease", "value": "none" }),
            ),
        )
        .shows(&["texts"]),
    ]
}

/// The agent's token replaces the client's.
fn forced() -> Vec<Case> {
    let force = |name: &str, step: Step| case(format!("force: {name}"), [step]).on(Setting::Force);
    vec![
        force("nothing", get(APP)),
        force("a token", get(APP).token("hvs.dead")),
        force(
            "a bearer",
            get(APP).with("authorization", "Bearer hvs.dead"),
        )
        .shows(&["bearer"]),
        force(
            "inline authentication",
            get(APP).with("x-vault-inline-auth-path", "auth/approle/login"),
        )
        .shows(&["inline-auth"]),
        force(
            "login",
            post("/v1/auth/approle/login", &json!({ "role_id": "none" })),
        )
        .shows(&["login"]),
    ]
}

/// No token is attached, or there is no cache.
fn bare() -> Vec<Case> {
    let bare = |name: &str, step: Step| case(format!("plain: {name}"), [step]).on(Setting::Plain);
    let uncached =
        |name: &str, step: Step| case(format!("uncached: {name}"), [step]).on(Setting::Uncached);
    vec![
        bare("no token", get(APP)),
        bare("a token", get(APP).token("{root}")),
        bare("a bearer", get(APP).with("authorization", "Bearer {root}")),
        bare("health", get("/v1/sys/health")),
        bare(
            "login",
            post("/v1/auth/approle/login", &json!({ "role_id": "none" })),
        ),
        uncached("read", get(APP)),
        uncached("credentials", get("/v1/database/creds/uncached")),
        uncached(
            "clear",
            post("/agent/v1/cache-clear", &json!({ "type": "all" })),
        )
        .shows(&["cache-clear"]),
    ]
}
