#!/usr/bin/env python3
"""README.md of the chart: an introduction, and a table of all values from the comments in values.yaml.

docs.py           writes deploy/helm/barista/README.md
docs.py --check   exits 1 where it is not what it would write
"""

import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parent / "barista"
INTRODUCTION = """# Helm chart of Barista
One release serves one model. Made by `deploy/helm/docs.py` from the comments in `values.yaml`: change those.

    kubectl create namespace barista
    helm install latte deploy/helm/barista -n barista --set image.repository=REGISTRY/barista-server --set model.pvc.claimName=latte-150m
    helm test latte -n barista

With nothing but a model's volume this is a trial on CPUs: a certificate and an API key are made at install, and the notes that
`helm install` prints lead to a streamed completion. For production set `image.digest`, `tls.kind`, `access`,
`state.bytesPerSession` (printed by `barista-server --describe`), and `redis.address` or `state.persistence`. `ci/*.yaml` are
whole examples, all of them tested: GPUs, a StatefulSet with volumes, Redis with KEDA, an HPA, Envoy with mutual TLS behind a
gateway, monitoring, and the least there can be.

- A server that stops is given `drain.delaySeconds + drain.seconds + stored bytes / state.bytesPerSecond +
  drain.marginSeconds`, computed from the values: stored bytes are `state.sessionsMax * state.bytesPerSession` and
  `config.host_state_bytes`.
- Pods run under the Pod Security Standard *restricted*, with a root file system that cannot be written and without a token.
- A change of `config` restarts servers one after another; new certificates, keys and tenants are read without a restart.
- `helm uninstall` leaves claims of volumes, since sessions lie in them.
- A wrong value is refused before anything is sent to the cluster, and the message names it.

## Values
| value | default | meaning |
|---|---|---|
"""


def rows(lines):
    """(path, default, comment) of each value; the default is "" for a map that is described value by value."""
    path, comment = [], []  # path: (indent, key) of the maps around the line
    found = []
    opaque = None  # indent of a value whose inner lines are its default, not values of their own
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        text = line.strip()
        if opaque is not None:
            if text and (indent > opaque):
                found[-1][1] += ("" if not found[-1][1] else "\n") + line[opaque + 2:]
                continue
            opaque = None
        if not text:
            comment = []
        elif text.startswith("#"):
            comment.append(text[1:].strip())
        else:
            key, default = re.match(r"([\w.-]+):\s*(.*)$", text).groups()
            while path and path[-1][0] >= indent:
                path.pop()
            path.append((indent, key))
            found.append([".".join(k for _, k in path), default, " ".join(comment)])
            following = lines[number + 1] if number + 1 < len(lines) else ""
            if not default and not following.strip().startswith("#") and not is_map_of_values(lines, number):
                opaque = indent
            comment = []
    return found


def is_map_of_values(lines, number):
    """Whether some line inside the map that starts here has a comment: then its values are described one by one."""
    outer = len(lines[number]) - len(lines[number].lstrip())
    for line in lines[number + 1:]:
        if line.strip() and len(line) - len(line.lstrip()) <= outer:
            return False
        if line.strip().startswith("#"):
            return True
    return False


def readme():
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    out = []
    for path, default, comment in rows(lines):
        shown = "see `values.yaml`" if "\n" in default else f"`{default}`" if default else ""
        out.append(f"| `{path}` | {shown} | {comment} |".replace("||", "| |"))
    return INTRODUCTION + "\n".join(out) + "\n"


def main():
    file = CHART / "README.md"
    if sys.argv[1:] == ["--check"]:
        if not file.exists() or file.read_text(encoding="utf-8") != readme():
            sys.exit("deploy/helm/barista/README.md is stale: run deploy/helm/docs.py")
        return
    file.write_text(readme(), encoding="utf-8")


if __name__ == "__main__":
    main()
