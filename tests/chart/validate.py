"""Renders the chart with many sets of values for many versions of Kubernetes, and
holds every object against that version's own schemas, strictly.

    python tests/chart/validate.py charts/keyside < calls.json

The input is a JSON list of calls of `charts/render.py`; the output an object with
`objects`, how many were held against a schema, and `faults`, a text for each that
does not fit. An object that was seen before is not looked at again.

Invariant: a kind without a schema is a fault, not a thing to pass over.
"""

import functools
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "charts"))
import render  # noqa: E402

KINDS = json.loads((ROOT / "tests/chart/data/kinds.json").read_text())

# It reads the definitions of a version, some megabytes, anew for every object.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)
utils.all_versions = functools.lru_cache(maxsize=None)(utils.all_versions)


def fault(document, version):
    """Why the object is wrong; nothing where it is right."""
    try:
        own = KINDS.get(f"{document['apiVersion']} {document['kind']}")
        if own is None:
            kubernetes_validate.validate(document, version, strict=True)
        else:
            jsonschema.Draft202012Validator(own).validate(document["spec"])
    except utils.SchemaNotFoundError as error:
        return error.message
    except jsonschema.ValidationError as error:
        return f"/{'/'.join(map(str, error.absolute_path))}: {error.message}"
    return None


def main():
    seen, objects, faults = set(), 0, []
    with render.Chart(sys.argv[1]) as chart:
        for call in json.load(sys.stdin):
            answer = chart.answer({**call, "hooks": None})
            if "refusal" in answer:
                faults.append(f"{json.dumps(call)}: {answer['refusal']}")
                continue
            for text, document in render.split(answer["text"]):
                objects += 1
                if (call["kube_version"], text) in seen:
                    continue
                seen.add((call["kube_version"], text))
                found = fault(document, call["kube_version"].lstrip("v"))
                if found:
                    faults.append(f"{json.dumps(call)}: {document['kind']}{found}")
    json.dump({"objects": objects, "distinct": len(seen), "faults": faults}, sys.stdout)


if __name__ == "__main__":
    main()
