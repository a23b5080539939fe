"""A step that does not end, as a device that hangs would cause it: the server says so, ends its calls and itself."""
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client import Client, failure, greedy
from conftest import DEMO
from server import Server, until

STEP_MAX = 1  # seconds
LONG = [7] * 8000  # read in one step, which takes minutes on this backend
FLAGS = ["--backend=ref", "--step_tokens_max=8192", f"--step_timeout_seconds={STEP_MAX}", "--sessions_max=1"]


def fails(client, message):
    try:
        list(client.inference.Generate(message))
    except grpc.RpcError as error:
        return failure(error)


def test_a_hung_step_ends_calls_and_server():
    with Server(DEMO, *FLAGS) as server, Client(server.address) as client, ThreadPoolExecutor() as pool:
        health = health_pb2_grpc.HealthStub(grpc.insecure_channel(server.address)).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING
        begin = time.monotonic()
        running = pool.submit(fails, client, greedy(LONG, 1))
        until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="the call")  # so told while it hangs
        waiting = pool.submit(fails, client, greedy([7], 1))
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        for call in (running.result(), waiting.result()):
            assert (call.code, call.reason, call.metadata) == ("UNAVAILABLE", "ENGINE_FAILED", {})
            assert "hangs" in call.message
        assert server.wait() == 70
        assert STEP_MAX < time.monotonic() - begin < STEP_MAX + 4 + 5  # LeaveHung's, and a busy machine's
        assert '"event":"step_hangs"' in server.log()


def test_a_call_on_a_session_is_told_what_a_snapshot_has(tmp_path):
    """As many tokens as the next server restores."""
    flags = [*FLAGS, f"--state_dir={tmp_path}"]
    with Server(DEMO, *flags) as server, Client(server.address) as client:
        name = client.create_session().name
        client.greedy([7, 8, 9], 3, session=name)
        client.snapshot(name, "first")
        client.greedy(None, 3, session=name)
        last = client.snapshot(name, "last")
        client.greedy(None, 3, session=name)
        client.snapshot(name, "deleted")
        client.delete_snapshot("snapshots/deleted")
        client.greedy(None, 3, session=name)
        call = fails(client, greedy(LONG, 1, session=name))
        assert (call.reason, call.metadata) == ("ENGINE_FAILED", {"durable_position": str(last.position)})
        assert server.wait() == 70
    with Server(DEMO, *flags) as server, Client(server.address) as client:
        restored = client.restore("snapshots/last", "again")
        assert restored.session.position == last.position == 9
        call = fails(client, greedy(LONG, 1, session="sessions/again"))
        assert (call.reason, call.metadata) == ("ENGINE_FAILED", {"durable_position": "9"})
        assert server.wait() == 70
