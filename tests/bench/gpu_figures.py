#!/usr/bin/env python3
"""Engine and server on a card against what the card reaches, in one run: one table with every figure that has a target.

    python3 tests/bench/gpu_figures.py [--bin=build/cuda/bin] [--models=build/bench-models] [--backend=cuda] [--rounds=3]
        [--only=decode,prefill,position,serving] [--seconds_max=150]
    python3 tests/bench/gpu_figures.py --check --bin=build/cpu/bin    # on the CPU, a tiny model, a round: that all of it runs

Limits (device_limits) are measured before the first group of figures and after each, and their median counts. A decode
step's limit is its bytes over the rate of a copy: weights once, each session's state once, latents, h and a row of the rings
back (work.h). A prompt's is its products over the rate of cuBLAS' bf16 products. Times of steps are engine_bench's. Models
that are missing are made (make_model.py, NumPy). What did not run is a row that says why, and exit code 1; a missed target
is a row. Standard library only.
"""
import argparse
import functools
import glob
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
import types

from figure_rows import Figure, Row, did_not_run, line, table
from serving_bench import Bench, median, run

HERE = pathlib.Path(__file__).resolve().parent
# model: {batch: the most that a step may take of its limit}
DECODES = {"bench-150m": {1: 2.0, 64: 1.4, 256: 1.25, 1024: 1.25}, "bench-150m-pure": {1: None, 64: None, 256: None},
           "bench-2.6b": {1: 1.25, 64: None, 256: None}}
WHOLE = types.SimpleNamespace(
    decodes=DECODES, context=512, seconds=0.3, reader="bench-2.6b", prompt=4096, step=2048, other_step=512,
    lengths=[1024, 4096, 16384, 65536, 262144], small="bench-150m", near=1000, far=1000000, steps=2000, streams=256,
    stream_prompt=128, stream_tokens=4096, long_prompt=65536, megabytes=1024)
CHECK = types.SimpleNamespace(
    decodes={"bench-tiny": {1: 2.0, 3: None}}, context=32, seconds=0.01, reader="bench-tiny", prompt=96, step=128, other_step=64,
    lengths=[64, 96, 256], small="bench-tiny", near=50, far=500, steps=40, streams=4, stream_prompt=16, stream_tokens=20000,
    long_prompt=300, megabytes=16)


def cublas_folders():
    """Where this machine may have cuBLAS: NVIDIA's wheels, nvcc's toolkit, the usual place."""
    places = [f"{path}/nvidia/*/lib" for path in sys.path if path] + ["/usr/local/cuda*/lib64"]
    nvcc = shutil.which("nvcc")
    if nvcc:
        places.insert(0, str(pathlib.Path(nvcc).resolve().parents[1] / "lib64"))
    return [folder for place in places for folder in sorted(glob.glob(place)) if glob.glob(f"{folder}/libcublas.so.1[23]")]


class Machine:
    """Runs the programs, and remembers what the machine reached."""

    def __init__(self, options):
        self.options, self.sizes = options, CHECK if options.check else WHOLE
        self.limits, self.card = {"bandwidth": [], "products": []}, f"backend {options.backend}"

    def run(self, program, *flags, **more):
        return json.loads(run([pathlib.Path(self.options.bin) / program, *flags], self.options.seconds_max, **more))

    def model(self, name):
        path = pathlib.Path(self.options.models) / name
        if not (path / "config.json").exists():
            print(run([sys.executable, HERE / "make_model.py", name, path], None), end="", file=sys.stderr)
        return path

    def engine(self, model, *flags, megabytes=1):
        """engine_bench of one model: what it says of it."""
        return self.run("engine_bench", f"--model={self.model(model)}", f"--backend={self.options.backend}", "--json",
                        "--weights=auto", f"--threads={os.cpu_count()}", f"--seconds={self.sizes.seconds}",
                        f"--rounds={self.options.rounds}", f"--limit_megabytes={megabytes}", *flags)[0]

    def measure_limits(self):
        if self.options.backend == "cuda":
            paths = [*cublas_folders(), os.environ.get("LD_LIBRARY_PATH", "")]
            said = self.run("device_limits", "--json", "--rounds=5",
                            env={**os.environ, "LD_LIBRARY_PATH": ":".join(path for path in paths if path)})
            self.card, bandwidth, products = said["card"], said["copy"], said.get("bf16")
        else:
            said = self.engine(self.sizes.small, "--batch=", "--prefill=", megabytes=self.sizes.megabytes)
            bandwidth, products = said["read_rate"], said["product_rate"]
        self.limits["bandwidth"].append(bandwidth)
        if products is not None:
            self.limits["products"].append(products)
        return []

    def limit(self, name):
        """Its median so far; None: it could not be measured."""
        return statistics.median(self.limits[name]) if self.limits[name] else None

    def limit_rows(self):
        on_card = self.options.backend == "cuda"
        titles = {"bandwidth": ("rate of a copy" if on_card else "rate of reads", "GB/s", 1e9),
                  "products": ("rate of cuBLAS' bf16 products" if on_card else "rate of products", "TFLOP/s", 1e12)}
        for name, (title, unit, scale) in titles.items():
            values = [value / scale for value in self.limits[name]]
            if values:
                yield Row(title, f"{statistics.median(values):.1f} {unit}", f"{min(values):.1f} to {max(values):.1f}")
            else:
                yield Row(title, "not measured: no cuBLAS" if name == "products" and self.limits["bandwidth"] else "not measured")


