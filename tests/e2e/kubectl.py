"""Plays `kubectl` and the cluster behind it, as far as `cargo xtask e2e` asks for it, for tests of that program.

The cluster is a file in the folder $PLAYED. Each form of a call is also shown to the real kubectl (in $REAL) with a
server that is not there: whatever it says against the call itself, and not against the server, is an error.

$BREAK names what goes wrong: `creation`, one pod is not created; `job`, a Job does not end; `leftover`, a Secret stays.
"""

import fcntl
import json
import os
import subprocess
import sys

import yaml

FOLDER = os.environ["PLAYED"]
BREAK = os.environ.get("BREAK", "")
WRONG = ["unknown flag", "unknown command", "unknown shorthand", "invalid argument", "required", "must specify", "usage:"]
PLURAL = {"networkpolicy": "networkpolicies"}


def main():
    text = sys.stdin.read() if "-" in sys.argv else ""
    words = [word for word in sys.argv[1:] if not word.startswith("--request-timeout")]
    with open(os.path.join(FOLDER, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = os.path.join(FOLDER, "cluster.json")
        state = {"objects": {}, "count": 0, "leaf": 0, "forms": []}
        if os.path.exists(path):
            with open(path) as file:
                state = json.load(file)
        try:
            understand(state, words, text)
            print(Cluster(state).answer(words, text))
        finally:
            with open(path, "w") as file:
                json.dump(state, file)


def understand(state, words, text):
    """Lets the real kubectl read a call whose like it has not seen yet."""
    form = " ".join(word.split("=")[0] for word in words)
    if form in state["forms"] or words[0] == "config":
        return
    state["forms"].append(form)
    said = subprocess.run(
        [os.environ["REAL"], *words, "--server=http://127.0.0.1:9", "--request-timeout=5s"],
        input=text, capture_output=True, text=True, timeout=60,
    )
    if any(word in said.stderr.lower() for word in WRONG) or "refused" not in said.stderr:
        fail(f"kubectl does not take {words}: {said.stderr}")


def fail(message):
    sys.exit(f"error: {message}")


class Cluster:
    def __init__(self, state):
        self.state = state
        self.objects = state["objects"]

    def answer(self, words, text):
        options = [word for word in words if word.startswith("--")]
        plain = [word for word in words if not word.startswith("--")]
        value = dict(option.split("=", 1) for option in options if "=" in option)
        if "--namespace" in words:
            namespace = words[words.index("--namespace") + 1]
            plain.remove(namespace)
        else:
            namespace = ""
        verb = plain[0]
        if verb == "version":
            return json.dumps({"serverVersion": {"gitVersion": "v1.36.0"}})
        if verb == "config":
            return "played"
        if verb in ["apply", "create"]:
            return self.make(text, value, verb)
        if verb == "get":
            return self.get(plain[1:], namespace, value)
        if verb == "delete":
            return self.delete(plain[1:], namespace, value, text)
        if verb == "wait" and BREAK == "job" and plain[1] == "job/once":
            fail("timed out waiting for the condition on jobs/once")
        if verb == "logs":
            return "e2e: PostgreSQL let v-played in"
        if verb in ["rollout", "wait", "describe"]:
            return f"{verb} of {namespace}"
        fail(f"not played: {words}")

    def make(self, text, value, verb):
        made = []
        for document in yaml.safe_load_all(text):
            made += document["items"] if document["kind"] == "List" else [document]
        for found in made:
            metadata = found["metadata"]
            if "generateName" in metadata:
                self.state["count"] += 1
                metadata["name"] = f"{metadata['generateName']}{self.state['count']}"
                if BREAK == "creation" and self.state["count"] == 3:
                    fail('failed calling webhook "inject.keyside.dev"')
            if found["kind"] == "Pod" and self.webhooks():
                inject(found)
            if found["kind"] == "MutatingWebhookConfiguration":
                found["webhooks"][0]["clientConfig"]["caBundle"] = "Yg=="
                self.keep("Secret", found)
                self.keep("Lease", found)
            if "--dry-run" not in value:
                self.put(found)
        return json.dumps(made[0]) if verb == "create" else "made"

    def keep(self, kind, webhook):
        """What the injector makes by itself."""
        name = {"Secret": "certificate", "Lease": "watch"}[kind]
        metadata = {
            "name": f"{webhook['metadata']['name']}-{name}",
            "namespace": webhook["webhooks"][0]["clientConfig"]["service"]["namespace"],
        }
        self.put({"kind": kind, "metadata": metadata})

    def put(self, found):
        metadata = found["metadata"]
        self.objects["/".join([plural(found["kind"]), metadata.get("namespace", ""), metadata["name"]])] = found

    def webhooks(self):
        return [key for key in self.objects if key.startswith("mutatingwebhookconfigurations/")]

    def find(self, kinds, namespace, value):
        found = {}
        for key, entry in self.objects.items():
            kind, where, _ = key.split("/")
            labels = entry["metadata"].get("labels", {})
            wanted = [pair.split("=") for pair in [value.get("--selector", "")] if "!=" not in pair and pair]
            fits = all(labels.get(label) == text for label, text in wanted)
            if kind in kinds and where == namespace and fits:
                found[key] = entry
        return found

    def get(self, words, namespace, value):
        if words[0] == "events" or value["--output"] == "wide":
            return f"{words[0]} of {namespace}"
        if len(words) == 2:
            return json.dumps(self.one(words, namespace))
        kinds = words[0].split(",")
        found = self.find(kinds, namespace, value)
        if value["--output"] == "name":
            return "\n".join(key.split("/")[0].removesuffix("s") + "/" + key.split("/")[2] for key in found)
        if "shop" in value.get("--selector", ""):
            pod = {"kind": "Pod", "metadata": {}, "spec": {}}
            return json.dumps({"items": [inject(pod)]})
        return json.dumps({"items": list(found.values())})

    def one(self, words, namespace):
        key = f"{words[0]}s/{namespace}/{words[1]}"
        if key not in self.objects:
            fail(f"{words[0]} {words[1]} not found")
        found = self.objects[key]
        if words[0] == "secret":
            # Another certificate at every third look.
            self.state["leaf"] += 1
            found["data"] = {"tls.crt": str(self.state["leaf"] // 3)}
        return found

    def delete(self, words, namespace, value, text):
        if "-f" in words:
            for document in yaml.safe_load_all(text):
                metadata = document["metadata"]
                key = [plural(document["kind"]), metadata.get("namespace", ""), metadata["name"]]
                self.objects.pop("/".join(key), None)
                if document["kind"] == "MutatingWebhookConfiguration" and BREAK != "leftover":
                    for key in [key for key in self.objects if key.startswith(("secrets/", "leases/"))]:
                        self.objects.pop(key)
        elif words[0] == "namespaces":
            for key in list(self.objects):
                kind, where, name = key.split("/")
                if where in words or (kind == "namespaces" and name in words):
                    self.objects.pop(key)
        elif words[0] == "secret":
            # The replicas write it anew at once.
            self.one(words, namespace)
        else:
            for key in self.find([words[0]], namespace, value):
                self.objects.pop(key)
        return "deleted"


def plural(kind):
    return PLURAL.get(kind.lower(), kind.lower() + "s")


def inject(pod):
    pod["metadata"].setdefault("annotations", {})["keyside.dev/status"] = "injected"
    pod["spec"]["initContainers"] = [{"name": "keyside-agent"}]
    pod["status"] = {"initContainerStatuses": [{"started": True}]}
    return pod


main()
