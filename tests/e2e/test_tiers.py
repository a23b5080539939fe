"""More sessions than slots: they leave the device and come back, and nobody can tell by the bits."""
import bisect
import concurrent.futures
import itertools
import random
import threading

import pytest

from client import Client, collect, failed, greedy, past_of, request
from conftest import DEMO, GOLDEN
from server import Server, state_files, until
from stubs import session as proto
from test_sessions import SAMPLINGS, go_on, length, observed

MODEL = GOLDEN / "variants/macchiato-conv-rope"
PLACES = ("device", "host", "directory")


def with_places(tmp_path, bytes_per_session, slots, host, directory):
    """Flags for so many sessions in each place."""
    assert host == 0 or bytes_per_session > 0
    return [f"--sessions_max={slots}", f"--host_state_bytes={host * bytes_per_session}", f"--state_dir={tmp_path}",
            f"--directory_state_bytes={directory * (bytes_per_session + 20_000)}", "--poison_freed_slots"]


def state_bytes_of(model, backend):
    with Server(model, backend, "--sessions_max=1") as server:
        return server.bytes_per_session


class Life:
    """A session, and what random calls on it answer. The same seed asks the same."""

    def __init__(self, name, vocabulary):
        self.id, self.name = name, f"sessions/{name}"
        self._rng, self._vocabulary = random.Random(name), vocabulary
        self._lock = threading.Lock()
        self._position = self._lowest = 0
        self.seen = []

    def step(self, client):
        with self._lock:
            kinds = (self.generate, self.generate, self.generate, self.append, self.rewind, self.fork, self.move,
                     self.look, self.put_back, self.again)
            operation = self._rng.choices(kinds, (6, 6, 6, 4, 3, 2, 1, 3, 1, 1))[0]
            if not self.seen:
                client.create_session(self.id)
            if self._position == 0:
                operation = self.append
            self.seen.append((operation.__name__, operation(client)))
            told = client.get_session(self.name)
            self._position, self._lowest = told.position, told.rewind_position_min
            self.seen.append((told.position, told.rewind_position_min, told.turns, [m.mark for m in told.marks]))

    def prompt(self):
        return [self._rng.randrange(self._vocabulary) for _ in range(self._rng.choice((1, 5, 64, 65, 150)))]

    def mark(self):
        return f"m{self._rng.randrange(3)}" if self._rng.random() < 0.2 else None

    def sampling(self):
        return {**self._rng.choice(list(SAMPLINGS.values())), "seed": self._rng.getrandbits(64)}

    def generate(self, client):
        prompt = self.prompt() if self._rng.random() < 0.4 else None
        return observed(client.generate(prompt, self.sampling(), length(self._rng.randint(1, 12)), session=self.name,
                                        logprobs=1, mark=self.mark()))

    def append(self, client):
        return client.append(self.name, self.prompt(), self.prompt(), mark=self.mark()).session_position

    def rewind(self, client):
        back = self._position - self._lowest
        if back == 0:
            return None
        return client.rewind(self.name, tokens=self._rng.randint(1, back)).session.position

    def fork(self, client):
        """A copy goes its own way for a while."""
        repeat = self._rng.random() < 0.5
        (child,) = client.fork_session(self.name, f"{self.id}.fork", repeat_parent=repeat)
        try:
            drew = [observed(go_on(client, child.name, self._rng.randint(1, 12), self.sampling())) for _ in range(2)]
        finally:
            client.delete_session(child.name)
        return child.position, drew

    def move(self, client):
        """Out as bytes and in again."""
        data = client.export_session(self.name)
        client.delete_session(self.name)
        client.import_session(data, self.id)
        return past_of(data)

    def look(self, client):
        return past_of(client.export_session(self.name))

    def put_back(self, client):
        position = client.snapshot(self.name, self.id, replace=True).position
        drew = observed(go_on(client, self.name, 5, self.sampling()))
        assert client.restore(f"snapshots/{self.id}", self.id, replace=True).session.position == position
        return position, drew

    def again(self, client):
        """A session of the same name that has seen nothing."""
        client.delete_session(self.name)
        client.create_session(self.id)
        return self.append(client)


def schedule(rng, sessions, calls, exponent):
    """Which session each call is on: the first ones often, the last ones seldom (Zipf)."""
    weights = list(itertools.accumulate(1 / (i + 1) ** exponent for i in range(sessions)))
    return [bisect.bisect(weights, rng.random() * weights[-1]) for _ in range(calls)]


def live(client, names, plan, vocabulary, threads):
    """What the sessions saw, where this many callers work off the plan."""
    lives = [Life(name, vocabulary) for name in names]
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda i: lives[i].step(client), plan):
            pass
    return [life.seen for life in lives]


