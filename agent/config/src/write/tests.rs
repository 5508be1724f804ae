//! What is written is read back the same.

use std::path::PathBuf;
use std::time::Duration;

use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;

use crate::load::{Flags, load};
use crate::model::access_key::{AccessKey, AliCloud, Aws, Secret};
use crate::model::auto_auth::{
    Aad, AutoAuth, Azure, Encryption, FileSink, Gcp, GcpType, GoogleKey, Login, Method, Password,
    Sink, SocketSink,
};
use crate::model::listener::{Bind, HostPort, Listener, Role, Tls, TlsVersion};
use crate::model::vault::{Address, ClientCertificate, SingleUse, Vault};
use crate::model::{
    Admin, AttachToken, Cache, Config, Limits, LogFormat, LogLevel, MAX_DURATION, Mode, Resume,
    StaticSecrets,
};
use crate::source::{Source, Syntax};

fn read_back(text: &str) -> Result<Config, String> {
    let source = Source {
        name: "KEYSIDE_CONFIG".to_owned(),
        syntax: Syntax::Json,
        text: text.to_owned(),
    };
    load(&[source], &|_| None, &Flags::default()).map_err(|mistakes| mistakes.to_string())
}

/// Any text: quotes, control characters, other scripts.
fn text() -> impl Strategy<Value = String> {
    "\\PC{1,12}|[\"\\\\\n\t/${}a-z]{1,12}"
}

/// A path under `root`; different roots keep sockets and sinks apart.
fn path(root: &str) -> impl Strategy<Value = PathBuf> + use<> {
    let root = root.to_owned();
    text().prop_map(move |text| PathBuf::from(format!("/{root}/{text}")))
}

fn segments() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 _.-]{1,6}(/[a-z]{1,4}){0,2}"
}

fn duration() -> impl Strategy<Value = Duration> {
    let most = u64::try_from(MAX_DURATION.as_nanos()).unwrap_or(u64::MAX);
    let seconds = (1..MAX_DURATION.as_secs()).prop_map(Duration::from_secs);
    prop_oneof![seconds, (1..most).prop_map(Duration::from_nanos)]
}

fn mode() -> impl Strategy<Value = Mode> {
    (0..=0o777_u32).prop_map(Mode)
}

prop_compose! {
    // Ports from 10000 belong to listeners, which need them distinct.
    fn upstream()(name in "[a-z][a-z0-9.-]{0,8}", ipv6: bool, port in 1..10_000_u16) -> HostPort {
        let host = if ipv6 { "fd00::7".to_owned() } else { name };
        HostPort { host, port }
    }
}

fn address() -> impl Strategy<Value = Address> {
    let prefix = prop_oneof![Just(String::new()), "(/[a-zA-Z0-9%._~-]{1,5}){1,3}"];
    let tcp = (any::<bool>(), upstream(), prefix);
    prop_oneof![
        tcp.prop_map(|(tls, at, prefix)| Address::Tcp { tls, at, prefix }),
        path("vault").prop_map(Address::Unix),
    ]
}

prop_compose! {
    fn vault()(
        address in address(),
        namespace in of(segments()),
        (ca_cert, ca_path, ca_pem) in (of(path("ca")), of(path("cas")), of(text())),
        pair in of((path("cert"), path("key"))),
        tls_server_name in of(text()),
        tls_skip_verify: bool,
        timeout in duration(),
        redirect_hosts in prop::collection::vec("(\\*\\.)?[a-z]{1,5}(:[1-9]{4})?", 0..3),
        disable_redirects: bool,
        (auto_auth, caching, proxying) in any::<(bool, bool, bool)>(),
    ) -> Vault {
        let client_certificate = pair.map(|(certificate, key)| ClientCertificate { certificate, key });
        Vault {
            address, namespace, ca_cert, ca_path, ca_pem, client_certificate, tls_server_name, tls_skip_verify, timeout,
            redirect_hosts, disable_redirects,
            single_use: SingleUse { auto_auth, caching, proxying },
        }
    }
}

prop_compose! {
    fn password()(
        username in text(), path in path("password"), remove_after_reading: bool, remove_follows_symlinks: bool,
    ) -> Password {
        Password { username, path, remove_after_reading, remove_follows_symlinks }
    }
}

prop_compose! {
    fn access_key()(id in "[A-Za-z0-9._-]{1,8}", secret in text(), token in of(text())) -> AccessKey {
        AccessKey { id, secret: Secret(secret), token: token.map(Secret) }
    }
}

