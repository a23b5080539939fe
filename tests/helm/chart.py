"""How the tests of the chart call its tools, and what they read."""

import functools
import pathlib
import re
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/barista"
TOOLS = ROOT / "build/tools"
KUBERNETES = re.search(r"^KUBERNETES_VERSION=(\S+)", (ROOT / "deploy/versions.env").read_text(encoding="utf-8"), re.M).group(1)
EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))


def run(*arguments, **more):
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, check=False, cwd=ROOT, **more)


def helm_template(*arguments):
    """A finished `helm template` of release latte in namespace inference."""
    return run(TOOLS / "bin/helm", "template", "latte", CHART, "--namespace=inference", f"--kube-version={KUBERNETES}", *arguments)


@functools.cache
def rendered(*arguments):
    """The objects that `helm template` makes."""
    done = helm_template(*arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def pods(objects):
    """(name, metadata, spec) of each pod and pod template."""
    for item in objects:
        if item["kind"] == "Pod":
            yield item["metadata"]["name"], item["metadata"], item["spec"]
        elif item["kind"] in {"Deployment", "StatefulSet"}:
            yield item["metadata"]["name"], item["spec"]["template"]["metadata"], item["spec"]["template"]["spec"]
