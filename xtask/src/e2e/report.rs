//! What the cluster says when something is not as it should be.

use super::site::Site;
use crate::console;

/// Of those that wait for nothing, which are many.
const CREATED: &str = "pod/created-";

/// Shows pods, events, descriptions and logs of all namespaces of this run. What cannot be had is left out.
pub(super) fn tell(site: &Site) {
    for namespace in site.names.namespaces() {
        let here = ["--namespace", namespace];
        let ask = |arguments: &[&str]| site.kubectl.run(&[arguments, &here].concat());
        let selector = "--selector=app!=created";
        let shown = [
            ask(&["get", "pods", "--output=wide", selector]),
            ask(&["get", "events", "--sort-by=.lastTimestamp"]),
            ask(&["describe", "pods", selector]),
        ];
        console::heading(&format!("Namespace {namespace}"));
        for text in shown.iter().flatten() {
            console::quote(text);
        }
        let pods = site.kubectl.names(&["pods", "--namespace", namespace]);
        for pod in pods.into_iter().flatten() {
            if pod.starts_with(CREATED) {
                continue;
            }
            let logs = ["logs", &pod, "--all-containers", "--prefix", "--tail=60"];
            if let Ok(text) = ask(&logs) {
                console::quote(&text);
            }
        }
    }
}
