"""Envoy's configuration: one for one machine and for the chart, and one that Envoy takes."""

import base64
import pathlib
import sys
import sysconfig

import grpc_tools
import pytest
import yaml
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

from chart import CHART, ROOT, rendered, run

ENVOY = ROOT / "deploy/envoy"
COPIES = CHART / "files/envoy"
PROGRAM = pathlib.Path(sysconfig.get_path("scripts")) / "envoy"
EDGES = {"edge-values.yaml": [f"--values={CHART}/ci/edge-values.yaml"], "default values": ["--set=envoy.enabled=true"]}


def files_of(*arguments):
    """The files that Envoy's pods mount, by name."""
    config, = (item for item in rendered(*arguments) if item["kind"] == "ConfigMap" and "envoy.yaml" in item["data"])
    files = {name: text.encode() for name, text in config["data"].items()}
    return files | {name: base64.b64decode(text) for name, text in config["binaryData"].items()}


def test_the_chart_has_the_files_of_deploy():
    for name in ("envoy.yaml", "barista.pb"):
        assert (COPIES / name).read_bytes() == (ENVOY / name).read_bytes(), f"cp deploy/envoy/{name} {COPIES.relative_to(ROOT)}"


def test_descriptors_are_those_of_the_protos(tmp_path):
    protos = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    made = tmp_path / "barista.pb"
    assert protoc.main(["protoc", f"-I{ROOT}/proto", f"-I{well_known}", "--include_imports", f"--descriptor_set_out={made}", *protos]) == 0
    shipped, wanted = (descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()) for path in (ENVOY / "barista.pb", made))
    assert {file.name: file for file in shipped.file} == {file.name: file for file in wanted.file}, "run the protoc of deploy/envoy/README.md"


def validated(directory, files):
    for name, content in files.items():
        (directory / name).write_bytes(content)
    done = run("sh", "-c", 'cd "$0" && exec "$1" "$2" --mode validate --config-path envoy.yaml', directory, sys.executable, PROGRAM)
    assert done.returncode == 0, done.stderr


def test_envoy_takes_the_file_for_one_machine(tmp_path):
    validated(tmp_path, {path.name: path.read_bytes() for path in ENVOY.iterdir()})


@pytest.mark.parametrize("values", EDGES.values(), ids=EDGES)
def test_envoy_takes_what_the_chart_renders(tmp_path, values):
    validated(tmp_path, files_of(*values))


@pytest.mark.parametrize("values", EDGES.values(), ids=EDGES)
def test_the_chart_changes_addresses_tls_and_heap_alone(values):
    ours, theirs = yaml.safe_load((ENVOY / "envoy.yaml").read_text(encoding="utf-8")), yaml.safe_load(files_of(*values)["envoy.yaml"])
    for config in (ours, theirs):
        _, heap = config["overload_manager"]["resource_monitors"]
        heap["typed_config"].pop("max_heap_size_bytes")
        _, ops = config["static_resources"]["listeners"]
        ops["address"]["socket_address"].pop("address")
        servers, _ = config["static_resources"]["clusters"]
        servers.pop("load_assignment")
    theirs["static_resources"]["clusters"][0].pop("transport_socket")
    assert ours == theirs
