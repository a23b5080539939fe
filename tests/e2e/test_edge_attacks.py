"""Floods of HTTP/2 at Envoy's door: what they cost Envoy and the server together, and that others are served meanwhile.
(CVE-2024-27316 and CVE-2023-33953: CONTINUATION; CVE-2023-44487: rapid reset.)"""
import os
import pathlib
import threading
import time

import pytest

from access_files import access, bearer
from conftest import TINY
from envoy import Envoy
from raw_http2 import (CANCEL, CONTINUATION, END_HEADERS, HEADERS, RST_STREAM, Connection, call_headers, frame, literal)
from server import Server

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


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """As it is deployed: the server wants a key, which strangers do not have."""
    keys = tmp_path_factory.mktemp("access") / "access.json"
    keys.write_text(access({KEY: "somebody"}))
    with Server(TINY, "--backend=cpu", "--sessions_max=64", f"--access_file={keys}") as server:
        with Envoy(tmp_path_factory.mktemp("envoy"), server.address) as envoy:
            envoy.servers = [server]
            with envoy.client(bearer(KEY)) as client:
                client.greedy([1, 2, 3], 4)
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
