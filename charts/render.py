"""Renders or lints the chart with the real Helm engine, without a cluster.

    python charts/render.py render charts/keyside --kube-version v1.36.0
    python charts/render.py lint   charts/keyside
    python charts/render.py batch  charts/keyside < calls.json

`render` prints one YAML stream: the objects in the order in which Helm installs
them, so that the stream can also be applied from top to bottom. What Helm makes
only for `helm test` is left out, but for `--hooks`. A chart or a set of values that
Helm refuses ends with status 1 and Helm's own message.

`batch` answers many calls in one process: a JSON list of objects with the names of
the arguments becomes one of `{"text": …}` and `{"refusal": …}`, in the same order.

Invariant: the output is a function of the arguments alone.
"""

import argparse
import functools
import json
import sys

import helm_python
import yaml
from helm_python import _native

# The order in which Helm installs the kinds that this chart uses. A kind that is
# missing here is a mistake to be noticed, not one to be sorted somewhere.
ORDER = [
    "NetworkPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "Pod",
    "Deployment",
    "HorizontalPodAutoscaler",
    "MutatingWebhookConfiguration",
    # Helm installs what Kubernetes does not have by itself last.
    "Certificate",
    "Issuer",
    "PodMonitor",
    "PrometheusRule",
    "ServiceMonitor",
]

HEADER = "# Rendered from charts/keyside by `cargo xtask render`. Edit the chart, not this file.\n"


class Chart:
    """The loaded chart, and what a call can be."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.chart = helm_python.Chart.load(self.path).__enter__()
        return self

    def __exit__(self, *error):
        return self.chart.__exit__(*error)

    def render(self, values, release="keyside", namespace="keyside", kube_version="v1.36.0",
               notes=False, hooks=False):
        # The package's own `render` has no argument for the cluster's version,
        # but the library beneath it has, and the chart depends on it.
        options = {"name": release, "namespace": namespace, "kube_version": kube_version}
        rendered = json.loads(
            _native.call_string(
                "helm_render", self.chart._raw(), json.dumps(values), json.dumps(options)
            )
        )
        if notes:
            return "".join(text for path, text in rendered.items() if path.endswith("NOTES.txt"))
        documents = []
        for path, text in sorted(rendered.items()):
            if path.endswith(".yaml"):
                documents += [(path, *document) for document in split(text)]
        # None is both.
        documents = [entry for entry in documents if hooks in (None, is_hook(entry[2]))]
        documents.sort(key=lambda entry: ORDER.index(entry[2]["kind"]))
        return HEADER + "".join(
            f"---\n# Source: {path}\n{document}\n" for path, document, _ in documents
        )

    def lint(self, values, namespace="keyside", kube_version="v1.36.0"):
        report = helm_python.lint(
            self.path, values, strict=True, namespace=namespace, kube_version=kube_version
        )
        # 2 is a warning, 3 an error; below are remarks on taste, such as a missing icon.
        findings = [message for message in report["messages"] if message["severity"] >= 2]
        if findings or report["errors"]:
            told = [f"{finding['path']}: {finding['error']}" for finding in findings]
            raise helm_python.HelmError("\n".join(told) or str(report["errors"]))
        return ""

    def answer(self, call):
        call = dict(call)
        try:
            return {"text": getattr(self, call.pop("mode", "render"))(**call)}
        except helm_python.HelmError as error:
            return {"refusal": str(error)}


def split(text):
    """The non-empty documents of a rendered template, as text and as read."""
    documents = (document.strip("\n") for document in ("\n" + text).split("\n---\n"))
    read_all = ((document, read(document)) for document in documents)
    return [(document, value) for document, value in read_all if value is not None]


# Most documents of two renders are the same, and reading is what takes the time.
@functools.lru_cache(maxsize=None)
def read(document):
    return yaml.load(document, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def is_hook(document):
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


def main():
    parser = argparse.ArgumentParser(description="Render or lint the chart without a cluster.")
    parser.add_argument("mode", choices=["render", "lint", "batch"])
    parser.add_argument("chart", help="the chart's folder")
    parser.add_argument("--release", default="keyside")
    parser.add_argument("--namespace", default="keyside")
    parser.add_argument("--values", type=json.loads, default={}, help="a JSON object")
    parser.add_argument("--kube-version", default="v1.36.0")
    parser.add_argument("--notes", action="store_true", help="print NOTES.txt instead of objects")
    parser.add_argument("--hooks", action="store_true", help="print what `helm test` makes instead")
    arguments = vars(parser.parse_args())
    mode = arguments.pop("mode")
    with Chart(arguments.pop("chart")) as chart:
        if mode == "batch":
            json.dump([chart.answer(call) for call in json.load(sys.stdin)], sys.stdout)
            return 0
        if mode == "lint":
            for argument in ("release", "notes", "hooks"):
                del arguments[argument]
        answer = chart.answer({"mode": mode, **arguments})
    if "refusal" in answer:
        print(answer["refusal"], file=sys.stderr)
        return 1
    sys.stdout.write(answer["text"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
