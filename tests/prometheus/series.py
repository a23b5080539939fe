"""Which series the server exposes, and which ones rules and panels name."""
import json
import re
import urllib.request

from stubs import ROOT

DASHBOARDS = ROOT / "deploy/grafana"
TABLE = ROOT / "deploy/prometheus/README.md"
NAME = re.compile(r"\bbarista_[a-z0-9_]+")
BEGIN, END = "<!-- series -->\n", "<!-- /series -->\n"


def families(server):
    """{name: (type, help, labels)} of the page, of ours alone (civetweb's listener adds three named exposer_)."""
    with urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    helps = dict(line.split(" ", 3)[2:] for line in lines if line.startswith("# HELP barista_"))
    types = dict(line.split(" ", 3)[2:] for line in lines if line.startswith("# TYPE barista_"))
    labels = {name: {} for name in types}
    for line in lines:
        name = family_of(NAME.match(line)[0], types) if NAME.match(line) else None
        if name:
            for label, value in re.findall(r'(\w+)="([^"]*)"', line):
                if label != "le":
                    labels[name].setdefault(label, []).append(value)
    return {name: (types[name], helps[name], labels[name]) for name in types}


def family_of(series, types):
    """The family of a series' name, or None."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        name = series.removesuffix(suffix)
        if series.endswith(suffix) and name in types and (suffix == "" or types[name] == "histogram"):
            return name
    return None


def expressions():
    """[(where, expression)] of every panel and rule."""
    found = []
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.name}: {panel['title']}", target["expr"]) for target in panel["targets"]]
        found += [(f"{path.name}: {v['name']}", v["definition"])
                  for v in json.loads(path.read_text())["templating"]["list"] if "definition" in v]
    rules = (ROOT / "deploy/prometheus/rules.yml").read_text()
    found += [("rules.yml", line) for line in rules.splitlines() if "- record:" not in line and "#" not in line]
    return found


def table(server):
    """The rows of README.md's table of series."""
    rows = ["| series | type | labels | meaning |\n", "|---|---|---|---|\n"]
    for name, (kind, text, labels) in sorted(families(server).items()):
        free = {"version", "backend", "model", "weights", "layer"}
        shown = ", ".join(key if key in free else f"{key}: {' '.join(sorted(set(values)))}"
                          for key, values in labels.items())
        rows.append(f"| {name} | {kind} | {shown} | {text.replace('|', chr(92) + '|')} |\n")
    return "".join(rows)
