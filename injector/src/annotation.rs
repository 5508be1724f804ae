//! Pod annotations → [`Injection`], or every mistake in them at once.
//!
//! Invariant: strict. A key that this version cannot follow is refused, an unknown one is named in a warning, and
//! no value is repaired.
//! Invariant: what was read goes into a message bounded and printable, whatever it was.

pub(crate) mod key;
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use keyside_config::model::AttachToken;
use keyside_config::model::auto_auth::Login;
use keyside_config::model::vault::Vault;

use crate::admission::Defaults;
use crate::inject::quantity::Quantity;
use crate::inject::{
    Agent, Injection, Port, Proxy, ServiceAccountToken, TokenFile, names, resources,
};

/// A pod's annotations.
pub(crate) type Annotations = BTreeMap<String, String>;

/// Every mistake in one pod's annotations.
#[derive(Debug, thiserror::Error)]
#[error("{}", joined(.0))]
pub(crate) struct Error(Vec<Mistake>);

/// One annotation that cannot be followed.
#[derive(Debug)]
struct Mistake {
    key: String,
    /// Absent where the annotation is missing.
    read: Option<String>,
    /// What is allowed, or why it is refused: a sentence without its full stop.
    allowed: Cow<'static, str>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, read, allowed } = self;
        write!(f, "annotation {}", printable(key))?;
        match read {
            Some(read) => write!(f, ": read \"{}\"; {allowed}", printable(read)),
            None => write!(f, " is missing; {allowed}"),
        }
    }
}

fn joined(mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    lines.join(". ")
}

/// At most 64 characters, none of which could disturb a terminal or a log.
pub(crate) fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether the pod asks for injection at all; nothing else is looked at before this is known.
pub(crate) fn wanted(annotations: &Annotations) -> Result<bool, Error> {
    let mut reader = Reader::new(annotations);
    let wanted = reader.take("inject", value::boolean).unwrap_or(false);
    reader.end(wanted)
}

/// What the pod asks for, and what its author should know.
pub(crate) fn read(
    annotations: &Annotations,
    defaults: &Defaults,
) -> Result<(Injection, Vec<String>), Error> {
    let mut reader = Reader::new(annotations);
    let warnings = reader.keys();
    let injection = reader.injection(defaults);
    let injection = reader.end(injection)?;
    Ok((injection, warnings))
}

/// The warnings alone, for a pod that is refused.
pub(crate) fn warnings(annotations: &Annotations) -> Vec<String> {
    Reader::new(annotations).keys()
}

