//! Annotations and the installation's defaults → [`Injection`].

use std::path::PathBuf;

use keyside_config::model::AttachToken;
use keyside_config::model::auto_auth::Login;
use keyside_config::model::vault::{Address, Vault};

use super::login::{self, Found};
use super::reader::Reader;
use super::value::{self, Authority};
use crate::admission::Defaults;
use crate::inject::files::{Files, VAULT_CA};
use crate::inject::quantity::Quantity;
use crate::inject::{
    Agent, Injection, Port, Proxy, ServiceAccountToken, Sidecar, TokenFile, names, resources,
};
use crate::profile::Rule;
use crate::trace::{Source, words};

/// Everything that a pod asks for. Where something is wrong, a default stands in, and the reader has the mistake.
pub(super) fn read(reader: &mut Reader, defaults: &Defaults) -> Injection {
    let sidecar = reader.take_or(
        "sidecar",
        value::sidecar,
        defaults,
        ("sidecar", defaults.sidecar),
    );
    let mut files = Files::default();
    let Found {
        login,
        mount_path,
        uses_service_account,
    } = login::login(reader, defaults, &mut files);
    let token = token(reader);
    let proxy = match sidecar {
        Sidecar::Native | Sidecar::Classic => proxy(reader),
        Sidecar::InitOnly => {
            init_only(reader, token.as_ref());
            None
        }
    };
    if token.is_none() && proxy.is_none() && sidecar != Sidecar::InitOnly {
        reader.refuse("proxy", "with keyside.dev/token false as well, nothing is left to inject: one of them must be true");
    }
    let service_account = ServiceAccountToken {
        audience: reader.take_or(
            "audience",
            |text| value::text(text).map(Some),
            defaults,
            ("audience", defaults.audience.clone()),
        ),
        expiration_seconds: reader
            .take("token-expiration", value::token_expiration)
            .unwrap_or(3600),
    };
    let revoke_on_exit = revoke_on_exit(reader, sidecar, &login);
    Injection {
        sidecar,
        revoke_on_exit,
        start_timeout: reader.take("start-timeout", value::start_timeout),
        vault: vault(reader, defaults, &mut files),
        login,
        mount_path,
        service_account: uses_service_account.then_some(service_account),
        files,
        metrics_port: metrics_port(reader, proxy.as_ref()),
        containers: reader.take("containers", value::containers),
        token,
        proxy,
        log_level: reader.take_or(
            "log-level",
            value::log_level,
            defaults,
            ("agent-log-level", defaults.log_level),
        ),
        log_format: reader.take_or(
            "log-format",
            value::log_format,
            defaults,
            ("agent-log-format", defaults.log_format),
        ),
        agent: agent(reader, defaults),
    }
}

fn vault(reader: &mut Reader, defaults: &Defaults, files: &mut Files) -> Vault {
    let mut vault = Vault {
        address: address(reader, defaults).unwrap_or_default(),
        namespace: namespace(reader, defaults),
        tls_server_name: tls_server_name(reader, defaults),
        ..Vault::default()
    };
    match authority(reader, defaults) {
        Some(Authority::Text(text)) => vault.ca_pem = Some(text),
        Some(Authority::File(reference)) => {
            vault.ca_cert = Some(files.mount(VAULT_CA, reference));
        }
        None => {}
    }
    vault
}

/// Whom to trust, and by which name, belongs to the address: who may choose the one may choose the others.
fn chooses_vault(reader: &Reader, defaults: &Defaults) -> bool {
    let rules = reader.profile().allow.addresses.as_ref();
    rules.map_or(defaults.allow_address_override, |rules| !rules.is_empty())
}

