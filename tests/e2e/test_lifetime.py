"""SIGTERM drains, kill -9 and restart works, a dead server is told as such."""
import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client import Client, collect, failed, greedy, request
from conftest import GOLDEN
from golden import Golden
from server import Server

MODEL = GOLDEN / "official/lm-transformer"
ENDLESS = {"max_tokens": 1 << 20, "ignore_eos": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_turns_health_and_lets_streams_finish(number):
    with Server(MODEL, "--backend=cpu", "--sessions_max=2") as server, Client(server.address) as client:
        want = client.greedy([1, 2, 3], 3000).ids
        health = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING
        stream = client.inference.Generate(greedy([1, 2, 3], 3000), timeout=60)
        first = next(stream)
        server.process.send_signal(number)
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        health.cancel()
        with Client(server.address) as late:
            assert failed(lambda: late.greedy([1], 3)).code == "UNAVAILABLE"
        generation = collect([first, *stream])
        assert generation.ids == want and generation.summary is not None
        assert server.wait() == 0


def test_calls_are_taken_for_a_while_after_health_has_turned():
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", "--drain_delay_seconds=600") as server,
          Client(server.address) as client):
        health = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert len(client.greedy([1], 3).ids) == 3
        server.process.send_signal(signal.SIGTERM)  # a second one ends the wait
        assert server.wait(20) == 0


def test_a_watch_of_health_does_not_hold_up_the_end():
    with Server(MODEL, "--backend=cpu", "--sessions_max=2", "--drain_seconds=600") as server:
        with Client(server.address) as client:
            health = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert next(health).status == health_pb2.HealthCheckResponse.SERVING
            assert server.stop(seconds=20) == 0


def test_a_stream_that_does_not_end_is_cut_off_after_drain_seconds():
    with (Server(MODEL, "--backend=cpu", "--sessions_max=2", "--drain_seconds=0.3") as server,
          Client(server.address) as client):
        stream = client.inference.Generate(request([1], {}, ENDLESS), timeout=60)
        next(stream)
        server.process.send_signal(signal.SIGTERM)
        assert failed(lambda: list(stream)).code in ("UNAVAILABLE", "CANCELLED")
        assert server.wait(20) == 0


def test_kill_and_start_again_on_the_same_port():
    data = Golden("official/lm-transformer")
    with Server(MODEL, "--backend=cpu", "--sessions_max=2") as server, Client(server.address) as client:
        stream = client.inference.Generate(request([1], {}, ENDLESS), timeout=60)
        next(stream)
        server.kill()
        assert failed(lambda: list(stream)).code == "UNAVAILABLE"
        with Server(MODEL, "--backend=cpu", "--sessions_max=2", listen=server.address) as again:
            assert again.address == server.address
            got = client.inference.Generate(greedy(data.greedy_prompt, 64), timeout=60, wait_for_ready=True)
            assert collect(got).ids == data.greedy_tokens.tolist()


def test_nobody_there():
    with Server(MODEL, "--backend=ref", "--sessions_max=1") as server, Client(server.address) as client:
        assert grpc.channel_ready_future(client.channel).result(10) is None
        assert server.stop() == 0
        assert failed(lambda: client.model()).code == "UNAVAILABLE"
