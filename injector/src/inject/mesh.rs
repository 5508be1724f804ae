//! Service meshes: which containers are theirs, and what a pod's author has to know about one.
//!
//! A mesh's proxy that runs as a native sidecar has to start before the agent: its init container has already sent
//! the pod's traffic to that proxy, so the agent could not reach Vault, would never be ready, and the proxy behind
//! it would never start. Any other native sidecar starts after the agent, for it may need the token. Both mistakes
//! end in a pod that never starts, so a proxy is known by name or image here, and nothing is guessed.

use keyside_config::model::vault::Address;

use super::pod::{Container, Pod};
use crate::annotation::Annotations;

/// A mesh, by what it puts into a pod.
struct Mesh {
    name: &'static str,
    proxies: &'static [&'static str],
    images: &'static [&'static str],
    /// Init containers that send all traffic to the proxy.
    captures: &'static [&'static str],
    /// The annotation that keeps a port out of that.
    exclusion: &'static str,
}

const MESHES: [Mesh; 4] = [
    Mesh {
        name: "Istio",
        proxies: &["istio-proxy"],
        images: &["proxyv2"],
        captures: &["istio-init"],
        exclusion: "traffic.sidecar.istio.io/excludeOutboundPorts",
    },
    Mesh {
        name: "Linkerd",
        proxies: &["linkerd-proxy"],
        images: &["linkerd-proxy", "proxy-linkerd"],
        captures: &["linkerd-init"],
        exclusion: "config.linkerd.io/skip-outbound-ports",
    },
    Mesh {
        name: "Kuma",
        proxies: &["kuma-sidecar"],
        images: &["kuma-dp"],
        captures: &["kuma-init"],
        exclusion: "traffic.kuma.io/exclude-outbound-ports",
    },
    Mesh {
        name: "Consul",
        proxies: &["consul-dataplane"],
        images: &["consul-dataplane"],
        captures: &["consul-connect-inject-init", "consul-mesh-init"],
        exclusion: "consul.hashicorp.com/transparent-proxy-exclude-outbound-ports",
    },
];

/// Names that meshes of one's own, and managed ones, give to their proxy.
const GENERIC_PROXIES: [&str; 3] = ["mesh-proxy", "mesh-sidecar", "envoy-sidecar"];

/// Whether an init container is a mesh's proxy that runs for as long as the pod.
pub(crate) fn is_native_proxy(container: &Container) -> bool {
    let native = container.restart_policy == Some("Always");
    let named = GENERIC_PROXIES.contains(&container.name);
    native && (named || MESHES.iter().any(|mesh| mesh.has_proxy(container)))
}

/// Warns of a mesh that captures traffic and whose proxy starts after the agent.
pub(crate) fn warning(pod: &Pod, annotations: &Annotations, vault: &Address) -> Option<String> {
    let Address::Tcp { at, .. } = vault else {
        return None;
    };
    let inits = &pod.init_containers;
    let mesh = MESHES.iter().find(|mesh| {
        let captured = inits.iter().any(|init| mesh.captures.contains(&init.name));
        let classic = pod.containers.iter().any(|one| mesh.has_proxy(one));
        (captured || classic) && !inits.iter().any(is_native_proxy)
    })?;
    let port = at.port.to_string();
    let excluded = annotations
        .get(mesh.exclusion)
        .is_some_and(|ports| ports.split(',').any(|excluded| excluded.trim() == port));
    (!excluded).then(|| {
        format!(
            "{} captures this pod's traffic and its proxy is no native sidecar: the agent may not reach Vault while \
             the pod starts. Set {}: \"{port}\", or use native sidecars",
            mesh.name, mesh.exclusion
        )
    })
}

impl Mesh {
    fn has_proxy(&self, container: &Container) -> bool {
        let image = container.image.unwrap_or_default();
        self.proxies.contains(&container.name) || self.images.contains(&repository(image))
    }
}

/// The last segment of an image's name, without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_repository_of_an_image() {
        for (image, expected) in [
            ("istio/proxyv2", "proxyv2"),
            ("registry.example:5000/a/proxyv2:1.2", "proxyv2"),
            ("registry.example:5000/proxyv2@sha256:00", "proxyv2"),
            ("", ""),
        ] {
            assert_eq!(repository(image), expected);
        }
    }

    #[test]
    fn knows_a_native_proxy_by_name_or_image() {
        for (name, image, policy, expected) in [
            ("istio-proxy", "x", Some("Always"), true),
            (
                "renamed",
                "docker.io/istio/proxyv2:1.30",
                Some("Always"),
                true,
            ),
            ("mesh-proxy", "busybox", Some("Always"), true),
            ("istio-proxy", "x", None, false),
            ("cloud-sql-proxy", "cloud-sql-proxy", Some("Always"), false),
        ] {
            let container = Container {
                name,
                image: Some(image),
                restart_policy: policy,
                ..Container::default()
            };
            assert_eq!(is_native_proxy(&container), expected, "{name}");
        }
    }
}
