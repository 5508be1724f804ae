//! A [`Config`] as text: JSON in Vault Agent's schema.
//!
//! Invariant: equal configurations give equal bytes, in every build; reading the text back gives an equal
//! configuration. Defaults are written out, so that a later agent with other defaults still does what was meant.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::model::access_key::{AccessKey, AliCloud, Aws, Secret};
use crate::model::auto_auth::{
    Aad, AutoAuth, Azure, FileSink, Gcp, GcpType, GoogleKey, Login, Method, Password, Sink,
    SocketSink,
};
use crate::model::listener::{Bind, Listener, Role, Tls, TlsVersion};
use crate::model::vault::{Address, SingleUse, Vault};
use crate::model::{
    Admin, AttachToken, Cache, Config, Limits, LogFormat, LogLevel, Mode, Resume, StaticSecrets,
};

#[cfg(test)]
mod tests;

impl Config {
    /// The configuration as one line of JSON, as the injector puts it into `KEYSIDE_CONFIG`.
    ///
    /// A path that is not UTF-8 is written with replacement characters; reading makes no such path.
    #[must_use]
    pub fn to_json(&self) -> String {
        config(self).to_string()
    }

    /// The same as [`Config::to_json`], with a placeholder for each secret, to be shown.
    #[must_use]
    pub fn to_json_without_secrets(&self) -> String {
        let mut shown = self.clone();
        let login = shown.auto_auth.as_mut().map(|of| &mut of.method.login);
        let secrets = match login {
            Some(
                Login::AliCloud(AliCloud { key: Some(key), .. })
                | Login::Aws(Aws { key: Some(key), .. }),
            ) => [Some(&mut key.secret), key.token.as_mut()],
            Some(Login::Gcp(Gcp {
                credentials: Some(GoogleKey::Text(key)),
                ..
            })) => [Some(key), None],
            _ => [None, None],
        };
        for secret in secrets.into_iter().flatten() {
            *secret = Secret("(not shown)".to_owned());
        }
        shown.to_json()
    }

    /// The same as [`Config::to_json`], in lines and indented, for people.
    #[must_use]
    pub fn to_json_pretty(&self) -> String {
        format!("{:#}", config(self))
    }
}

fn config(config: &Config) -> Value {
    let attach = match config.attach_token {
        AttachToken::Never => None,
        AttachToken::WhereAbsent => Some(Value::from(true)),
        AttachToken::Force => Some(Value::from("force")),
    };
    let prepend = config.prepend_namespace;
    object([
        ("admin", config.admin.as_ref().map(admin)),
        (
            "api_proxy",
            (attach.is_some() || prepend).then(|| {
                object([
                    (
                        "prepend_configured_namespace",
                        prepend.then_some(true.into()),
                    ),
                    ("use_auto_auth_token", attach),
                ])
            }),
        ),
        ("auto_auth", config.auto_auth.as_ref().map(auto_auth)),
        ("cache", config.cache.as_ref().map(cache)),
        ("disable_keep_alives", single_use(config.vault.single_use)),
        ("exit_after_auth", Some(config.exit_after_auth.into())),
        (
            "limits",
            Some(limits(&config.limits, config.client_limits.as_ref())),
        ),
        (
            "listener",
            Some(config.listeners.iter().map(listener).collect()),
        ),
        ("log_format", Some(log_format(config.log_format).into())),
        ("log_level", Some(log_level(config.log_level).into())),
        ("pid_file", config.pid_file.as_deref().map(path)),
        ("resume", config.resume.as_ref().map(resume)),
        ("shutdown_delay", config.shutdown_delay.map(duration)),
        ("start_timeout", config.start_timeout.map(duration)),
        ("vault", Some(vault(&config.vault))),
        ("worker_threads", Some(config.worker_threads.into())),
    ])
}

fn single_use(uses: SingleUse) -> Option<Value> {
    let names = [
        (uses.auto_auth, "auto-auth"),
        (uses.caching, "caching"),
        (uses.proxying, "proxying"),
    ];
    let names = names.into_iter().filter(|(is_set, _)| *is_set);
    let names: Vec<Value> = names.map(|(_, name)| name.into()).collect();
    (!names.is_empty()).then(|| names.into())
}

fn admin(admin: &Admin) -> Value {
    object([
        (
            "address",
            admin.address.as_ref().map(|at| at.to_string().into()),
        ),
        ("socket", Some(path(&admin.socket))),
    ])
}

