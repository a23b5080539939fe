"""Floods of HTTP/2 at Envoy's door: what they cost Envoy and the server together, and that others are served meanwhile.
(CVE-2024-27316 and CVE-2023-33953: CONTINUATION; CVE-2023-44487: rapid reset.)"""
import contextlib
import json
import os
import pathlib
import threading
import time

import grpc
import pytest

from access_files import access, bearer
from client import failed, request
from conftest import TINY
from envoy import Envoy
from raw_http2 import (CANCEL, CONTINUATION, DATA, END_HEADERS, HEADERS, RST_STREAM, Connection, call_headers, frame,
                       literal)
from server import CLI, Server, run, until

MIB = 1 << 20
KEY = "the-key-of-somebody"
PATH = "/barista.v1.InferenceService/Converse"


def seconds_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bytes_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) * 1024


class Others(threading.Thread):
    """Another client's calls, one after another."""

    def __init__(self, envoy):
        super().__init__()
        self.envoy, self.stop, self.done, self.slowest, self.failure = envoy, threading.Event(), 0, 0, None

    def run(self):
        try:
            with self.envoy.client(bearer(KEY)) as client:
                while not self.stop.is_set():
                    begin = time.monotonic()
                    assert len(client.greedy([1, 2, 3], 4).ids) == 4
                    self.slowest = max(self.slowest, time.monotonic() - begin)
                    self.done += 1
                    self.stop.wait(0.05)
        except Exception as error:  # reported by the test's thread
            self.failure = error


class Watch:
    """What Envoy and the server together used in the `with` block, beyond what they and another client use anyway."""

    def __init__(self, envoy):
        self._pids = [envoy.process.pid, *(s.process.pid for s in envoy.servers)]
        self._others = Others(envoy)

    def _read(self):
        return time.monotonic(), sum(map(seconds_of, self._pids)), sum(map(bytes_of, self._pids))

    def __enter__(self):
        self._others.start()
        begin = self._read()
        time.sleep(1)
        self._begin = self._read()
        self._rate = (self._begin[1] - begin[1]) / (self._begin[0] - begin[0])
        self._before = self._others.done
        return self

    def measure(self):
        now, used, size = self._read()
        self.cpu = used - self._begin[1] - self._rate * (now - self._begin[0])
        self.grown = size - self._begin[2]

    def __exit__(self, kind, *_):
        if kind is None:
            time.sleep(0.5)
        self._others.stop.set()
        self._others.join()
        if kind is None:
            assert self._others.failure is None, self._others.failure
            assert self._others.done > self._before, "nobody else was served"
            self.slowest = self._others.slowest


@contextlib.contextmanager
def running(tmp_path_factory):
    """As it is deployed: the server wants a key, which strangers do not have."""
    keys = tmp_path_factory.mktemp("access") / "access.json"
    keys.write_text(access({KEY: "somebody"}))
    with Server(TINY, "--backend=cpu", "--sessions_max=64", f"--access_file={keys}") as server:
        with Envoy(tmp_path_factory.mktemp("envoy"), server.address) as envoy:
            envoy.servers = [server]
            with envoy.client(bearer(KEY)) as client:
                client.greedy([1, 2, 3], 4)
            yield envoy


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    with running(tmp_path_factory) as envoy:
        yield envoy


@pytest.fixture
def fresh_edge(tmp_path_factory):
    """For what takes memory, which an Envoy that had it once would not show."""
    with running(tmp_path_factory) as envoy:
        yield envoy


def tell(what, watch):
    print(f"result: {what}: {max(watch.cpu, 0):.2f} s CPU and {watch.grown / MIB:.1f} MiB more in Envoy and server; another "
          f"client's slowest call {watch.slowest:.2f} s")


def test_continuation_flood(edge):
    piece = literal("x-" + "a" * 60, "b" * 15_000)
    with Watch(edge) as watch:
        sent = 0
        with Connection(edge.tls("h2"), edge.port) as connection:
            open_ = connection.send(frame(HEADERS, 0, 1, call_headers(edge.address, PATH)))
            while open_ and sent < 24 * MIB:
                open_ = connection.send(frame(CONTINUATION, 0, 1, piece))
                sent += len(piece)
        watch.measure()
    assert watch.cpu < 1 and watch.grown < 20 * MIB
    tell(f"CONTINUATION flood, {sent / MIB:.1f} of 24 MiB taken", watch)


def test_rapid_reset(edge):
    headers = call_headers(edge.address, PATH)
    with Watch(edge) as watch:
        sent = 0
        with Connection(edge.tls("h2"), edge.port) as connection:
            open_ = True
            while open_ and sent < 100_000:
                streams = range(1 + 2 * sent, 1 + 2 * (sent + 100), 2)
                open_ = connection.send(b"".join(
                    frame(HEADERS, END_HEADERS, s, headers) + frame(RST_STREAM, 0, s, CANCEL.to_bytes(4, "big"))
                    for s in streams))
                sent += len(streams)
        watch.measure()
    assert watch.cpu < 1 and watch.grown < 20 * MIB
    tell(f"rapid reset, {sent} of 100000 streams taken", watch)


