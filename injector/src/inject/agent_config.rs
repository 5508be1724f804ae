//! The agent's configuration, from the agent's own types and never from strings: no value of an annotation can be
//! more than the value of its field.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use keyside_config::model::auto_auth::{AutoAuth, FileSink, Method, Sink};
use keyside_config::model::listener::{Bind, HostPort, Listener, Role};
use keyside_config::model::{Admin, AttachToken, Cache, Config, MAX_DURATION, Mode, Resume};

use super::containers::Chosen;
use super::pod::Pod;
use super::{Error, Injection, Port, Proxy, identity, names, resources};
use crate::trace::{Source, Subject, Trace, words};

/// The agent's memory, in units of what the default limit of 64 MiB holds: 8 MiB of answers, 2,000 of them, and 256
/// connections, beside 17 MiB of tmpfs and the agent itself.
const MEMORY_UNIT: u64 = 64 << 20;
const CACHE_BYTES: u64 = 8 << 20;
const CACHE_ENTRIES: u64 = 2_000;
const CONNECTIONS: u64 = 256;

/// What the agent of this pod does.
pub(crate) fn build(
    pod: &Pod,
    chosen: &Chosen,
    injection: &Injection,
    trace: &mut Trace,
) -> Result<Config, Error> {
    for (path, name) in SETTINGS {
        trace.decided(Subject::Config, path, name);
    }
    trace.decided_by(Subject::Config, "listener", &["proxy", "sidecar"]);
    let is_private = identity::is_readable_by_group(pod, chosen, &injection.agent);
    let memory = resources::memory_limit(&injection.agent).units();
    let mut config = Config {
        vault: injection.vault.clone(),
        auto_auth: Some(auto_auth(injection, is_private, trace)),
        admin: Some(Admin {
            // IPv6 and, where the node maps it, IPv4.
            address: injection.metrics_port.map(|port| HostPort {
                host: "::".to_owned(),
                port,
            }),
            ..Admin::default()
        }),
        // In the agent's own volume, which outlives its container and not the pod.
        resume: Some(Resume::default()),
        log_level: injection.log_level,
        log_format: injection.log_format,
        start_timeout: injection.start_timeout,
        shutdown_delay: shutdown_delay(pod),
        ..Config::default()
    };
    if let Some(proxy) = &injection.proxy {
        let port = port(pod, chosen, proxy, trace)?;
        if !proxy.socket {
            trace.left_out(|| words::SOCKET.to_owned(), "proxy-socket");
        }
        config.cache = Some(Cache {
            max_entries: share(memory, CACHE_ENTRIES),
            max_bytes: share(memory, CACHE_BYTES),
            static_secrets: proxy.cache_kv,
            ..Cache::default()
        });
        config.client_limits.clone_from(&proxy.limits);
        config.attach_token = proxy.attach;
        config.listeners = listeners(proxy, port, is_private, share(memory, CONNECTIONS));
    } else {
        config.attach_token = AttachToken::Never;
    }
    Ok(config)
}

/// What an agent gives the kubelet to see it end before it is killed.
const LAST: Duration = Duration::from_secs(2);

/// How long an ordinary container goes on when it is told to end: all containers of the pod are told so at the same
/// time, and those of the application may need the proxy to end well.
fn shutdown_delay(pod: &Pod) -> Option<Duration> {
    let grace = pod.grace_period.unwrap_or(30);
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
    let delay = grace.saturating_sub(LAST).min(MAX_DURATION);
    (!delay.is_zero()).then_some(delay)
}

/// The configuration as the value of an environment variable.
///
/// The kubelet replaces `$(NAME)` and `$$` in such a value. JSON has another way to write a dollar sign, which stands
/// only inside its strings.
pub(crate) fn text(config: &Config) -> String {
    config.to_json().replace('$', "\\u0024")
}

/// What annotations set, and where it stands in the configuration.
const SINK_MODE: &str = "auto_auth.sink[file].config.mode";

const SETTINGS: [(&str, &str); 26] = [
    ("vault.address", "address"),
    ("vault.namespace", "namespace"),
    ("vault.tls_server_name", "tls-server-name"),
    ("vault.ca_cert", "ca"),
    ("vault.ca_pem", "ca"),
    ("admin.address", "metrics-port"),
    ("log_level", "log-level"),
    ("log_format", "log-format"),
    ("cache", "proxy"),
    ("cache.max_entries", "memory-limit"),
    ("cache.max_bytes", "memory-limit"),
    ("cache.static_secrets", "cache-kv"),
    ("api_proxy", "proxy-token"),
    ("listener[tcp]", "proxy-port"),
    ("listener[unix]", "proxy-socket"),
    (
        "listener[tcp].require_request_header",
        "proxy-require-header",
    ),
    (
        "listener[unix].require_request_header",
        "proxy-require-header",
    ),
    ("listener[tcp].max_connections", "memory-limit"),
    ("listener[unix].max_connections", "memory-limit"),
    ("limits.client_burst", "client-rate-limit"),
    ("limits.client_requests_per_second", "client-rate-limit"),
    ("auto_auth.revoke_on_exit", "revoke-on-exit"),
    ("start_timeout", "start-timeout"),
    ("shutdown_delay", "sidecar"),
    ("auto_auth.sink", "token"),
    ("auto_auth.sink[file].config.path", "token-path"),
];