struct Reader<'a> {
    annotations: &'a Annotations,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    fn new(annotations: &'a Annotations) -> Self {
        Self {
            annotations,
            mistakes: Vec::new(),
        }
    }

    /// `read`, unless anything was wrong.
    fn end<T>(self, read: T) -> Result<T, Error> {
        if self.mistakes.is_empty() {
            Ok(read)
        } else {
            Err(Error(self.mistakes))
        }
    }

    fn found(&self, name: &str) -> Option<&'a str> {
        let key = format!("{}{name}", key::PREFIX);
        self.annotations.get(&key).map(String::as_str)
    }

    /// The value of one annotation; absent also where it is a mistake, which is then on the list.
    fn take<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, value::Allowed>,
    ) -> Option<T> {
        let read = self.found(name)?;
        match parse(read) {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.refuse(name, format!("allowed: {allowed}"));
                None
            }
        }
    }

    fn refuse(&mut self, name: &str, allowed: impl Into<Cow<'static, str>>) {
        self.mistakes.push(Mistake {
            key: format!("{}{name}", key::PREFIX),
            read: self.found(name).map(str::to_owned),
            allowed: allowed.into(),
        });
    }

    /// Sorts out the keys: warnings for the unknown ones, mistakes for those that cannot be followed.
    fn keys(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (full, read) in self.annotations {
            if key::PEER_PREFIXES.iter().any(|peer| full.starts_with(peer)) {
                self.mistakes.push(Mistake {
                    key: full.clone(),
                    read: Some(read.clone()),
                    allowed: "a pod is annotated for one injector only: keep this key or keyside.dev/inject".into(),
                });
            }
            let Some(name) = full.strip_prefix(key::PREFIX) else {
                continue;
            };
            match key::kind(name) {
                key::Kind::Known | key::Kind::WrittenByUs => {}
                key::Kind::Later { nearest } => {
                    let hint = meant(nearest, "; did you mean ");
                    self.refuse(
                        name,
                        format!("not supported by this version of Keyside{hint}"),
                    );
                }
                key::Kind::Unknown { nearest } => {
                    let hint = meant(nearest, "; did you mean ");
                    warnings.push(format!(
                        "annotation {} is unknown and ignored{hint}",
                        printable(full)
                    ));
                }
            }
        }
        warnings
    }

    fn injection(&mut self, defaults: &Defaults) -> Injection {
        self.take("profile", |value| value::only(value, "default"));
        self.take("sidecar", |value| value::only(value, "native"));
        let (login, mount_path) = self.login(defaults);
        let token = self.token();
        let proxy = self.proxy();
        if token.is_none() && proxy.is_none() && self.mistakes.is_empty() {
            self.refuse("proxy", "with keyside.dev/token false as well, nothing is left to inject: one of them must be true");
        }
        Injection {
            vault: self.vault(defaults),
            login,
            mount_path,
            service_account: ServiceAccountToken {
                audience: self
                    .take("audience", value::text)
                    .or_else(|| defaults.audience.clone()),
                expiration_seconds: self
                    .take("token-expiration", value::token_expiration)
                    .unwrap_or(3600),
            },
            containers: self.take("containers", value::containers),
            token,
            proxy,
            log_level: self
                .take("log-level", value::log_level)
                .unwrap_or(defaults.log_level),
            log_format: self
                .take("log-format", value::log_format)
                .unwrap_or(defaults.log_format),
            agent: self.agent(defaults),
        }
    }

    fn login(&mut self, defaults: &Defaults) -> (Login, String) {
        let method = self
            .take("auth-method", |value| match value {
                "kubernetes" => Ok(Method::Kubernetes),
                "jwt" => Ok(Method::Jwt),
                _ => Err("kubernetes or jwt"),
            })
            .unwrap_or(Method::Kubernetes);
        let role = self.role();
        let mount = self.take("auth-mount", value::auth_mount);
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
                },
                mount.unwrap_or_else(|| "auth/jwt".to_owned()),
            ),
        }
    }

    fn role(&mut self) -> String {
        if self.found("role").is_none() {
            let misspelt = self.misspelt("role");
            self.refuse(
                "role",
                format!("it names the role of the auth mount to log in with{misspelt}"),
            );
        }
        self.take("role", value::text).unwrap_or_default()
    }

    /// Names the unknown key of this pod that looks like `name`.
    fn misspelt(&self, name: &'static str) -> String {
        let unknown = key::Kind::Unknown {
            nearest: Some(name),
        };
        let found = self.annotations.keys().find(|full| {
            full.strip_prefix(key::PREFIX)
                .is_some_and(|name| key::kind(name) == unknown)
        });
        found.map_or_else(String::new, |full| {
            format!("; {} is there and unknown", printable(full))
        })
    }

    fn vault(&mut self, defaults: &Defaults) -> Vault {
        let own = defaults.vault_address.as_deref().map(value::address);
        if own.is_none() && self.found("address").is_none() {
            self.refuse(
                "address",
                "this installation has no address of Vault of its own (--vault-address)",
            );
        }
        let default = match own {
            Some(Ok(address)) => Some(address),
            Some(Err(_)) => {
                self.refuse(
                    "address",
                    "the installation's own --vault-address is no address",
                );
                None
            }
            None => None,
        };
        let address = self.take("address", value::address);
        let namespace = self.take("namespace", value::namespace);
        if !defaults.allow_address_override {
            self.keep("address", address.as_ref(), default.as_ref());
            self.keep(
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
    fn keep<T: PartialEq>(&mut self, name: &str, asked: Option<&T>, own: Option<&T>) {
        if asked.is_some() && own.is_some() && asked != own {
            self.refuse(
                name,
                "allowed: what the installation has, for it does not let pods choose (--allow-address-override)",
            );
        }
    }

    fn token(&mut self) -> Option<TokenFile> {
        let file = TokenFile {
            path: self
                .take("token-path", value::token_path)
                .unwrap_or_else(|| PathBuf::from(names::TOKEN_FILE)),
            mode: self.take("token-mode", value::mode),
        };
        self.take("token", value::boolean)
            .unwrap_or(true)
            .then_some(file)
    }

    fn proxy(&mut self) -> Option<Proxy> {
        let proxy = Proxy {
            port: self
                .take("proxy-port", value::proxy_port)
                .unwrap_or(Port::Default),
            socket: self.take("proxy-socket", value::boolean).unwrap_or(true),
            attach: self
                .take("proxy-token", value::attach_token)
                .unwrap_or(AttachToken::WhereAbsent),
            require_header: self
                .take("proxy-require-header", value::boolean)
                .unwrap_or(false),
        };
        let wanted = self.take("proxy", value::boolean).unwrap_or(true);
        if wanted && proxy.port == Port::None && !proxy.socket {
            self.refuse(
                "proxy-port",
                "with keyside.dev/proxy-socket false the proxy could not be reached: allow one of them, or set keyside.dev/proxy to false",
            );
        }
        wanted.then_some(proxy)
    }

    fn agent(&mut self, defaults: &Defaults) -> Agent {
        let image = self.take("image", value::image);
        if !defaults.allow_image_override
            && image
                .as_ref()
                .is_some_and(|image| *image != defaults.agent_image)
        {
            self.refuse(
                "image",
                "allowed: what the installation has, for it does not let pods choose (--allow-image-override)",
            );
        }
        let agent = Agent {
            image: image.unwrap_or_else(|| defaults.agent_image.clone()),
            user: self.take("run-as-user", value::id),
            group: self.take("run-as-group", value::id),
            cpu_request: self.take("cpu-request", value::quantity),
            cpu_limit: self.take("cpu-limit", value::quantity),
            memory_request: self.take("memory-request", value::quantity),
            memory_limit: self.take("memory-limit", value::quantity),
        };
        self.resources(&agent);
        agent
    }

    fn resources(&mut self, agent: &Agent) {
        let limit = resources::memory_limit(agent);
        if limit.units() < resources::LEAST_MEMORY {
            self.refuse(
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
            self.refuse(
                "memory-request",
                format!("allowed: at most the limit, {}", limit.text()),
            );
        }
        if exceeds(agent.cpu_request.as_ref(), agent.cpu_limit.as_ref()) {
            self.refuse("cpu-request", "allowed: at most keyside.dev/cpu-limit");
        }
    }
}

enum Method {
    Kubernetes,
    Jwt,
}

fn meant(nearest: Option<&str>, lead: &str) -> String {
    nearest.map_or_else(String::new, |name| format!("{lead}{}{name}?", key::PREFIX))
}