# A group yields (name, function that measures it and yields its rows). Models take their time to load, so what one load allows
# is one function.

def decode(machine):
    for model in machine.sizes.decodes:
        yield f"decode step, {model}", functools.partial(decode_steps, machine, model)


def most_of(sizes, measure):
    """measure(sizes), and why the largest were left out: memory may hold the others."""
    left_out = {}
    while True:
        try:
            return measure(sizes), left_out
        except RuntimeError as error:
            if len(sizes) == 1:
                raise
            left_out[max(sizes)] = error
            sizes = [size for size in sizes if size != max(sizes)]


def listed(numbers):
    return ",".join(map(str, numbers))


def decode_steps(machine, model):
    targets = machine.sizes.decodes[model]
    said, left_out = most_of(list(targets), lambda batches: machine.engine(
        model, f"--batch={listed(batches)}", "--prefill=", f"--context={machine.sizes.context}"))
    for point in said["points"]:
        launch = point.get("launch_seconds")
        note = f"{point['tokens_per_second']:.0f} tok/s" + (f"; launched in {launch * 1e3:.3f} ms" if launch else "")
        yield Figure(f"decode step, {model}, batch {point['count']}", "ms", 1e3, point["seconds"],
                     lambda size=point["bytes"]: over(size, machine.limit("bandwidth")), "<=", targets[point["count"]], note)
    for batch, error in left_out.items():
        yield did_not_run(f"decode step, {model}, batch {batch}", error)


def over(amount, rate):
    return None if rate is None else amount / rate


def prefill(machine):
    sizes = machine.sizes
    yield f"prefill, {sizes.reader}", functools.partial(prefill_costs, machine)
    yield f"prefill, {sizes.reader}, steps of {sizes.other_step}", functools.partial(prefill_other_steps, machine)


def prefill_rate(machine, point, step, target):
    return Figure(f"prefill, {machine.sizes.reader}, {point['count']} tokens, steps of {step}", "TFLOP/s", 1e-12,
                  point["flops"] / point["seconds"], lambda: machine.limit("products"), ">=", target,
                  f"{point['tokens_per_second']:.0f} tok/s")


def prefill_costs(machine):
    sizes, name = machine.sizes, f"prefill, {machine.sizes.reader}, cost a token"
    said, left_out = most_of(sizes.lengths, lambda lengths: machine.engine(
        sizes.reader, "--batch=", f"--prefill={listed(lengths)}", f"--step_tokens_max={sizes.step}"))
    costs = {point["count"]: point["seconds"] / point["count"] for point in said["points"]}
    yield from (prefill_rate(machine, point, sizes.step, 0.5) for point in said["points"] if point["count"] == sizes.prompt)
    first, *longer = costs
    for length in longer:
        yield Figure(f"{name}, {length} tokens to {first}", "us", 1e6, costs[length], lambda: costs[first])
    yield Figure(f"{name}, highest to lowest", "us", 1e6, max(costs.values()), lambda: min(costs.values()))
    yield from (did_not_run(f"{name}, {length} tokens", error) for length, error in left_out.items())


def prefill_other_steps(machine):
    sizes = machine.sizes
    said = machine.engine(sizes.reader, "--batch=", f"--prefill={sizes.prompt}", f"--step_tokens_max={sizes.other_step}")
    yield prefill_rate(machine, said["points"][0], sizes.other_step, None)


def position(machine):
    sizes = machine.sizes
    name = f"decode step, {sizes.small}, batch 1, position {sizes.far} to {sizes.near}"
    yield name, functools.partial(position_cost, machine, name)


