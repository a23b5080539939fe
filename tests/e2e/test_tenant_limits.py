"""Limits of tenants: exact, named when they refuse, changed while the server runs."""
import time

import pytest

from access_files import access, bearer, put
from client import Client, failed, greedy
from conftest import TINY
from server import Server, until

KEYS = {"red-key": "red", "blue-key": "blue"}
LIMITS = {"red": {"sessions_max": 3, "streams_max": 2, "queued_tokens_max": 500}}


@pytest.fixture
def server(tmp_path):
    path = tmp_path / "access.json"
    path.write_text(access(KEYS, LIMITS))
    with Server(TINY, "--backend=cpu", "--sessions_max=16", f"--access_file={path}",
                f"--state_dir={tmp_path / 'state'}") as server:
        server.access_file = path
        yield server


@pytest.fixture
def tenants(server):
    """Clients of red and blue."""
    with (Client(server.address, metadata=bearer("red-key")) as red,
          Client(server.address, metadata=bearer("blue-key")) as blue):
        yield red, blue


def refused(call, limit, value, retry=True):
    got = failed(call)
    assert (got.code, got.reason, got.quota) == ("RESOURCE_EXHAUSTED", "TENANT_LIMIT", ["tenant:red"]), got
    assert limit in got.message and str(value) in got.message and "red" in got.message
    assert (got.retry_seconds > 0) == retry


def test_sessions_by_every_way_to_make_one(server, tenants):
    red, blue = tenants
    red.append(red.create_session("a").name, [1, 2])
    red.snapshot("sessions/a", "kept")
    data = red.export_session("sessions/a")
    refused(lambda: red.fork_session("sessions/a", "b", "c", "d"), "sessions_max", 3)
    assert red.list_sessions().total_size == 1  # all or none
    red.fork_session("sessions/a", "b", "c")
    for make in (lambda: red.create_session("d"), lambda: red.fork_session("sessions/a", "d"),
                 lambda: red.restore("snapshots/kept", "d"), lambda: red.import_session(data, "d")):
        refused(make, "sessions_max", 3)
    red.restore("snapshots/kept", "a", replace=True)  # makes none
    for i in range(5):
        blue.create_session(f"b{i}")
    red.delete_session("sessions/b")
    red.restore("snapshots/kept", "d")
    put(server.access_file, access(KEYS, {"red": {"sessions_max": 4}}))
    until(lambda: succeeds(lambda: red.create_session("e")), what="the new limit")
    refused(lambda: red.create_session("f"), "sessions_max", 4)
    refusals = server.metrics()['barista_admission_refusals_total{reason="tenant_limit"}']
    assert refusals >= 6


def succeeds(call):
    try:
        call()
    except Exception:  # noqa: BLE001: refused, for now
        return False
    return True


def test_streams(tenants):
    red, blue = tenants
    streams = [red.inference.Generate(greedy([1], 1 << 20), timeout=60) for _ in range(2)]
    for stream in streams:
        next(stream)
    refused(lambda: red.greedy([1], 1), "streams_max", 2)
    refused(lambda: red.score([1, 2]), "streams_max", 2)
    blue.greedy([1], 1)
    streams[0].cancel()
    until(lambda: succeeds(lambda: red.greedy([1], 1)), what="room for a call")
    refused(lambda: red.generate([1], {}, {"max_tokens": 1}, n=3), "streams_max", 2, retry=False)
    streams[1].cancel()


def test_queued_tokens(tenants):
    red, blue = tenants
    refused(lambda: red.greedy([1] * 501, 1), "queued_tokens_max", 500, retry=False)
    blue.greedy([1] * 501, 1)
    for _ in range(3):  # what was read does not count
        red.greedy([1] * 500, 1)


def test_a_rate_pauses_and_never_fails(server, tenants):
    red, blue = tenants
    put(server.access_file, access(KEYS, {"red": {"tokens_per_second": 100}}))
    until(lambda: server.log().count('"reloaded"') == 1, what="the limit")
    want = blue.greedy([1, 2, 3], 300).ids
    begin = time.monotonic()
    assert red.greedy([1, 2, 3], 300).ids == want  # the same bits, later
    assert time.monotonic() - begin > 1.5  # 303 tokens, of which a second's worth was saved
    slow = red.inference.Generate(greedy([1], 100), timeout=60)
    list(slow)
    assert slow.code().name == "OK"
