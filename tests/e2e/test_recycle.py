"""Slots, files and memory after many operations are what they were before, and a slot keeps nothing of who had it."""
import os
import pathlib
import random
import threading

import grpc

from client import Client, failed, failure
from conftest import TINY
from lines import PROMPT_TOKENS, all_of, at_rest, drawn, go_on, length
from server import Server

SLOTS = 4
ENDLESS = 1 << 20
CROWDED = ["--backend=cpu", "--threads=1", f"--sessions_max={SLOTS}", "--poison_freed_slots"]


def resident_mib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def handles(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def files(directory):
    return {p.name for p in directory.rglob("*") if p.is_file()} - {"lock"}


class Mixer:
    """Random operations on sessions and snapshots of its own, each answer checked."""

    SESSIONS_MAX, SNAPSHOTS_MAX = 6, 4

    def __init__(self, address, number, lines, operations):
        self.failure, self._address, self._number, self._line = None, address, number, lines(number)
        self._rng, self._operations, self._made = random.Random(number), operations, 0
        self.at, self.kept = {}, {}  # positions of sessions and snapshots

    def run(self):
        try:
            self._client = Client(self._address)
            for _ in range(self._operations):
                self._step()
            for name in self.at:
                self._client.delete_session(name)
            for name in self.kept:
                self._client.delete_snapshot(name)
            self._client.channel.close()
        except Exception as error:  # reported by the test's thread
            self.failure = error

    def _step(self):
        operation = self._rng.choice((self._create, self._generate, self._generate, self._cancel, self._disconnect,
                                      self._fork, self._delete, self._snapshot, self._restore, self._rewind,
                                      self._delete_snapshot))
        if not self.at:
            return self._create(None)
        operation(self._rng.choice(sorted(self.at)))

    def _id(self):
        self._made += 1
        return f"{self._number}-{self._made}"

    def _create(self, _):
        if len(self.at) < self.SESSIONS_MAX:
            self.at[self._client.create_session(self._id()).name] = 0

    def _generate(self, name):
        self.at[name] = go_on(self._client, self._line, name, self._rng.randint(1, 6), self.at[name])

    def _read_some(self, name):
        """A stream of which some messages were read, and the position that they told."""
        stream = self._client.inference.Generate(self._line.call(name, ENDLESS, self.at[name]), timeout=60)
        messages = [m for _, m in zip(range(self._rng.randint(1, 4)), stream)]
        return stream, max(self.at[name], PROMPT_TOKENS) + len(drawn(messages))

    def _left(self, name, told):
        self.at[name] = at_rest(self._client, name).position
        assert self.at[name] >= told

    def _cancel(self, name):
        stream, told = self._read_some(name)
        stream.cancel()
        self._left(name, told)

    def _disconnect(self, name):
        _, told = self._read_some(name)
        self._client.channel.close()
        self._client = Client(self._address)
        self._left(name, told)

    def _fork(self, name):
        if len(self.at) < self.SESSIONS_MAX:
            (made,) = self._client.fork_session(name, self._id(), repeat_parent=True)
            assert made.position == self.at[name]
            self.at[made.name] = made.position

    def _delete(self, name):
        self._client.delete_session(name)
        del self.at[name]

    def _snapshot(self, name):
        snapshot = f"{self._number}-{self._rng.randrange(self.SNAPSHOTS_MAX)}"
        made = self._client.snapshot(name, snapshot, replace=True)
        assert made.position == self.at[name]
        self.kept[made.name] = made.position

    def _restore(self, name):
        if self.kept:
            snapshot = self._rng.choice(sorted(self.kept))
            put = self._client.restore(snapshot, name.removeprefix("sessions/"), replace=True).session
            assert put.position == self.kept[snapshot]
            self.at[name] = put.position

    def _rewind(self, name):
        tokens = self._rng.randint(1, 30)
        if self.at[name] - tokens > PROMPT_TOKENS:
            try:
                put = self._client.rewind(name, tokens=tokens).session
            except grpc.RpcError as error:
                assert failure(error).reason == "REWIND_OUT_OF_RANGE", failure(error)
                return
            self.at[name] -= tokens
            assert put.position == self.at[name]

    def _delete_snapshot(self, _):
        if self.kept:
            name = self._rng.choice(sorted(self.kept))
            self._client.delete_snapshot(name)
            del self.kept[name]


def run_mixers(server, lines, operations):
    mixers = [Mixer(server.address, number, lines, operations // 4) for number in range(4)]
    threads = [threading.Thread(target=mixer.run) for mixer in mixers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [mixer.failure for mixer in mixers] == [None] * len(mixers)


def test_nothing_leaks(full, lines, tmp_path):
    operations = 100_000 if full else 400
    host = 5 * 70_000  # bytes: five sessions there, the others in the directory
    flags = [*CROWDED, f"--state_dir={tmp_path}", f"--host_state_bytes={host}", "--checkpoint_bytes=4000000"]
    with Server(TINY, *flags) as server:
        run_mixers(server, lines, operations // 10)
        server.settled()
        before, open_before = resident_mib(server), handles(server)
        run_mixers(server, lines, operations)
        metrics = server.settled()
        assert {metrics[f'barista_sessions{{tier="{t}"}}'] for t in ("device", "host", "directory")} == {0}
        assert metrics["barista_state_nonfinite_total"] == 0
        assert files(tmp_path) == set()
        after = resident_mib(server)
        evicted = sum(metrics[f'barista_evictions_total{{tier="{t}"}}'] for t in ("host", "directory"))
        # All slots can be had at once.
        with Client(server.address) as client:
            for i in range(SLOTS):
                go_on(client, lines(i), client.create_session().name, 3, 0)
            client.delete_sessions()
        assert abs(handles(server) - open_before) <= 4  # connections that have just ended
    print(f"result: {operations} random operations: {evicted:.0f} moves down, slots and files all free, resident memory "
          f"{before:.1f} -> {after:.1f} MiB, open files {open_before}")


def test_a_slot_keeps_nothing_of_who_had_it(full):
    """Unique prompts through two slots and, the other way round, through eight of another process."""
    rng, recycles = random.Random(8), 10_000 if full else 100
    calls = [{"prompt": [rng.randrange(300) for _ in range(rng.choice((1, 7, 40, 70)))],
              "sampling": {"temperature": 1, "top_k": 0, "seed": rng.getrandbits(60)},
              "stop": length(rng.randint(1, 8))} for _ in range(recycles)]

    def observed(client, number):
        return [e.SerializeToString() for e in client.generate(**calls[number], logprobs=0).logprobs]

    def fresh(slots, numbers):
        flags = ["--backend=cpu", "--threads=1", f"--sessions_max={slots}", "--poison_freed_slots"]
        with Server(TINY, *flags) as server, Client(server.address) as client:
            answers = {number: observed(client, number) for number in numbers}
            metrics = server.settled()
            assert metrics["barista_state_nonfinite_total"] == 0
            assert metrics["barista_prompt_tokens_total"] == sum(len(calls[n]["prompt"]) for n in numbers)
            return answers

    recycled = fresh(2, range(recycles))
    assert fresh(8, list(reversed(range(recycles)))) == recycled
    alone = rng.sample(range(recycles), 20 if full else 3)
    assert all(fresh(1, [number])[number] == recycled[number] for number in alone)
    print(f"result: {recycles} recycled slots: all answers equal in two processes, {len(alone)} in processes of their own")


def test_memory_is_flat_however_long_the_sessions_are(full):
    sessions, longest = 16, 100_000 if full else 2_000
    rng = random.Random(10)
    with Server(TINY, "--backend=cpu", f"--sessions_max={sessions}") as server, Client(server.address) as client:
        prompt = [rng.randrange(300) for _ in range(longest)]
        names = [client.create_session().name for _ in range(sessions)]
        for name in names:
            client.append(name, prompt[:1000])  # slots and buffers are in use
        before, lengths = resident_mib(server), [round(longest ** (i / (sessions - 1))) for i in range(sessions)]
        for name, tokens in zip(names, lengths):
            client.append(name, *(prompt[at:min(at + 10_000, tokens)] for at in range(0, tokens, 10_000)))
        grown = resident_mib(server) - before
        got = failed(client.create_session)
        assert (got.code, got.reason) == ("RESOURCE_EXHAUSTED", "SESSIONS_MAX") and got.retry_seconds > 0
        assert [client.get_session(name).position for name in names] == [1000 + tokens for tokens in lengths]
    assert grown < 4, "what a window of rewinds and the allocator take; a cache of keys would be 40 MiB with --full"
    print(f"result: {sessions} sessions of 1 to {longest} tokens more: resident memory grew by {grown:.2f} MiB")


def test_half_of_the_streams_leave_while_sessions_move(full, lines, tmp_path):
    rng, sessions, rounds = random.Random(9), 12, 100 if full else 4
    flags = [*CROWDED, f"--state_dir={tmp_path}", "--host_state_bytes=140000"]
    with Server(TINY, *flags) as server, Client(server.address) as client:
        at = {client.create_session(f"{i}").name: 0 for i in range(sessions)}
        number = {name: i % 4 for i, name in enumerate(at)}
        left = 0
        for _ in range(rounds):
            streams = {}
            for name in rng.sample(sorted(at), sessions):
                call = lines(number[name]).call(name, rng.randint(50, 200), at[name])
                streams[name] = client.inference.Generate(call, timeout=120)
            leaving = set(rng.sample(sorted(at), sessions // 2))
            readers = [threading.Thread(target=lambda s=streams[name]: failure_of(s)) for name in leaving]
            for reader in readers:
                reader.start()
            for name in rng.sample(sorted(leaving), len(leaving)):
                streams[name].cancel()
                left += 1
            for name in at.keys() - leaving:
                messages = list(streams[name])
                lines(number[name]).check(messages, messages[-1].summary.session_position)
                at[name] = messages[-1].summary.session_position
            for reader in readers:
                reader.join()
            for name in leaving:
                position = at_rest(client, name).position
                assert position >= at[name]
                at[name] = position
        for name in at:
            at[name] = go_on(client, lines(number[name]), name, 3, at[name])
        assert {s.name: s.position for s in all_of(client.list_sessions, "sessions")} == at
        client.delete_sessions()
        metrics = server.settled()
        assert metrics["barista_state_nonfinite_total"] == 0 and files(tmp_path) == set()
    print(f"result: {left} of {rounds * sessions} streams left while sessions moved: all sessions went on right")


def failure_of(stream):
    try:
        return list(stream)
    except grpc.RpcError as error:
        return failure(error)