prop_compose! {
    fn gcp()(
        iam: bool, role in text(), key in of((path("key"), any::<bool>())), service_account in of(text()),
        minutes in 1..=60_u64,
    ) -> Gcp {
        let of = if iam { GcpType::Iam } else { GcpType::Gce };
        let credentials = key.map(|(key, is_file)| {
            let text = || Secret(format!("{{{}}}", key.display()));
            if is_file { GoogleKey::File(key.clone()) } else { GoogleKey::Text(text()) }
        });
        Gcp { of, role, credentials, service_account, jwt_exp: Duration::from_mins(minutes) }
    }
}

prop_compose! {
    fn aws()(
        role in text(), region in "[a-z][a-z0-9-]{0,8}[a-z0-9]", header_value in of("[!-~]([ -~]{0,8}[!-~])?"),
        key in of(access_key()),
    ) -> Aws {
        Aws { role, region, header_value, key }
    }
}

prop_compose! {
    fn alicloud()(
        role in text(), region in "[a-z][a-z0-9-]{0,8}[a-z0-9]", role_name in of(text()), key in of(access_key()),
    ) -> AliCloud {
        AliCloud { role, region, key, role_name }
    }
}

prop_compose! {
    fn azure()(
        role in text(), resource in text(), id in of((text(), any::<bool>())), scope in of(text()),
        from_environment: bool,
    ) -> Azure {
        let (object_id, client_id) = match id {
            Some((id, true)) => (Some(id), None),
            Some((id, false)) => (None, Some(id)),
            None => (None, None),
        };
        Azure { role, resource, object_id, client_id, scope, from_environment }
    }
}

fn login() -> impl Strategy<Value = Login> {
    let kubernetes = (text(), path("token"));
    let jwt = (text(), path("jwt"), any::<bool>(), any::<bool>());
    let pair = of((path("cert"), path("key")));
    let cert = (of(text()), of(path("ca")), pair, any::<bool>());
    let app_role = (path("role"), of(path("secret")), any::<bool>(), of(text()));
    prop_oneof![
        kubernetes.prop_map(|(role, token_path)| Login::Kubernetes { role, token_path }),
        jwt.prop_map(|(role, path, remove, follows)| Login::Jwt {
            role,
            path,
            remove_after_reading: remove,
            remove_follows_symlinks: follows
        }),
        app_role.prop_map(|(role_id, secret_id, remove, wrapping)| Login::AppRole {
            role_id,
            secret_id,
            remove_secret_id_after_reading: remove,
            secret_id_wrapping_path: wrapping
        }),
        path("token").prop_map(|path| Login::TokenFile { path }),
        password().prop_map(Login::Userpass),
        password().prop_map(Login::Ldap),
        alicloud().prop_map(Login::AliCloud),
        aws().prop_map(Login::Aws),
        gcp().prop_map(Login::Gcp),
        azure().prop_map(Login::Azure),
        cert.prop_map(|(name, ca_cert, pair, reload)| Login::Cert {
            name,
            ca_cert,
            client_certificate: pair
                .map(|(certificate, key)| ClientCertificate { certificate, key }),
            reload,
        }),
    ]
}

prop_compose! {
    fn method()(
        mount_path in segments(),
        namespace in of(segments()),
        (one, other) in (duration(), duration()),
        exit_on_err: bool,
        login in login(),
    ) -> Method {
        let (min_backoff, max_backoff) = (one.min(other), one.max(other));
        let has_mount = !matches!(login, Login::TokenFile { .. });
        let mount_path = if has_mount { mount_path } else { String::new() };
        Method { mount_path, namespace, min_backoff, max_backoff, wrap_ttl: None, exit_on_err, login }
    }
}

prop_compose! {
    fn encryption()(
        dh_path in path("dh"), derive_key: bool, aad in of((any::<bool>(), text()))
    ) -> Encryption {
        let aad = aad.map(|(is_text, text)| if is_text { Aad::Text(text) } else { Aad::Variable(text) });
        Encryption { dh_path, derive_key, aad }
    }
}

prop_compose! {
    fn sink(index: usize)(
        path in path(&format!("sink{index}")), mode in mode(), owner in of(text()), group in of(text()),
        is_socket: bool, wrap_ttl in of(duration()), encryption in of(encryption()),
    ) -> Sink {
        if is_socket {
            Sink::Socket(SocketSink { path, mode, owner, group })
        } else {
            Sink::File(FileSink { path, mode, owner, group, wrap_ttl, encryption })
        }
    }
}

