//! `cache` with `static_secrets`, `api_proxy`, `limits`, `admin`, `resume`.

use crate::peer::Kind::{Admin, ApiProxy, Cache, Limits, Persist, Resume, StaticSecrets};
use crate::reference::Takes::{
    Attach, Block, Count, Duration, Flag, HostPort, Path, Size, Span, Type,
};
use crate::reference::{Row, row};

const MOST: u64 = u32::MAX as u64;
const ATTACH: &str = "/api_proxy/use_auto_auth_token";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(ApiProxy, "use_auto_auth_token", Attach, "\"force\"",
        "`true`: attach the agent's token to requests without a credential of their own; `\"force\"`: to all")
        .otherwise("`false`"),
    row(ApiProxy, "prepend_configured_namespace", Flag, "true",
        "`true`: the namespace that a request names is one below `vault.namespace`").vault_agent().otherwise("`false`"),
    row(Cache, "use_auto_auth_token", Attach, "true", "the same as in `api_proxy`; in one of them")
        .shown(ATTACH).otherwise("`false`"),
    row(Cache, "max_entries", Count(1, MOST), "500", "kept answers").keyside(),
    row(Cache, "max_bytes", Size, "67108864",
        "kept answers together; bodies that are being read may take as much again").keyside(),
    row(Cache, "max_body", Size, "4096", "the largest body that is kept; not more than `max_bytes`").keyside(),
    row(Cache, "persist", Block(Persist), "{}", "how Vault Agent says what `resume` says").otherwise("see `resume`"),
    row(Cache, "static_secrets", Block(StaticSecrets), "{}", "what is read from KV engines is kept too").keyside()
        .otherwise("it is not kept"),
    row(StaticSecrets, "ttl", Duration, "\"60s\"",
        "how long an answer is served without asking the server; from `\"1s\"`").keyside(),
    row(StaticSecrets, "max_stale", Span, "\"3600s\"",
        "how much longer it is served while the server is away").keyside(),
    row(Persist, "type", Type, "", "`kubernetes`").required(),
    row(Persist, "path", Path, "\"/persist\"", "`resume.path`").shown("/resume/path").required(),
    row(Limits, "requests_per_second", Count(1, MOST), "3", "sustained").keyside().variable("RATE_LIMIT"),
    row(Limits, "burst", Count(1, MOST), "7", "at once, after a quiet time").keyside().variable("RATE_LIMIT"),
    row(Limits, "client_requests_per_second", Count(1, MOST), "5",
        "the ceiling on what clients of the proxy send to the server; above it they are answered 429, and from the cache as ever")
        .keyside().otherwise("there is none"),
    row(Limits, "client_burst", Count(1, MOST), "9", "the same at once, after a quiet time").keyside()
        .with(&["client_requests_per_second"]).otherwise("as many as in a second"),
    row(Admin, "socket", Path, "\"/admin.sock\"",
        "the Unix socket, mode 0600, of the verbs `probe`, `status` and `cache-clear`").keyside(),
    row(Admin, "address", HostPort, "\"127.0.0.1:9102\"", "probes and metrics over HTTP as well").keyside()
        .otherwise("not"),
    row(Resume, "path", Path, "\"/run/agent\"", "a folder in memory, where the file `resume` is").keyside(),
    row(Resume, "max_bytes", Size, "65536",
        "what that file may hold; while it is being replaced it is there twice").keyside(),
];