fn auto_auth(auto_auth: &AutoAuth) -> Value {
    object([
        (
            "enable_reauth_on_new_credentials",
            Some(auto_auth.login_on_new_credential.into()),
        ),
        ("method", Some(method(&auto_auth.method))),
        (
            "revoke_on_exit",
            auto_auth.revoke_on_exit.then(|| true.into()),
        ),
        ("sink", Some(auto_auth.sinks.iter().map(sink).collect())),
    ])
}

fn method(method: &Method) -> Value {
    let (kind, config) = login(&method.login);
    let has_mount = !method.mount_path.is_empty();
    object([
        ("config", Some(config)),
        ("exit_on_err", Some(method.exit_on_err.into())),
        ("max_backoff", Some(duration(method.max_backoff))),
        ("min_backoff", Some(duration(method.min_backoff))),
        (
            "mount_path",
            has_mount.then(|| method.mount_path.clone().into()),
        ),
        ("namespace", text(method.namespace.as_ref())),
        ("type", Some(kind.into())),
        ("wrap_ttl", method.wrap_ttl.map(duration)),
    ])
}

fn login(login: &Login) -> (&'static str, Value) {
    match login {
        Login::Kubernetes { role, token_path } => {
            let role = ("role", text(Some(role)));
            let config = object([role, ("token_path", Some(path(token_path)))]);
            ("kubernetes", config)
        }
        Login::Jwt {
            role,
            path: file,
            remove_after_reading,
            remove_follows_symlinks: follows,
        } => {
            let remove = Some((*remove_after_reading).into());
            let config = object([
                ("path", Some(path(file))),
                ("remove_jwt_after_reading", remove),
                ("remove_jwt_follows_symlinks", Some((*follows).into())),
                ("role", text(Some(role))),
            ]);
            ("jwt", config)
        }
        Login::AppRole {
            role_id,
            secret_id,
            remove_secret_id_after_reading,
            secret_id_wrapping_path: wrapping,
        } => {
            let remove = Some((*remove_secret_id_after_reading).into());
            let config = object([
                ("remove_secret_id_file_after_reading", remove),
                ("role_id_file_path", Some(path(role_id))),
                ("secret_id_file_path", secret_id.as_deref().map(path)),
                ("secret_id_response_wrapping_path", text(wrapping.as_ref())),
            ]);
            ("approle", config)
        }
        Login::TokenFile { path: file } => {
            let config = object([("token_file_path", Some(path(file)))]);
            ("token_file", config)
        }
        Login::Cert {
            name,
            ca_cert,
            client_certificate: pair,
            reload,
        } => {
            let pair = pair.as_ref();
            let config = object([
                ("ca_cert", ca_cert.as_deref().map(path)),
                ("client_cert", pair.map(|pair| path(&pair.certificate))),
                ("client_key", pair.map(|pair| path(&pair.key))),
                ("name", text(name.as_ref())),
                ("reload", Some((*reload).into())),
            ]);
            ("cert", config)
        }
        Login::Userpass(of) => ("userpass", password(of)),
        Login::Ldap(of) => ("ldap", password(of)),
        Login::AliCloud(of) => ("alicloud", alicloud(of)),
        Login::Aws(of) => ("aws", aws(of)),
        Login::Gcp(of) => ("gcp", gcp(of)),
        Login::Azure(of) => ("azure", azure(of)),
    }
}

fn alicloud(of: &AliCloud) -> Value {
    let [id, secret, token] = access_key(of.key.as_ref());
    object([
        ("access_key", id),
        ("access_token", token),
        ("region", text(Some(&of.region))),
        ("role", text(Some(&of.role))),
        ("role_name", text(of.role_name.as_ref())),
        ("secret_key", secret),
    ])
}

fn aws(of: &Aws) -> Value {
    let [id, secret, token] = access_key(of.key.as_ref());
    object([
        ("access_key", id),
        ("header_value", text(of.header_value.as_ref())),
        ("region", text(Some(&of.region))),
        ("role", text(Some(&of.role))),
        ("secret_key", secret),
        ("session_token", token),
        ("type", Some("iam".into())),
    ])
}

fn access_key(key: Option<&AccessKey>) -> [Option<Value>; 3] {
    let token = key.and_then(|key| key.token.as_ref());
    [
        text(key.map(|key| &key.id)),
        text(key.map(|key| &key.secret.0)),
        text(token.map(|token| &token.0)),
    ]
}

