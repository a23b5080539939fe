#!/usr/bin/env python3
"""A barista-server under load, beside the same model without a server.

    python3 tests/bench/serving_bench.py --bin=build/cpu/bin --model=DIR [--backend=cpu] [--rounds=5] [--prompt=128]
        [--tokens=192]

Starts the server with its default settings and runs, in turns: the engine alone (engine_bench), 8 and 32 streams, and 8
streams that a 4096-token prompt joins (serving_load). Then tells what a session costs in memory. Medians over the
rounds. The clients share the machine with the server; the table says how much of it they used. Standard library only.
"""
import argparse
import json
import pathlib
import re
import signal
import statistics
import subprocess
import sys

READY = re.compile(r"ready grpc=(\S+) .*bytes_per_session=(\d+)")


def resident(pid):
    """Bytes of a process in memory: all of them, and those of its largest mapping, which is the pool of slots."""
    text = pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="ascii")
    mappings = [(int(size), int(rss)) for size, rss in
                re.findall(r"^Size:\s+(\d+) kB.*?^Rss:\s+(\d+) kB", text, re.MULTILINE | re.DOTALL)]
    return sum(rss for _, rss in mappings) * 1024, max(mappings)[1] * 1024


def run(command, seconds_max, **more):
    """What a program says on stdout; RuntimeError with its last words where it fails, or takes longer than that."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds_max, check=False, **more)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done in {seconds_max:g} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(said[-1])
    return done.stdout


class Bench:
    def __init__(self, options):
        self.options = options
        self.bin = pathlib.Path(options.bin)
        self.server = subprocess.Popen(
            [self.bin / "barista-server", f"--model={options.model}", f"--backend={options.backend}", "--listen=127.0.0.1:0",
             "--metrics_listen=127.0.0.1:0", "--log_level=error"], stdout=subprocess.PIPE, text=True)
        ready = READY.match(self.server.stdout.readline())
        if ready is None:
            raise SystemExit("serving_bench: the server did not start")
        self.address, self.bytes_per_session = ready[1], int(ready[2])

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        self.server.wait()

    def run(self, program, *flags):
        return json.loads(run([self.bin / program, *flags], self.options.seconds_max))

    def load(self, streams, *flags):
        return self.run("serving_load", f"--server={self.address}", f"--streams={streams}",
                        f"--prompt={self.options.prompt}", f"--tokens={self.options.tokens}", *flags)

    def alone(self, streams):
        """Tokens a second of `streams` sessions with prompts as long as the streams', without a server."""
        setups = self.run("engine_bench", f"--model={self.options.model}", f"--backend={self.options.backend}",
                          "--weights=auto", "--json", "--rounds=1", f"--threads={self.options.threads}",
                          f"--batch={streams}", "--prefill=", f"--context={self.options.prompt}",
                          f"--seconds={self.options.seconds}", "--limit_megabytes=1")
        return setups[0]["points"][0]["tokens_per_second"]


def median(rows, *keys):
    def get(row):
        for key in keys:
            row = row[key]
        return row
    return statistics.median(get(row) for row in rows)


def print_streams(alone, served):
    print("| streams | engine alone, tok/s | served, tok/s | loss | gap p50, ms | p99 | longest | TTFT p50, ms "
          "| longest | clients, cores |\n|" + "---|" * 10)
    for count, rows in served.items():
        engine, rate = statistics.median(alone[count]), median(rows, "all", "tokens_per_second")
        loss = statistics.median(1 - row["all"]["tokens_per_second"] / a for row, a in zip(rows, alone[count]))
        print(f"| {count} | {engine:.0f} | {rate:.0f} | {100 * loss:.1f} % | {median(rows, 'all', 'gap_p50_ms'):.2f} "
              f"| {median(rows, 'all', 'gap_p99_ms'):.2f} | {median(rows, 'all', 'gap_longest_ms'):.2f} "
              f"| {median(rows, 'first_token_p50_ms'):.1f} | {median(rows, 'first_token_longest_ms'):.1f} "
              f"| {median(rows, 'client_cores'):.2f} |")


def print_prompt(rows, tokens):
    print(f"\n| 8 streams | tok/s | gap p50, ms | p99 | longest, median of rounds | longest of all | TTFT of the "
          f"{tokens}-token prompt, ms |\n|" + "---|" * 7)
    for name, key in (("before", "quiet"), ("while the prompt is read", "beside_prompt")):
        first = f"{median(rows, 'prompt_first_token_ms'):.0f}" if key == "beside_prompt" else ""
        print(f"| {name} | {median(rows, key, 'tokens_per_second'):.0f} | {median(rows, key, 'gap_p50_ms'):.2f} "
              f"| {median(rows, key, 'gap_p99_ms'):.2f} | {median(rows, key, 'gap_longest_ms'):.2f} "
              f"| {max(row[key]['gap_longest_ms'] for row in rows):.2f} | {first} |")


def print_memory(bench, counts):
    """Run first: slots become resident when they are used."""
    print(f"| sessions at once so far | resident MiB | a further session, MiB | of it in the pool of slots "
          f"| formula, MiB |\n|{'---|' * 5}")
    before = None
    for count in counts:
        bench.load(count)
        now = resident(bench.server.pid)
        each = "" if before is None else " | ".join(
            f"{(new - old) / (count - before[0]) / 2**20:.3f}" for new, old in zip(now, before[1]))
        print(f"| {count} | {now[0] / 2**20:.1f} | {each or ' | '} | {bench.bytes_per_session / 2**20:.3f} |")
        before = (count, now)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default="build/cpu/bin", help="folder of the programs")
    parser.add_argument("--model", required=True)
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of the engine alone; the server takes all cores")
    parser.add_argument("--prompt", type=int, default=128,
                        help="tokens of each stream's prompt: at least a window, or steps of the engine alone cost less")
    parser.add_argument("--tokens", type=int, default=192, help="tokens each stream makes")
    parser.add_argument("--seconds", type=float, default=1.0, help="of decoding, engine alone, a round")
    parser.add_argument("--long_prompt", type=int, default=4096)
    parser.add_argument("--seconds_max", type=float, default=600, help="that one program may take")
    options = parser.parse_args()
    bench = Bench(options)
    alone, served, prompts = {8: [], 32: []}, {8: [], 32: []}, []
    try:
        print_memory(bench, (1, 33, 65))
        for _ in range(options.rounds):
            for count in served:
                alone[count].append(bench.alone(count))
                served[count].append(bench.load(count))
            prompts.append(bench.load(8, f"--long_prompt={options.long_prompt}"))
    finally:
        bench.stop()
    print_streams(alone, served)
    print_prompt(prompts, options.long_prompt)
    return 0


if __name__ == "__main__":
    sys.exit(main())
