//! Annotations and the installation's defaults → [`Injection`].

use std::path::PathBuf;

use keyside_config::model::AttachToken;
use keyside_config::model::auto_auth::Login;
use keyside_config::model::vault::{Address, Vault};

use super::reader::Reader;
use super::{key, printable, value};
use crate::admission::Defaults;
use crate::inject::quantity::Quantity;
use crate::inject::{
    Agent, Injection, Port, Proxy, ServiceAccountToken, TokenFile, names, resources,
};
use crate::profile::Rule;

/// Everything that a pod asks for. Where something is wrong, a default stands in, and the reader has the mistake.
pub(super) fn read(reader: &mut Reader, defaults: &Defaults) -> Injection {
    reader.take("sidecar", |value| value::only(value, "native"));
    let (login, mount_path) = login(reader, defaults);
    let token = token(reader);
    let proxy = proxy(reader);
    if token.is_none() && proxy.is_none() {
        reader.refuse("proxy", "with keyside.dev/token false as well, nothing is left to inject: one of them must be true");
    }
    Injection {
        vault: vault(reader, defaults),
        login,
        mount_path,
        service_account: ServiceAccountToken {
            audience: reader
                .take("audience", value::text)
                .or_else(|| defaults.audience.clone()),
            expiration_seconds: reader
                .take("token-expiration", value::token_expiration)
                .unwrap_or(3600),
        },
        containers: reader.take("containers", value::containers),
        token,
        proxy,
        log_level: reader
            .take("log-level", value::log_level)
            .unwrap_or(defaults.log_level),
        log_format: reader
            .take("log-format", value::log_format)
            .unwrap_or(defaults.log_format),
        agent: agent(reader, defaults),
    }
}

fn login(reader: &mut Reader, defaults: &Defaults) -> (Login, String) {
    let method = reader
        .take("auth-method", |value| match value {
            "kubernetes" => Ok(Method::Kubernetes),
            "jwt" => Ok(Method::Jwt),
            _ => Err("kubernetes or jwt"),
        })
        .unwrap_or(Method::Kubernetes);
    let role = role(reader);
    let mount = reader.take("auth-mount", value::auth_mount);
    let file = PathBuf::from(names::SERVICE_ACCOUNT_TOKEN);
    match method {
        Method::Kubernetes => (
            Login::Kubernetes {
                role,
                token_path: file,
            },
            mount.unwrap_or_else(|| defaults.auth_mount.clone()),
        ),
        Method::Jwt => (
            Login::Jwt {
                role,
                path: file,
                // The kubelet's file: it cannot be removed, and holds a newer token later.
                remove_after_reading: false,
                remove_follows_symlinks: false,
            },
            mount.unwrap_or_else(|| "auth/jwt".to_owned()),
        ),
    }
}

fn role(reader: &mut Reader) -> String {
    if reader.found("role").is_none() {
        let misspelt = misspelt(reader, "role");
        reader.refuse(
            "role",
            format!("it names the role of the auth mount to log in with{misspelt}"),
        );
    }
    reader.take("role", value::text).unwrap_or_default()
}

/// Names the unknown key of this pod that looks like `name`.
fn misspelt(reader: &Reader, name: &'static str) -> String {
    let mut unknown = reader.unknown_keys();
    let found = unknown.find(|unknown| key::nearest(unknown) == Some(name));
    found.map_or_else(String::new, |found| {
        format!("; {}{} is there and unknown", key::PREFIX, printable(found))
    })
}

fn vault(reader: &mut Reader, defaults: &Defaults) -> Vault {
    Vault {
        address: address(reader, defaults).unwrap_or_default(),
        namespace: namespace(reader, defaults),
        ca_pem: defaults.vault_ca.clone(),
        tls_server_name: defaults.vault_tls_server_name.clone(),
        ..Vault::default()
    }
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
    let asked = reader.take("address", value::address);
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
    let asked = asked.or_else(|| given.clone());
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
    let asked = reader.take("namespace", value::namespace);
    let asked = asked.or_else(|| given.clone());
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
    }
    wanted.then_some(file)
}

const PROXY: [&str; 5] = [
    "proxy-port",
    "proxy-socket",
    "proxy-token",
    "proxy-require-header",
    "cache-kv",
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
    };
    let wanted = reader.take("proxy", value::boolean).unwrap_or(true);
    if !wanted {
        reader.no_effect(&PROXY, "keyside.dev/proxy is false");
    }
    if wanted && proxy.port == Port::None && !proxy.socket {
        reader.refuse(
            "proxy-port",
            "with keyside.dev/proxy-socket false the proxy could not be reached: allow one of them, or set keyside.dev/proxy to false",
        );
    }
    wanted.then_some(proxy)
}

fn agent(reader: &mut Reader, defaults: &Defaults) -> Agent {
    let image = image(reader, defaults);
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
    let asked = reader.take("image", value::image);
    let asked = asked.unwrap_or_else(|| given.clone());
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

enum Method {
    Kubernetes,
    Jwt,
}
