//! Logins, tokens, leases, and how they end.

use serde_json::{Value, json};

use crate::differences::case::{Case, Setting, Step, ask, case, get, post};

const LOGIN: &str = "/v1/auth/approle/login";
const RENEW_SELF: &str = "/v1/auth/token/renew-self";

pub(super) fn cases() -> Vec<Case> {
    [
        kept(),
        keys(),
        not_kept(),
        renewals(),
        revocations(),
        clears(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A database role of the case's own: what another case has in the cache does not matter.
fn creds(name: &str) -> String {
    format!("/v1/database/creds/{name}")
}

/// A login that only this case makes.
fn login(name: &str) -> Step {
    post(
        &format!("{LOGIN}?{name}=1"),
        &json!({ "role_id": "{role}", "secret_id": "{secret}" }),
    )
    .keep("token", "/auth/client_token")
    .keep("accessor", "/auth/accessor")
}

fn create(name: &str) -> Step {
    post(
        "/v1/auth/token/create",
        &json!({ "policies": ["bank"], "display_name": name }),
    )
}

fn kept() -> Vec<Case> {
    let lease = creds("kept");
    vec![
        case("cache: a lease", [get(&lease), get(&lease), get(&lease)]),
        case("cache: a login", [login("kept"), login("kept")]).shows(&["login"]),
        case("cache: a token made", [create("kept"), create("kept")]),
        case(
            "cache: an orphan",
            [
                post(
                    "/v1/auth/token/create-orphan",
                    &json!({ "policies": ["bank"], "display_name": "orphan" }),
                ),
                post(
                    "/v1/auth/token/create-orphan",
                    &json!({ "policies": ["bank"], "display_name": "orphan" }),
                ),
            ],
        ),
        case(
            "cache: a lease of a login",
            [
                login("lease"),
                get(&creds("login")).token("{token}"),
                get(&creds("login")).token("{token}"),
            ],
        )
        .shows(&["login"]),
        case(
            "cache: a lease of a bearer",
            [
                login("bearer"),
                get(&creds("bearer")).with("authorization", "Bearer {token}"),
                get(&creds("bearer")).with("authorization", "Bearer {token}"),
            ],
        )
        .on(Setting::Plain)
        .shows(&["bearer-cached"]),
        case(
            "cache: a lease of a token that the agent did not see made",
            [
                get(&creds("unmanaged")).token("{root}"),
                get(&creds("unmanaged")).token("{root}"),
            ],
        )
        .shows(&["strangers"]),
        case(
            "cache: a token of one that is used once",
            [
                post(
                    "/v1/auth/token/create",
                    &json!({ "policies": ["bank"], "num_uses": 5 }),
                ),
                post(
                    "/v1/auth/token/create",
                    &json!({ "policies": ["bank"], "num_uses": 5 }),
                ),
            ],
        )
        .shows(&["limited"]),
        case(
            "cache: a batch token",
            [
                post(
                    "/v1/auth/token/create",
                    &json!({ "policies": ["bank"], "type": "batch" }),
                ),
                post(
                    "/v1/auth/token/create",
                    &json!({ "policies": ["bank"], "type": "batch" }),
                ),
            ],
        )
        .shows(&["not-renewable"]),
        case(
            "cache: a token that cannot be renewed",
            [
                post(
                    "/v1/auth/token/create",
                    &json!({ "policies": ["bank"], "renewable": false }),
                ),
                post(
                    "/v1/auth/token/create",
                    &json!({ "policies": ["bank"], "renewable": false }),
                ),
            ],
        )
        .shows(&["not-renewable"]),
    ]
}

/// Requests that mean the same.
fn keys() -> Vec<Case> {
    let twice = |name: &'static str, one: Step, other: Step| {
        case(format!("key: {name}"), [one, other]).shows(&["keys"])
    };
    let body = |text: &'static str| {
        ask("POST", "/v1/auth/token/create")
            .with("content-type", "application/json")
            .body(text)
    };
    vec![
        twice(
            "another user agent",
            get(&creds("k1")),
            get(&creds("k1")).with("user-agent", "other"),
        )
        .shows(&["user-agent"]),
        twice(
            "another trace",
            get(&creds("k2")).with("x-request-id", "1"),
            get(&creds("k2")).with("x-request-id", "2"),
        ),
        twice(
            "the query's order",
            get(&format!("{}?a=1&b=2", creds("k3"))),
            get(&format!("{}?b=2&a=1", creds("k3"))),
        )
        .shows(&[]),
        twice(
            "the order in JSON",
            body(r#"{"policies":["bank"],"display_name":"k4"}"#),
            body(r#"{"display_name":"k4","policies":["bank"]}"#),
        ),
        case(
            "key: PUT and POST",
            [
                create("k5"),
                ask("PUT", "/v1/auth/token/create")
                    .json(&json!({ "policies": ["bank"], "display_name": "k5" })),
            ],
        ),
        twice(
            "another host",
            get(&creds("k6")),
            get(&creds("k6")).with("host", "localhost"),
        ),
        case("key: another body", [create("k7"), create("k8")]),
        case(
            "key: another query",
            [
                get(&format!("{}?a=1", creds("k9"))),
                get(&format!("{}?a=2", creds("k9"))),
            ],
        ),
    ]
}

fn not_kept() -> Vec<Case> {
    let twice = |name: &str, step: Step| case(format!("not kept: {name}"), [step.clone(), step]);
    vec![
        twice("a secret", get("/v1/kv1/app")),
        twice("a secret of version 2", get("/v1/kv2/data/app")),
        twice("a list", ask("LIST", "/v1/kv1")),
        twice(
            "a wrapped lease",
            get(&creds("wrapped")).with("x-vault-wrap-ttl", "60s"),
        ),
        twice(
            "a refused login",
            post(LOGIN, &json!({ "role_id": "none", "secret_id": "none" })),
        )
        .shows(&["login"]),
        twice("what is denied", get("/v1/denied/app")),
        twice("what is missing", get("/v1/kv1/missing")),
        twice(
            "a secret id",
            ask("POST", "/v1/auth/approle/role/worker/secret-id").json(&json!({})),
        ),
        twice(
            "a random number",
            ask("POST", "/v1/transit/datakey/wrapped/key").json(&json!({})),
        ),
        twice(
            "the token's look-up",
            get("/v1/auth/token/lookup-self").token("{root}"),
        ),
        twice("an unknown role", get(&creds("none"))),
        twice("unauthenticated", get("/v1/sys/seal-status")),
    ]
}

/// A renewal is a deed, and is done each time.
fn renewals() -> Vec<Case> {
    let renew = |lease: &str| {
        ask("PUT", "/v1/sys/leases/renew").json(&json!({ "lease_id": lease, "increment": 3600 }))
    };
    vec![
        case(
            "renew: a lease twice",
            [
                get(&creds("r1")).keep("lease", "/lease_id"),
                renew("{lease}"),
                renew("{lease}"),
            ],
        )
        .shows(&["renewals"]),
        case(
            "renew: a lease in the path",
            [
                get(&creds("r2")).keep("lease", "/lease_id"),
                ask("PUT", "/v1/sys/leases/renew/{lease}"),
                ask("PUT", "/v1/sys/leases/renew/{lease}"),
            ],
        )
        .shows(&["renewals"]),
        case(
            "renew: a token twice",
            [
                login("r3"),
                post(RENEW_SELF, &json!({})).token("{token}"),
                post(RENEW_SELF, &json!({})).token("{token}"),
            ],
        )
        .shows(&["login", "renewals"]),
        case(
            "renew: the agent's token twice",
            [post(RENEW_SELF, &json!({})), post(RENEW_SELF, &json!({}))],
        )
        .shows(&["renewals"]),
        case(
            "renew: and revoke",
            [
                login("r4"),
                get(&creds("r4")).token("{token}"),
                post(RENEW_SELF, &json!({ "increment": "1h" })).token("{token}"),
                post("/v1/auth/token/revoke-self", &json!({})).token("{token}"),
                get(&creds("r4")).token("{token}"),
            ],
        )
        .shows(&["login", "renewals"]),
        case(
            "renew: nothing",
            [ask("PUT", "/v1/sys/leases/renew").json(&json!({}))],
        ),
        case("renew: an unknown lease", [renew("database/creds/none/x")]),
    ]
}

fn revocations() -> Vec<Case> {
    // A lease, an end of it, and the same request again.
    let lease = |name: &str, end: Step| {
        case(
            format!("revoke: {name}"),
            [
                get(&creds(name)).keep("lease", "/lease_id"),
                end,
                get(&creds(name)),
            ],
        )
    };
    let token = |name: &str, end: Step| {
        case(
            format!("revoke: {name}"),
            [
                login(name),
                get(&creds(name)).token("{token}"),
                end,
                get(&creds(name)).token("{token}"),
                login(name),
            ],
        )
        .shows(&["login"])
    };
    let revoke = |body: &Value| ask("PUT", "/v1/sys/leases/revoke").json(body);
    let tokens = |act: &str, body: &Value| post(&format!("/v1/auth/token/{act}"), body);
    vec![
        lease(
            "v1",
            revoke(&json!({ "lease_id": "{lease}", "sync": true })),
        ),
        lease("v2", ask("PUT", "/v1/sys/leases/revoke/{lease}")).shows(&["revocations"]),
        lease(
            "v3",
            ask("PUT", "/v1/sys/leases/revoke-prefix/database/creds/v3"),
        )
        .shows(&["revocations"]),
        lease(
            "v4",
            ask("PUT", "/v1/sys/leases/revoke-force/database/creds/v4"),
        )
        .shows(&["revocations"]),
        token("v5", tokens("revoke", &json!({ "token": "{token}" }))),
        token(
            "v6",
            tokens("revoke-accessor", &json!({ "accessor": "{accessor}" })),
        ),
        token("v7", tokens("revoke-self", &json!({})).token("{token}")),
        token(
            "v8",
            tokens("revoke-orphan", &json!({ "token": "{token}" })),
        ),
        case("revoke: nothing", [revoke(&json!({}))]),
        case(
            "revoke: an unknown lease",
            [revoke(&json!({ "lease_id": "database/creds/none/x" }))],
        ),
        case("revoke: no token", [tokens("revoke", &json!({}))]),
        case(
            "revoke: no accessor",
            [tokens("revoke-accessor", &json!({}))],
        ),
        case(
            "revoke: no JSON",
            [ask("POST", "/v1/auth/token/revoke").body("hello")],
        ),
    ]
}

fn clears() -> Vec<Case> {
    let clear = |kind: &str, value: &str| {
        post(
            "/agent/v1/cache-clear",
            &json!({ "type": kind, "value": value }),
        )
    };
    let after = |name: &str, clear: Step| {
        case(
            format!("clear: {name}"),
            [
                login(name),
                get(&creds(name))
                    .token("{token}")
                    .keep("lease", "/lease_id"),
                clear,
            ],
        )
        .shows(&["login"])
    };
    vec![
        after("c1", clear("token", "{token}")),
        after("c2", clear("token_accessor", "{accessor}")),
        after("c3", clear("lease", "{lease}")),
        after("c4", clear("request_path", "/v1/database/creds/c4")),
    ]
}