fn authority(reader: &mut Reader, defaults: &Defaults) -> Option<Authority> {
    let given = reader
        .given("ca")
        .and_then(|text| value::authority(text).ok())
        .or_else(|| defaults.vault_ca.clone().map(Authority::Text));
    let asked = reader.take_or(
        "ca",
        |text| value::authority(text).map(Some),
        defaults,
        ("vault-ca-file", given.clone()),
    );
    let permitted = Permitted {
        rules: None,
        shown: |_authority| "what the installation trusts".to_owned(),
        anything: chooses_vault(reader, defaults),
        flag: "--allow-address-override",
    };
    permitted.hold(reader, "ca", asked.as_ref(), given.as_ref());
    asked
}

fn tls_server_name(reader: &mut Reader, defaults: &Defaults) -> Option<String> {
    let given = reader
        .given("tls-server-name")
        .map(str::to_owned)
        .or_else(|| defaults.vault_tls_server_name.clone());
    let asked = reader.take_or(
        "tls-server-name",
        |text| value::tls_server_name(text).map(Some),
        defaults,
        ("vault-tls-server-name", given.clone()),
    );
    let permitted = Permitted {
        rules: None,
        shown: String::clone,
        anything: chooses_vault(reader, defaults),
        flag: "--allow-address-override",
    };
    permitted.hold(reader, "tls-server-name", asked.as_ref(), given.as_ref());
    asked
}

fn address(reader: &mut Reader, defaults: &Defaults) -> Option<Address> {
    let flag = reader
        .given("address")
        .or(defaults.vault_address.as_deref())
        .map(value::address);
    if matches!(flag, Some(Err(_))) && reader.given("address").is_none() {
        reader.refuse(
            "address",
            "the installation's own --vault-address is no address",
        );
    }
    let given = flag.and_then(Result::ok);
    let asked = reader.take_or(
        "address",
        |text| value::address(text).map(Some),
        defaults,
        ("vault-address", given.clone()),
    );
    let rules = reader.profile().allow.addresses.as_deref();
    if reader.found("address").is_none() && defaults.vault_address.is_none() {
        let choice = rules.map(|rules| format!("; allowed: {}", listed(rules, value::shown)));
        let choice = choice.unwrap_or_default();
        reader.refuse(
            "address",
            format!(
                "this installation has no address of Vault of its own (--vault-address){choice}"
            ),
        );
    }
    let permitted = Permitted {
        rules,
        shown: value::shown,
        anything: defaults.allow_address_override,
        flag: "--allow-address-override",
    };
    permitted.hold(reader, "address", asked.as_ref(), given.as_ref());
    asked
}

fn namespace(reader: &mut Reader, defaults: &Defaults) -> Option<String> {
    let given = reader
        .given("namespace")
        .and_then(|text| value::namespace(text).ok())
        .or_else(|| defaults.vault_namespace.clone());
    let asked = reader.take_or(
        "namespace",
        |text| value::namespace(text).map(Some),
        defaults,
        ("vault-namespace", given.clone()),
    );
    let permitted = Permitted {
        rules: reader.profile().allow.namespaces.as_deref(),
        shown: String::clone,
        anything: defaults.allow_address_override,
        flag: "--allow-address-override",
    };
    permitted.hold(reader, "namespace", asked.as_ref(), given.as_ref());
    asked
}

/// What pods may choose beside what they are given.
struct Permitted<'a, T> {
    /// The profile's; absent: the flag decides.
    rules: Option<&'a [Rule<T>]>,
    shown: fn(&T) -> String,
    /// Whether the flag lets pods choose.
    anything: bool,
    flag: &'static str,
}

