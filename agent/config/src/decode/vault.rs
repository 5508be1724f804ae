//! `vault`, with the environment and the flags laid over it.

use std::path::PathBuf;
use std::time::Duration;

use crate::block::Block;
use crate::model::vault::{Address, ClientCertificate, SingleUse, Vault};
use crate::node::Node;
use crate::peer::Kind;
use crate::report::{Found, Origin, Report};
use crate::scalar::{self, Read, address};
use crate::setting::{self, Settings};

/// Every setting with where it came from; what is `None` has its default.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) address: Option<Found<Address>>,
    namespace: Option<Found<String>>,
    ca_cert: Option<Found<PathBuf>>,
    ca_path: Option<Found<PathBuf>>,
    ca_pem: Option<Found<String>>,
    client_cert: Option<Found<PathBuf>>,
    client_key: Option<Found<PathBuf>>,
    tls_server_name: Option<Found<String>>,
    tls_skip_verify: Option<Found<bool>>,
    timeout: Option<Found<Duration>>,
    redirect_hosts: Option<Found<Vec<String>>>,
    disable_redirects: Option<Found<bool>>,
    keep_alives: Option<Found<SingleUse>>,
    idle_connections: Option<Found<SingleUse>>,
}

pub(super) fn vault(report: &mut Report, top: &mut Block<'_>, settings: &Settings<'_>) -> Draft {
    let mut draft = Draft::default();
    if let Some(block) = top.single(report, "vault", Kind::Vault) {
        from_file(report, block, &mut draft);
    }
    draft.keep_alives = top.value(report, "disable_keep_alives", uses);
    draft.idle_connections = top.value(report, "disable_idle_connections", uses);
    from_environment(report, settings, &mut draft);
    from_flags(report, settings, &mut draft);
    let pair = [&draft.client_cert, &draft.client_key].map(Option::as_ref);
    check_pair(report, pair, ["client_cert", "client_key"]);
    draft
}

fn from_file(report: &mut Report, mut block: Block<'_>, draft: &mut Draft) {
    draft.address = block.value(report, "address", |node| {
        match scalar::text(node)?.as_str() {
            "" => Err("must not be empty; leave the key out for https://127.0.0.1:8200".to_owned()),
            text => address::vault(text),
        }
    });
    draft.namespace = block.text(report, "namespace");
    draft.ca_cert = block.text(report, "ca_cert").map(Found::into_path);
    draft.ca_path = block.text(report, "ca_path").map(Found::into_path);
    draft.ca_pem = block.text(report, "ca_pem");
    draft.client_cert = block.text(report, "client_cert").map(Found::into_path);
    draft.client_key = block.text(report, "client_key").map(Found::into_path);
    draft.tls_server_name = block.text(report, "tls_server_name");
    draft.tls_skip_verify = block.value(report, "tls_skip_verify", scalar::flag);
    draft.timeout = block.value(report, "client_timeout", scalar::duration);
    draft.redirect_hosts = block.value(report, "redirect_hosts", redirect_hosts);
    draft.disable_redirects = block.value(report, "disable_redirects", scalar::flag);
    block.finish(report);
}

/// Names of hosts, with a port or without; the first label may be a star.
fn redirect_hosts(node: &Node) -> Read<Vec<String>> {
    let hosts = scalar::texts(node)?;
    for host in &hosts {
        let name = host.strip_prefix("*.").unwrap_or(host);
        if name.is_empty() || name.contains(['*', '/', '@']) || name.contains(char::is_whitespace) {
            let host = scalar::quote(host);
            return Err(format!(
                "{host} is no host; write `name`, `name:port`, or `*.domain` for all names below a domain"
            ));
        }
    }
    Ok(hosts)
}

#[rustfmt::skip]
fn from_environment(report: &mut Report, settings: &Settings<'_>, draft: &mut Draft) {
    settings.variable(report, &mut draft.address, "ADDR", address::vault);
    settings.variable(report, &mut draft.namespace, "NAMESPACE", setting::any);
    settings.variable(report, &mut draft.ca_cert, "CACERT", setting::any);
    settings.variable(report, &mut draft.ca_path, "CAPATH", setting::any);
    settings.variable(report, &mut draft.ca_pem, "CACERT_BYTES", setting::any);
    settings.variable(report, &mut draft.client_cert, "CLIENT_CERT", setting::any);
    settings.variable(report, &mut draft.client_key, "CLIENT_KEY", setting::any);
    settings.variable(report, &mut draft.tls_server_name, "TLS_SERVER_NAME", setting::any);
    settings.variable(report, &mut draft.tls_skip_verify, "SKIP_VERIFY", scalar::flag_text);
    settings.variable(report, &mut draft.timeout, "CLIENT_TIMEOUT", scalar::duration_text);
    settings.variable(report, &mut draft.disable_redirects, "DISABLE_REDIRECTS", scalar::flag_text);
    settings.variable(report, &mut draft.keep_alives, "AGENT_DISABLE_KEEP_ALIVES", uses_text);
    settings.variable(report, &mut draft.idle_connections, "AGENT_DISABLE_IDLE_CONNECTIONS", uses_text);
}

