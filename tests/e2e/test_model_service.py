"""GetModel, health and reflection: what a client can learn about a server."""
import json

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from bad_requests import FLAGS, LIMITS
from client import Client
from conftest import DEMO, GOLDEN
from server import BACKEND, Server
from stubs import inference, model

SERVICES = [f"barista.v1.{name}Service" for name in ("Inference", "Model", "Session", "Tokenizer")]


def test_the_model_is_that_of_the_checkpoint(demo):
    got = demo.client.model()
    config = json.loads((DEMO / "config.json").read_text())
    a = got.architecture
    for key in ("vocab_size", "hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
                "latents_per_head", "sliding_window", "max_position_embeddings"):
        assert getattr(a, key) == config[key], key
    layers = [model.LayerType.Name(t).removeprefix("LAYER_TYPE_").lower() for t in a.layer_types]
    assert layers == config["layer_types"]
    assert got.name == "models/demo-model" == demo.model_name
    assert len(got.fingerprint) >= 16 and int(got.fingerprint, 16) >= 0
    assert got.task == model.TASK_CAUSAL_LM and got.has_tokenizer
    assert list(got.eos_token_ids) == [config["eos_token_id"]] and got.pad_token_id == config["pad_token_id"]
    assert not got.HasField("bos_token_id")
    assert got.backend.kind == BACKEND and got.backend.threads >= 1 and got.backend.device
    assert got.weight_dtype == "bf16" and 3e6 < got.parameters < 8e6
    defaults = json.loads((DEMO / "generation_config.json").read_text())
    assert got.sampling_defaults.temperature == pytest.approx(defaults["temperature"])
    assert got.sampling_defaults.top_k == defaults["top_k"]


@pytest.mark.parametrize("dtype, share", [("int8", 0.8), ("int4", 0.65)])
def test_quantised_weights_are_told(servers, demo, dtype, share):
    """By name and bytes; and another fingerprint, for their states are not interchangeable."""
    server = servers(DEMO, "--backend=cpu", f"--weights_dtype={dtype}")
    got, stored = server.client.model(), demo.client.model()
    assert got.weight_dtype == server.weights == dtype and demo.weights == "bf16"
    assert got.memory.weight_bytes < share * stored.memory.weight_bytes
    assert got.fingerprint != stored.fingerprint
    assert got.memory.bytes_per_session == stored.memory.bytes_per_session


def test_the_bytes_of_a_session_are_the_sum_of_their_rows(demo):
    memory = demo.client.model().memory
    assert sum(row.bytes for row in memory.state_rows) == memory.bytes_per_session == demo.bytes_per_session > 0
    assert all(row.component and row.detail for row in memory.state_rows)
    assert memory.sessions_max == demo.sessions_max == 32
    assert memory.weight_bytes > 0 and memory.workspace_bytes > 0


def test_every_limit_is_told(tmp_path):
    """A link to the checkpoint with a slash at its end is named as well, and its fingerprint is the same."""
    source = GOLDEN / "official/cls-bidirectional"
    with Server(source, "--backend=ref", *FLAGS) as server, Client(server.address) as client:
        got = client.model()
        for name, value in LIMITS.items():
            assert getattr(got.limits, name) == value, name
        for field in got.limits.DESCRIPTOR.fields:
            assert got.limits.HasField(field.name), field.name
        assert got.task == model.TASK_CLASSIFICATION and got.architecture.num_labels == 2
    (tmp_path / "link").symlink_to(source)
    with Server(f"{tmp_path}/link/", "--backend=ref") as server, Client(server.address) as client:
        assert client.model().name == "models/link"
        assert client.model().fingerprint == got.fingerprint


def test_health_of_the_server_and_of_each_service(demo):
    stub = health_pb2_grpc.HealthStub(demo.client.channel)
    for service in ["", *SERVICES]:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service
    with pytest.raises(grpc.RpcError) as error:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_tells_services_and_messages(demo):
    database = ProtoReflectionDescriptorDatabase(demo.client.channel)
    assert set(SERVICES) <= set(database.get_services())
    file = database.FindFileContainingSymbol("barista.v1.InferenceService")
    ours = inference.DESCRIPTOR.services_by_name["InferenceService"]
    assert [m.name for m in file.service[0].method] == [m.name for m in ours.methods]
    for service in database.get_services():  # health and channelz too: grpcurl calls nothing that it cannot describe
        assert database.FindFileContainingSymbol(service).service, service
