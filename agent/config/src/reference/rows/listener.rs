//! `listener`.

use crate::peer::Kind::Listener;
use crate::reference::Takes::{Count, Flag, HostPort, Mode, Name, OneOf, Path, Texts, True, Type};
use crate::reference::{Row, row};

const TCP: &[&str] = &["tcp"];
const UNIX: &[&str] = &["unix"];
const OWN: &str = "the agent's own";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(Listener, "type", Type, "", "`tcp` or `unix`; the block's label says it too").required(),
    row(Listener, "address", HostPort, "\"[::1]:8100\"", "where it listens; port `0`: any free one").only(TCP),
    row(Listener, "address", Path, "\"/agent.sock\"", "the socket").only(UNIX).required(),
    row(Listener, "role", OneOf(&["default", "metrics_only"]), "\"metrics_only\"",
        "`metrics_only`: serve nothing but `/agent/v1/metrics`"),
    row(Listener, "require_request_header", Flag, "true", "answer only requests with `X-Vault-Request: true`"),
    row(Listener, "tls_disable", True, "true", "listeners have no TLS yet").only(TCP).required(),
    row(Listener, "tls_disable", True, "true", "the same").only(UNIX).otherwise("the same"),
    row(Listener, "socket_mode", Mode, "\"0660\"", "the socket's mode").only(UNIX).otherwise("`\"0600\"`"),
    row(Listener, "socket_user", Name, "\"app\"", "its owner").only(UNIX).otherwise(OWN),
    row(Listener, "socket_group", Name, "\"app\"", "its group").only(UNIX).otherwise(OWN),
    row(Listener, "allowed_hosts", Texts, "[\"agent.internal\"]",
        "names accepted in `Host` on loopback, beside loopback's own").keyside(),
    row(Listener, "allow_forwarded", Flag, "true",
        "accept `Forwarded`, `X-Forwarded-For`, `Origin` and a foreign `Sec-Fetch-Site`").keyside(),
    row(Listener, "max_connections", Count(1, 1 << 20), "16",
        "open at once; further ones wait in the kernel's queue").keyside(),
];