def position_cost(machine, name):
    sizes = machine.sizes
    said = machine.run("constant_time", f"--model={machine.model(sizes.small)}", f"--backend={machine.options.backend}", "--json",
                       f"--near={sizes.near}", f"--far={sizes.far}", f"--steps={sizes.steps}")
    return [Figure(name, "ms", 1e3, said["far_seconds"], lambda: said["near_seconds"], "<=", 1.02)]


def serving(machine):
    sizes = machine.sizes
    for name, measure in ((f"gRPC, {sizes.small}, {sizes.streams} streams, against the engine alone", serving_rate),
                          (f"gRPC, {sizes.small}, {sizes.streams} streams, p99 gap to p50 while {sizes.long_prompt} tokens are read",
                           serving_gaps)):
        yield name, functools.partial(with_server, machine, name, measure)


def with_server(machine, name, measure):
    sizes, options = machine.sizes, machine.options
    bench = Bench(argparse.Namespace(bin=options.bin, model=machine.model(sizes.small), backend=options.backend,
                                     prompt=sizes.stream_prompt, tokens=sizes.stream_tokens, threads=os.cpu_count(),
                                     seconds=sizes.seconds, seconds_max=options.seconds_max))
    try:
        return measure(name, bench, sizes, options.rounds)
    finally:
        bench.stop()


def serving_rate(name, bench, sizes, rounds):
    alone, served = [], []
    for _ in range(rounds):
        alone.append(bench.alone(sizes.streams))
        served.append(bench.load(sizes.streams))
    note = f"gap p50 {median(served, 'all', 'gap_p50_ms'):.2f} ms, p99 {median(served, 'all', 'gap_p99_ms'):.2f}; clients " \
           f"used {median(served, 'client_cores'):.1f} cores"
    return [Figure(name, "tok/s", 1, median(served, "all", "tokens_per_second"), lambda: statistics.median(alone), ">=", 0.9, note)]


def serving_gaps(name, bench, sizes, rounds):
    rows = [bench.load(sizes.streams, f"--long_prompt={sizes.long_prompt}") for _ in range(rounds)]
    note = f"before: p50 {median(rows, 'quiet', 'gap_p50_ms'):.2f} ms, p99 {median(rows, 'quiet', 'gap_p99_ms'):.2f}; the prompt's " \
           f"first token after {median(rows, 'prompt_first_token_ms'):.0f} ms"
    return [Figure(name, "ms", 1, median(rows, "beside_prompt", "gap_p99_ms"),
                   lambda: median(rows, "beside_prompt", "gap_p50_ms"), "<=", 1.5, note)]


GROUPS = {"decode": decode, "prefill": prefill, "position": position, "serving": serving}


def groups(text):
    names = text.split(",")
    unknown = [name for name in names if name not in GROUPS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(GROUPS)}")
    return names


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/cuda/bin", help="folder of the programs")
    parser.add_argument("--models", default="build/bench-models", help="folder of the models of make_model.py")
    parser.add_argument("--backend", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=groups, default=list(GROUPS), help="groups of figures")
    parser.add_argument("--seconds_max", type=float, default=150, help="that one program may take")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.check:
        options.backend, options.rounds = "cpu", 1
    return options


def measure(options):
    """Prints the table; whether all of it ran."""
    machine, figures, begin = Machine(options), [], time.monotonic()

    def attempt(name, task):
        print(f"{time.monotonic() - begin:6.1f} s  {name}", file=sys.stderr)
        try:
            rows = list(task())
        except (Exception, SystemExit) as error:  # the other rows are still wanted
            rows = [did_not_run(name, error)]
        figures.extend(rows)
        for row in rows:  # whoever ends the run early has these
            print(f"          {line(row)}", file=sys.stderr)

    attempt("limits", machine.measure_limits)
    for group in options.only:
        for name, task in GROUPS[group](machine):
            attempt(name, task)
        attempt(f"limits, after {group}", machine.measure_limits)
    print(f"{machine.card}. Rounds: {options.rounds}; {time.monotonic() - begin:.0f} s.\n")
    print(table([*machine.limit_rows(), *figures]))
    return not any(figure.failed for figure in figures)


def main():
    options = parsed()
    with tempfile.TemporaryDirectory() as scratch:
        if options.check:
            options.models = scratch
        return 0 if measure(options) else 1


if __name__ == "__main__":
    sys.exit(main())
