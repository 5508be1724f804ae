//! `vault`.

use crate::peer::Kind::Vault;
use crate::reference::Takes::{Duration, Flag, Path, Text, Texts, Url};
use crate::reference::{Row, row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row(Vault, "address", Url, "\"http://vault.example:8200\"", "the server").variable("ADDR").flag("address"),
    row(Vault, "namespace", Text, "\"team\"", "for requests that name none").otherwise("none")
        .vault_agent().variable("NAMESPACE").flag("namespace"),
    row(Vault, "ca_cert", Path, "\"/ca.pem\"", "a PEM file to trust").otherwise("the system's roots")
        .variable("CACERT").flag("ca-cert"),
    row(Vault, "ca_path", Path, "\"/cas\"", "a folder of PEM files to trust").otherwise("the system's roots")
        .variable("CAPATH").flag("ca-path"),
    row(Vault, "ca_pem", Text, "\"PEM\"", "the PEM text itself").otherwise("the system's roots")
        .keyside().variable("CACERT_BYTES"),
    row(Vault, "client_cert", Path, "\"/cert.pem\"", "a PEM file: the certificate to present").otherwise("none")
        .with(&["client_key"]).variable("CLIENT_CERT").flag("client-cert"),
    row(Vault, "client_key", Path, "\"/key.pem\"", "a PEM file: its key").otherwise("none")
        .with(&["client_cert"]).variable("CLIENT_KEY").flag("client-key"),
    row(Vault, "tls_server_name", Text, "\"vault.internal\"", "the name that the server's certificate must bear")
        .otherwise("the address's host").variable("TLS_SERVER_NAME").flag("tls-server-name"),
    row(Vault, "tls_skip_verify", Flag, "true", "trust any certificate")
        .variable("SKIP_VERIFY").flag("tls-skip-verify"),
    row(Vault, "client_timeout", Duration, "\"5s\"", "from the end of a request to the head of its answer")
        .keyside().variable("CLIENT_TIMEOUT"),
    row(Vault, "redirect_hosts", Texts, "[\"*.vault-internal\"]",
        "whom a redirect may lead to, beside the address itself: `name`, `name:port`, `*.domain`")
        .otherwise("none").keyside(),
    row(Vault, "disable_redirects", Flag, "true", "follow none").otherwise("`false`").keyside().variable("DISABLE_REDIRECTS").flag("disable-redirects"),
];
