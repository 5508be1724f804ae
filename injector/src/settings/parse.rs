//! From words to [`Settings`]: first every word finds its entry of the table, then every value its type.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;

use keyside_lifecycle::error;

use super::value;
use super::{
    Callers, Certificate, Check, Entry, Error, Own, PREFIX, Publish, Service, Settings, TABLE,
    Verb, Watch,
};
use crate::admission;
use crate::annotation::value as asked;
use crate::cert::given::Files;
use crate::offline::Command;
use crate::profile;

pub(super) fn read(
    arguments: VecDeque<OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Verb, Error> {
    let mut words = Words::default();
    words.environment(environment);
    let (verb, arguments) = verb(arguments)?;
    let rest = words.arguments(verb, arguments);
    if words.shows_help {
        return Ok(Verb::Help);
    }
    let result = match verb {
        Name::Version => Verb::Version,
        Name::Offline(command) => Verb::Offline(command, Box::new(words.offline()), rest),
        Name::Serve => Verb::Serve(Box::new(words.settings())),
        Name::Watch => Verb::Watch(Box::new(words.watch())),
        Name::Check => Verb::Check(Box::new(words.check())),
    };
    if words.mistakes.is_empty() {
        Ok(result)
    } else {
        Err(Error(words.mistakes))
    }
}

/// Where the command is unknown, so is what its flags mean: nothing else is worth telling then.
fn verb(mut arguments: VecDeque<OsString>) -> Result<(Name, VecDeque<OsString>), Error> {
    let name = match arguments.front().and_then(|first| first.to_str()) {
        Some("serve") => Name::Serve,
        Some("inject") => Name::Offline(Command::Inject),
        Some("lint") => Name::Offline(Command::Lint),
        Some("migrate") => Name::Offline(Command::Migrate),
        Some("watch") => Name::Watch,
        Some("check") => Name::Check,
        Some("version" | "--version") => Name::Version,
        Some(other) if !other.starts_with('-') => {
            let unknown = "no such command; write serve, inject, lint, migrate, watch, check, version or --help";
            return Err(Error(vec![format!("{other}: {unknown}")]));
        }
        _ => return Ok((Name::Serve, arguments)),
    };
    arguments.pop_front();
    Ok((name, arguments))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Serve,
    Offline(Command),
    Watch,
    Check,
    Version,
}

impl Name {
    fn takes(self, entry: &Entry) -> bool {
        match self {
            Self::Serve => true,
            Self::Check => entry.check,
            Self::Offline(_) => entry.offline,
            Self::Watch => entry.watch,
            Self::Version => false,
        }
    }
}

/// What was given, by flag, with the name under which the user knows it; and what was wrong about it so far.
#[derive(Default)]
struct Words {
    given: BTreeMap<&'static str, (String, String)>,
    mistakes: Vec<String>,
    shows_help: bool,
}

impl Words {
    fn environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX) && !is_service_link(name))
            .collect();
        variables.sort();
        for (name, value) in variables {
            match (
                TABLE.iter().find(|entry| twin(entry) == name),
                value.into_string(),
            ) {
                (None, _) => self
                    .mistakes
                    .push(format!("{name}: there is no such setting")),
                (_, Err(_)) => self.mistakes.push(format!("{name}: not UTF-8")),
                // An empty variable is how a chart says nothing.
                (Some(_), Ok(value)) if value.is_empty() => {}
                (Some(entry), Ok(value)) => {
                    self.given.insert(entry.flag, (name, value));
                }
            }
        }
    }

    /// Takes the flags of the table and answers what the offline command has to read itself.
    fn arguments(&mut self, verb: Name, arguments: VecDeque<OsString>) -> Vec<OsString> {
        let mut rest = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy().into_owned();
            let (flag, value) = match text.split_once('=') {
                Some((flag, value)) => (flag, Some(OsString::from(value))),
                None => (text.as_str(), None),
            };
            let entry = TABLE
                .iter()
                .find(|entry| flag.strip_prefix("--") == Some(entry.flag))
                .filter(|entry| verb.takes(entry));
            match entry {
                Some(entry) => {
                    let value = value.or_else(|| arguments.next());
                    self.flag(entry, flag, value);
                }
                None if matches!(verb, Name::Offline(_)) => rest.push(argument),
                None if matches!(flag, "--help" | "-h") && value.is_none() => {
                    self.shows_help = true;
                }
                None => self.mistakes.push(format!("{text}: there is no such flag")),
            }
        }
        rest
    }

    fn flag(&mut self, entry: &'static Entry, flag: &str, value: Option<OsString>) {
        match value.map(OsString::into_string) {
            None => self.mistakes.push(format!("{flag}: needs a value")),
            Some(Err(_)) => self.mistakes.push(format!("{flag}: not UTF-8")),
            Some(Ok(value)) => {
                let again = self
                    .given
                    .insert(entry.flag, (flag.to_owned(), value))
                    .is_some_and(|(name, _)| name == flag);
                if again {
                    self.mistakes.push(format!("{flag}: given twice"));
                }
            }
        }
    }

    fn settings(&mut self) -> Settings {
        Settings {
            listen: self.parse("listen", value::address),
            health: self.parse("health", value::address),
            log_level: self.parse("log-level", value::level),
            log_json: self.parse("log-format", value::format),
            drain: self.parse("drain", value::duration),
            max_connections: self.parse("max-connections", value::at_least_one),
            recheck: self.parse("recheck", value::positive),
            certificate: self.certificate(),
            profiles: self.optional("profiles").map(PathBuf::from),
            callers: self.callers(),
            denial_events: self.parse("denial-events", value::boolean),
            kubeconfig: self.optional("kubeconfig").map(PathBuf::from),
            defaults: self.defaults(),
        }
    }

    /// As [`Self::defaults`], and with the profiles: nobody waits here until they are mended.
    fn offline(&mut self) -> admission::Defaults {
        let mut defaults = self.defaults();
        let Some(path) = self.optional("profiles").map(PathBuf::from) else {
            return defaults;
        };
        match profile::files::read(&path) {
            Ok(texts) => {
                let mut set = profile::set::Set::default();
                set.update(texts);
                self.mistakes.extend(set.wrong().map(str::to_owned));
                defaults.profiles = set.profiles();
            }
            Err(wrong) => self
                .mistakes
                .push(format!("--profiles: {}", error::chain(&wrong))),
        }
        defaults
    }

    fn watch(&mut self) -> Watch {
        let alone = || format!("{:016x}", fastrand::u64(..));
        Watch {
            health: self.parse("health", value::address),
            log_level: self.parse("log-level", value::level),
            log_json: self.parse("log-format", value::format),
            kubeconfig: self.optional("kubeconfig").map(PathBuf::from),
            namespace: self.required("namespace", "with watch"),
            lease: self.parse("lease", value::subdomain),
            identity: self.optional("identity").unwrap_or_else(alone),
            uid: self.optional("identity-uid"),
            period: self.parse("period", value::positive),
            events: self.parse("events", value::boolean),
            excluded: self.parse("excluded-namespaces", value::names),
        }
    }

    fn check(&mut self) -> Check {
        Check {
            namespace: self.parse("check-namespace", value::label),
            annotations: self.parse("check-annotations", value::texts),
            patience: self.parse("check-patience", value::duration),
            kubeconfig: self.optional("kubeconfig").map(PathBuf::from),
        }
    }

    fn certificate(&mut self) -> Certificate {
        let given = self.parse("certificate", |text| match text {
            "self" => Ok(false),
            "given" => Ok(true),
            _ => Err("write self or given".to_owned()),
        });
        if given {
            return self.given();
        }
        for flag in ["tls-cert-file", "tls-key-file", "publish-ca-file"] {
            if let Some((name, _)) = self.given.get(flag) {
                self.mistakes
                    .push(format!("{name}: is read with --certificate=given only"));
            }
        }
        Certificate::Own(Own {
            service: self.service("with --certificate=self"),
            secret: self.parse("secret", value::subdomain),
            leaf_lifetime: self.parse("leaf-lifetime", value::lifetime),
        })
    }

    fn given(&mut self) -> Certificate {
        let [cert, key] = ["tls-cert-file", "tls-key-file"]
            .map(|flag| self.required(flag, "with --certificate=given").into());
        let authorities = self.optional("publish-ca-file");
        let publish = authorities.map(|file| Publish {
            authorities: file.into(),
            service: self.service("with --publish-ca-file"),
        });
        Certificate::Given {
            files: Files { cert, key },
            publish,
        }
    }

    fn service(&mut self, when: &str) -> Service {
        Service {
            namespace: self.required("namespace", when),
            name: self.parse("service", value::label),
            webhook: self.parse("webhook", value::subdomain),
            settle: self.parse("settle", value::duration),
        }
    }

    fn callers(&mut self) -> Option<Callers> {
        let names = self.parse("client-names", value::names);
        let Some(file) = self.optional("client-ca") else {
            if !names.is_empty() {
                let alone = "--client-names: is read with --client-ca only";
                self.mistakes.push(alone.to_owned());
            }
            return None;
        };
        Some(Callers {
            authorities: file.into(),
            names,
        })
    }

    /// What every pod gets is read as strictly as a pod's own annotations: a mistake must end this start, and not be
    /// found in each pod.
    fn defaults(&mut self) -> admission::Defaults {
        let mut defaults = admission::Defaults::new(
            self.asked("agent-image", asked::image)
                .unwrap_or_else(|| concat!("keyside-agent:", env!("CARGO_PKG_VERSION")).to_owned()),
        );
        let address = |text: &str| asked::address(text).map(|_address| text.to_owned());
        defaults.vault_address = self.asked("vault-address", address);
        defaults.vault_namespace = self.asked("vault-namespace", asked::namespace);
        defaults.vault_ca = self.authorities("vault-ca-file");
        defaults.vault_tls_server_name =
            self.asked("vault-tls-server-name", asked::tls_server_name);
        if let Some(mount) = self.asked("auth-mount", asked::auth_mount) {
            defaults.auth_mount = mount;
        }
        defaults.audience = self.asked("audience", asked::text);
        if let Some(sidecar) = self.asked("sidecar", asked::sidecar) {
            defaults.sidecar = sidecar;
        }
        defaults.own_namespace = self.optional("namespace");
        defaults.log_level = self.parse("agent-log-level", value::agent_level);
        defaults.log_format = self.parse("agent-log-format", value::agent_format);
        defaults.allow_address_override = self.parse("allow-address-override", value::boolean);
        defaults.allow_image_override = self.parse("allow-image-override", value::boolean);
        let given = self
            .given
            .iter()
            .filter(|(_, (_, value))| !value.is_empty());
        defaults.given = given
            .map(|(flag, (name, _))| (*flag, name.clone()))
            .collect();
        defaults
    }

    /// The certificates in the file that a flag names.
    fn authorities(&mut self, flag: &'static str) -> Option<String> {
        let path = self.optional(flag)?;
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
        text.and_then(asked::authorities)
            .map_err(|wrong| self.mistakes.push(format!("--{flag}: {path}: {wrong}")))
            .ok()
    }

    /// The value of a flag that may be absent or empty, read as an annotation's value is.
    fn asked<T>(
        &mut self,
        flag: &'static str,
        read: impl FnOnce(&str) -> Result<T, asked::Allowed>,
    ) -> Option<T> {
        let (name, value) = self.given.get(flag)?;
        if value.is_empty() {
            return None;
        }
        read(value)
            .map_err(|allowed| {
                self.mistakes
                    .push(format!("{name}: {value:?}: allowed: {allowed}"));
            })
            .ok()
    }

    fn optional(&self, flag: &'static str) -> Option<String> {
        let (_, value) = self.given.get(flag)?;
        Some(value.clone()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, flag: &'static str, when: &str) -> String {
        self.optional(flag).unwrap_or_else(|| {
            self.mistakes.push(format!("--{flag}: is needed {when}"));
            String::new()
        })
    }

    /// The value of a flag that has a default; a value that cannot be read is noted, and the default stands in.
    fn parse<T>(&mut self, flag: &'static str, read: fn(&str) -> Result<T, String>) -> T {
        if let Some((name, value)) = self.given.get(flag) {
            match read(value) {
                Ok(value) => return value,
                Err(wanted) => self.mistakes.push(format!("{name}: {value:?}: {wanted}")),
            }
        }
        let entry = TABLE.iter().find(|entry| entry.flag == flag);
        let default = entry
            .expect("every flag that is parsed is in the table")
            .default;
        read(default).expect("every default can be read, which a test tries")
    }
}

fn twin(entry: &Entry) -> String {
    format!("{PREFIX}{}", entry.flag.replace('-', "_").to_uppercase())
}

/// The kubelet describes every Service of the namespace in each container's environment. One that is called
/// `keyside-injector`, or begins so, yields names under our prefix that no user wrote.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_PORT")
        || name.contains("_PORT_")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
}
