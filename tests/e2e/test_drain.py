"""SIGTERM with idle sessions, running streams and calls that arrive meanwhile: nothing that was acknowledged is lost."""
import json
import random
import signal
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client import Client, failure
from conftest import TINY
from lines import PROMPT_TOKENS, all_of, drawn, go_on
from server import Server
from worker import Worker

ENDLESS = 1 << 20
SLOTS = 4
FLAGS = ["--backend=cpu", "--threads=1", f"--sessions_max={SLOTS}"]


def events(server):
    """{name of a line of the log: its fields}, of lines that come once."""
    return {line["event"]: line for line in map(json.loads, server.log().splitlines())}


class Stream(threading.Thread):
    """Reads a generation until it ends, and checks it."""

    def __init__(self, address, line, name, position, tokens):
        super().__init__()
        self.name_, self.line, self.begin, self.tokens = name, line, position, tokens
        self.failure, self.end, self.told = None, None, position
        self.started = threading.Event()
        self._address = address

    def run(self):
        messages = []
        try:
            with Client(self._address) as client:
                for message in client.inference.Generate(self.line.call(self.name_, self.tokens, self.begin)):
                    messages.append(message)
                    self.told = max(self.begin, PROMPT_TOKENS) + len(drawn(messages))
                    self.started.set()
        except grpc.RpcError as error:
            self.failure = failure(error)
        self.started.set()
        self.end = messages[-1].summary if messages and messages[-1].WhichOneof("event") == "summary" else None
        self.line.check(messages, self.told)


class Caller(Worker):
    """Makes, copies, continues and deletes sessions of its own, until the server refuses."""

    KEPT_MAX = 4
    made = 0

    def step(self):
        kept = self.kept()
        name = self.rng.choice(sorted(kept)) if kept else None
        self.made += 1
        fresh = f"{self.number}-{self.made}"
        pick = self.rng.random()
        if name is None or (len(kept) < self.KEPT_MAX and pick < 0.4):
            self.call(f"sessions/{fresh}", 0, lambda: self.client.create_session(fresh))
        elif len(kept) == self.KEPT_MAX and pick < 0.6:
            self.call(name, None, lambda: self.client.delete_session(name))
        elif len(kept) < self.KEPT_MAX and pick < 0.6:
            self.call(f"sessions/{fresh}", kept[name],
                      lambda: self.client.fork_session(name, fresh, repeat_parent=True))
        elif len(kept) < self.KEPT_MAX and pick < 0.7:
            snapshot = self.client.snapshot(name, f"of-{self.number}", replace=True)
            self.call(f"sessions/{fresh}", snapshot.position,
                      lambda: self.client.restore(snapshot.name, fresh))
        else:
            self.go_on(name, kept[name])


def line_of(lines, name):
    return lines(int(name.split("/")[1].split("-")[0]))


def check(client, lines, may):
    """Each session is at a position where it may be, and goes on there. Where they are then."""
    listed = {s.name: s.position for s in all_of(client.list_sessions, "sessions")}
    for name in listed.keys() | may.keys():
        assert listed.get(name) in may.get(name, {None}), (name, listed.get(name), may.get(name))
    return {name: go_on(client, line_of(lines, name), name, 2, at) for name, at in listed.items()}