fn auto_auth(injection: &Injection, is_private: bool, trace: &mut Trace) -> AutoAuth {
    let who = || {
        Source::Pod(Cow::Borrowed(if is_private {
            words::PRIVATE
        } else {
            words::PUBLIC
        }))
    };
    trace.because(Subject::Config, "listener[unix].socket_mode", who);
    match injection.token.as_ref().and_then(|file| file.mode) {
        Some(_) => trace.decided(Subject::Config, SINK_MODE, "token-mode"),
        None => trace.because(Subject::Config, SINK_MODE, who),
    }
    let sinks = injection.token.iter().map(|file| {
        Sink::File(FileSink {
            wrap_ttl: None,
            encryption: None,
            path: file.path.clone(),
            mode: file
                .mode
                .unwrap_or(Mode(if is_private { 0o640 } else { 0o644 })),
            owner: None,
            group: None,
        })
    });
    AutoAuth {
        method: Method {
            mount_path: injection.mount_path.clone(),
            namespace: None,
            min_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_mins(5),
            wrap_ttl: None,
            // An injected agent never exits over a login.
            exit_on_err: false,
            login: injection.login.clone(),
        },
        sinks: sinks.collect(),
        login_on_new_credential: true,
        revoke_on_exit: injection.revoke_on_exit,
    }
}

/// The TCP port, where TCP is safe: every container of the pod shares its loopback, and with `hostNetwork` every
/// process of the node does.
fn port(
    pod: &Pod,
    chosen: &Chosen,
    proxy: &Proxy,
    trace: &mut Trace,
) -> Result<Option<u16>, Error> {
    let host_network = pod.host_network;
    let because = if host_network {
        "the pod is hostNetwork"
    } else {
        "keyside.dev/containers leaves out containers"
    };
    match proxy.port {
        Port::Asked(port) if host_network => Err(Error::HostNetworkPort { port }),
        Port::Asked(port) if chosen.is_subset => Err(Error::SharedPort { port }),
        Port::Asked(port) => Ok(Some(port)),
        Port::None => {
            trace.left_out(|| words::TCP.to_owned(), "proxy-port");
            Ok(None)
        }
        Port::Default if !host_network && !chosen.is_subset => Ok(Some(names::PROXY_PORT)),
        Port::Default if proxy.socket => {
            if host_network {
                trace.left_out_because(
                    || words::TCP.to_owned(),
                    || Source::Pod(words::HOST_NETWORK.into()),
                );
                trace.because(Subject::Application, "env", || {
                    Source::Pod(words::HOST_NETWORK.into())
                });
            } else {
                trace.left_out(|| words::TCP.to_owned(), "containers");
                trace.decided(Subject::Application, "env", "containers");
            }
            Ok(None)
        }
        Port::Default => Err(Error::NoSocket { because }),
    }
}

fn listeners(
    proxy: &Proxy,
    port: Option<u16>,
    is_private: bool,
    max_connections: usize,
) -> Vec<Listener> {
    // Both loopback addresses, of which the agent skips one that the node does not have.
    let tcp = port.map(|port| {
        Bind::Tcp(HostPort {
            host: "localhost".to_owned(),
            port,
        })
    });
    // Connecting needs the right to write.
    let socket = proxy.socket.then(|| Bind::Unix {
        path: PathBuf::from(names::PROXY_SOCKET),
        mode: Some(Mode(if is_private { 0o660 } else { 0o666 })),
        user: None,
        group: None,
    });
    tcp.into_iter()
        .chain(socket)
        .map(|bind| Listener {
            bind,
            plain: true,
            tls: None,
            role: Role::Default,
            require_request_header: proxy.require_header,
            allowed_hosts: Vec::new(),
            allow_forwarded: false,
            enable_quit: false,
            max_connections,
        })
        .collect()
}

/// A bound in proportion to the memory limit, up to sixteen times the usual one: more is no longer a sidecar, and the
/// agent has bounds of its own.
fn share(memory: u64, at_default: u64) -> usize {
    let memory = memory.min(16 * MEMORY_UNIT);
    usize::try_from(memory * at_default / MEMORY_UNIT).unwrap_or(usize::MAX)
}
