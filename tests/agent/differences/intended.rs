//! Which differences each row of the page stands for, as [`super::compare`] writes them.

/// A row of `docs/differences.md`, where the reason is.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Shown by any case, not only by those that say so.
    pub(super) everywhere: bool,
    /// Lines of differences; `*` is any text.
    covers: &'static [&'static [&'static str]],
}

impl Row {
    pub(super) fn covers(&self) -> impl Iterator<Item = &'static str> {
        self.covers.iter().flat_map(|lines| lines.iter().copied())
    }
}

const fn anywhere(name: &'static str, covers: &'static [&'static [&'static str]]) -> Row {
    Row {
        name,
        everywhere: true,
        covers,
    }
}

const fn row(name: &'static str, covers: &'static [&'static [&'static str]]) -> Row {
    Row {
        name,
        everywhere: false,
        covers,
    }
}

/// Keyside answers by itself what the peer passed on or answered in another way.
const OWN: &[&str] = &[
    "header content-type: * | \"application/json\"",
    "header content-length: \"0\" | none",
    "header cache-control: * | none",
    "header strict-transport-security: * | none",
    "header x-content-type-options: * | none",
    "header x-cache: * | none",
    "body: * | {\"errors\":*",
    "asked: 1 | 0",
];
/// The same for a request of its peer's own answer, which is no error here.
const PASSED: &[&str] = &[
    "header content-type: * | *",
    "header cache-control: none | *",
    "header strict-transport-security: none | *",
    "header x-cache: none | \"MISS\"",
    "body: {\"errors\":* | *",
];
/// Keyside answers from the cache, and the peer does not.
const HIT: &[&str] = &[
    "header age: none | \"<time>\"",
    "header x-cache: \"MISS\" | \"HIT\"",
    "body: * | *",
    "asked: 1 | 0",
];
/// The peer answers from the cache, and Keyside does not.
const FRESH: &[&str] = &[
    "header age: \"<time>\" | none",
    "header x-cache: \"HIT\" | *",
    "body: * | *",
    "asked: 0 | 1",
];
/// Another request, and so perhaps another answer.
const ANSWER: &[&str] = &["header x-cache: * | *", "body: * | *"];
const NO_TOKEN: &str = "asked with x-vault-token: \"<the agent's token>\" | none";

pub(super) const ROWS: &[Row] = &[
    row(
        "trailing-slash",
        &[&["asked for: * | */", "status: 200 | 404"], ANSWER],
    ),
    row("escapes", &[&["asked for: * | *"]]),
    row("query", &[&["asked for: * | *?*"]]),
    row(
        "ambiguous-paths",
        &[
            &[
                "status: * | 40*",
                "header location: * | none",
                "header connection: * | none",
                "header date: none | *",
            ],
            OWN,
        ],
    ),
    row("outside-v1", &[OWN]),
    row(
        "proxy-v1",
        &[
            &[
                "status: 404 | *",
                "header allow: none | *",
                "header content-type: * | *",
                "body: * | *",
            ],
            OWN,
        ],
    ),
    anywhere(
        "user-agent",
        &[&["asked with user-agent: \"Vault Agent API Proxy/* | *"]],
    ),
    anywhere(
        "accept-encoding",
        &[&["asked with accept-encoding: \"gzip\" | *"]],
    ),
    anywhere(
        "framing",
        &[&["asked with transfer-encoding: \"chunked\" | none"]],
    ),
    row(
        "hop-by-hop",
        &[&[
            "asked with connection: * | none",
            "asked with connection: none | \"te\"",
            "asked with te: * | none",
            "asked with keep-alive: * | none",
            "asked with proxy-connection: * | none",
            "asked with proxy-authorization: * | none",
            "asked with upgrade: * | none",
            "header keep-alive: * | none",
            "header proxy-authenticate: * | none",
        ]],
    ),
    row(
        "repeated-headers",
        &[
            &["status: 200 | 400", "header x-vault-namespace: * | none"],
            OWN,
        ],
    ),
    row("header-limit", &[&["status: 200 | 431"], OWN]),
    row("guard", &[&["status: 200 | 403"], OWN]),
    row("login", &[&[NO_TOKEN]]),
    row(
        "bearer",
        &[
            &[
                NO_TOKEN,
                "asked with authorization: * | none",
                "status: 200 | 403",
            ],
            ANSWER,
        ],
    ),
    row(
        "inline-auth",
        &[
            &[
                NO_TOKEN,
                "asked with x-vault-inline-auth-path: * | none",
                "status: 500 | 200",
            ],
            ANSWER,
        ],
    ),
    row(
        "empty-namespace",
        &[&["asked with x-vault-namespace: none | \"\""]],
    ),
    row(
        "wrap-ttl",
        &[&["asked with x-vault-wrap-ttl: \"5m\" | \"77s\""]],
    ),
    anywhere("x-keyside-cache", &[&["header x-keyside-cache: none | *"]]),
    anywhere("x-cache", &[&["header x-cache: \"MISS\" | none"]]),
    anywhere(
        "guessed-type",
        &[&["header content-type: \"text/plain; charset=utf-8\" | none"]],
    ),
    row("not-a-secret", &[&["status: 500 | 200"], PASSED]),
    row(
        "redirects",
        &[
            &[
                "status: 500 | 30*",
                "asked: 2 | 1",
                "asked: 2 | 3",
                "asked: 1 | 3",
                "header location: none | *",
                "header content-length: none | \"0\"",
            ],
            &[
                "header content-type: \"application/json\" | none",
                "body: {\"errors\":* | ",
            ],
        ],
    ),
    row(
        "own-token",
        &[
            &[
                "status: 500 | 200",
                "status: 200 | 403",
                "body: {* | {\"auth\":*",
            ],
            PASSED,
            OWN,
        ],
    ),
    row("not-renewable", &[HIT]),
    row("strangers", &[HIT]),
    row("bearer-cached", &[HIT]),
    row("keys", &[HIT]),
    row("limited", &[FRESH]),
    row(
        "renewals",
        &[&["status: 500 | 200", "status: 200 | 403"], FRESH, PASSED],
    ),
    row("revocations", &[FRESH]),
    row(
        "cache-clear",
        &[
            &[
                "status: 500 | 400",
                "status: 200 | 405",
                "status: 200 | 400",
            ],
            &[
                "header allow: none | \"POST, PUT\"",
                "header content-length: none | *",
            ],
            OWN,
        ],
    ),
    row(
        "metrics",
        &[&[
            "status: 405 | 200",
            "status: 400 | 200",
            "header allow: none | \"GET, HEAD\"",
            "header content-type: * | \"text/plain; version=0.0.4; charset=utf-8\"",
            "header content-type: \"text/plain\" | \"application/json\"",
            "header content-length: * | *",
            "body: * | *",
        ]],
    ),
    row("texts", &[&["header allow: none | \"POST\""], OWN]),
];
