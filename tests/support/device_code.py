#!/usr/bin/env python3
"""What the assembler made of the kernels of a library or program: a line a kernel with its registers, shared memory and
stack, widest first. Exits 1 where a kernel keeps variables in memory that should be in registers.

    python3 tests/support/device_code.py --cuobjdump=build/cuda/toolkit/bin/cuobjdump build/cuda/kernels/libbarista_cuda.a
"""

import argparse
import re
import subprocess
import sys

# Kernels in which a step spends its time: nothing of theirs may spill.
HOT = [
    "AttendDecodeKernel",
    "WindowPrefillKernel",
    "WindowPrefillTilesKernel",
    "SplitKernel",
    "NormSplitKernel",
    "PackNormKernel",
    "BlockKernel",
    "FloatKernel",
    "OutputKernel",
    "SumsKernel",
    "HandOverVtildeKernel",
    "DecodeKernel",
    "PairsKernel",
    "RowsKernel",
    "NormKernel",
]


def kernels(cuobjdump, path):
    """(name, registers, static shared bytes, stack bytes) of every kernel."""
    text = subprocess.run([cuobjdump, "--dump-resource-usage", path], capture_output=True, text=True, check=True).stdout
    for name, numbers in re.findall(r"Function (\S+):\s*\n\s*(REG:.*)", text):
        values = dict(re.findall(r"(\w+):(\d+)", numbers))
        yield name, int(values["REG"]), int(values["SHARED"]), int(values["STACK"])


def readable(names):
    """Demangled, without namespaces and parameter lists."""
    text = subprocess.run(["c++filt", "-p"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    shorter = re.sub(r"barista::|\(anonymous namespace\)::", "", text)
    return [line.removeprefix("void ") for line in shorter.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuobjdump", default="cuobjdump")
    parser.add_argument("path")
    args = parser.parse_args()
    found = list(kernels(args.cuobjdump, args.path))
    rows = sorted(zip(readable([name for name, *_ in found]), found), key=lambda row: (-row[1][1], row[0]))
    print("| kernel | registers | stack bytes |\n|---|---|---|")
    bad = []
    for name, (_, registers, _, stack) in rows:
        print(f"| {name} | {registers} | {stack} |")
        if stack > 0 and any(hot in name for hot in HOT):
            bad.append(name)
    for name in bad:
        print(f"{name} keeps variables in memory")
    for hot in HOT:
        if not any(hot in name for name, _ in rows):
            bad.append(hot)
            print(f"{hot}: no such kernel")
    print(f"{len(rows)} kernels")
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
