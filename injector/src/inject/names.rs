//! The names that an injected pod shows: users, tests and the chart rely on every one of them.

/// The agent's container.
pub(crate) const CONTAINER: &str = "keyside-agent";
/// The agent's init container, where the agent is no native sidecar.
pub(crate) const INIT_CONTAINER: &str = "keyside-agent-init";
/// The agent's own containers.
pub(crate) const CONTAINERS: [&str; 2] = [INIT_CONTAINER, CONTAINER];

/// Where the agent's binary is in its image.
pub(crate) const BINARY: &str = "/keyside-agent";

/// The volume that the application sees.
pub(crate) const SHARED_VOLUME: &str = "keyside";
/// Where the application sees it.
pub(crate) const SHARED_PATH: &str = "/keyside";
/// The token file, unless the pod says otherwise.
pub(crate) const TOKEN_FILE: &str = "/keyside/token";
/// The proxy's Unix socket.
pub(crate) const PROXY_SOCKET: &str = "/keyside/agent.sock";
/// What is in the shared folder beside the token, so that the token cannot be there.
pub(crate) const SHARED_ENTRIES: [&str; 2] = ["agent.sock", "secrets"];

/// The agent's own volume: its admin socket.
pub(crate) const RUN_VOLUME: &str = "keyside-run";
/// Where the agent sees it.
pub(crate) const RUN_PATH: &str = "/run/keyside";

/// The volume of the service-account token.
pub(crate) const TOKEN_VOLUME: &str = "keyside-token";
/// Where the agent sees it.
pub(crate) const TOKEN_VOLUME_PATH: &str = "/var/run/secrets/keyside.dev/serviceaccount";
/// The service-account token itself.
pub(crate) const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/keyside.dev/serviceaccount/token";

/// The volume of the files that logging in takes.
pub(crate) const FILES_VOLUME: &str = "keyside-files";
/// Where the agent sees it.
pub(crate) const FILES_PATH: &str = "/var/run/secrets/keyside.dev/files";

/// The container's port for Prometheus.
pub(crate) const METRICS_PORT_NAME: &str = "keyside-metrics";

/// The variable that carries the agent's configuration.
pub(crate) const CONFIG_VARIABLE: &str = "KEYSIDE_CONFIG";

/// The proxy's port, unless the pod says otherwise.
pub(crate) const PROXY_PORT: u16 = 8200;
