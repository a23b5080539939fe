"""A real Envoy at the edge, with the configuration that we ship, in front of servers that share a Redis."""
import contextlib
import json
import random
import ssl
import struct
import threading
import time

import pytest

from client import Client, failed, request
from conftest import TINY
from envoy import Envoy, certificate
from lines import go_on
from redis import Redis
from server import Server, until
from stubs import inference

FLAGS = ["--backend=cpu", "--threads=1", "--drain_delay_seconds=2"]


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """An Envoy before two servers with one Redis."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis(tmp_path_factory.mktemp("redis")))
        servers = [stack.enter_context(Server(TINY, *FLAGS, "--sessions_max=64", f"--redis={redis.address}"))
                   for _ in range(2)]
        envoy = stack.enter_context(Envoy(tmp_path_factory.mktemp("envoy"), *(s.address for s in servers), keys=False))
        envoy.servers = servers
        yield envoy


def test_every_kind_of_call_passes(edge, lines):
    with edge.client() as client:
        name = client.create_session("kinds").name
        at = go_on(client, lines(1), name, 20, 0)
        assert client.append(name, [1, 2, 3]).session_position == at + 3
        assert len(client.import_session(client.export_session(name), "kinds-again").name) > 0
        start = {"session": name, "sampling": {"temperature": 0}, "stop": {"max_tokens": 3, "ignore_eos": True}}
        asked = [inference.ConverseRequest(start=start), inference.ConverseRequest(generate={})]
        assert [m.WhichOneof("event") for m in client.inference.Converse(iter(asked))][-1] == "generated"
        got = failed(lambda: client.get_session("sessions/nobody"))
        assert (got.code, got.reason) == ("NOT_FOUND", "SESSION_NOT_FOUND")
        for made in (name, "sessions/kinds-again"):
            client.delete_session(made)


def test_a_session_finds_its_server(edge, lines):
    """The header sends its calls to one server; without it they go anywhere, and its state follows, bit for bit."""
    with edge.client() as client, Client(edge.servers[0].address) as a, Client(edge.servers[1].address) as b:
        names = [client.create_session(f"hashed-{i}").name for i in range(20)]
        at = {name: go_on(client, lines(1), name, 3, 0) for name in names}
        served = [server.metrics()["barista_generation_tokens_total"] for server in edge.servers]
        for name in names:
            at[name] = go_on(client, lines(1), name, 3, at[name])
        now = [server.metrics()["barista_generation_tokens_total"] for server in edge.servers]
        assert all(after > before for after, before in zip(now, served)), "both servers have some of 20 sessions"
        for name in names:
            for direct in (a, b):
                at[name] = go_on(direct, lines(1), name, 2, at[name])
            at[name] = go_on(client, lines(1), name, 2, at[name])
        for name in names:
            client.delete_session(name)


def test_json(edge):
    path = "/barista.v1.InferenceService/Generate"
    body = {"tokens": {"ids": [1, 2, 3]}, "sampling": {"temperature": 0}, "stop": {"max_tokens": 3, "ignore_eos": True}}
    status, _, answer = edge.post(path, json.dumps(body), "application/json")
    messages = [json.loads(line) for line in answer.splitlines()]
    assert status == 200 and messages[-1]["summary"]["usage"]["generated_tokens"] == "3", answer
    with Client(edge.servers[0].address) as direct:
        ids = [i for m in messages if "chunk" in m for i in m["chunk"].get("token_ids", [])]
        assert ids == direct.greedy([1, 2, 3], 3).ids
    body["sampling"]["top_p"] = 7
    status, _, answer = edge.post(path, json.dumps(body), "application/json")
    error = json.loads(answer)
    assert status == 400 and "top_p" in error["message"]
    assert {d["@type"].rsplit(".", 1)[1] for d in error["details"]} == {"ErrorInfo", "BadRequest"}
    status, _, answer = edge.post("/barista.v1.InferenceService/Nothing", "{}", "application/json")
    assert status == 404, answer


def test_grpc_web(edge):
    message = request([1, 2, 3], {"temperature": 0}, {"max_tokens": 3, "ignore_eos": True}).SerializeToString()
    status, headers, answer = edge.post("/barista.v1.InferenceService/Generate",
                                        b"\0" + struct.pack(">I", len(message)) + message,
                                        "application/grpc-web+proto", **{"x-grpc-web": "1"})
    assert status == 200 and headers["content-type"] == "application/grpc-web+proto"
    frames = []
    while answer:
        kind, size = struct.unpack(">BI", answer[:5])
        frames.append((kind, answer[5:5 + size]))
        answer = answer[5 + size:]
    assert frames[-1][0] == 0x80 and b"grpc-status:0" in frames[-1][1]
    assert inference.GenerateResponse.FromString(frames[-2][1]).summary.usage.generated_tokens == 3


def test_a_new_certificate_is_taken_while_streams_run(edge):
    def seen():
        text = ssl.get_server_certificate(("localhost", edge.port))
        return text.replace("\n", "")
    with edge.client() as client:
        stream = client.inference.Generate(request([1], {}, {"max_tokens": 1 << 20, "ignore_eos": True}))
        next(stream)
        before = seen()
        certificate(edge.directory, "next")
        text = (edge.directory / "tls.yaml").read_text()
        (edge.directory / "tls.next").write_text(text.replace("./tls", "./next"))
        (edge.directory / "tls.next").rename(edge.directory / "tls.yaml")
        until(lambda: seen() != before, what="the new certificate")
        next(stream)
        stream.cancel()
    (edge.directory / "tls.next").write_text(text)
    (edge.directory / "tls.next").rename(edge.directory / "tls.yaml")
    until(lambda: seen() == before, what="the old certificate again")


class Caller(threading.Thread):
    """Goes on with sessions of its own, at least so many calls and until it is enough; each answer must be the line's,
    and none may fail."""

    def __init__(self, envoy, lines, number, sessions, calls):
        super().__init__()
        self.envoy, self.lines, self.number, self.calls = envoy, lines, number, calls
        self.names = [f"sessions/{number}-{i}" for i in range(sessions)]
        self.failure, self.done, self.slowest, self.enough = None, 0, 0, threading.Event()

    def run(self):
        rng, at = random.Random(self.number), {}
        try:
            with self.envoy.client() as client:
                for name in self.names:
                    client.create_session(name.removeprefix("sessions/"))
                while self.done < self.calls or not self.enough.is_set():
                    name = rng.choice(self.names)
                    begin = time.monotonic()
                    at[name] = go_on(client, self.lines(self.number), name, rng.randint(1, 6), at.get(name, 0))
                    self.slowest = max(self.slowest, time.monotonic() - begin)
                    self.done += 1
                for name in self.names:
                    client.delete_session(name)
        except Exception as error:  # reported by the test's thread
            self.failure = error


@contextlib.contextmanager
def running(callers):
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        for caller in callers:
            caller.enough.set()
        for caller in callers:
            caller.join()


def test_a_server_is_replaced_and_nobody_notices(full, lines, tmp_path):
    threads, sessions, calls = 8, 25 if full else 5, 1250 if full else 40
    with Redis(tmp_path) as redis:
        flags = [*FLAGS, "--sessions_max=32", "--drain_seconds=30", f"--redis={redis.address}"]
        with Server(TINY, *flags) as a, Server(TINY, *flags) as b, Envoy(tmp_path, a.address, b.address, keys=False) as envoy:
            callers = [Caller(envoy, lines, number, sessions, calls) for number in range(threads)]

            def until_done(count):
                until(lambda: sum(c.done for c in callers) >= count or any(c.failure for c in callers), 900)
                return sum(c.done for c in callers)
            with running(callers):
                until_done(threads * calls / 4)
                assert b.stop(120) == 0
                gone = until_done(0)
                with Server(TINY, *flags, listen=b.address):
                    until(lambda: envoy.healthy() == 2, what="the new server in Envoy")
                    back = until_done(0)
                    until_done(back + threads * calls / 4)
            assert [c.failure for c in callers] == [None] * threads
        assert [key for key in redis.keys() if ":session:" in key or ":state:" in key] == []
    print(f"result: Envoy, two servers, {sum(c.done for c in callers)} calls on {threads * sessions} sessions, one server "
          f"gone after {gone} and back after {back}: 0 lost, 0 broken, all bits equal; slowest call "
          f"{max(c.slowest for c in callers):.2f} s")