fn bind(index: u16) -> impl Strategy<Value = Bind> {
    let host = prop_oneof![
        "127\\.0\\.0\\.1",
        "localhost",
        "::1",
        "0\\.0\\.0\\.0",
        "[a-z]{1,5}"
    ];
    let port = prop_oneof![Just(0), Just(10_000 + index)];
    let tcp = (host, port).prop_map(|(host, port)| Bind::Tcp(HostPort { host, port }));
    let unix = (
        path(&format!("listener{index}")),
        of(mode()),
        of(text()),
        of(text()),
    );
    let unix = unix.prop_map(|(path, mode, user, group)| Bind::Unix {
        path,
        mode,
        user,
        group,
    });
    prop_oneof![tcp, unix]
}

prop_compose! {
    fn tls()(
        certificate in path("certificate"),
        key in path("key"),
        min_version in of(Just(TlsVersion::Tls12)),
        max_version in of(tls_version()),
        client_ca in of(path("client-ca")),
    ) -> Tls {
        let require_client_certificate = client_ca.is_some();
        Tls { certificate, key, min_version, max_version, require_client_certificate, client_ca }
    }
}

fn tls_version() -> impl Strategy<Value = TlsVersion> {
    prop_oneof![Just(TlsVersion::Tls12), Just(TlsVersion::Tls13)]
}

prop_compose! {
    fn listener(index: u16)(
        bind in bind(index),
        metrics_only: bool,
        require_request_header: bool,
        allowed_hosts in prop::collection::vec(text(), 0..3),
        allow_forwarded: bool,
        max_connections in 1..=1_usize << 20,
        tls_disable: bool,
        enable_quit: bool,
        tls in of(tls()),
    ) -> Listener {
        let role = if metrics_only { Role::MetricsOnly } else { Role::Default };
        let plain = tls_disable || tls.is_none();
        Listener { bind, plain, tls, role, require_request_header, allowed_hosts, allow_forwarded, enable_quit, max_connections }
    }
}

prop_compose! {
    fn cache()(
        max_entries in 1..=1_usize << 30,
        one in 1..=1_usize << 40,
        other in 1..=1_usize << 40,
        static_secrets in of(static_secrets()),
    ) -> Cache {
        Cache { max_entries, max_bytes: one.max(other), max_body: one.min(other), static_secrets }
    }
}

prop_compose! {
    fn static_secrets()(ttl in duration(), max_stale in prop_oneof![Just(Duration::ZERO), duration()]) -> StaticSecrets {
        StaticSecrets { ttl: ttl.max(Duration::from_secs(1)), max_stale }
    }
}

prop_compose! {
    fn admin()(socket in path("admin"), address in of("[a-z]{1,5}")) -> Admin {
        let address = address.map(|host| HostPort { host, port: 20_000 });
        Admin { socket, address }
    }
}

prop_compose! {
    fn limits()(requests_per_second in 1..=u32::MAX, burst in 1..=u32::MAX) -> Limits {
        Limits { requests_per_second, burst }
    }
}

prop_compose! {
    fn resume()(path in path("run"), max_bytes in 1..=1_usize << 40) -> Resume {
        Resume { path, max_bytes }
    }
}

fn attach_token() -> impl Strategy<Value = AttachToken> {
    let all = [
        AttachToken::Never,
        AttachToken::WhereAbsent,
        AttachToken::Force,
    ];
    prop::sample::select(all.to_vec())
}

fn log_level() -> impl Strategy<Value = LogLevel> {
    let (loud, quiet) = (
        [LogLevel::Trace, LogLevel::Debug],
        [LogLevel::Info, LogLevel::Warn, LogLevel::Error],
    );
    prop::sample::select([&loud[..], &quiet[..]].concat())
}

