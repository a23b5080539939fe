"""What holds for all objects of all examples: hardened containers, names that lead somewhere, metrics that exist."""

import json
import re

import pytest
import yaml

from chart import CHART, EXAMPLES, ROOT, TOOLS, pods, rendered, run

ALLOWED_VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "image"}
examples = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)


def objects_of(example):
    return rendered(f"--values={example}")


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


@examples
def test_every_container_is_hardened(example):
    for name, _, spec in pods(objects_of(example)):
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True and pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 10001, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(spec):
            assert container["securityContext"] == {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "runAsGroup": 10001,
                "privileged": False,
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            }, (name, container["name"])
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= ALLOWED_VOLUMES, (name, volume)


@examples
def test_mounts_have_volumes_and_volumes_have_mounts(example):
    for name, _, spec in pods(objects_of(example)):
        volumes = [volume["name"] for volume in spec["volumes"]]
        mounts = {mount["name"] for container in containers(spec) for mount in container.get("volumeMounts", [])}
        claims = {"state"} if any(item["kind"] == "StatefulSet" and item["spec"].get("volumeClaimTemplates") for item in objects_of(example)) else set()
        assert len(volumes) == len(set(volumes)) and set(volumes) | (mounts & claims) == mounts, name


@examples
def test_own_names_lead_to_objects(example):
    """A reference to a name of this release is to an object that the chart makes, or cert-manager for it."""
    objects = objects_of(example)
    made = {(item["kind"], item["metadata"]["name"]) for item in objects}
    made |= {("Secret", item["spec"]["secretName"]) for item in objects if item["kind"] == "Certificate"}
    for name, _, spec in pods(objects):
        wanted = {("ServiceAccount", spec["serviceAccountName"])}
        for volume in spec["volumes"]:
            wanted |= {("ConfigMap", volume["configMap"]["name"])} if "configMap" in volume else set()
            wanted |= {("Secret", volume["secret"]["secretName"])} if "secret" in volume else set()
            wanted |= {("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])} if "persistentVolumeClaim" in volume else set()
        wanted |= {("Secret", variable["valueFrom"]["secretKeyRef"]["name"])
                   for container in containers(spec) for variable in container.get("env", []) if "valueFrom" in variable}
        for kind, target in wanted:
            assert (kind, target) in made or not target.startswith("latte-barista"), (name, kind, target)


@examples
def test_selectors_and_named_ports_lead_to_pods(example):
    objects = objects_of(example)
    templates = [(metadata["labels"], {port["name"] for container in spec["containers"] for port in container.get("ports", [])})
                 for _, metadata, spec in pods(objects)]

    def ports_of(selector):
        found = [ports for labels, ports in templates if selector.items() <= labels.items()]
        assert len(found) == 1, f"{selector} selects {len(found)} kinds of pods"
        return found[0]

    for item in objects:
        spec, kind = item.get("spec", {}), item["kind"]
        if kind == "Service":
            assert {port["targetPort"] for port in spec["ports"]} <= ports_of(spec["selector"])
        elif kind in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            ports_of(spec["selector"]["matchLabels"])
        elif kind == "NetworkPolicy":
            assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} <= ports_of(spec["podSelector"]["matchLabels"])
        elif kind == "PodMonitor":
            assert {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]} <= ports_of(spec["selector"]["matchLabels"])
        elif kind == "ServiceMonitor":
            labels = spec["selector"]["matchLabels"].items()
            services = [other for other in objects if other["kind"] == "Service" and labels <= other["metadata"]["labels"].items()]
            assert len(services) == 1
            assert {endpoint["port"] for endpoint in spec["endpoints"]} <= {port["name"] for port in services[0]["spec"]["ports"]}


def pod_annotation(*arguments):
    _, metadata, _ = next(pods(rendered(*arguments)))
    return metadata["annotations"]["checksum/config"]


def test_pods_restart_for_a_new_config_and_for_nothing_else():
    same = pod_annotation()
    assert pod_annotation("--set=workload.replicas=2") == same
    assert pod_annotation("--set=access.tenants.acme.weight=2") == same, "the server reads the access file again by itself"
    assert pod_annotation("--set=config.log_level=debug") != same
    assert pod_annotation("--set=state.sessionsMax=9") != same


def test_config_is_one_flat_object_of_scalars():
    for example in EXAMPLES:
        config, = (item for item in objects_of(example) if item["kind"] == "ConfigMap" and "server.json" in item["data"])
        values = json.loads(config["data"]["server.json"])
        assert values["model"].startswith("/model") and all(isinstance(value, (str, int, float, bool)) for value in values.values())


def test_no_token_password_or_key_in_a_config_map():
    for example in EXAMPLES:
        for item in objects_of(example):
            if item["kind"] == "ConfigMap":
                assert "PRIVATE KEY" not in json.dumps(item) and "api-key" not in json.dumps(item)


def known_metrics():
    source = (ROOT / "server/observe/metrics.cc").read_text(encoding="utf-8")
    names = set(re.findall(r'"(barista_\w+)"', source))
    assert len(names) > 20
    return names | {name + ending for name in names if name.endswith("_seconds") for ending in ("_bucket", "_sum", "_count")}


def test_scaling_uses_metrics_that_exist():
    """Those of rules and dashboards are held against a server by tests/prometheus."""
    texts = [json.dumps(item["spec"]) for example in EXAMPLES for item in objects_of(example)
             if item["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}]
    used = {name for text in texts for name in re.findall(r"\bbarista_\w+", text)}
    assert used and used <= known_metrics()


def test_rules_are_prometheus_ones():
    done = run(TOOLS / "bin/promtool", "check", "rules", CHART / "files/rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboards_are_the_ones_of_deploy():
    assert (CHART / "files/rules.yml").read_bytes() == (ROOT / "deploy/prometheus/rules.yml").read_bytes()
    ours = {path.name: path.read_bytes() for path in (ROOT / "deploy/grafana").glob("*.json")}
    assert {path.name: path.read_bytes() for path in (CHART / "dashboards").glob("*.json")} == ours


def test_rules_come_verbatim():
    rule, = (item for item in rendered("--set=metrics.rules.enabled=true") if item["kind"] == "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((CHART / "files/rules.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", sorted((CHART / "dashboards").glob("*.json")), ids=lambda path: path.name)
def test_dashboards_come_verbatim(file):
    dashboards, = (item for item in rendered("--set=metrics.dashboards.enabled=true") if item["metadata"]["name"] == "latte-barista-dashboards")
    assert dashboards["data"][file.name] == file.read_text(encoding="utf-8")
