"""Whatever is done to the metrics port, calls go on, and a scrape comes through again afterwards."""
import contextlib
import socket
import threading
import urllib.request

import pytest

from client import Client
from conftest import TINY
from server import Server, until


@pytest.fixture(scope="module")
def server():
    with Server(TINY, "--backend=cpu", "--sessions_max=8") as running:
        yield running


def connect(server):
    host, port = server.metrics_address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=10)


def slow_request(server):
    """Sends a request's head a byte at a time; never ends it."""
    s = connect(server)
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    return s


def half_open(server):
    return connect(server)  # and says nothing


def huge_head(server):
    s = connect(server)
    with contextlib.suppress(OSError):  # it is hung up on
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"x" * 4_000_000)
    return s


def reads_nothing(server):
    s = connect(server)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    return s


def garbage(server):
    s = connect(server)
    with contextlib.suppress(OSError):
        s.sendall(b"\x16\x03\x01" + bytes(range(256)) * 40)
    return s


def scraped(server):
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=5).status == 200
    return False


@pytest.mark.parametrize("attack", [slow_request, half_open, huge_head, reads_nothing, garbage])
def test_fifty_bad_clients_at_once_stop_neither_calls_nor_later_scrapes(server, attack):
    with contextlib.ExitStack() as stack, Client(server.address) as client:
        before = len(client.greedy([1, 2, 3], 100).ids)
        for _ in range(50):
            stack.enter_context(contextlib.closing(attack(server)))
        for _ in range(5):
            assert len(client.greedy([1, 2, 3], 100).ids) == before == 100
    until(lambda: scraped(server), 60, "a scrape after the attack")


def test_two_hundred_scrapes_at_once_are_answered_while_calls_go_on(server):
    answered = []
    threads = [threading.Thread(target=lambda: answered.append(until(lambda: scraped(server), 120, "a scrape")))
               for _ in range(200)]
    with Client(server.address) as client:
        for thread in threads:
            thread.start()
        for _ in range(5):
            assert len(client.greedy([1, 2, 3], 100).ids) == 100
        for thread in threads:
            thread.join()
    assert answered == [True] * 200


def test_the_port_takes_a_bounded_number_of_threads(server):
    def threads():
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
            return int(next(line for line in status if line.startswith("Threads:")).split()[1])
    before = threads()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(contextlib.closing(half_open(server)))
        with Client(server.address) as client:
            client.greedy([1], 10)
        assert threads() <= before + 8  # some of gRPC's
    until(lambda: scraped(server), 60, "a scrape after the attack")
