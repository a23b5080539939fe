"""kill -9 at any moment: what was acknowledged is there afterwards, whole, and nothing else is in the way."""
import os
import random
import time

from client import Client
from conftest import TINY
from lines import all_of, go_on
from server import Server, until
from worker import Worker

SECONDS_MAX = 0.06  # from the first call until the kill


def files(directory):
    return set(os.listdir(directory)) - {"lock"}


def until_killed(server, workers, rng):
    for worker in workers:
        worker.start()
    until(lambda: any(worker.acknowledged or worker.failure for worker in workers), what="the first call")
    time.sleep(rng.uniform(0, SECONDS_MAX))
    server.kill()
    for worker in workers:
        worker.join()
        assert worker.failure is None, worker.failure


class SnapshotWorker(Worker):
    """Snapshots of one session of its own: some replaced again and again, some new, some deleted."""

    session, position, made = None, 0, 0
    KEPT_MAX = 12

    def step(self):
        if self.session is None:
            self.session = self.client.create_session(f"of-{self.number}").name
        line = self.lines(self.number)
        kept = [n for n, at in self.may.items() if "new" in n and at != {None}]
        if self.position == 0 or self.rng.random() < 0.3:
            self.position = go_on(self.client, line, self.session, self.rng.randint(1, 5), self.position)
        elif len(kept) > self.KEPT_MAX or (kept and self.rng.random() < 0.1):
            name = self.rng.choice(kept)
            self.call(name, None, lambda: self.client.delete_snapshot(name))
        elif self.rng.random() < 0.5:
            snapshot = f"{self.number}-replaced-{self.rng.randrange(2)}"
            self.call(f"snapshots/{snapshot}", self.position,
                      lambda: self.client.snapshot(self.session, snapshot, replace=True))
        else:
            self.made += 1
            snapshot = f"{self.number}-new-{self.made}"
            self.call(f"snapshots/{snapshot}", self.position,
                      lambda: self.client.snapshot(self.session, snapshot))


def check_snapshots(client, may, lines, rng):
    """All that must be there is, all of it restores; what is known of them now."""
    listed = {s.name: s.position for s in all_of(client.list_snapshots, "snapshots")}
    for name, positions in may.items():
        assert listed.get(name) in positions, (name, listed.get(name), positions)
    assert listed.keys() <= may.keys()
    for name, position in listed.items():
        restored = client.restore(name, "checked", replace=True)
        assert (restored.session.position, restored.prefill_tokens) == (position, 0)
        number = int(name.split("/")[1].split("-")[0])
        go_on(client, lines(number), "sessions/checked", rng.randint(1, 4), position)
    client.delete_sessions()
    return listed


def test_snapshots_survive_kills(full, lines, tmp_path):
    flags = ["--backend=cpu", "--threads=1", "--sessions_max=8", f"--state_dir={tmp_path}"]
    rng, known, acknowledged, unfinished = random.Random(1), {}, 0, 0
    kills = 500 if full else 8
    for kill in range(kills + 1):
        with Server(TINY, *flags) as server, Client(server.address) as client:
            known = check_snapshots(client, known, lines, rng)
            assert files(tmp_path / "snapshots") == {f"@{name.split('/')[1]}.state" for name in known}
            if kill == kills:
                break
            workers = [SnapshotWorker(server.address, n, lines, random.Random(f"{kill} {n}")) for n in range(3)]
            for n, worker in enumerate(workers):
                mine = {name: {at} for name, at in known.items() if name.startswith(f"snapshots/{n}-")}
                worker.may, worker.made = mine, 1000 * kill
                if mine:  # goes on from one of them
                    name = rng.choice(sorted(mine))
                    worker.session = client.restore(name, f"of-{n}").session.name
                    (worker.position,) = mine[name]
            until_killed(server, workers, rng)
            acknowledged += sum(w.acknowledged for w in workers)
            unfinished += len([n for n in files(tmp_path / "snapshots") if "~" in n])
            known = {name: at for w in workers for name, at in w.may.items() if at != {None}}
    assert known and acknowledged > kills
    print(f"result: kill -9 during snapshots: {kills} kills, {acknowledged} snapshots or deletions acknowledged, 0 lost, 0 torn; "
          f"{unfinished} unfinished files were swept")


class SessionWorker(Worker):
    """Calls on sessions that take turns in too few slots."""

    KEPT_MAX = 5
    made = 0

    def step(self):
        kept = self.kept()
        name = self.rng.choice(sorted(kept)) if kept else None
        if name is None or (len(kept) < self.KEPT_MAX and self.rng.random() < 0.3):
            self.made += 1
            session_id = f"{self.number}-{self.made}"
            self.call(f"sessions/{session_id}", 0, lambda: self.client.create_session(session_id))
        elif self.rng.random() < 0.1:
            self.call(name, None, lambda: self.client.delete_session(name))
            self.may[name] = {None}
        elif self.rng.random() < 0.1 and len(kept) < self.KEPT_MAX:
            self.made += 1
            session_id = f"{self.number}-{self.made}"
            self.call(f"sessions/{session_id}", kept[name],
                      lambda: self.client.fork_session(name, session_id, repeat_parent=True))
        else:
            self.go_on(name, kept[name])


def check_sessions(client, may, lines):
    """What is listed stands where it was acknowledged, or where a call without an answer brought it."""
    listed = {s.name: s.position for s in all_of(client.list_sessions, "sessions")}
    for name, position in listed.items():
        assert position in may[name], (name, position, may[name])
        number = int(name.split("/")[1].split("-")[0])
        listed[name] = go_on(client, lines(number), name, 2, position)
    return listed


def test_sessions_in_the_directory_survive_kills(full, lines, tmp_path):
    flags = ["--backend=cpu", "--threads=1", "--sessions_max=3", f"--state_dir={tmp_path}"]
    rng, known, found = random.Random(2), {}, 0
    kills = 500 if full else 8
    for kill in range(kills + 1):
        with Server(TINY, *flags) as server, Client(server.address) as client:
            assert not [n for n in files(tmp_path / "sessions") if "~" in n]
            known = check_sessions(client, known, lines)
            found += len(known)
            if kill == kills:
                break
            workers = [SessionWorker(server.address, n, lines, random.Random(f"{kill} {n}")) for n in range(3)]
            for n, worker in enumerate(workers):
                worker.may = {name: {at} for name, at in known.items() if name.startswith(f"sessions/{n}-")}
                worker.made = 1000 * kill
            until_killed(server, workers, rng)
            # Those in slots are gone with the server.
            known = {name: at for w in workers for name, at in w.may.items()}
    assert found > kills
    print(f"result: kill -9 during evictions: {kills} kills, {found} sessions found again, all right")