impl<T: PartialEq> Permitted<'_, T> {
    /// Refuses what the pod asks for where that is neither given nor allowed. Where there are no rules and nothing is
    /// given, the choice is the pod's.
    fn hold(&self, reader: &mut Reader, name: &str, asked: Option<&T>, given: Option<&T>) {
        let (Some(value), Some(text)) = (asked, reader.own(name)) else {
            return;
        };
        if given == Some(value) {
            return;
        }
        let shown = given.map(self.shown);
        match self.rules {
            Some(rules) if rules.iter().any(|rule| rule.permits(value, text)) => {}
            Some(rules) => {
                let all: Vec<_> = shown
                    .into_iter()
                    .chain(Some(listed(rules, self.shown)).filter(|list| !list.is_empty()))
                    .collect();
                let allowed = match all.as_slice() {
                    [] => "allowed: nothing, leave it away".to_owned(),
                    all => format!("allowed: {}", all.join(", ")),
                };
                let profile = &reader.profile().name;
                reader.refuse(name, format!("{allowed} (profile \"{profile}\")"));
            }
            None if self.anything => {}
            None => {
                let flag = self.flag;
                if let Some(shown) = shown {
                    reader.refuse(
                        name,
                        format!("allowed: {shown}, for the installation does not let pods choose ({flag})"),
                    );
                }
            }
        }
    }
}

fn listed<T>(rules: &[Rule<T>], shown: fn(&T) -> String) -> String {
    let texts: Vec<String> = rules
        .iter()
        .map(|rule| match rule {
            Rule::Any => "*".to_owned(),
            Rule::Exactly(value) => shown(value),
            Rule::Below(start) => format!("{start}*"),
        })
        .collect();
    texts.join(", ")
}

fn token(reader: &mut Reader) -> Option<TokenFile> {
    let file = TokenFile {
        path: reader
            .take("token-path", value::token_path)
            .unwrap_or_else(|| PathBuf::from(names::TOKEN_FILE)),
        mode: reader.take("token-mode", value::mode),
    };
    let wanted = reader.take("token", value::boolean).unwrap_or(true);
    if !wanted {
        reader.no_effect(&["token-path", "token-mode"], "keyside.dev/token is false");
        reader
            .trace
            .left_out(|| words::TOKEN_FILE.to_owned(), "token");
    }
    wanted.then_some(file)
}

const PROXY: [&str; 6] = [
    "proxy-port",
    "proxy-socket",
    "proxy-token",
    "proxy-require-header",
    "cache-kv",
    "client-rate-limit",
];

fn proxy(reader: &mut Reader) -> Option<Proxy> {
    let proxy = Proxy {
        port: reader
            .take("proxy-port", value::proxy_port)
            .unwrap_or(Port::Default),
        socket: reader.take("proxy-socket", value::boolean).unwrap_or(true),
        attach: reader
            .take("proxy-token", value::attach_token)
            .unwrap_or(AttachToken::WhereAbsent),
        require_header: reader
            .take("proxy-require-header", value::boolean)
            .unwrap_or(false),
        cache_kv: reader.take("cache-kv", value::cache_kv).flatten(),
        limits: reader.take("client-rate-limit", value::client_rate_limit),
    };
    let wanted = reader.take("proxy", value::boolean).unwrap_or(true);
    if !wanted {
        reader.no_effect(&PROXY, "keyside.dev/proxy is false");
        reader.trace.left_out(|| words::PROXY.to_owned(), "proxy");
    }
    if wanted && proxy.port == Port::None && !proxy.socket {
        reader.refuse(
            "proxy-port",
            "with keyside.dev/proxy-socket false the proxy could not be reached: allow one of them, or set keyside.dev/proxy to false",
        );
    }
    wanted.then_some(proxy)
}

/// Without a sidecar there is the token file, and nothing that could serve.
fn init_only(reader: &mut Reader, token: Option<&TokenFile>) {
    const WHY: &str = "keyside.dev/sidecar is init-only";
    let wanted = reader.take("proxy", value::boolean);
    if wanted == Some(true) && reader.own("proxy").is_some() {
        let why = "with keyside.dev/sidecar init-only no proxy runs: false, or leave it away";
        reader.refuse("proxy", format!("allowed: {why}"));
    }
    if token.is_none() {
        let why = "with keyside.dev/sidecar init-only there is nothing but the token file: true, or leave it away";
        reader.refuse("token", format!("allowed: {why}"));
    }
    reader.no_effect(&PROXY, WHY);
    reader.no_effect(&["metrics-port"], WHY);
    reader.trace.left_out(|| words::PROXY.to_owned(), "sidecar");
}

