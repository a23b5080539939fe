"""Servers that share sessions through a real Redis: a session is wherever it is wanted, and nowhere twice."""
import random
import threading
import time

import grpc
import pytest

from client import Client, failed, failure
from conftest import TINY
from lines import go_on, length
from redis import Redis
from server import Server, until

FLAGS = ["--backend=cpu", "--threads=1"]
REDIS = 4  # Tier


@pytest.fixture
def redis(tmp_path):
    with Redis(tmp_path) as running:
        yield running


class Pair:
    """A server at this Redis and its client."""

    def __init__(self, redis, *flags, slots=2):
        self.server = Server(TINY, *FLAGS, f"--sessions_max={slots}", f"--redis={redis.address}", *flags)
        self.client = Client(self.server.address)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.client.channel.close()
        self.server.__exit__(*error)


def on_its_way(error):
    """A call that must be tried again: the session moves, another call has it, or Redis does not answer."""
    return failure(error).reason in ("SESSION_ELSEWHERE", "SESSION_BUSY", "STORE_FAILED")


def test_a_session_is_used_where_it_is_wanted(lines, redis):
    with Pair(redis) as a, Pair(redis) as b, Pair(redis) as c:
        name, line = a.client.create_session("s").name, lines(1)
        at = go_on(a.client, line, name, 30, 0)
        at = go_on(b.client, line, name, 30, at)  # a holds it idle, in a slot
        for other in range(3):  # b evicts it: two slots
            go_on(b.client, lines(2), b.client.create_session().name, 3, 0)
        until(lambda: b.client.get_session(name).tier == REDIS, what="the eviction of s")
        at = go_on(c.client, line, name, 30, at)
        assert c.server.stop() == 0
        at = go_on(a.client, line, name, 30, at)
        (copy,) = a.client.fork_session(name, "copy", repeat_parent=True)
        assert copy.position == at
        go_on(b.client, line, copy.name, 30, at)
        snapshot = a.client.snapshot(name, "kept")
        assert b.client.list_snapshots() == a.client.list_snapshots()
        assert [s.name for s in b.client.list_snapshots().snapshots] == [snapshot.name]
        assert b.client.restore(snapshot.name, "restored").session.position == at
        go_on(b.client, line, "sessions/restored", 30, at)
        go_on(a.client, line, "sessions/restored", 30, at + 30)
        b.client.delete_snapshot(snapshot.name)
        assert failed(lambda: a.client.restore(snapshot.name)).reason == "SNAPSHOT_NOT_FOUND"


def test_a_rewind_after_a_move_is_right_or_refused(lines, redis):
    """What a server remembers of a session's past is worth nothing once another server has advanced it."""
    with Pair(redis) as a, Pair(redis) as b:
        name, line = a.client.create_session("s").name, lines(1)
        at = go_on(a.client, line, name, 20, 0)
        at = go_on(b.client, line, name, 20, at)
        at = go_on(a.client, line, name, 20, at)
        for tokens in (5, 10, 15, 30, 50):
            try:
                back = a.client.rewind(name, tokens=tokens).session.position
            except grpc.RpcError as error:
                assert failure(error).reason == "REWIND_OUT_OF_RANGE"
                continue
            assert back == at - tokens
            at = go_on(a.client, line, name, 3, back)


def test_a_name_is_one_for_all(lines, redis):
    with Pair(redis) as a, Pair(redis) as b:
        name = a.client.create_session("s").name
        at = go_on(a.client, lines(1), name, 5, 0)
        for pair in (a, b):
            assert failed(lambda: pair.client.create_session("s")).reason == "SESSION_EXISTS"
            assert failed(lambda: pair.client.fork_session(name, "t", "s")).reason == "SESSION_EXISTS"
            assert failed(lambda: pair.client.get_session("sessions/t")).reason == "SESSION_NOT_FOUND"
        at = go_on(b.client, lines(1), name, 5, at)
        b.client.delete_session(name)
        for pair in (a, b):
            assert failed(lambda: pair.client.append(name, [1])).reason == "SESSION_NOT_FOUND"
        a.client.create_session("s")
        go_on(b.client, lines(3), name, 5, 0)


