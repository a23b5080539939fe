"""The chart as helm renders it, against Kubernetes' schemas, its own schema, its documentation and the server's knobs.

What single templates make of single values is in deploy/helm/barista/tests, for helm-unittest.
"""

import json
import re
import sys

import pytest
import yaml

from chart import CHART, EXAMPLES, KUBERNETES, ROOT, TOOLS, helm_template, run

BAD = yaml.safe_load((ROOT / "tests/helm/bad_values.yaml").read_text(encoding="utf-8"))
# What the schema refuses under config: the chart computes these, or they are no way to run a server in a pod.
COMPUTED = {"model", "listen", "metrics_listen", "health_listen", "tls_cert_file", "tls_key_file", "tls_client_ca_file", "access_file", "state_dir",
            "redis", "drain_peer", "drain_delay_seconds", "drain_seconds", "seal_key_file", "sessions_max", "tenant_header", "describe", "check_config"}
FREE = {"labels", "annotations", "resources"}  # go into objects as they are


def kubeconform(text):
    schemas = f"{TOOLS}/schemas/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    return run(TOOLS / "bin/kubeconform", "-strict", "-summary", f"-schema-location={schemas}", "-", input=text)


def values():
    return yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def schema():
    return json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def resolved(node):
    return schema()["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_lint(example):
    done = run(TOOLS / "bin/helm", "lint", "--strict", f"--kube-version={KUBERNETES}", f"--values={example}", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_objects_are_kubernetes_ones(example):
    text = helm_template(f"--values={example}").stdout
    objects = [document for document in yaml.safe_load_all(text) if document]
    assert objects, "nothing is rendered"
    names = [(document["apiVersion"], document["kind"], document["metadata"]["name"]) for document in objects]
    assert len(names) == len(set(names)), "two objects with one name"
    done = kubeconform(text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"{len(objects)} resources? found", done.stdout), done.stdout


def test_a_misspelt_field_is_found():
    """That the schemas are strict: else the test above would say nothing."""
    text = helm_template().stdout
    assert "terminationGracePeriodSeconds" in text
    wrong = text.replace("terminationGracePeriodSeconds", "terminationGraceSeconds")
    done = kubeconform(wrong)
    assert done.returncode != 0 and "terminationGraceSeconds" in done.stdout


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: ",".join(bad.get("set", [])) or json.dumps(bad.get("values")))
def test_a_bad_value_is_refused_by_name(bad, tmp_path):
    arguments = [f"--set={item}" for item in bad.get("set", [])]
    if "values" in bad:
        (tmp_path / "values.yaml").write_text(yaml.safe_dump(bad["values"]), encoding="utf-8")
        arguments.append(f"--values={tmp_path}/values.yaml")
    done = helm_template(*arguments)
    assert done.returncode != 0, "accepted"
    assert bad["says"] in done.stderr, done.stderr


def test_chart_and_server_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    server = re.search(r"project\(barista VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")).group(1)
    assert chart["appVersion"] == server


def test_readme_is_fresh():
    done = run(sys.executable, "deploy/helm/docs.py", "--check")
    assert done.returncode == 0, done.stderr


def test_every_value_is_documented():
    lines = (CHART / "README.md").read_text(encoding="utf-8").splitlines()
    paths = {line.split("`")[1] for line in lines if re.match(r"\| `[\w.]+` \| .* \| \S", line)}
    assert {".".join(path) for path in leaves(values())} <= paths


def leaves(node, path=()):
    """Paths of values that the chart defines; a free map (its schema has no properties) is one value."""
    known = schema()
    for key in path:
        known = resolved(known).get("properties", {}).get(key, {})
    if isinstance(node, dict) and resolved(known).get("properties") and path and path[-1] not in FREE or not path:
        for key, inner in node.items():
            yield from leaves(inner, path + (key,))
    else:
        yield path


def test_schema_and_values_have_the_same_keys():
    def check(node, known, path):
        known = resolved(known)
        if not isinstance(node, dict) or "properties" not in known or path in {"config", "resources", "envoy.resources"}:
            return
        names = set(known["properties"]) - {"global"}
        assert set(node) == names, f"{path}: {set(node) ^ names}"
        assert known["additionalProperties"] is False, path
        for key, inner in node.items():
            check(inner, known["properties"][key], f"{path}.{key}".lstrip("."))

    check(values(), schema(), "")


def test_no_value_is_dead():
    """A template spells each value's whole path, or passes a map around it and spells its last word."""
    sources = [path for folder in ("templates", "files") for path in (CHART / folder).rglob("*") if path.is_file() and path.suffix != ".pb"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    text = text.replace("$v.", ".Values.").replace("$tls.", ".Values.tls.").replace("$disk.", ".Values.state.persistence.")
    used_in_checks = (CHART / "templates/_validate.tpl").read_text(encoding="utf-8").replace("$v.", ".Values.")
    text = text.replace(used_in_checks, "")  # a value that is only checked is dead too
    dead = []
    for path in leaves(values()):
        if re.search(rf"\.Values\.{re.escape('.'.join(path))}(?![\w.])", text):
            continue
        around = any(re.search(rf"\.Values\.{re.escape('.'.join(path[:length]))}(?![\w.])", text) for length in range(1, len(path)))
        if not (around and re.search(rf"\.{re.escape(path[-1])}(?!\w)", text)):
            dead.append(".".join(path))
    assert not dead


def knobs():
    """(name, kind, rest) of each row of the server's table."""
    source = (ROOT / "server/knobs.cc").read_text(encoding="utf-8")
    return re.findall(r'\{"(\w+)",\s*(?:"(?:[^"\\]|\\.)*"\s*)+,\s*(\w+)Knob\{(.*?)\}[,}]', source, re.S)


def number(text):
    return eval(text, {"__builtins__": {}}) if re.fullmatch(r"[-\d. <e]+", text) else None  # 1 << 20, 0.001, 1e7; kAny: none


def test_config_has_the_servers_knobs():
    known = schema()["properties"]["config"]["properties"]
    table = knobs()
    assert len(table) > 30, "the table in server/knobs.cc is not what this test reads"
    assert {name for name, _, _ in table} - COMPUTED == set(known)
    for name, kind, rest in table:
        if name in COMPUTED:
            continue
        if kind == "Bool":
            expected = {"type": "boolean"}
        elif kind == "Text":
            words = re.findall(r'"(\w+)"', rest)
            expected = {"enum": words} if words else {"type": "string"}
        else:
            low, high = (number(part.strip()) for part in rest.split(",")[1:3])
            expected = {"type": {"Int": "integer", "Real": "number"}[kind], "minimum": low} | ({} if high is None else {"maximum": high})
        assert known[name] == expected, name
