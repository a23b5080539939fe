#!/usr/bin/env python3
"""The life of each example of the chart on the API server at URL: cluster.py URL TOKEN. Called by deploy/helm/e2e.sh."""

import base64
import hashlib
import json
import pathlib
import ssl
import sys
import time
import urllib.error
import urllib.request

import yaml

from chart import CHART, EXAMPLES, TOOLS, pods, run
from schemas import LOADER

URL, TOKEN = sys.argv[1:]
TRUST = ssl._create_unverified_context()  # the server made its own certificate a moment ago
checks = {True: 0, False: 0}


def check(what, right, details=""):
    checks[bool(right)] += 1
    if not right:
        print(f"FAILED: {what}\n{details}")


def call(method, path, body=None):
    """(status, headers, answer) of the API."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers, method=method), context=TRUST) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def resources():
    """(API path, kind) of each kind of object that lies in a namespace and can be listed."""
    groups = ["/api/v1"] + [f"/apis/{group['preferredVersion']['groupVersion']}" for group in call("GET", "/apis")[2]["groups"]]
    for path in groups:
        answer = call("GET", path)[2]
        for resource in answer.get("resources", []):
            if resource["namespaced"] and "list" in resource["verbs"]:
                yield path, resource["name"], resource["kind"]


def objects_in(namespace):
    found = {}
    for path, name, kind in resources():
        for item in call("GET", f"{path}/namespaces/{namespace}/{name}")[2].get("items", []):
            found[kind, item["metadata"]["name"]] = item
    return found


def install_definitions():
    for file in sorted((TOOLS / "crds").glob("*.yaml")):
        for document in yaml.load_all(file.read_text(encoding="utf-8"), Loader=LOADER):
            if document and document.get("kind") == "CustomResourceDefinition":
                status, _, answer = call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", document)
                check(f"definition in {file.name}", status == 201, answer)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        items = call("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")[2]["items"]
        conditions = [item.get("status", {}).get("conditions") or [] for item in items]
        if all(any(c["type"] == "Established" and c["status"] == "True" for c in of) for of in conditions):
            return
        time.sleep(0.5)
    check("definitions are established", False)


def helm(*arguments):
    return run(TOOLS / "bin/helm", *arguments)


def went_well(what, done):
    check(what, done.returncode == 0, done.stdout + done.stderr)
    check(f"{what}: no warnings", "unknown field" not in done.stderr and "would violate" not in done.stderr, done.stderr)


def life_of(example):
    namespace = example.name.removesuffix("-values.yaml")
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    before = set(objects_in(namespace))
    where = ["latte", f"--namespace={namespace}"]
    went_well(f"{namespace}: install", helm("install", *where, CHART, f"--values={example}"))

    manifest = [item for item in yaml.safe_load_all(helm("get", "manifest", *where).stdout) if item]
    there = objects_in(namespace)
    for item in manifest:
        check(f"{namespace}: {item['kind']} {item['metadata']['name']} is there", (item["kind"], item["metadata"]["name"]) in there)
    hooks = [item for item in yaml.safe_load_all(helm("get", "hooks", *where).stdout) if item]
    for name, metadata, spec in pods(manifest + hooks):
        spec = dict(spec)
        claims = [mount["name"] for container in spec["containers"] for mount in container.get("volumeMounts", [])]
        if "state" in claims and not any(volume["name"] == "state" for volume in spec["volumes"]):
            spec["volumes"] = spec["volumes"] + [{"name": "state", "persistentVolumeClaim": {"claimName": "state"}}]  # as a StatefulSet adds it
        for missing in ("priorityClassName", "runtimeClassName"):  # the cluster has no such class
            spec.pop(missing, None)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": metadata.get("labels", {})}, "spec": spec}
        status, headers, answer = call("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict", pod)
        check(f"{namespace}: a pod of {name} is restricted", status == 201 and not headers.get_all("Warning"), (answer, headers.get_all("Warning")))

    went_well(f"{namespace}: upgrade", helm("upgrade", *where, CHART, f"--values={example}", "--set=config.log_level=debug"))
    after = objects_in(namespace)
    for kind, name in there:
        if kind == "Secret" and name.startswith("latte-barista"):
            check(f"{namespace}: {name} is kept by an upgrade", there[kind, name].get("data") == after[kind, name].get("data"))
    config = json.loads(after["ConfigMap", "latte-barista"]["data"]["server.json"])
    check(f"{namespace}: the upgrade arrived", config["log_level"] == "debug")

    went_well(f"{namespace}: rollback", helm("rollback", *where, "1"))
    config = json.loads(objects_in(namespace)["ConfigMap", "latte-barista"]["data"]["server.json"])
    check(f"{namespace}: the rollback arrived", "log_level" not in config)

    went_well(f"{namespace}: uninstall", helm("uninstall", *where))
    left = set(objects_in(namespace)) - before
    left = {(kind, name) for kind, name in left if kind not in {"Event", "EndpointSlice", "Endpoints"}}
    kept = {("PersistentVolumeClaim", "latte-barista-state")}
    check(f"{namespace}: nothing is left but volumes", left <= kept, left)


def trial_key():
    """A trial's key in the Secret is the one whose sum the server's file has."""
    namespace = "default"
    helm("install", "latte", f"--namespace={namespace}", CHART)
    data = call("GET", f"/api/v1/namespaces/{namespace}/secrets/latte-barista-access")[2]["data"]
    key = base64.b64decode(data["api-key"])
    access = json.loads(base64.b64decode(data["access.json"]))
    check("the trial key opens", access["keys"] == [{"sha256": hashlib.sha256(key).hexdigest(), "tenant": "trial", "admin": True}], access)
    helm("uninstall", "latte", f"--namespace={namespace}")


def main():
    install_definitions()
    for example in EXAMPLES:
        life_of(pathlib.Path(example))
    trial_key()
    print(f"cases: {checks[True]} passed, {checks[False]} failed")
    return 1 if checks[False] else 0


if __name__ == "__main__":
    sys.exit(main())