def test_nothing_acknowledged_is_lost(full, lines, tmp_path):
    rng, may = random.Random(3), {}
    trials, parked, cut, finished = 1000 if full else 12, 0, 0, 0
    for trial in range(trials):
        # Long streams are cut soon, short ones may finish.
        long = rng.random() < 0.5
        flags = [*FLAGS, f"--state_dir={tmp_path}", f"--drain_seconds={rng.uniform(0, 0.1) if long else 30}"]
        with Server(TINY, *flags) as server, Client(server.address) as client:
            known = check(client, lines, may)
            for name in rng.sample(sorted(known), max(len(known) - 10, 0)):
                client.delete_session(name)
                del known[name]
            streams = []
            for number in range(rng.randint(0, 3)):
                name = f"sessions/{number}-stream-{trial}"
                client.create_session(name.removeprefix("sessions/"))
                streams.append(Stream(server.address, lines(number), name, 0,
                                      ENDLESS if long else rng.randint(1, 2000)))
                streams[-1].start()
            callers = [Caller(server.address, number, lines, random.Random(f"{trial} {number}")) for number in (3, 4)]
            for caller in callers:
                caller.may = {n: {at} for n, at in known.items() if n.startswith(f"sessions/{caller.number}-")}
                caller.made = 1000 * trial
                caller.start()
            health = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert next(health).status == health_pb2.HealthCheckResponse.SERVING
            for stream in streams:
                stream.started.wait(30)
            time.sleep(rng.uniform(0, 0.02))
            server.process.send_signal(signal.SIGTERM)
            assert next(health).status == health_pb2.HealthCheckResponse.NOT_SERVING
            health.cancel()
            assert server.wait() == 0, server.log()
            log = events(server)
        may = {name: {at} for name, at in known.items()}
        for thread in streams + callers:
            thread.join()
        for caller in callers:
            assert caller.failure is None, caller.failure
            may.update(caller.may)
        for stream in streams:
            if stream.end is None:
                assert long, "a short stream did not finish"
                assert (stream.failure.code, stream.failure.reason) == ("UNAVAILABLE", "DRAINING"), stream.failure
                # Never earlier than what the caller has seen; tokens that were drawn and not sent may follow.
                may[stream.name_] = range(stream.told, stream.told + ENDLESS)
                cut += 1
            else:
                assert stream.end.session_position == stream.told
                may[stream.name_] = {stream.told}
                finished += 1
        if "parked" in log:
            assert log["parked"]["lost"] == 0 and log["parked"]["seconds"] >= 0, log
            assert log["parking"]["store"] == "directory" and log["parking"]["bytes"] > 0, log
            parked += log["parked"]["sessions"]
    with Server(TINY, *FLAGS, f"--state_dir={tmp_path}") as server, Client(server.address) as client:
        assert check(client, lines, may)
    print(f"result: SIGTERM under load: {trials} drains, {parked} sessions parked, 0 lost, streams: {finished} finished, "
          f"{cut} cut")


def test_a_long_stream_is_cut_at_the_deadline_and_kept(lines, tmp_path):
    with Server(TINY, *FLAGS, f"--state_dir={tmp_path}", "--drain_seconds=0.2") as server:
        with Client(server.address) as client:
            client.create_session("s")
        stream = Stream(server.address, lines(0), "sessions/s", 0, ENDLESS)
        stream.start()
        assert stream.started.wait(30)
        begin, told = time.monotonic(), stream.told
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        took = time.monotonic() - begin
        stream.join()
        assert stream.end is None and stream.failure.reason == "DRAINING" and stream.told > told
        log = events(server)
        assert log["parking"]["sessions"] == log["parked"]["sessions"] == 1 and log["parked"]["lost"] == 0
        assert log["parking"]["bytes"] == server.bytes_per_session
    with Server(TINY, *FLAGS, f"--state_dir={tmp_path}") as server, Client(server.address) as client:
        position = client.get_session("sessions/s").position
        assert position >= stream.told
        go_on(client, lines(0), "sessions/s", 5, position)
    print(f"result: drain of 0.2 s with an endless stream: {took:.2f} s")


def test_a_second_signal_changes_nothing_and_a_kill_keeps_what_was_in_the_directory(lines, tmp_path):
    flags = [*FLAGS, f"--state_dir={tmp_path}"]
    with Server(TINY, *flags) as server, Client(server.address) as client:
        names = [client.create_session(f"{i}").name for i in range(SLOTS + 2)]
        for i, name in enumerate(names):
            go_on(client, lines(i), name, 5, 0)
        stream = Stream(server.address, lines(0), names[0], PROMPT_TOKENS + 5, 3000)
        stream.start()
        assert stream.started.wait(30)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        stream.join()
        assert stream.end is not None and stream.end.session_position == stream.told
    with Server(TINY, *flags) as server, Client(server.address) as client:
        assert len(all_of(client.list_sessions, "sessions")) == len(names)
        stream = Stream(server.address, lines(0), names[0], stream.told, ENDLESS)
        stream.start()
        assert stream.started.wait(30)
        server.process.send_signal(signal.SIGTERM)
        server.kill()
        stream.join()
        assert stream.failure.code == "UNAVAILABLE"
    with Server(TINY, *flags) as server, Client(server.address) as client:
        for i, name in enumerate(names):  # the one in a slot is gone
            if i > 0:
                go_on(client, lines(i), name, 5, PROMPT_TOKENS + 5)


def test_without_a_store_the_log_says_what_is_lost():
    with Server(TINY, *FLAGS) as server, Client(server.address) as client:
        for _ in range(3):
            client.create_session()
        assert server.stop() == 0
        log = events(server)
        assert (log["parking"]["store"], log["parked"]["sessions"], log["parked"]["lost"]) == ("none", 0, 3)