/// A token is the agent's to revoke where it alone has logged in for it, and nobody needs it when the agent ends.
fn revoke_on_exit(reader: &mut Reader, sidecar: Sidecar, login: &Login) -> bool {
    let wanted = reader.take("revoke-on-exit", value::boolean) == Some(true);
    let why = match (sidecar, login) {
        (Sidecar::Classic, _) => {
            "with keyside.dev/sidecar classic the token comes from the init container, and the application may need it as long as the agent runs"
        }
        (Sidecar::InitOnly, _) => {
            "with keyside.dev/sidecar init-only no agent is left to revoke the token"
        }
        (Sidecar::Native, Login::TokenFile { .. }) => {
            "with keyside.dev/auth-method token_file the token is somebody else's"
        }
        (Sidecar::Native, _) => return wanted,
    };
    if wanted {
        reader.refuse(
            "revoke-on-exit",
            format!("allowed: {why}: false, or leave it away"),
        );
    }
    false
}

fn metrics_port(reader: &mut Reader, proxy: Option<&Proxy>) -> Option<u16> {
    let port = reader.take("metrics-port", value::metrics_port)?;
    let taken = match proxy.map(|proxy| proxy.port) {
        Some(Port::Default) => port == names::PROXY_PORT,
        Some(Port::Asked(taken)) => port == taken,
        Some(Port::None) | None => false,
    };
    if taken {
        let why = "the proxy has this port: choose another, or another keyside.dev/proxy-port";
        reader.refuse("metrics-port", why);
    }
    Some(port)
}

fn agent(reader: &mut Reader, defaults: &Defaults) -> Agent {
    let image = image(reader, defaults);
    if reader.profile().openshift {
        let name = reader.profile().name.clone();
        reader.trace.setting("openshift", || Source::Profile {
            name,
            key: "openshift".to_owned(),
            value: "true".to_owned(),
        });
    }
    let agent = Agent {
        image,
        user_of_cluster: reader.profile().openshift,
        user: reader.take("run-as-user", value::id),
        group: reader.take("run-as-group", value::id),
        cpu_request: reader.take("cpu-request", value::quantity),
        cpu_limit: reader.take("cpu-limit", value::quantity),
        memory_request: reader.take("memory-request", value::quantity),
        memory_limit: reader.take("memory-limit", value::quantity),
    };
    resources(reader, &agent);
    agent
}

fn image(reader: &mut Reader, defaults: &Defaults) -> String {
    let given = reader
        .given("image")
        .map_or_else(|| defaults.agent_image.clone(), str::to_owned);
    let asked = reader.take_or(
        "image",
        value::image,
        defaults,
        ("agent-image", given.clone()),
    );
    let permitted = Permitted {
        rules: reader.profile().allow.images.as_deref(),
        shown: String::clone,
        anything: defaults.allow_image_override,
        flag: "--allow-image-override",
    };
    permitted.hold(reader, "image", Some(&asked), Some(&given));
    asked
}

fn resources(reader: &mut Reader, agent: &Agent) {
    let limit = resources::memory_limit(agent);
    if limit.units() < resources::LEAST_MEMORY {
        reader.refuse(
            "memory-limit",
            "allowed: 32Mi and more, for the 16Mi of /keyside are counted in it",
        );
    }
    let exceeds = |request: Option<&Quantity>, limit: Option<&Quantity>| {
        request
            .zip(limit)
            .is_some_and(|(request, limit)| request > limit)
    };
    if exceeds(agent.memory_request.as_ref(), Some(&limit)) {
        reader.refuse(
            "memory-request",
            format!("allowed: at most the limit, {}", limit.text()),
        );
    }
    if exceeds(agent.cpu_request.as_ref(), agent.cpu_limit.as_ref()) {
        reader.refuse("cpu-request", "allowed: at most keyside.dev/cpu-limit");
    }
}
