#!/usr/bin/env python3
"""What each --weights_dtype costs in perplexity, and what it gives in bytes and speed: one table.

    build/venv/bin/python tests/bench/weight_formats.py --model=DIR [--formats=f32,bf16,int8,int4] [--rounds=5]

Perplexity: the demo model's held-out text through Score of a real server, whose weights are trained; bytes are that
server's. Speed: decode steps of the model in DIR (random weights will do), all formats in turns (engine_bench), as
tokens/s and as a share of the limit of memory, of that format's own bytes. Needs tests/e2e/requirements.txt.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from client import Client  # noqa: E402
from server import BIN, Server  # noqa: E402
from stubs import inference  # noqa: E402

DEMO = ROOT / "deploy/demo-model"
BATCHES = (1, 8, 32)


def perplexity(weights):
    """Of the held-out documents, each from the empty state; and the bytes of the weights."""
    text = (DEMO / "heldout.txt").read_bytes()
    loss = tokens = 0
    with Server(DEMO, "--backend=cpu", "--sessions_max=4", f"--weights_dtype={weights}") as server, \
            Client(server.address) as client:
        for document in json.loads((DEMO / "heldout.json").read_text())["documents"]:
            begin, end = document["bytes"]
            answer = client.inference.Score(inference.ScoreRequest(text=text[begin:end].decode()), timeout=600)
            loss -= answer.total_logprob
            tokens += len(answer.tokens) - 1
        return math.exp(loss / tokens), client.model().memory.weight_bytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="checkpoint whose decode steps are timed")
    parser.add_argument("--formats", default="f32,bf16,int8,int4", help="words of --weights_dtype")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    formats = options.formats.split(",")
    run = subprocess.run(
        [BIN / "engine_bench", f"--model={options.model}", f"--weights={options.formats}", "--prefill=", "--json",
         f"--threads={options.threads}", f"--rounds={options.rounds}", "--batch=" + ",".join(map(str, BATCHES))],
        check=True, stdout=subprocess.PIPE)
    speeds = {setup["weights"]: setup for setup in json.loads(run.stdout)}
    rows = {weights: perplexity(weights) for weights in formats}
    base = rows.get("bf16", rows[formats[0]])[0]
    name = pathlib.Path(options.model).name
    print(f"Perplexity: demo-model. Decode: {name}, {options.threads} threads, tok/s (share of the limit of memory).\n")
    print("| weights | perplexity | cost | demo-model, MB | " + name + ", MB | "
          + " | ".join(f"decode x{batch}" for batch in BATCHES) + " |")
    print("|---" * (5 + len(BATCHES)) + "|")
    for weights, (value, weight_bytes) in rows.items():
        points = [f"{p['tokens_per_second']:.0f} ({100 * p['of_limit']:.0f} %)" for p in speeds[weights]["points"]]
        print(f"| {weights} | {value:.3f} | {100 * (value / base - 1):+.2f} % | {weight_bytes / 1e6:.2f} | "
              f"{speeds[weights]['weight_bytes'] / 1e6:.0f} | " + " | ".join(points) + " |")


if __name__ == "__main__":
    main()
