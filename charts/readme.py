"""Makes the chart's README from the comments of `values.yaml`.

    python charts/readme.py charts/keyside

A comment above a key, or after it on its line, says what the value does; one above a
map says it of the whole.

Invariant: every value of the file has its row and its comment; there is no other list.
"""

import json
import pathlib
import re
import sys

import yaml

HEADER = """\
# The chart keyside

<!-- Rendered from values.yaml by `cargo xtask render`. Edit that file, not this one. -->

Installs the injector, by which annotated pods get the agent.

```sh cluster
helm install keyside charts/keyside --namespace keyside --create-namespace \\
  --set vault.address=https://vault.example.com:8200
helm --namespace keyside test keyside
```

The second command asks the API server for an annotated pod, as a dry run, and looks whether it
would get the agent.

It needs Kubernetes {kubernetes} or later. Before 1.29 `sidecar` has to be `classic`, and before 1.28
`webhook.optIn` has to be `label`; the chart says so where they are not.

Every value is checked against `values.schema.json`: an unknown key, or a value out of range, is
refused with its path before anything is installed. Two renders are the same bytes, and what others
own (`caBundle` of the webhook, `replicas` under an autoscaler) is not rendered, so that GitOps tools
find nothing to put right. What the injector does is in [docs/injector.md](../../docs/injector.md), what
to do about an alert in [docs/alerts.md](../../docs/alerts.md).

## Values
"""


def main():
    chart = pathlib.Path(sys.argv[1])
    text = (chart / "values.yaml").read_text()
    lines = text.splitlines()
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    minimum = re.search(r"[0-9]+\.[0-9]+", about["kubeVersion"]).group()
    print(HEADER.format(kubernetes=minimum))
    root = yaml.compose(text)
    simple = [entry for entry in root.value if not is_section(entry[1])]
    grouped = [entry for entry in root.value if is_section(entry[1])]
    table(simple, "", lines)
    for key, value in grouped:
        print(f"\n### {key.value}\n")
        said = comment(key, value, lines)
        if said:
            print(f"{said}\n")
        table(value.value, f"{key.value}.", lines)


def is_section(node):
    return isinstance(node, yaml.MappingNode) and bool(node.value)


def table(entries, prefix, lines):
    print("| value | default | |\n|---|---|---|")
    rows(entries, prefix, lines)


def rows(entries, prefix, lines):
    for key, value in entries:
        said = escape(comment(key, value, lines))
        if is_section(value):
            # What is said of the whole has a row of its own, without a default.
            if said:
                print(f"| `{prefix}{key.value}` | | {said} |")
            rows(value.value, f"{prefix}{key.value}.", lines)
        else:
            if not said:
                sys.exit(f"values.yaml: {prefix}{key.value} has no comment")
            print(f"| `{prefix}{key.value}` | {default(value)} | {said} |")


def default(node):
    return f"`{escape(json.dumps(yaml.safe_load(yaml.serialize(node)), ensure_ascii=False))}`"


def comment(key, value, lines):
    """The lines above a key, and what is behind its value."""
    first = key.start_mark.line
    above = []
    while first > 0 and re.match(r"\s*# ", lines[first - 1]):
        first -= 1
        above.insert(0, lines[first].strip().removeprefix("# "))
    # The head of the file is of no key.
    if first == 0:
        above = []
    behind = ""
    if not isinstance(value, yaml.CollectionNode) or value.flow_style:
        rest = lines[value.end_mark.line][value.end_mark.column :]
        behind = rest.strip().removeprefix("# ")
    return " ".join([*above, behind]).strip()


def escape(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    main()