fn uses(node: &Node) -> Read<SingleUse> {
    uses_of(scalar::texts(node)?.iter().map(String::as_str))
}

fn uses_text(text: &str) -> Read<SingleUse> {
    uses_of(text.split(',').map(str::trim))
}

fn uses_of<'t>(names: impl Iterator<Item = &'t str>) -> Read<SingleUse> {
    let mut uses = SingleUse::default();
    for name in names {
        match name {
            "auto-auth" => uses.auto_auth = true,
            "caching" => uses.caching = true,
            "proxying" => uses.proxying = true,
            "templating" => {}
            _ => {
                let name = scalar::quote(name);
                return Err(format!(
                    "{name} is not known; write auto-auth, caching or proxying"
                ));
            }
        }
    }
    Ok(uses)
}

#[rustfmt::skip]
fn from_flags(report: &mut Report, settings: &Settings<'_>, draft: &mut Draft) {
    let flags = settings.flags;
    setting::flag(report, &mut draft.address, "-address", flags.address.as_deref(), address::vault);
    setting::flag(report, &mut draft.namespace, "-namespace", flags.namespace.as_deref(), setting::any);
    setting::flag(report, &mut draft.ca_cert, "-ca-cert", flags.ca_cert.as_deref(), setting::any);
    setting::flag(report, &mut draft.ca_path, "-ca-path", flags.ca_path.as_deref(), setting::any);
    setting::flag(report, &mut draft.client_cert, "-client-cert", flags.client_cert.as_deref(), setting::any);
    setting::flag(report, &mut draft.client_key, "-client-key", flags.client_key.as_deref(), setting::any);
    setting::flag(report, &mut draft.tls_server_name, "-tls-server-name", flags.tls_server_name.as_deref(), setting::any);
    let switch = |flag: Option<bool>| flag.map(|on| if on { "true" } else { "false" });
    let skip_verify = switch(flags.tls_skip_verify);
    setting::flag(report, &mut draft.tls_skip_verify, "-tls-skip-verify", skip_verify, scalar::flag_text);
    let disable = switch(flags.disable_redirects);
    setting::flag(report, &mut draft.disable_redirects, "-disable-redirects", disable, scalar::flag_text);
}

/// A certificate and its key, and what each is called: both or neither.
pub(super) fn check_pair(
    report: &mut Report,
    pair: [Option<&Found<PathBuf>>; 2],
    names: [&str; 2],
) {
    let [certificate, key] = names;
    match pair {
        [Some(found), None] => lacks(report, &found.origin, key),
        [None, Some(found)] => lacks(report, &found.origin, certificate),
        _ => {}
    }
}

fn lacks(report: &mut Report, origin: &Origin, other: &str) {
    report.wrong_at(
        origin,
        format!("is of no use without `{other}`; write both or neither"),
    );
}

impl Draft {
    pub(super) fn finish(self) -> Vault {
        let default = Vault::default();
        let value_of = |found: Option<Found<String>>| found.map(|found| found.value);
        let path_of = |found: Option<Found<PathBuf>>| found.map(|found| found.value);
        let pair = path_of(self.client_cert).zip(path_of(self.client_key));
        Vault {
            address: self.address.map_or(default.address, |found| found.value),
            namespace: self.namespace.and_then(|found| canonical(&found.value)),
            ca_cert: path_of(self.ca_cert),
            ca_path: path_of(self.ca_path),
            ca_pem: value_of(self.ca_pem),
            client_certificate: pair
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
            tls_server_name: value_of(self.tls_server_name),
            tls_skip_verify: self.tls_skip_verify.is_some_and(|found| found.value),
            timeout: self.timeout.map_or(default.timeout, |found| found.value),
            redirect_hosts: self
                .redirect_hosts
                .map(|found| found.value)
                .unwrap_or_default(),
            disable_redirects: self.disable_redirects.is_some_and(|found| found.value),
            single_use: single_use([self.keep_alives, self.idle_connections]),
        }
    }
}

/// Both keys come to the same: no connection is kept.
fn single_use(keys: [Option<Found<SingleUse>>; 2]) -> SingleUse {
    let mut all = SingleUse::default();
    for Found { value, .. } in keys.into_iter().flatten() {
        all.auto_auth |= value.auto_auth;
        all.caching |= value.caching;
        all.proxying |= value.proxying;
    }
    all
}

/// A namespace without slashes at its ends; `None` for the root.
pub(super) fn canonical(namespace: &str) -> Option<String> {
    let namespace = namespace.trim_matches('/');
    (!namespace.is_empty()).then(|| namespace.to_owned())
}

impl Found<String> {
    pub(super) fn into_path(self) -> Found<PathBuf> {
        let (value, origin) = (self.value.into(), self.origin);
        Found { value, origin }
    }
}
