#!/usr/bin/env python3
"""What scrapes of the metrics port cost the steps of a busy server: quiet, one scrape a second, as many as 32 callers at
once can make, and 64 callers that never finish a request, in turns.

    python3 tests/bench/scrape_bench.py [--model=deploy/demo-model] [--streams=8] [--seconds=5] [--rounds=5]

Seconds of a step are the server's own (barista_step_seconds), gaps the client's."""
import argparse
import contextlib
import pathlib
import socket
import statistics
import sys
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from client import Client, greedy  # noqa: E402
from server import Server  # noqa: E402


class Streams:
    """Calls that draw tokens until they are told to stop, and the gaps between what came."""

    def __init__(self, server, count):
        self.gaps, self._stop = [], threading.Event()
        self._threads = [threading.Thread(target=self._draw, args=(server, i)) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def _draw(self, server, seed):
        with Client(server.address) as client:
            while not self._stop.is_set():
                last = None
                for _ in client.inference.Generate(greedy([seed + 3] * 20, 4000), timeout=600):
                    now = time.monotonic()
                    if last is not None:
                        self.gaps.append(now - last)
                    last = now
                    if self._stop.is_set():
                        break

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def scrape(server):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://{server.metrics_address}/metrics", timeout=5).read()


def every_second(server, stop):
    while not stop.wait(1):
        scrape(server)


def all_the_time(server, stop):
    while not stop.is_set():
        scrape(server)


def never_finish(server, stop):
    host, port = server.metrics_address.rsplit(":", 1)
    while not stop.is_set():
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=2) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            while not stop.wait(0.1):
                s.sendall(b"x")


PHASES = [("quiet", None, 0), ("a scrape a second", every_second, 1), ("32 callers at once", all_the_time, 32),
          ("64 that never finish", never_finish, 64)]


def measure(server, streams, work, callers, seconds):
    """(mean seconds of a step, steps, gaps) while `callers` do `work`."""
    stop = threading.Event()
    threads = [threading.Thread(target=work, args=(server, stop)) for _ in range(callers)]
    before, streams.gaps = server.metrics(), []
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    gaps = sorted(streams.gaps)
    stop.set()
    for thread in threads:
        thread.join()
    after = server.metrics()
    steps = after["barista_step_seconds_count"] - before["barista_step_seconds_count"]
    return (after["barista_step_seconds_sum"] - before["barista_step_seconds_sum"]) / steps, steps, gaps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="deploy/demo-model")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    rows = {name: [] for name, _, _ in PHASES}
    with Server(a.model, "--backend=cpu", f"--sessions_max={a.streams}") as server:
        streams = Streams(server, a.streams)
        for _ in range(a.rounds):
            for name, work, callers in PHASES:
                rows[name].append(measure(server, streams, work, callers, a.seconds))
        streams.stop()
    print("| metrics port | ms a step, mean | gap at the client, p50 ms | p99 ms |\n|---|---|---|---|")
    for name, results in rows.items():
        gaps = sorted(g for _, _, gs in results for g in gs)
        print(f"| {name} | {1e3 * statistics.median(r[0] for r in results):.2f} | {1e3 * gaps[len(gaps) // 2]:.2f} "
              f"| {1e3 * gaps[len(gaps) * 99 // 100]:.2f} |")


if __name__ == "__main__":
    main()