@pytest.mark.parametrize("model, backend, slots, host", [(MODEL, "cpu", 2, 3), (MODEL, "cpu", 4, 0), (MODEL, "ref", 3, 2),
                                                         (DEMO, "cpu", 2, 1)],
                         ids=["host-and-directory", "directory", "ref", "demo"])
def test_bits_do_not_depend_on_where_sessions_lie(tmp_path, full, model, backend, slots, host):
    """Several callers, more sessions than slots, against a server that has a slot for each."""
    sessions, threads = slots * (20 if full else 5), slots + 2
    calls = sessions * (40 if full else 5)
    plan = schedule(random.Random(f"{model.name} {slots}"), sessions, calls, 0.9)
    names = [f"s{i:03}" for i in range(sessions)]
    backend = f"--backend={backend}"
    size = state_bytes_of(model, backend)
    flags = with_places(tmp_path / "few", size, slots, host, sessions - slots - host + threads)
    with Server(model, backend, *flags) as server, Client(server.address) as client:
        vocabulary = client.model().architecture.vocab_size
        got = live(client, names, plan, vocabulary, threads)
        metrics = server.metrics()
        tiers = {place: metrics[f'barista_sessions{{tier="{place}"}}'] for place in PLACES}
        evictions = {place: metrics[f'barista_evictions_total{{tier="{place}"}}'] for place in PLACES[1:]}
        assert metrics["barista_state_nonfinite_total"] == 0
        assert sum(v for key, v in metrics.items() if key.startswith("barista_errors_total")) == 0
        assert tiers["device"] == slots and evictions["host"] > 0 and evictions["directory"] > 0
    with (Server(model, backend, f"--sessions_max={sessions + 1}", f"--state_dir={tmp_path / 'all'}") as server,
          Client(server.address) as client):
        assert got == live(client, names, plan, vocabulary, 1)
        assert sum(server.metrics()[f'barista_evictions_total{{tier="{place}"}}'] for place in PLACES[1:]) == 0
    print(f"result: tiers: {model.name} {backend}: {calls} calls on {sessions} sessions in {slots} slots, "
          f"{evictions['host']:.0f} went to the host's memory and {evictions['directory']:.0f} to the directory: same bits")


@pytest.fixture(scope="module")
def size():
    return state_bytes_of(MODEL, "--backend=cpu")


@pytest.fixture
def few(tmp_path, size):
    """Two slots, two places in the host's memory, and a directory with room."""
    with (Server(MODEL, "--backend=cpu", *with_places(tmp_path, size, 2, 2, 8)) as server,
          Client(server.address) as client):
        server.files = tmp_path / "sessions"
        yield server, client


def tier_of(client, name):
    return proto.Tier.Name(client.get_session(name).tier).removeprefix("TIER_")


def spread(server, client, count=7):
    """{tier: names} of sessions that were used one after the other, once they lie still."""
    names = [client.create_session(f"s{i}").name for i in range(count)]
    for i, name in enumerate(names):
        client.append(name, [1, 2, 3 + i])
    tiers = {}

    def settled():
        tiers.clear()
        for name in names:
            tiers.setdefault(tier_of(client, name), []).append(name)
        return len(tiers.get("HOST", ())) <= 2
    until(settled, what="no more sessions in the host's memory than fit")
    return tiers


def test_the_longest_unused_go_first_and_are_told_where_they_lie(few):
    server, client = few
    tiers = spread(server, client)
    assert tiers["DEVICE"] == ["sessions/s5", "sessions/s6"]
    assert tiers["DIRECTORY"] == [f"sessions/s{i}" for i in range(len(tiers["DIRECTORY"]))]
    assert len(tiers["HOST"]) == 2 and len(tiers["DIRECTORY"]) == 3
    metrics = server.settled(sessions=2)
    for place in PLACES:
        count = len(tiers[place.upper()])
        assert metrics[f'barista_sessions{{tier="{place}"}}'] == count
        assert metrics[f'barista_state_bytes{{tier="{place}"}}'] == count * server.bytes_per_session
    assert len(state_files(server.files)) == 3
    for name, position in ((n, 3) for names in list(tiers.values()) for n in names):
        assert client.get_session(name).position == position  # which brings nothing back
    assert client.get_session(tiers["DIRECTORY"][0]).tier == proto.TIER_DIRECTORY
    back = tiers["DIRECTORY"][0]
    assert len(client.greedy(None, 5, session=back).ids) == 5
    assert tier_of(client, back) == "DEVICE"
    until(lambda: len(state_files(server.files)) == [tier_of(client, n) for t in tiers.values() for n in t].count("DIRECTORY"),
          what="one file for each session in the directory")


