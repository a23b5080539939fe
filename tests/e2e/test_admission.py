"""Full servers and deadlines: who waits, who is refused and with what advice."""
import threading

import pytest

from client import Client, collect, failed, greedy, request
from conftest import GOLDEN
from server import Server, until

MODEL = GOLDEN / "variants/macchiato-rglru"
ENDLESS = {"max_tokens": 1 << 20, "ignore_eos": True}


@pytest.fixture(scope="module")
def server():
    with Server(MODEL, "--backend=cpu", "--sessions_max=2", "--queue_requests_max=1") as server:
        yield server


@pytest.fixture
def client(server):
    with Client(server.address) as client:
        yield client
    server.settled()


def fill(client):
    """Takes both slots, one after the other: two at once may find the queue full."""
    holders = []
    for _ in range(2):
        holders.append(client.inference.Generate(request([1], {}, ENDLESS)))
        next(holders[-1])
    return holders


def test_the_server_cuts_a_deadline_that_is_missing():
    """So the server's own answer arrives, not the client's guess."""
    with (Server(MODEL, "--backend=cpu", "--sessions_max=1", "--deadline_seconds_max=0.5") as server,
          Client(server.address) as client):
        running = client.inference.Generate(request([1], {"seed": 1}, ENDLESS))
        next(running)
        for stream in (client.inference.Generate(request([2], {}, ENDLESS)), running):
            got = failed(lambda s=stream: list(s))
            assert (got.code, got.reason, got.domain) == ("DEADLINE_EXCEEDED", "DEADLINE", "barista")
        assert server.settled()['barista_errors_total{reason="deadline"}'] == 2


def test_a_callers_deadline_passes_while_waiting(client, server):
    holders = fill(client)
    got = failed(lambda: client.generate([1], {}, ENDLESS, timeout=0.2))
    assert got.code == "DEADLINE_EXCEEDED"
    until(lambda: server.metrics()["barista_num_requests_waiting"] == 0, what="its end")
    for holder in holders:
        holder.cancel()


def test_a_full_queue_is_an_answer_with_advice(client, server):
    holders = fill(client)
    waiting = client.inference.Generate(greedy([2], 3))
    until(lambda: server.metrics()["barista_num_requests_waiting"] == 1, what="a call that waits")
    got = failed(lambda: client.greedy([3], 3))
    assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
    assert got.retry_seconds > 0 and "limit 1" in got.message
    holders[0].cancel()
    assert len(collect(waiting).ids) == 3
    holders[1].cancel()
    assert server.settled()['barista_admission_refusals_total{reason="queue_full"}'] == 1


def test_more_choices_than_slots_can_never_run(client):
    got = failed(lambda: client.greedy([1], 3, n=3))
    assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX")
    assert "3" in got.message and "2" in got.message


def test_as_many_choices_as_the_limit_allows_run_with_a_small_outbox():
    """All of one step's tokens count against the outbox; they must fit however many choices there are."""
    flags = ["--sessions_max=64", "--n_max=64", "--outbox_events_max=32", "--deadline_seconds_max=20"]
    with (Server(MODEL, "--backend=cpu", *flags) as server,
          Client(server.address) as client):
        got = client.generate([1, 2], {"seed": 3}, {"max_tokens": 20, "ignore_eos": True}, n=64)
        assert [len(got.choices[i].ids) for i in range(64)] == [20] * 64


def test_calls_queue_in_order_of_arrival():
    with (Server(MODEL, "--backend=cpu", "--sessions_max=1") as server,
          Client(server.address) as client):
        holder = client.inference.Generate(request([1], {}, ENDLESS))
        next(holder)
        ends, threads = [], []
        for i in range(5):
            stream = client.inference.Generate(greedy([i + 1], 20))
            threads.append(threading.Thread(target=lambda i=i, s=stream: (list(s), ends.append(i))))
            until(lambda: server.metrics()["barista_num_requests_waiting"] == i + 1, what="a call that waits")
            threads[-1].start()
        holder.cancel()
        for thread in threads:
            thread.join()
        metrics = server.settled()
        assert metrics["barista_request_queue_time_seconds_count"] == 6 and sorted(ends) == [0, 1, 2, 3, 4]
