//! `listener`.

use crate::peer::Kind::{AgentApi, Listener};
use crate::reference::Takes::{
    Block, Count, Flag, HostPort, Mode, Name, OneOf, Path, Texts, True, Type,
};
use crate::reference::{Row, row};

const TCP: &[&str] = &["tcp"];
const UNIX: &[&str] = &["unix"];
const PAIR: &[&str] = &["tls_cert_file", "tls_key_file"];
const VERSIONS: &[&str] = &["tls12", "tls13"];
const NONE: &str = "none";
const OWN: &str = "the agent's own";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(Listener, "type", Type, "", "`tcp` or `unix`; the block's label says it too").required(),
    row(Listener, "address", HostPort, "\"[::1]:8100\"", "where it listens; port `0`: any free one").only(TCP),
    row(Listener, "address", Path, "\"/agent.sock\"", "the socket").only(UNIX).required(),
    row(Listener, "role", OneOf(&["default", "metrics_only"]), "\"metrics_only\"",
        "`metrics_only`: serve nothing but `/agent/v1/metrics` and `/proxy/v1/metrics`"),
    row(Listener, "agent_api", Block(AgentApi), "{}", "what may be asked of the agent itself beside metrics and `cache-clear`")
        .otherwise("nothing"),
    row(Listener, "proxy_api", Block(AgentApi), "{}", "the same, as Vault Proxy calls it").otherwise("the same"),
    row(AgentApi, "enable_quit", Flag, "true", "`POST /agent/v1/quit` or `/proxy/v1/quit` ends the agent, as SIGTERM does")
        .otherwise("`false`"),
    row(Listener, "require_request_header", Flag, "true", "answer only requests with `X-Vault-Request: true`"),
    row(Listener, "tls_disable", Flag, "true", "`true`: plain HTTP; required unless there is a certificate").only(TCP)
        .required(),
    row(Listener, "tls_disable", True, "true", "plain HTTP; that is so without a certificate, too").only(UNIX)
        .otherwise("the same"),
    row(Listener, "tls_cert_file", Path, "\"/tls/tls.crt\"", "the certificate and what links it to its root, in PEM")
        .otherwise(NONE).with(&["tls_key_file"]),
    row(Listener, "tls_key_file", Path, "\"/tls/tls.key\"", "its key, in PEM").otherwise(NONE)
        .with(&["tls_cert_file"]),
    row(Listener, "tls_min_version", OneOf(VERSIONS), "\"tls13\"", "the oldest TLS that is spoken")
        .otherwise("`\"tls12\"`").with(PAIR),
    row(Listener, "tls_max_version", OneOf(VERSIONS), "\"tls12\"", "the latest").otherwise("`\"tls13\"`").with(PAIR),
    row(Listener, "tls_require_and_verify_client_cert", Flag, "true",
        "serve only those who have a certificate of `tls_client_ca_file`")
        .otherwise("`false`: nobody is asked for one").with(&["tls_cert_file", "tls_key_file", "tls_client_ca_file"]),
    row(Listener, "tls_client_ca_file", Path, "\"/tls/ca.crt\"", "who may issue it, in PEM").otherwise(NONE)
        .with(&["tls_cert_file", "tls_key_file", "tls_require_and_verify_client_cert"]),
    row(Listener, "socket_mode", Mode, "\"0660\"", "the socket's mode").only(UNIX).otherwise("`\"0600\"`"),
    row(Listener, "socket_user", Name, "\"app\"", "its owner").only(UNIX).otherwise(OWN),
    row(Listener, "socket_group", Name, "\"app\"", "its group").only(UNIX).otherwise(OWN),
    row(Listener, "allowed_hosts", Texts, "[\"agent.internal\"]",
        "names accepted in `Host` on loopback, beside loopback's own").keyside(),
    row(Listener, "allow_forwarded", Flag, "true",
        "accept `Forwarded`, `X-Forwarded-For`, `Origin` and a foreign `Sec-Fetch-Site`").keyside(),
    row(Listener, "max_connections", Count(1, 1 << 20), "16",
        "open at once; for the next one, who has been idle longest makes room").keyside(),
];
