#!/usr/bin/env bash
# All end-to-end tables of this folder, as markdown on stdout: half an hour on two quiet cores.
#
#   bash tests/bench/cpu_tables.sh BIN BENCH_MODEL DEMO_MODEL TEXT > tests/bench/results/$(date +%F)-cpu.md
#
# BIN: folder of the built programs. BENCH_MODEL: bench-150m of make_model.py. TEXT: a few megabytes for DEMO_MODEL.
set -euo pipefail
BIN=$1 BENCH=$2 DEMO=$3 TEXT=$4
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

section() {
  printf '\n## %s\n\n' "$1"
  shift
  printf '    %s\n\n' "$(basename "$1") ${*:2}" | sed "s#$BENCH#BENCH_MODEL#; s#$DEMO#DEMO_MODEL#; s#$TEXT#TEXT#; s#$BIN#BIN#"
  printf 'Load average before: %s\n\n' "$(cut -d' ' -f1-3 /proc/loadavg)"
  "$@"
}

printf '# CPU, %s\n\n' "$(date +%F)"
lscpu | grep -E '^(Model name|CPU\(s\)|CPU family|Model|L[123][di]? ?cache|L2 cache|L3 cache|Hypervisor)' | sed 's/^/    /'
printf '    kernel %s, commit %s\n' "$(uname -r)" "$(git -C "$HERE" rev-parse --short HEAD)"
section "Engine against the machine's limits" "$BIN/engine_bench" --model="$BENCH"
section "Constant time" "$BIN/constant_time" --model="$BENCH"
section "Serving" python3 "$HERE/serving_bench.py" --bin="$BIN" --model="$BENCH"
section "Drift of the state" "$BIN/state_drift" --model="$DEMO" --text="$TEXT"