prop_compose! {
    /// A proxy that also logs in: everything that can be written is.
    fn config()(
        vault in vault(),
        (method, sinks) in (method(), (sink(0), sink(1), 1..=2_usize)),
        (cache, attach_token, prepend_namespace) in (of(cache()), attach_token(), any::<bool>()),
        listeners in (listener(0), listener(1), 1..=2_usize),
        (limits, admin, resume) in (limits(), of(admin()), of(resume())),
        (log_level, json) in (log_level(), any::<bool>()),
        pid_file in of(path("pid")),
        exit_after_auth: bool,
        worker_threads: u16,
    ) -> Config {
        let (sink_0, sink_1, sink_count) = sinks;
        let (listener_0, listener_1, listener_count) = listeners;
        let sinks = [sink_0, sink_1].into_iter().take(sink_count).collect();
        Config {
            vault,
            auto_auth: Some(AutoAuth {
                revoke_on_exit: json && method.wrap_ttl.is_none() && !matches!(method.login, Login::TokenFile { .. }),
                method,
                sinks,
                login_on_new_credential: !exit_after_auth,
            }),
            cache,
            attach_token,
            prepend_namespace,
            listeners: [listener_0, listener_1].into_iter().take(listener_count).collect(),
            // From what is there: one strategy more and the stack is too small.
            client_limits: json.then_some(Limits {
                requests_per_second: limits.burst,
                burst: if exit_after_auth { limits.burst } else { limits.requests_per_second },
            }),
            limits,
            admin,
            resume,
            log_level,
            log_format: if json { LogFormat::Json } else { LogFormat::Standard },
            pid_file,
            exit_after_auth,
            start_timeout: exit_after_auth.then_some(Duration::from_secs(u64::from(worker_threads) + 1)),
            shutdown_delay: json.then_some(Duration::from_millis(u64::from(worker_threads) + 1)),
            worker_threads,
        }
    }
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_the_same(config in config()) {
        let text = config.to_json();
        prop_assert_eq!(read_back(&text), Ok(config.clone()), "{}", text);
        prop_assert_eq!(read_back(&config.to_json_pretty()), Ok(config));
    }

    #[test]
    fn keys_are_sorted_whatever_the_build(config in config()) {
        let value: Value = serde_json::from_str(&config.to_json()).expect("JSON");
        check_sorted(&value);
    }
}

fn check_sorted(value: &Value) {
    match value {
        Value::Object(fields) => {
            assert!(fields.keys().is_sorted(), "{value}");
            fields.values().for_each(check_sorted);
        }
        Value::Array(items) => items.iter().for_each(check_sorted),
        _ => {}
    }
}

#[test]
fn the_text_is_what_a_pod_shows() {
    let config = Config {
        listeners: vec![Listener {
            bind: Bind::Tcp(HostPort {
                host: "::1".to_owned(),
                port: 8300,
            }),
            plain: true,
            tls: None,
            role: Role::Default,
            require_request_header: false,
            allowed_hosts: Vec::new(),
            allow_forwarded: false,
            enable_quit: false,
            max_connections: 256,
        }],
        ..Config::default()
    };
    let expected = concat!(
        r#"{"exit_after_auth":false,"limits":{"burst":20,"requests_per_second":10},"listener":["#,
        r#"{"address":"[::1]:8300","allow_forwarded":false,"allowed_hosts":[],"max_connections":256,"#,
        r#""require_request_header":false,"role":"default","tls_disable":true,"type":"tcp"}],"#,
        r#""log_format":"standard","log_level":"info","vault":{"address":"https://127.0.0.1:8200","#,
        r#""client_timeout":"60s","tls_skip_verify":false},"worker_threads":0}"#,
    );
    assert_eq!(config.to_json(), expected);
    assert_eq!(read_back(expected), Ok(config));
}

#[test]
fn what_is_shown_has_no_secret() {
    let key = AccessKey {
        id: "AKID".to_owned(),
        secret: Secret("hidden-secret".to_owned()),
        token: Some(Secret("hidden-token".to_owned())),
    };
    let (role, region) = ("app".to_owned(), "cn-hangzhou".to_owned());
    for login in [
        Login::Aws(Aws {
            role: role.clone(),
            region: region.clone(),
            header_value: None,
            key: Some(key.clone()),
        }),
        Login::AliCloud(AliCloud {
            role,
            region,
            key: Some(key),
            role_name: None,
        }),
        Login::Gcp(Gcp {
            of: GcpType::Iam,
            role: "AKID".to_owned(),
            credentials: Some(GoogleKey::Text(Secret(
                "{hidden-secret hidden-token".to_owned(),
            ))),
            service_account: None,
            jwt_exp: Duration::from_mins(15),
        }),
    ] {
        let method = Method {
            mount_path: "auth/m".to_owned(),
            namespace: None,
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(2),
            wrap_ttl: None,
            exit_on_err: false,
            login,
        };
        let sinks = Vec::new();
        let config = Config {
            auto_auth: Some(AutoAuth {
                method,
                sinks,
                login_on_new_credential: true,
                revoke_on_exit: false,
            }),
            ..Config::default()
        };
        for shown in [config.to_json_without_secrets(), format!("{config:?}")] {
            assert!(
                !shown.contains("hidden") && shown.contains("AKID"),
                "{shown}"
            );
        }
        assert!(config.to_json().contains("hidden-secret"));
        assert!(config.to_json().contains("hidden-token"));
    }
}