def test_an_empty_session_lies_nowhere_when_there_is_no_slot(few):
    _, client = few
    names = [client.create_session(f"s{i}").name for i in range(4)]
    assert [tier_of(client, n) for n in names] == ["DEVICE", "DEVICE", "UNSPECIFIED", "UNSPECIFIED"]
    assert client.append(names[3], [1]).session_position == 1
    assert tier_of(client, names[3]) == "DEVICE"


def test_no_more_sessions_are_made_than_fit_in_all(few):
    server, client = few
    most = client.model().memory.sessions_total_max
    assert most >= 12 and client.model().memory.sessions_max == 2
    for i in range(most):
        client.append(client.create_session(f"s{i}").name, [1, i])
    data = client.export_session("sessions/s0")
    snapshot = client.snapshot("sessions/s1").name
    for call in (lambda: client.create_session("more"), lambda: client.fork_session("sessions/s0", "more"),
                 lambda: client.import_session(data, "more"), lambda: client.restore(snapshot, "more")):
        got = failed(call)
        assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX")
        assert got.retry_seconds > 0 and str(most) in got.message
    for i in range(most):  # all of them can still be used, one after the other
        assert len(client.greedy(None, 3, session=f"sessions/s{i}").ids) == 3
    got = failed(lambda: client.greedy([1], 3))  # a call without one has no place left
    assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX") and got.retry_seconds > 0
    assert server.metrics()['barista_admission_refusals_total{reason="sessions_max"}'] == 5
    client.delete_session("sessions/s0")
    assert len(client.greedy([1], 3).ids) == 3
    assert client.create_session("more").position == 0
    assert failed(lambda: client.create_session("again")).reason == "SESSIONS_MAX"


def test_without_a_place_below_sessions_keep_their_slots(size):
    with Server(MODEL, "--backend=cpu", "--sessions_max=2", f"--host_state_bytes={size - 1}") as server:
        with Client(server.address) as client:
            assert client.model().memory.sessions_total_max == 2
            for i in range(2):
                client.append(client.create_session(f"s{i}").name, [1])
            assert failed(lambda: client.create_session("more")).reason == "SESSIONS_MAX"
            assert failed(lambda: client.greedy([1], 3)).reason == "SESSIONS_MAX"


def test_calls_without_a_session_get_slots_beside_idle_ones(few):
    server, client = few
    wanted = client.greedy([5, 6, 7], 20).ids
    spread(server, client)
    for n in (1, 2):  # n = 2 needs both
        assert client.greedy([5, 6, 7], 20, n=n).ids == wanted
        assert client.score([1, 2, 3]).usage.prompt_tokens == 3
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for ids in pool.map(lambda _: client.greedy([5, 6, 7], 20).ids, range(40)):
            assert ids == wanted


def test_calls_that_run_are_never_sent_away(few):
    """Idle sessions wait for a slot as long as calls hold them all."""
    server, client = few
    tiers = spread(server, client)
    streams = [client.inference.Generate(request([1], {}, length(1 << 20)), timeout=60) for _ in range(2)]
    for stream in streams:
        next(stream)
    waiting = client.inference.Generate(greedy(None, 5, session=tiers["DIRECTORY"][0]), timeout=60)
    until(lambda: client.get_session(tiers["DIRECTORY"][0]).busy, what="a call that waits for its slot")
    assert failed(lambda: client.append(tiers["DIRECTORY"][0], [1])).reason == "SESSION_BUSY"
    assert failed(lambda: client.delete_session(tiers["DIRECTORY"][0])).reason == "SESSION_BUSY"
    for stream in streams:
        next(stream)
    streams[0].cancel()
    assert len(collect(waiting).ids) == 5
    next(streams[1])
    streams[1].cancel()


def test_a_caller_that_leaves_while_its_session_waits_leaves_it_as_it_was(few):
    server, client = few
    name = spread(server, client)["DIRECTORY"][0]
    wanted = past_of(client.export_session(name))
    streams = [client.inference.Generate(request([1], {}, length(1 << 20)), timeout=60) for _ in range(2)]
    for stream in streams:
        next(stream)
    waiting = client.inference.Generate(greedy(None, 5, session=name), timeout=60)
    until(lambda: client.get_session(name).busy, what="a call that waits for its slot")
    waiting.cancel()
    until(lambda: not client.get_session(name).busy, what="the end of the call")
    for stream in streams:
        stream.cancel()
    assert client.get_session(name).position == 3
    assert past_of(client.export_session(name)) == wanted
    assert len(client.greedy(None, 5, session=name).ids) == 5