def test_a_refused_name_harms_nobody(lines, redis):
    """A call that asked for a taken name takes nothing from who has it: its lease is renewed as before."""
    with Pair(redis) as a:
        name = a.client.create_session("s").name
        at = go_on(a.client, lines(1), name, 5, 0)
        refused = [lambda: a.client.create_session("s"), lambda: a.client.fork_session(name, "s"),
                   lambda: a.client.import_session(a.client.export_session(name), "s")]
        threads = [threading.Thread(target=lambda: failed(call)) for call in refused * 5]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        end = time.monotonic() + 3.5  # a quarter of a lease passes in less
        while time.monotonic() < end:
            at = go_on(a.client, lines(1), name, 1, at)
            time.sleep(0.05)


class RandomCalls(threading.Thread):
    """Generate on random names through random servers; what was acknowledged, by name."""

    def __init__(self, addresses, names, seed, calls):
        super().__init__()
        self._addresses, self._names, self._rng, self._calls = addresses, names, random.Random(seed), calls
        self.done, self.refused, self.failure = [], 0, None

    def run(self):
        try:
            clients = [Client(address) for address in self._addresses]
            for _ in range(self._calls):
                self._call(self._rng.choice(clients))
            for client in clients:
                client.channel.close()
        except Exception as error:  # reported by the test's thread
            self.failure = error

    def _call(self, client):
        rng = self._rng
        call = {"prompt": [rng.randrange(256) for _ in range(rng.randint(1, 9))],
                "sampling": {"temperature": 1, "top_k": 0, "seed": rng.getrandbits(60)},
                "stop": length(rng.randint(1, 12))}
        name = rng.choice(self._names)
        try:
            got = client.generate(**call, session=name, logprobs=0)
        except grpc.RpcError as error:
            assert on_its_way(error), failure(error)
            self.refused += 1
            return
        self.done.append((name, got.summary.session_position, call, [e.SerializeToString() for e in got.logprobs]))


def test_two_servers_never_advance_one_session(full, lines, redis):
    """All that was acknowledged is one history a session: a server alone gives the same answers to it."""
    names = [f"sessions/{i}" for i in range(4)]
    with Pair(redis) as a, Pair(redis) as b, Pair(redis) as c:
        pairs = (a, b, c)
        for i, name in enumerate(names):
            pairs[i % 3].client.create_session(name.removeprefix("sessions/"))
        threads = [RandomCalls([p.server.address for p in pairs], names, seed, 400 if full else 25)
                   for seed in range(4)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
            assert thread.failure is None, thread.failure
        seconds = time.monotonic() - begin
        fenced = sum(p.server.metrics()["barista_sessions_fenced_total"] for p in pairs)
    done = [call for thread in threads for call in thread.done]
    assert fenced == 0 and {name for name, *_ in done} == set(names)
    with Server(TINY, *FLAGS, "--sessions_max=8") as server, Client(server.address) as client:
        for name in names:
            client.create_session(name.removeprefix("sessions/"))
        for name, position, call, logprobs in sorted(done, key=lambda call: call[1]):
            got = client.generate(**call, session=name, logprobs=0)
            assert (got.summary.session_position, [e.SerializeToString() for e in got.logprobs]) == (position, logprobs)
    refused = sum(t.refused for t in threads)
    print(f"result: three servers, one Redis: {len(done)} calls acknowledged, {refused} refused in {seconds:.1f} s, "
          "one history a session")


def test_drained_servers_leave_nothing_behind(lines, redis):
    with Pair(redis) as a, Pair(redis) as b:
        names = [a.client.create_session().name for _ in range(6)]
        for i, name in enumerate(names):
            at = go_on(a.client, lines(i), name, 5, 0)
            go_on(b.client, lines(i), name, 5, at)
        a.client.snapshot(names[0], "kept")
        for i, name in enumerate(names):
            (a, b)[i % 2].client.delete_session(name)
        a.client.delete_snapshot("snapshots/kept")
        assert a.server.stop() == 0 and b.server.stop() == 0
        kinds = {key.split(":")[2] for key in redis.keys()}
        assert kinds <= {"epoch", "ended", "caller"}, redis.keys()