fn gcp(gcp: &Gcp) -> Value {
    let of = match gcp.of {
        GcpType::Gce => "gce",
        GcpType::Iam => "iam",
    };
    let credentials = gcp.credentials.as_ref().map(|key| match key {
        GoogleKey::File(file) => path(file),
        GoogleKey::Text(key) => key.0.clone().into(),
    });
    object([
        ("credentials", credentials),
        ("jwt_exp", Some((gcp.jwt_exp.as_secs() / 60).into())),
        ("role", text(Some(&gcp.role))),
        ("service_account", text(gcp.service_account.as_ref())),
        ("type", Some(of.into())),
    ])
}

fn azure(azure: &Azure) -> Value {
    object([
        (
            "authenticate_from_environment",
            Some(azure.from_environment.into()),
        ),
        ("client_id", text(azure.client_id.as_ref())),
        ("object_id", text(azure.object_id.as_ref())),
        ("resource", text(Some(&azure.resource))),
        ("role", text(Some(&azure.role))),
        ("scope", text(azure.scope.as_ref())),
    ])
}

fn password(password: &Password) -> Value {
    let remove = password.remove_after_reading;
    let follows = password.remove_follows_symlinks;
    object([
        ("password_file_path", Some(path(&password.path))),
        ("remove_password_after_reading", Some(remove.into())),
        ("remove_password_follows_symlinks", Some(follows.into())),
        ("username", text(Some(&password.username))),
    ])
}

fn sink(sink: &Sink) -> Value {
    match sink {
        Sink::File(file) => file_sink(file),
        Sink::Socket(socket) => {
            let config = Some(socket_sink(socket));
            object([("config", config), ("type", Some("socket".into()))])
        }
    }
}

fn file_sink(sink: &FileSink) -> Value {
    let config = object([
        ("group", text(sink.group.as_ref())),
        ("mode", Some(mode(sink.mode))),
        ("owner", text(sink.owner.as_ref())),
        ("path", Some(path(&sink.path))),
    ]);
    let dh = sink.encryption.as_ref();
    let (aad, variable) = match dh.and_then(|dh| dh.aad.as_ref()) {
        Some(Aad::Text(aad)) => (Some(aad), None),
        Some(Aad::Variable(name)) => (None, Some(name)),
        None => (None, None),
    };
    object([
        ("aad", text(aad)),
        ("aad_env_var", text(variable)),
        ("config", Some(config)),
        ("derive_key", dh.map(|dh| dh.derive_key.into())),
        ("dh_path", dh.map(|dh| path(&dh.dh_path))),
        ("dh_type", dh.map(|_| "curve25519".into())),
        ("type", Some("file".into())),
        ("wrap_ttl", sink.wrap_ttl.map(duration)),
    ])
}

fn socket_sink(sink: &SocketSink) -> Value {
    object([
        ("group", text(sink.group.as_ref())),
        ("mode", Some(mode(sink.mode))),
        ("owner", text(sink.owner.as_ref())),
        ("path", Some(path(&sink.path))),
    ])
}

fn cache(cache: &Cache) -> Value {
    object([
        ("max_body", Some(cache.max_body.into())),
        ("max_bytes", Some(cache.max_bytes.into())),
        ("max_entries", Some(cache.max_entries.into())),
        (
            "static_secrets",
            cache.static_secrets.as_ref().map(static_secrets),
        ),
    ])
}

fn static_secrets(of: &StaticSecrets) -> Value {
    object([
        ("max_stale", Some(duration(of.max_stale))),
        ("ttl", Some(duration(of.ttl))),
    ])
}

fn limits(limits: &Limits, clients: Option<&Limits>) -> Value {
    object([
        ("burst", Some(limits.burst.into())),
        // As many as in a second where it is absent, which is no constant that could change.
        (
            "client_burst",
            clients
                .filter(|of| of.burst != of.requests_per_second)
                .map(|of| of.burst.into()),
        ),
        (
            "client_requests_per_second",
            clients.map(|of| of.requests_per_second.into()),
        ),
        (
            "requests_per_second",
            Some(limits.requests_per_second.into()),
        ),
    ])
}

fn resume(resume: &Resume) -> Value {
    object([
        ("max_bytes", Some(resume.max_bytes.into())),
        ("path", Some(path(&resume.path))),
    ])
}

