#!/usr/bin/env python3
"""Habits of this tree that a machine can check. Prints each breach as FILE:LINE and exits 1 where there is one."""

import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWN = ["server", "kernels", "clients", "proto", "deploy", "tests"]
CODE = {".cc", ".h", ".inc", ".cu", ".cuh", ".py", ".rs", ".sh", ".proto", ".cmake"}
SKIPPED_PARTS = {"build", "target", "node_modules", "__pycache__", "data", "golden", "google", "results"}
LINES_MAX = 400
LINES_MAX_PROTO = 600  # a service and its messages belong together, and most of it is prose
LINES_MEDIAN_MAX = 150
COLUMNS_MAX = 160  # clang-format holds C++ to 120; the rest is prose and shell

# pattern, where it applies, what is wrong
RULES = [
    (r"GTEST_SKIP|pytest\.skip|mark\.skip|\bDISABLED_", {".cc", ".py"}, "a skipped test"),
    (r"\b(?:TODO|FIXME|XXX)\b", CODE, "a promise instead of code"),
    (r"\bassert\s*\(", {".cc", ".h", ".inc"}, "assert: not an answer to users"),
    (r"\busing namespace\b", {".cc", ".h", ".inc"}, "using namespace"),
    (r"\b(?:try\s*\{|catch\s*\(|throw\s)", {".h", ".inc"}, "exceptions in a header"),
    (r"[ \t]+$", CODE | {".md", ".txt"}, "space at the end of the line"),
    (r"\t", {".cc", ".h", ".inc", ".py", ".proto"}, "a tab"),
]
LAYERS = {  # a folder may not include these: dependencies point one way, rpc -> engine -> model -> kernels
    "kernels": ["server/", "clients/", "barista/v1/"],
    "server/model": ["server/engine/", "server/rpc/", "barista/v1/"],
    "server/store": ["server/engine/", "server/rpc/", "server/model/", "barista/v1/"],
    "server/text": ["server/engine/", "server/rpc/", "server/model/", "barista/v1/"],
    "server/store": ["server/engine/", "server/model/", "server/rpc/", "barista/v1/"],
    "server/access": ["server/rpc/", "grpcpp/"],
    "server/engine": ["server/rpc/", "barista/v1/", "grpcpp/"],
    "clients": ["server/engine/", "server/model/", "server/rpc/", "kernels/"],
}


def files():
    for top in OWN:
        for path in sorted((ROOT / top).rglob("*")):
            parts = set(path.relative_to(ROOT).parts)
            if path.is_file() and not parts & SKIPPED_PARTS and path.suffix in CODE | {".md", ".txt"}:
                yield path


def breaches(path, lines):
    name = path.relative_to(ROOT).as_posix()
    lines_max = LINES_MAX_PROTO if path.suffix == ".proto" else LINES_MAX
    if path.suffix in CODE and len(lines) > lines_max:
        yield len(lines), f"{len(lines)} lines; at most {lines_max}"
    if path.suffix == ".h" and not any(re.match(r"#pragma once|#ifndef \w+_H_$", line) for line in lines):
        yield 1, "no #pragma once and no guard"
    if path.suffix in {".h", ".cuh"} and not lines[0].startswith("//"):
        yield 1, "a header starts with what it is"
    in_test = path.suffix in {".cc", ".h"} and name.startswith("tests/") and not name.startswith("tests/bench/")
    forbidden = [f for top, fs in LAYERS.items() if name.startswith(top + "/") for f in fs]
    for number, line in enumerate(lines, 1):
        if path.suffix in CODE and len(line) > COLUMNS_MAX:
            yield number, f"{len(line)} columns; at most {COLUMNS_MAX}"
        for pattern, suffixes, wrong in RULES:
            if path.suffix in suffixes and path != pathlib.Path(__file__).resolve() and re.search(pattern, line):
                yield number, wrong
        if in_test and re.search(r"sleep_for|sleep_until|SleepFor", line):
            yield number, "a sleep in a test; wait for what happens"
        include = re.match(r'#include ["<]([^">]+)', line)
        if include and include.group(1).startswith(tuple(forbidden)):
            yield number, f"{name.split('/')[0]} may not include {include.group(1)}"


def main():
    found, lengths = 0, []
    for path in files():
        lines = path.read_text(encoding="utf-8").splitlines() or [""]
        if path.suffix in CODE:
            lengths.append(len(lines))
        for number, what in breaches(path, lines):
            print(f"{path.relative_to(ROOT)}:{number}: {what}")
            found += 1
    median = statistics.median(lengths)
    print(f"{len(lengths)} source files, median {median:.0f} lines, longest {max(lengths)}")
    if median > LINES_MEDIAN_MAX:
        print(f"the median is above {LINES_MEDIAN_MAX} lines")
        found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
