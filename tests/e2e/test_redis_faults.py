"""Redis dies, freezes and comes back; servers die: nothing acknowledged is lost, and what needs no Redis goes on."""
import random
import statistics
import threading
import time

import grpc
import pytest

from client import Client, failed, failure
from lines import PROMPT_TOKENS, go_on
from redis import Redis
from server import until
from test_redis import REDIS, Pair, on_its_way

LEASE_SECONDS = 10


@pytest.fixture
def redis(tmp_path):
    directory = tmp_path / "redis"
    directory.mkdir()
    with Redis(directory) as running:
        yield running


def median_ms(call, seconds=0.4):
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        call()
        took.append((time.monotonic() - begin) * 1e3)
    return statistics.median(took), max(took)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_what_needs_no_redis_goes_on(lines, redis, fault):
    with Pair(redis, "--redis_timeout_ms=200", slots=3) as a, Pair(redis) as b:
        away = a.client.create_session("away").name
        at_away = go_on(a.client, lines(0), away, 5, 0)
        here = [a.client.create_session(f"here-{i}").name for i in range(3)]
        at = dict.fromkeys(here, 0)
        for i, name in enumerate(here):
            at[name] = go_on(a.client, lines(i), name, 5, 0)
        until(lambda: a.client.get_session(away).tier == REDIS, what="its eviction")

        def use():
            for i, name in enumerate(here):
                at[name] = go_on(a.client, lines(i), name, 3, at[name])
        for number in range(3):  # made before their times are taken
            lines(number).tokens(0, 5000)
        with_redis = median_ms(use)
        redis.kill() if fault == "killed" else redis.freeze()
        without = median_ms(use, 2)
        for call in (lambda: a.client.greedy(None, 1, session=away), lambda: a.client.create_session("new"),
                     lambda: a.client.snapshot(here[0], "kept"), lambda: a.client.list_snapshots(),
                     lambda: a.client.fork_session(here[0], "copy"), lambda: b.client.greedy(None, 1, session=here[0]),
                     lambda: a.client.get_session("sessions/unknown"), lambda: a.client.delete_session(away)):
            got = failed(call)
            assert (got.code, got.reason) == ("UNAVAILABLE", "STORE_FAILED"), got
            assert got.retry_seconds > 0
        use()
        redis.start() if fault == "killed" else redis.thaw()

        def there_again():
            try:
                return go_on(b.client, lines(0), away, 5, at_away)
            except grpc.RpcError as error:
                assert on_its_way(error), failure(error)
        until(there_again, what="Redis, and the session in it")
        use()
        for i, name in enumerate(here):
            until(lambda: a.client.snapshot(name, f"kept-{i}"), what="a snapshot")
            at[name] = go_on(b.client, lines(i), name, 5, at[name])
    print(f"result: calls while Redis is {fault}: median {without[0]:.1f} ms, longest {without[1]:.1f} ms; before "
          f"{with_redis[0]:.1f} and {with_redis[1]:.1f} ms")


class Sessions(threading.Thread):
    """Goes on with sessions of its own through random servers, whatever Redis does, and counts what was refused."""

    def __init__(self, addresses, number, lines, rng):
        super().__init__()
        self.at = {f"sessions/{number}-{i}": 0 for i in range(4)}
        self.done, self.refused, self.failure, self.stop = 0, 0, None, False
        self._addresses, self._line, self._rng = addresses, lines(number), rng

    def run(self):
        try:
            clients = [Client(address) for address in self._addresses]
            for name in self.at:
                clients[0].create_session(name.removeprefix("sessions/"))
            while not self.stop:
                name, client = self._rng.choice(sorted(self.at)), self._rng.choice(clients)
                try:
                    self.at[name] = go_on(client, self._line, name, self._rng.randint(1, 5), self.at[name])
                    self.done += 1
                except grpc.RpcError as error:
                    assert on_its_way(error), (name, failure(error))
                    self.refused += 1
            for client in clients:
                client.channel.close()
        except Exception as error:  # reported by the test's thread
            self.failure = error

    def use_at_last(self, client, name):
        """A call on the session, repeated while it is refused."""
        end = time.monotonic() + 30
        while True:
            try:
                self.at[name] = go_on(client, self._line, name, 2, self.at[name])
                return
            except grpc.RpcError as error:
                assert on_its_way(error) and time.monotonic() < end, (name, failure(error))


def test_redis_comes_and_goes(full, lines, redis):
    rng = random.Random(5)
    with Pair(redis, "--redis_timeout_ms=200") as a, Pair(redis, "--redis_timeout_ms=200") as b:
        threads = [Sessions([a.server.address, b.server.address], number, lines, random.Random(number))
                   for number in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: all(t.done > 0 for t in threads), what="the first calls")
        faults = 60 if full else 4
        for fault in range(faults):
            time.sleep(rng.uniform(0, 0.5))
            if fault % 2:
                redis.freeze()
                time.sleep(rng.uniform(0, 0.5))
                redis.thaw()
            else:
                redis.kill()
                time.sleep(rng.uniform(0, 0.5))
                redis.start()
        # Each session is there still, and can be used through either.
        for thread in threads:
            thread.stop = True
            thread.join()
            assert thread.failure is None, thread.failure
        for thread in threads:
            for name in thread.at:
                for client in (a.client, b.client):
                    thread.use_at_last(client, name)
    print(f"result: Redis killed or frozen {faults} times: {sum(t.done for t in threads)} calls acknowledged, "
          f"{sum(t.refused for t in threads)} refused, 0 lost")


def test_a_drain_without_redis_goes_to_the_directory(lines, redis, tmp_path):
    flags = ["--redis_timeout_ms=200", f"--state_dir={tmp_path / 'state'}"]
    names = [f"sessions/{i}" for i in range(5)]
    with Pair(redis, *flags) as a:
        for i, name in enumerate(names):
            a.client.create_session(str(i))
            go_on(a.client, lines(i), name, 5, 0)
        redis.kill()
        assert a.server.stop() == 0
        assert '"lost":0' in a.server.log(), a.server.log()
    redis.start()
    with Pair(redis, *flags) as a:
        for i, name in enumerate(names):
            go_on(a.client, lines(i), name, 5, PROMPT_TOKENS + 5)


def test_the_names_of_a_dead_server_come_free_with_its_lease(lines, redis):
    with Pair(redis) as a, Pair(redis) as b:
        names = [f"sessions/{i}" for i in range(5)]
        for i, name in enumerate(names):
            a.client.create_session(str(i))
            go_on(a.client, lines(i), name, 5, 0)
        until(lambda: a.server.metrics()['barista_sessions{tier="redis"}'] >= 3, what="three evictions")
        parked = {name for name in names if a.client.get_session(name).tier == REDIS}
        a.server.kill()
        killed = time.monotonic()
        for i, name in enumerate(names):
            if name in parked:
                go_on(b.client, lines(i), name, 5, PROMPT_TOKENS + 5)
        lost = [name for name in names if name not in parked]
        assert lost

        def made():
            try:
                return b.client.create_session(lost[0].removeprefix("sessions/"))
            except grpc.RpcError as error:
                assert failure(error).reason == "SESSION_EXISTS"
        until(made, seconds=LEASE_SECONDS + 10, what="the end of the lease")
        waited = time.monotonic() - killed
        for name in lost[1:]:
            assert failed(lambda: b.client.get_session(name)).reason == "SESSION_NOT_FOUND"
            b.client.create_session(name.removeprefix("sessions/"))
    print(f"result: names of a killed server: free after {waited:.1f} s; {len(parked)} parked sessions went on at once")
