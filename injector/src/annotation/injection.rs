//! Annotations and the installation's defaults → [`Injection`].

use std::path::PathBuf;

use keyside_config::model::AttachToken;
use keyside_config::model::auto_auth::Login;
use keyside_config::model::vault::Vault;

use super::reader::Reader;
use super::{key, printable, value};
use crate::admission::Defaults;
use crate::inject::quantity::Quantity;
use crate::inject::{
    Agent, Injection, Port, Proxy, ServiceAccountToken, TokenFile, names, resources,
};

/// Everything that a pod asks for. Where something is wrong, a default stands in, and the reader has the mistake.
pub(super) fn read(reader: &mut Reader, defaults: &Defaults) -> Injection {
    reader.take("profile", |value| value::only(value, "default"));
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
    let own = defaults.vault_address.as_deref().map(value::address);
    if own.is_none() && reader.found("address").is_none() {
        reader.refuse(
            "address",
            "this installation has no address of Vault of its own (--vault-address)",
        );
    }
    let default = match own {
        Some(Ok(address)) => Some(address),
        Some(Err(_)) => {
            reader.refuse(
                "address",
                "the installation's own --vault-address is no address",
            );
            None
        }
        None => None,
    };
    let address = reader.take("address", value::address);
    let namespace = reader.take("namespace", value::namespace);
    if !defaults.allow_address_override {
        keep(reader, "address", address.as_ref(), default.as_ref());
        keep(
            reader,
            "namespace",
            namespace.as_ref(),
            defaults.vault_namespace.as_ref(),
        );
    }
    Vault {
        address: address.or(default).unwrap_or_default(),
        namespace: namespace.or_else(|| defaults.vault_namespace.clone()),
        ca_pem: defaults.vault_ca.clone(),
        tls_server_name: defaults.vault_tls_server_name.clone(),
        ..Vault::default()
    }
}

/// Refuses a value other than the installation's, where the installation has one.
fn keep<T: PartialEq>(reader: &mut Reader, name: &str, asked: Option<&T>, own: Option<&T>) {
    if asked.is_some() && own.is_some() && asked != own {
        reader.refuse(
            name,
            "allowed: what the installation has, for it does not let pods choose (--allow-address-override)",
        );
    }
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
    let image = reader.take("image", value::image);
    if !defaults.allow_image_override
        && image
            .as_ref()
            .is_some_and(|image| *image != defaults.agent_image)
    {
        reader.refuse(
            "image",
            "allowed: what the installation has, for it does not let pods choose (--allow-image-override)",
        );
    }
    let agent = Agent {
        image: image.unwrap_or_else(|| defaults.agent_image.clone()),
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