fn listener(listener: &Listener) -> Value {
    let role = match listener.role {
        Role::Default => "default",
        Role::MetricsOnly => "metrics_only",
    };
    let mut fields = Map::new();
    let mut add = |key: &str, value: Option<Value>| {
        value.map(|value| fields.insert(key.to_owned(), value));
    };
    let hosts: Value = listener.allowed_hosts.iter().cloned().collect();
    let header = listener.require_request_header;
    match &listener.bind {
        Bind::Tcp(at) => add("address", Some(at.to_string().into())),
        Bind::Unix { path: socket, .. } => add("address", Some(path(socket))),
    }
    let quit = listener.enable_quit;
    add(
        "agent_api",
        quit.then(|| object([("enable_quit", Some(quit.into()))])),
    );
    add("allow_forwarded", Some(listener.allow_forwarded.into()));
    add("allowed_hosts", Some(hosts));
    add("max_connections", Some(listener.max_connections.into()));
    add("require_request_header", Some(header.into()));
    add("role", Some(role.into()));
    let kind = match &listener.bind {
        Bind::Tcp(_) => "tcp",
        Bind::Unix {
            mode: permissions,
            user,
            group,
            ..
        } => {
            add("socket_group", text(group.as_ref()));
            add("socket_mode", permissions.map(mode));
            add("socket_user", text(user.as_ref()));
            "unix"
        }
    };
    let says_plain = kind == "tcp" || listener.tls.is_some();
    let tls = listener.tls.as_ref();
    let [certificate, key, client_ca, require, max, min] =
        tls.map_or_else(Default::default, tls_keys);
    add("tls_cert_file", certificate);
    add("tls_client_ca_file", client_ca);
    add("tls_disable", says_plain.then(|| listener.plain.into()));
    add("tls_key_file", key);
    add("tls_max_version", max);
    add("tls_min_version", min);
    add("tls_require_and_verify_client_cert", require);
    add("type", Some(kind.into()));
    Value::Object(fields)
}

fn tls_keys(tls: &Tls) -> [Option<Value>; 6] {
    let require = tls.require_client_certificate;
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls12 => "tls12".into(),
        TlsVersion::Tls13 => "tls13".into(),
    };
    [
        Some(path(&tls.certificate)),
        Some(path(&tls.key)),
        tls.client_ca.as_deref().map(path),
        require.then(|| require.into()),
        tls.max_version.map(version),
        tls.min_version.map(version),
    ]
}

fn vault(vault: &Vault) -> Value {
    let client = vault.client_certificate.as_ref();
    let hosts =
        (!vault.redirect_hosts.is_empty()).then(|| vault.redirect_hosts.iter().cloned().collect());
    object([
        ("address", Some(address(&vault.address).into())),
        ("ca_cert", vault.ca_cert.as_deref().map(path)),
        ("ca_path", vault.ca_path.as_deref().map(path)),
        ("ca_pem", text(vault.ca_pem.as_ref())),
        ("client_cert", client.map(|pair| path(&pair.certificate))),
        ("client_key", client.map(|pair| path(&pair.key))),
        ("client_timeout", Some(duration(vault.timeout))),
        (
            "disable_redirects",
            vault.disable_redirects.then(|| true.into()),
        ),
        ("namespace", text(vault.namespace.as_ref())),
        ("redirect_hosts", hosts),
        ("tls_server_name", text(vault.tls_server_name.as_ref())),
        ("tls_skip_verify", Some(vault.tls_skip_verify.into())),
    ])
}

fn address(address: &Address) -> String {
    match address {
        Address::Tcp { tls, at, prefix } => {
            let scheme = if *tls { "https" } else { "http" };
            format!("{scheme}://{at}{prefix}")
        }
        Address::Unix(path) => format!("unix://{}", path.display()),
    }
}

fn log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn log_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Standard => "standard",
        LogFormat::Json => "json",
    }
}

/// Octal text: an integer would be read as decimal by people.
fn mode(mode: Mode) -> Value {
    format!("{:04o}", mode.0).into()
}

/// The largest unit that loses nothing.
fn duration(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs()).into()
    } else {
        format!("{}ns", duration.as_nanos()).into()
    }
}

fn path(path: &Path) -> Value {
    path.to_string_lossy().into()
}

fn text(text: Option<&String>) -> Option<Value> {
    text.cloned().map(Value::from)
}

/// An object without its absent fields. Keys are given in alphabetical order: `serde_json`'s maps are sorted or keep
/// their order, depending on what else is in the build.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let mut object = Map::new();
    for (key, value) in fields {
        if let Some(value) = value {
            // One by one: collecting would link a sort for every number of fields.
            object.insert(key.to_owned(), value);
        }
    }
    object.into()
}
