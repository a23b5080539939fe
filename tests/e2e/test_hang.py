"""A step that does not end, as a device that hangs would cause it: the server says so, ends its calls and itself."""
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client import Client, failure, greedy
from conftest import DEMO
from server import Server, until

STEP_MAX = 1  # seconds
HUNG = greedy([7] * 8000, 1)  # read in one step, which takes minutes on this backend


def test_a_hung_step_ends_calls_and_server():
    flags = ["--backend=ref", "--step_tokens_max=8192", f"--step_timeout_seconds={STEP_MAX}", "--sessions_max=1"]
    with Server(DEMO, *flags) as server, Client(server.address) as client, ThreadPoolExecutor() as pool:
        health = health_pb2_grpc.HealthStub(grpc.insecure_channel(server.address)).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == health_pb2.HealthCheckResponse.SERVING

        def fails(message):
            try:
                list(client.inference.Generate(message))
            except grpc.RpcError as error:
                return failure(error)
        begin = time.monotonic()
        running = pool.submit(fails, HUNG)
        until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="the call")  # so told while it hangs
        waiting = pool.submit(fails, greedy([7], 1))
        assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
        for call in (running.result(), waiting.result()):
            assert (call.code, call.reason) == ("UNAVAILABLE", "ENGINE_FAILED")
            assert "hangs" in call.message
        assert server.wait() == 70
        assert STEP_MAX < time.monotonic() - begin < STEP_MAX + 4 + 5  # LeaveHung's, and a busy machine's
        assert '"event":"step_hangs"' in server.log()
