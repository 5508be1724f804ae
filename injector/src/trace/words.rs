//! What `inject --explain` says of pieces that were left out, and of pods that decide by what they are.

pub(crate) const PROXY: &str = "the proxy, and the environment that names it";
pub(crate) const SERVICE_ACCOUNT: &str = "the service-account token, and its volume";
pub(crate) const SOCKET: &str = "the proxy's Unix socket";
pub(crate) const TCP: &str = "the proxy's TCP port";
pub(crate) const TOKEN_FILE: &str = "the token file";

pub(crate) const BEFORE_AGENT: &str = "it starts before the agent, as the mesh's proxy does";
pub(crate) const GUARANTEED: &str = "Guaranteed without the agent, and so with it";
pub(crate) const HOST_NETWORK: &str = "it is hostNetwork";
pub(crate) const POD_LEVEL: &str = "its author gave the pod as a whole what it may have";
pub(crate) const PRIVATE: &str = "user and group suffice for every container to read it";
pub(crate) const PUBLIC: &str = "no user or group is every container's";
pub(crate) const SAME_USER: &str = "what the application's containers run as";

pub(crate) fn all_of(container: &str) -> String {
    format!("container {container}: volume and environment")
}

pub(crate) fn environment_of(container: &str) -> String {
    format!("container {container}: the environment that names the proxy")
}

pub(crate) fn sets(variable: &str) -> String {
    format!("the container sets {variable} itself")
}

pub(crate) fn share_of(resource: &str) -> String {
    format!("the agent's own share of {resource}")
}

pub(crate) fn field_of_agent(field: &str) -> String {
    format!("the agent's {field}")
}
