#!/usr/bin/env python3
"""Barista's engine beside its peers on one device, in one run and in turns: decode steps and prompts, medians, one table.

    python3 tests/bench/peers_gpu.py --model=build/bench-models/bench-150m [--device=cuda] [--engine_bench=PROGRAM]
        [--batch=1,64,256] [--prefill=512,4096] [--context=512] [--rounds=5]
    python3 tests/bench/peers_gpu.py --check --device=cpu      # tiny sizes, a round: that everything runs and is right

Peers have as many parameters as bench-150m, random weights, bf16 on a card and f32 on a CPU: the Latte authors' algorithm in
JAX (one-step scan, and full recomputation as their sampler does), a transformer with a KV cache in PyTorch, a recurrent
model of transformers. A peer whose framework is not installed, or that fails, is a row that says so.
"""
import argparse
import functools
import importlib
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from peers.shape import TINY, Shape  # noqa: E402  (found by the line before)

MODULES = {"barista": "Barista", "jax_latte": "JAX", "torch_transformer": "PyTorch", "transformers_mamba": "transformers"}


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--model", help="checkpoint of Barista; without one it is left out")
    parser.add_argument("--engine_bench", default="build/cuda/bin/engine_bench")
    parser.add_argument("--batch", type=numbers, default=[1, 64, 256])
    parser.add_argument("--prefill", type=numbers, default=[512, 4096])
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        arguments.batch, arguments.prefill, arguments.context, arguments.rounds = [1, 3], [48], 32, 1
    return arguments


class Report:
    """What did not run, and why. With --check nothing may fail."""

    def __init__(self, strict):
        self._strict, self.rows = strict, []

    def attempt(self, title, point, run):
        """run(), or None and a row."""
        try:
            return run()
        except Exception as error:  # frameworks have their own; the other peers are still wanted
            if self._strict and not isinstance(error, ImportError):
                raise
            words = " ".join(str(error).split())[:200] or type(error).__name__
            said = f"not installed ({error.name})" if isinstance(error, ImportError) else f"failed: {words}"
            self.rows.append(f"| {title} | | {point} | {said} | |")
            return None


def load(shape, arguments, report):
    for name, title in MODULES.items():
        if name == "barista" and not arguments.model:
            continue
        module = report.attempt(title, "", functools.partial(importlib.import_module, f"peers.{name}"))
        if module is not None and arguments.check and hasattr(module, "check"):
            module.check(shape)
        if module is not None:
            yield from report.attempt(title, "", lambda m=module: list(m.all_of(shape, arguments.device, arguments))) or []


def main():
    arguments = parsed()
    shape, report = TINY if arguments.check else Shape(), Report(arguments.check)
    points = [(f"decode x{batch}", "decode", (batch, arguments.context), batch) for batch in arguments.batch]
    points += [(f"prompt of {tokens}", "prefill", (tokens,), tokens) for tokens in arguments.prefill]
    runs = {}
    for peer in load(shape, arguments, report):
        for title, kind, sizes, tokens in points:
            run = report.attempt(peer.name, title, functools.partial(getattr(peer, kind), *sizes))
            if run is not None:
                runs[peer, title] = (run, tokens, [])
    for _ in range(arguments.rounds):
        for (peer, title), (run, _, seconds) in list(runs.items()):
            result = report.attempt(peer.name, title, run)
            if result is None:
                del runs[peer, title]
                continue
            taken, steps = result
            seconds.append(taken / steps)
    print("| peer | parameters | point | ms, median | tokens/s |\n|---|---|---|---|---|")
    for (peer, title), (_, tokens, seconds) in runs.items():
        median = statistics.median(seconds)
        print(f"| {peer.name} | {peer.parameters() / 1e6:.1f} M | {title} | {median * 1e3:.3f} | {tokens / median:.0f} |")
    print("\n".join(report.rows))


if __name__ == "__main__":
    main()
