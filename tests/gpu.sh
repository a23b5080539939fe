#!/usr/bin/env bash
# Everything that needs a card, on a machine that has one: builds for cards, holds every kernel and the golden checkpoints to
# the reference on the card, looks for races and bad accesses, measures the card.
#
#   bash tests/gpu.sh [--quick] [--bundle=DIR]
#
#   --quick    leaves out compute-sanitizer, which takes most of the time
#   --bundle   builds nothing: the programs are those of an unpacked `deploy/bundle.sh --cuda --tests`
#
# Needs an NVIDIA driver for CUDA 13; the compiler comes from deploy/bootstrap.sh --cuda. Ends with a table and exit code 0
# where all passed. Results of a run worth keeping go to tests/bench/results, with the card's name.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib.sh"
source "$ROOT/tests/gpu_tests.sh"
cd "$ROOT"

quick='' bin=build/cuda/bin bundle='' with=()
for arg in "$@"; do
  case $arg in
    --quick) quick=1 ;;
    --bundle=*) bundle=$(realpath "${arg#*=}") bin=$(realpath "${arg#*=}")/bin ;;
    *) die "unknown option $arg; see the head of $0" ;;
  esac
done

if [[ -n $bundle ]]; then
  with=(env LD_LIBRARY_PATH="$bundle/lib")  # for test programs; server and client find it themselves
else
  bash deploy/bootstrap.sh --test --cuda
  cmake --preset cuda -DBARISTA_TESTS=ON
  cmake --build --preset cuda --target device_limits engine_bench barista-server barista "${TESTS[@]}"
fi
"$bin/barista-server" --model=deploy/demo-model --backend=cuda --check_config || die "no card that CUDA can use"

rows=() failures=0
# check NAME COMMAND...: a row of the table.
check() {
  local name=$1 start=$EPOCHREALTIME outcome=ok log=$LOGS/gpu-$1.log
  shift
  "$@" >"$log" 2>&1 || { outcome=FAILED && ((failures += 1)); tail -n 20 "$log"; }
  rows+=("$(printf '| %-32s | %-6s | %8s |' "$name" "$outcome" "$(seconds_since "$start")")")
  say "${rows[-1]}"
}

for test in "${TESTS[@]}"; do check "$test" "${with[@]}" "$bin/$test" --gtest_brief=1; done

if [[ -z $quick ]]; then
  sanitizer=$(command -v compute-sanitizer || echo build/cuda/toolkit/bin/compute-sanitizer)
  if [[ -x $sanitizer ]]; then
    for tool in memcheck racecheck synccheck initcheck; do
      for test in "${KERNEL_TESTS[@]}"; do
        check "$tool:$test" "${with[@]}" "$sanitizer" --tool="$tool" --error-exitcode=9 "$bin/$test" --gtest_brief=1
      done
    done
  else
    say "compute-sanitizer is not installed: nothing looked for races"
  fi
fi

serve() {
  SERVER=("$bin/barista-server")
  start_server "$LOGS/gpu-server-ready.log" --model=deploy/demo-model --backend=cuda --listen=127.0.0.1:0 \
    --metrics_listen=127.0.0.1:0
  "$bin/barista" generate --server="$GRPC" "def fibonacci(n):" --max_tokens=64 --temperature=0
  stop_server
}
check server serve
if [[ -z $bundle ]]; then "$bin/device_limits" | tee "$LOGS/gpu-limits.log"; fi  # needs cuBLAS, which no bundle has

# Peers, where their frameworks are.
peers() {
  local model=build/bench-models/bench-150m
  [[ -e $model/config.json ]] || python3 tests/bench/make_model.py bench-150m "$model"
  "${with[@]}" python3 tests/bench/peers_gpu.py --model="$model" --engine_bench="$bin/engine_bench" | tee "$LOGS/gpu-peers.md"
}
if python3 -c 'import numpy, torch' 2>/dev/null && [[ -x $bin/engine_bench ]]; then peers; fi

say ''
say '| what                             | result |  seconds |'
say '|----------------------------------|--------|----------|'
printf '%s\n' "${rows[@]}"
((failures == 0))