def test_without_a_key_nobody_comes_in(edge):
    """Envoy itself answers, at once, in the caller's own terms; health needs no key."""
    before = edge.stat("cluster.barista.upstream_rq_total")
    with edge.client() as client:
        got = failed(lambda: client.greedy([1], 1))
        assert got.code == "UNAUTHENTICATED" and "Bearer KEY" in got.message
        got = failed(lambda: list(client.inference.Converse(iter([]))))
        assert got.code == "UNAUTHENTICATED"
    status, headers, answer = edge.post("/barista.v1.ModelService/GetModel", "{}", "application/json")
    assert (status, headers["content-type"], json.loads(answer)["code"]) == (401, "application/json", 16)
    assert edge.stat("cluster.barista.upstream_rq_total") == before
    with edge.client() as client:
        check = client.channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=60) == b"\x08\x01"  # SERVING
    with edge.client(bearer(KEY)) as client:
        assert len(client.greedy([1], 1).ids) == 1


def test_the_client_comes_in_with_tls_and_a_key(edge):
    def barista(*words):
        code, out, err = run(CLI, *words, f"--server={edge.address}", f"--tls_ca={edge.directory}/tls.crt", "--json",
                             env={**os.environ, "BARISTA_API_KEY": KEY})
        assert code == 0, err
        return json.loads(out)
    name = barista("session", "create")["name"]
    got = barista("generate", "--tokens=1,2,3", f"--session={name}", "--max_tokens=4", "--ignore_eos")
    assert got["usage"]["generated_tokens"] == 4 and got["session_position"] == 7
    barista("session", "delete", name)


def flood(edge, held, path, metadata=()):
    """100 calls on each connection that is `held`, of which nothing comes but the headers; until Envoy has seen them."""
    headers, before = call_headers(edge.address, path, metadata), edge.stat("http.edge.downstream_rq_total")
    for connection in held:
        assert connection.send(b"".join(frame(HEADERS, END_HEADERS, 1 + 2 * i, headers) for i in range(100)))
    until(lambda: edge.stat("http.edge.downstream_rq_total") >= before + 100 * len(held), what="the streams in Envoy")
    time.sleep(1)


@contextlib.contextmanager
def connections(edge, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Connection(edge.tls("h2"), edge.port)) for _ in range(count)]


@pytest.mark.parametrize("who, metadata", [("without a key", []), ("with a wrong key", bearer("wrong")),
                                           ("with a key", bearer(KEY))], ids=["nobody", "wrong", "somebody"])
def test_idle_streams(full, fresh_edge, who, metadata):
    count = 100 if full else 20
    with Watch(fresh_edge) as watch, connections(fresh_edge, count) as held:
        flood(fresh_edge, held, PATH, metadata)
        watch.measure()
    assert watch.grown < 200 * MIB * count / 100
    tell(f"{100 * count} idle streams {who} on {count} connections", watch)


def test_refused_calls(full, fresh_edge):
    """Calls that the server refuses share Envoy's connections to it with the calls of others, which go on."""
    count = 100 if full else 20
    with Watch(fresh_edge) as watch, connections(fresh_edge, count) as held, contextlib.ExitStack() as stack:
        streams = []
        for _ in range(8):  # some on each thread of Envoy
            client = stack.enter_context(fresh_edge.client(bearer(KEY)))
            streams.append(client.inference.Generate(request([1], {}, {"max_tokens": 1 << 20, "ignore_eos": True})))
            next(streams[-1])
        flood(fresh_edge, held, "/barista.v1.InferenceService/Generate", bearer("wrong"))
        watch.measure()
        for stream in streams:
            next(stream)
            stream.cancel()
    assert fresh_edge.stat("cluster.barista.upstream_cx_protocol_error") == 0
    assert fresh_edge.stat("cluster.barista.upstream_rq_pending_overflow") == 0
    assert watch.grown < 20 * MIB + 300 * MIB * count / 100
    tell(f"{100 * count} calls with a wrong key at once", watch)


def test_unfinished_messages(fresh_edge):
    """They fill Envoy's heap, and it is taken from them again, so that others are served: after some seconds."""
    headers = call_headers(fresh_edge.address, PATH, bearer("wrong"))
    message = b"\0" + (64000).to_bytes(4, "big") + b" " * 63_000
    call = [frame(DATA, 0, 0, message[i:i + 16_000]) for i in range(0, len(message), 16_000)]
    with connections(fresh_edge, 100) as held:
        for stream in range(1, 200, 2):
            data = frame(HEADERS, END_HEADERS, stream, headers) + b"".join(
                piece[:5] + stream.to_bytes(4, "big") + piece[9:] for piece in call)
            for connection in held:
                connection.send(data)
                connection.drain()
        begin = time.monotonic()

        def served():
            with fresh_edge.client(bearer(KEY)) as client:
                with contextlib.suppress(grpc.RpcError):
                    return len(client.greedy([1, 2, 3], 4).ids) == 4
        until(served, 60, "a call of somebody else")
        seconds, size = time.monotonic() - begin, bytes_of(fresh_edge.process.pid)
    assert size < 700 * MIB
    print(f"result: 10000 messages of 64 KB that never end: Envoy {size / MIB:.0f} MiB, another client served "
          f"{seconds:.1f} s after the last of them")
