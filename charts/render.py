"""Renders or lints the chart with the real Helm engine, without a cluster.

    python charts/render.py render charts/keyside --kube-version v1.36.0
    python charts/render.py lint   charts/keyside

`render` prints one YAML stream: the objects in the order in which Helm installs
them, so that the stream can also be applied from top to bottom. A chart or a set
of values that Helm refuses ends with status 1 and Helm's own message.

Invariant: the output is a function of the arguments alone.
"""

import argparse
import json
import sys

import helm_python
import yaml
from helm_python import _native

# The order in which Helm installs the kinds that this chart uses. A kind that is
# missing here is a mistake to be noticed, not one to be sorted somewhere.
ORDER = [
    "PodDisruptionBudget",
    "ServiceAccount",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "Deployment",
    "MutatingWebhookConfiguration",
    # Helm installs what Kubernetes does not have by itself last.
    "Certificate",
    "Issuer",
]

HEADER = "# Rendered from charts/keyside by `cargo xtask render`. Edit the chart, not this file.\n"


def render(arguments):
    with helm_python.Chart.load(arguments.chart) as chart:
        # The package's own `render` has no argument for the cluster's version,
        # but the library beneath it has, and the chart depends on it.
        options = {
            "name": arguments.release,
            "namespace": arguments.namespace,
            "kube_version": arguments.kube_version,
        }
        rendered = json.loads(
            _native.call_string(
                "helm_render", chart._raw(), json.dumps(arguments.values), json.dumps(options)
            )
        )
    if arguments.notes:
        sys.stdout.writelines(text for path, text in rendered.items() if path.endswith("NOTES.txt"))
        return 0

    documents = []
    for path, text in sorted(rendered.items()):
        if path.endswith(".yaml"):
            documents += [(path, document) for document in split(text)]
    documents.sort(key=lambda entry: ORDER.index(yaml.safe_load(entry[1])["kind"]))
    sys.stdout.write(HEADER)
    for path, document in documents:
        sys.stdout.write(f"---\n# Source: {path}\n{document}\n")
    return 0


def split(text):
    """The non-empty documents of a rendered template."""
    documents = (document.strip("\n") for document in ("\n" + text).split("\n---\n"))
    return [document for document in documents if yaml.safe_load(document) is not None]


def lint(arguments):
    report = helm_python.lint(
        arguments.chart,
        arguments.values,
        strict=True,
        namespace=arguments.namespace,
        kube_version=arguments.kube_version,
    )
    # 2 is a warning, 3 an error; below are remarks on taste, such as a missing icon.
    findings = [message for message in report["messages"] if message["severity"] >= 2]
    for finding in findings:
        print(f"{finding['path']}: {finding['error']}", file=sys.stderr)
    return 1 if findings or report["errors"] else 0


def main():
    parser = argparse.ArgumentParser(description="Render or lint the chart without a cluster.")
    parser.add_argument("mode", choices=["render", "lint"])
    parser.add_argument("chart", help="the chart's folder")
    parser.add_argument("--release", default="keyside")
    parser.add_argument("--namespace", default="keyside")
    parser.add_argument("--values", type=json.loads, default={}, help="a JSON object")
    parser.add_argument("--kube-version", default="v1.36.0")
    parser.add_argument("--notes", action="store_true", help="print NOTES.txt instead of objects")
    arguments = parser.parse_args()
    try:
        return render(arguments) if arguments.mode == "render" else lint(arguments)
    except helm_python.HelmError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
