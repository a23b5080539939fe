#!/usr/bin/env python3
"""Many sessions on few slots, as their callers see it: a full server, sessions that come back from a tier, a drain.

    build/venv/bin/python tests/bench/tiers_bench.py --model=DIR [--slots=8] [--calls=2000] [--state_dir=DIR]

1. Fills the server to its last place with sessions of 1 to --longest tokens and lets the shortest grow: resident memory
   before and after, and how long the refusal of one session more takes.
2. 20 sessions a slot, chosen by Zipf's law: each call goes on with its session for 8 tokens. Time to the first token by
   the tier where the session lay, beside bytes over the rate of a copy or of a read from that directory.
3. SIGTERM: every session goes to the directory.

--state_dir: on the medium to be measured; default a temporary directory. Needs the Python packages of the tests.
"""
import argparse
import bisect
import concurrent.futures
import itertools
import os
import pathlib
import random
import re
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from client import Client, failed, greedy  # noqa: E402
from server import Server  # noqa: E402
from stubs import session as proto  # noqa: E402

SESSIONS_A_SLOT = 20
PIECE = 16384  # tokens of one prompt


def resident(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Rss:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def tokens(rng, vocabulary, count):
    return [rng.randrange(vocabulary) for _ in range(count)]


def seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def grow(client, name, rng, vocabulary, count):
    for begin in range(0, count, PIECE):
        client.append(name, tokens(rng, vocabulary, min(PIECE, count - begin)), timeout=600)


def fill(options):
    """Lengths spread evenly over the powers of ten; then all become as long as the longest."""
    rng = random.Random(1)
    with (Server(options.model, f"--sessions_max={options.slots}", "--checkpoint_bytes=0") as server,
          Client(server.address) as client):
        vocabulary = client.model().architecture.vocab_size
        lengths = [round(options.longest ** (i / (options.slots - 1))) for i in range(options.slots)]
        names = []
        for i, length in enumerate(lengths):
            names.append(client.create_session(f"s{i}").name)
            grow(client, names[-1], rng, vocabulary, length)
        before = resident(server)
        refusals, hints = [], set()
        for _ in range(200):
            begin = time.perf_counter()
            got = failed(lambda: client.create_session("one-more"))
            refusals.append(time.perf_counter() - begin)
            hints.add((got.code, got.reason, got.retry_seconds > 0))
        grow(client, names[0], rng, vocabulary, options.longest)
        after = resident(server)
        print(f"| sessions | lengths | resident, MiB | one grown to {options.longest}, MiB more | refusals, ms p50 | p99 "
              f"| longest | answer |\n|{'---|' * 8}")
        print(f"| {options.slots} | {lengths[0]} to {lengths[-1]} | {before / 2**20:.1f} "
              f"| {(after - before) / 2**20:.2f} | {1e3 * statistics.median(refusals):.2f} "
              f"| {1e3 * quantile(refusals, 0.99):.2f} | {1e3 * max(refusals):.2f} "
              f"| {', '.join(f'{code} {reason}, retry hint: {hint}' for code, reason, hint in hints)} |\n")


class Callers:
    """Goes on with sessions that Zipf's law chooses, from several threads, one call a session at a time."""

    def __init__(self, client, names, rng):
        self.client, self.names = client, names
        self.locks = [threading.Lock() for _ in names]
        self.weights = list(itertools.accumulate(1 / (i + 1) for i in range(len(names))))
        self.rng, self.rng_lock = rng, threading.Lock()
        self.first = {}  # tier: seconds to the first token
        self.errors = 0

    def choose(self):
        with self.rng_lock:
            return bisect.bisect(self.weights, self.rng.random() * self.weights[-1])

    def call(self, _):
        index = self.choose()
        with self.locks[index]:
            name = self.names[index]
            tier = proto.Tier.Name(self.client.get_session(name).tier).removeprefix("TIER_").lower()
            begin, first = time.perf_counter(), None
            try:
                for message in self.client.inference.Generate(greedy(None, 8, session=name), timeout=60):
                    if message.HasField("chunk") and first is None:
                        first = time.perf_counter() - begin
            except Exception as error:  # counted, and shown: the table must say 0
                self.errors += 1
                print(f"{name}: {error}", file=sys.stderr)
                return
            self.first.setdefault(tier, []).append(first)


def file_seconds(directory, size):
    """Median of reading a file as large as a session's, written before."""
    path = pathlib.Path(directory) / "probe"
    path.write_bytes(os.urandom(size))
    times = [seconds(path.read_bytes) for _ in range(21)]
    path.unlink()
    return statistics.median(times)


def copy_seconds(size):
    source, target = bytearray(os.urandom(size)), bytearray(size)
    return statistics.median(seconds(lambda: target.__setitem__(slice(None), source)) for _ in range(21))


def zipf_and_drain(options, directory):
    rng = random.Random(2)
    count = SESSIONS_A_SLOT * options.slots
    with Server(options.model, "--sessions_max=1") as probe:
        size = probe.bytes_per_session
    host = 4 * options.slots
    with (Server(options.model, f"--sessions_max={options.slots}", f"--host_state_bytes={host * size}",
                 f"--state_dir={directory}", "--checkpoint_bytes=0") as server, Client(server.address) as client):
        vocabulary = client.model().architecture.vocab_size
        names = []
        for i in range(count):
            names.append(client.create_session(f"s{i}").name)
            client.append(names[-1], tokens(rng, vocabulary, 65))
        callers = Callers(client, names, rng)
        with concurrent.futures.ThreadPoolExecutor(options.callers) as pool:
            took = seconds(lambda: list(pool.map(callers.call, range(options.calls))))
        limits = {"device": 0, "host": copy_seconds(size), "directory": file_seconds(directory, size)}
        base = statistics.median(callers.first.get("device", [0]))
        print(f"{count} sessions of {size / 2**20:.3f} MiB on {options.slots} slots, {host} places in memory; "
              f"{options.callers} callers, {options.calls / took:.0f} calls/s, errors: {callers.errors}\n")
        print(f"| session lay in | calls | first token p50, ms | p99 | more than device p50, ms | bytes / rate, ms |\n"
              f"|{'---|' * 6}")
        for tier, limit in limits.items():
            times = callers.first.get(tier)
            if times:
                print(f"| {tier} | {len(times)} | {1e3 * statistics.median(times):.2f} | {1e3 * quantile(times, 0.99):.2f} "
                      f"| {1e3 * (statistics.median(times) - base):.2f} | {1e3 * limit:.2f} |")
        took = seconds(lambda: server.stop(600))
        parked = [line for line in server.log().splitlines() if '"park' in line]
        print(f"\nDrain: {took:.2f} s from SIGTERM to the end, {count * size / took / 1e6:.0f} MB/s.")
        print("\n".join(parked))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--longest", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--callers", type=int, default=4)
    parser.add_argument("--state_dir")
    options = parser.parse_args()
    fill(options)
    if options.state_dir:
        zipf_and_drain(options, options.state_dir)
    else:
        with tempfile.TemporaryDirectory() as directory:
            zipf_and_drain(options, directory)


if __name__ == "__main__":
    main()
