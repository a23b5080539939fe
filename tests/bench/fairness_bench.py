#!/usr/bin/env python3
"""What one greedy tenant does to nine others: gaps between their tokens, alone, and beside it under each kind of limit.

    build/venv/bin/python tests/bench/fairness_bench.py --model=deploy/demo-model [--seconds=20] [--rounds=3]

Each normal tenant has one stream at a time: a prompt, some tokens, the next prompt. The greedy one has ten, with long
prompts. All start together; gaps are those of the normal tenants between two tokens of a stream, as their client sees
them, without the first two seconds. The rows, in turns, each on a server of its own:

    nine alone            each a tenant of its own
    greedy, one tenant    all with one key: nothing tells them apart
    greedy, weights       each a tenant of its own, all of weight 1
    greedy, half a weight the greedy one has weight 0.5
    greedy, rate          it also has tokens_per_second, a tenth of what the nine alone read and drew

Needs tests/e2e/requirements.txt. Clients share the machine with the server.
"""
import argparse
import multiprocessing
import pathlib
import random
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from access_files import access, bearer  # noqa: E402
from client import Client, greedy  # noqa: E402
from server import Server  # noqa: E402

NORMAL, GREEDY_STREAMS, WARM_SECONDS = 9, 10, 2
NAMES = [f"n{i}" for i in range(NORMAL)]


def stream(client, seed, prompt, tokens, until, gaps, counts):
    """Calls one after the other. Gaps between tokens that came after the warm-up, in seconds, and tokens read and drawn."""
    rng = random.Random(seed)
    begin = time.monotonic() + WARM_SECONDS
    while time.monotonic() < until:
        request = greedy([rng.randrange(3, 1000) for _ in range(prompt)], tokens)
        last = None
        for message in client.inference.Generate(request, timeout=600):
            if message.WhichOneof("event") != "chunk":
                continue
            now = time.monotonic()
            if last is not None and last > begin:
                gaps.append(now - last)
            if now > begin:
                counts.append(len(message.chunk.token_ids) + (prompt if last is None else 0))
            last = now
            if now >= until:
                break


def tenants(address, keys, streams, prompt, tokens, until, answer):
    """A process: `streams` for each key."""
    gaps, counts, threads = [], [], []
    clients = {key: Client(address, metadata=bearer(key)) for key in keys}
    for key, client in clients.items():
        for i in range(streams):
            threads.append(threading.Thread(
                target=stream, args=(client, f"{key}{i}", prompt, tokens, until, gaps, counts), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until + 5 - time.monotonic(), 0))
    answer.put((gaps, sum(counts)))


def measure(options, policy, with_greedy):
    """Gaps of the normal tenants, and tokens a second of theirs and of the greedy one's."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "access.json"
        path.write_text(policy)
        with Server(options.model, f"--access_file={path}", "--sessions_max=64", "--checkpoint_bytes=0",
                    "--log_level=error", "--drain_seconds=0") as server:
            until = time.monotonic() + options.seconds
            groups = [(NAMES, 1, options.prompt, options.tokens)]
            if with_greedy:
                groups.append((["greedy"], GREEDY_STREAMS, options.long_prompt, options.tokens))
            context, answers = multiprocessing.get_context("fork"), []
            for keys, *load in groups:
                answers.append(context.Queue())
                context.Process(target=tenants, args=(server.address, keys, *load, until, answers[-1])).start()
            got = [answer.get(timeout=options.seconds + 60) for answer in answers]
    seconds = options.seconds - WARM_SECONDS
    return {"gaps": got[0][0], "normal": got[0][1] / seconds, "greedy": got[1][1] / seconds if with_greedy else 0.0}


def percentile(gaps, part):
    return 1000 * sorted(gaps)[min(int(part * len(gaps)), len(gaps) - 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=20, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a normal tenant's prompt")
    parser.add_argument("--long_prompt", type=int, default=2048, help="tokens of the greedy one's")
    parser.add_argument("--tokens", type=int, default=64, help="that each call draws")
    options = parser.parse_args()

    own = {name: name for name in [*NAMES, "greedy"]}
    shared = {name: "all" for name in own}
    rows = {"nine alone": (access(own), False), "greedy, one tenant": (access(shared), True),
            "greedy, weights": (access(own), True),
            "greedy, half a weight": (access(own, {"greedy": {"weight": 0.5}}), True)}
    results = {name: [] for name in [*rows, "greedy, rate"]}
    for _ in range(options.rounds):
        for name, (policy, with_greedy) in rows.items():
            results[name].append(measure(options, policy, with_greedy))
        rate = max(int(results["nine alone"][-1]["normal"] / 10), 1)
        limited = access(own, {"greedy": {"tokens_per_second": rate}})
        results["greedy, rate"].append(measure(options, limited, True))
    print("| load | gap p50, ms | p99, ms | p99 to alone | longest, ms | the nine, tok/s | greedy, tok/s |\n|"
          + "---|" * 7)
    alone = None
    for name, measured in results.items():
        p50, p99, longest = (statistics.median(percentile(m["gaps"], part) for m in measured) for part in (0.5, 0.99, 1))
        alone = alone or p99
        normal, greedy_rate = (statistics.median(m[key] for m in measured) for key in ("normal", "greedy"))
        print(f"| {name} | {p50:.1f} | {p99:.1f} | {p99 / alone:.2f} | {longest:.0f} | {normal:.0f} | {greedy_rate:.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