def test_a_full_queue_takes_no_account_of_idle_sessions(tmp_path, size):
    """A slot that an idle session holds is as good as a free one."""
    flags = with_places(tmp_path, size, 2, 2, 8)
    with (Server(MODEL, "--backend=cpu", "--queue_requests_max=0", *flags) as server,
          Client(server.address) as client):
        spread(server, client)
        assert len(client.greedy([1], 3).ids) == 3


@pytest.mark.parametrize("tier", ["DEVICE", "HOST", "DIRECTORY"])
def test_deleting_a_session_leaves_no_file_and_frees_its_place(few, tier):
    server, client = few
    tiers = spread(server, client)
    victim = tiers[tier][0]
    client.delete_session(victim)
    assert failed(lambda: client.get_session(victim)).reason == "SESSION_NOT_FOUND"
    left = sorted(n for names in tiers.values() for n in names if n != victim)
    assert [s.name for s in client.list_sessions().sessions] == left
    made = client.create_session(victim.removeprefix("sessions/"))
    assert made.position == 0
    for name in (*left, victim):
        client.delete_session(name)
    until(lambda: state_files(server.files) == [], what="no file of any")
    metrics = server.settled()
    assert all(metrics[f'barista_sessions{{tier="{place}"}}'] == 0 for place in PLACES)


def test_sessions_are_deleted_and_used_while_they_move(few):
    """Every call at once with the moves that the others cause."""
    _, client = few
    rng = random.Random("moves")

    def work(i):
        mine = random.Random(f"moves {i}")
        for turn in range(12):
            name = client.create_session(f"s{i}").name
            client.append(name, [i + 1, turn + 1])
            for _ in range(mine.randint(0, 2)):
                assert len(client.greedy(None, 2, session=name).ids) == 2
            if mine.random() < 0.5:
                assert client.snapshot(name, f"k{i}", replace=True).position >= 2
            if mine.random() < 0.5:
                client.restore(f"snapshots/k{i}", f"s{i}", replace=True) if turn and has(client, i) else None
            client.delete_session(name)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, rng.sample(range(8), 8)))
    assert client.list_sessions().total_size == 0


def has(client, i):
    return f"snapshots/k{i}" in [s.name for s in client.list_snapshots().snapshots]


def test_sessions_are_there_in_the_next_process(tmp_path, size, full):
    """All that lay anywhere at SIGTERM, with the bits that they had."""
    flags = with_places(tmp_path, size, 2, 2, 16)
    wanted = {}
    for round_number in range(5 if full else 2):
        with Server(MODEL, "--backend=cpu", *flags) as server, Client(server.address) as client:
            assert {s.name: s.position for s in client.list_sessions().sessions} == {n: p for n, (p, _) in wanted.items()}
            for name, (_, past) in wanted.items():
                assert tier_of(client, name) == "DIRECTORY"
                assert past_of(client.export_session(name)) == past
            for i in range(5):
                name = client.create_session(f"r{round_number}-{i}").name
                if i:  # one stays empty
                    go_on(client, name, 5, SAMPLINGS["penalties"], [1, 2, i])
            for name in random.Random(round_number).sample(sorted(wanted), len(wanted) // 2):
                client.get_session(name).position and go_on(client, name, 3, SAMPLINGS["seeded"])
            wanted = {s.name: (s.position, past_of(client.export_session(s.name)))
                      for s in client.list_sessions().sessions}
        assert len(state_files(tmp_path / "sessions")) == len(wanted)


def test_a_session_that_was_deleted_takes_no_file_of_the_next_one_of_its_name(tmp_path, size, full):
    """Deleted while its state is written; the next one goes down at once."""
    with (Server(MODEL, "--backend=cpu", *with_places(tmp_path, size, 1, 0, 8)) as server,
          Client(server.address) as client):
        client.append(client.create_session("other").name, [1])
        for i in range(300 if full else 30):
            for turn in (1, 2):
                client.append(client.create_session("same").name, [3] * turn)
                client.append("sessions/other", [2])  # needs the one slot
                if turn == 1:
                    client.delete_session("sessions/same")
            assert client.append("sessions/same", [4]).session_position == 3, i
            client.delete_session("sessions/same")


def test_many_more_callers_than_places_all_get_their_turn(tmp_path, size, full):
    """All at once, and nothing is in the host's memory but on its way."""
    sessions = 200 if full else 30
    with (Server(MODEL, "--backend=cpu", *with_places(tmp_path, size, 2, 0, sessions)) as server,
          Client(server.address) as client, concurrent.futures.ThreadPoolExecutor(sessions) as pool):
        names = [client.create_session(f"s{i}").name for i in range(sessions)]
        for turn in range(3):
            got = pool.map(lambda name: client.append(name, [1, 2], timeout=60).session_position, names)
            assert list(got) == [2 * turn + 2] * sessions
