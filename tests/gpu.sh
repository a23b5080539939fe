#!/usr/bin/env bash
# Everything that needs a card, on a machine that has one, in stages:
#
#   tests      every kernel and the golden checkpoints are held to the reference on the card
#   sanitizer  compute-sanitizer looks for races and bad accesses in every kernel; takes the longest by far
#   server     the server and its clients on the card, beside the CPU; in a tree that is built, also tests/e2e
#   figures    tests/bench/gpu_figures.py: what has a target, and whether it is met
#   peers      tests/bench/peers_gpu.py, with the frameworks that are installed
#
#   bash tests/gpu.sh [--only=STAGE,...] [--full] [--bundle=DIR] [--tests=NAME,...] [--tools=NAME,...]
#
#   --only     these stages instead of all
#   --full     the whole counts of the seeded tests
#   --bundle   builds nothing and needs no network: the programs are those of an unpacked `deploy/bundle.sh --cuda --tests`
#   --tests    of the stages tests and sanitizer: these test programs (gpu_tests.sh)
#   --tools    of the stage sanitizer: of memcheck, racecheck, synccheck, initcheck
#
# Needs Python and an NVIDIA driver for CUDA 13; without --bundle the rest comes from deploy/bootstrap.sh. Each stage leaves
# its table in build/gpu-results as it goes, and each run joins what all runs have left there to one page, DATE-CARD.md: short
# runs of a stage or two add up. A page worth keeping goes to tests/bench/results. Exit code 0 where all passed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib.sh"
source "$ROOT/tests/gpu_tests.sh"
cd "$ROOT"

STAGES=(tests sanitizer server figures peers) TOOLS=(memcheck racecheck synccheck initcheck)
RESULTS=build/gpu-results JOBS=$((($(nproc) + 3) / 4))
bin=build/cuda/bin bundle='' stages=("${STAGES[@]}") tests=("${TESTS[@]}") tools=("${TOOLS[@]}")

# chosen FLAG TEXT NAME...: prints the names of TEXT, a line each; all of them must be among NAME...
chosen() {
  local flag=$1 text=$2 name
  shift 2
  [[ -n $text ]] || die "$flag names nothing; there are $*"
  for name in ${text//,/ }; do
    [[ " $* " == *" $name "* ]] || die "$flag: $name is none of $*"
    say "$name"
  done
}

for arg in "$@"; do
  value=${arg#*=}
  case $arg in
    --only=*) names=$(chosen --only "$value" "${STAGES[@]}") || exit 1; mapfile -t stages <<<"$names" ;;
    --tests=*) names=$(chosen --tests "$value" "${TESTS[@]}") || exit 1; mapfile -t tests <<<"$names" ;;
    --tools=*) names=$(chosen --tools "$value" "${TOOLS[@]}") || exit 1; mapfile -t tools <<<"$names" ;;
    --bundle=*)
      bundle=$(realpath "$value") bin=$bundle/bin
      [[ -x $bin/barista-server ]] || die "--bundle: there is no $bin/barista-server"
      ;;
    --full) export BARISTA_FULL=1 ;;
    -h | --help) sed -n '2,25s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown option $arg; see --help" ;;
  esac
done

card=$(python3 tests/support/card.py) || exit 1
if [[ -z $bundle ]]; then
  bash deploy/bootstrap.sh --test --cuda
  cmake --preset cuda -DBARISTA_TESTS=ON
  cmake --build --preset cuda --target barista-server barista device_limits "${BENCHES[@]}" "${TESTS[@]}"
fi
"$bin/barista-server" --model=deploy/demo-model --backend=cuda --check_config || die "this build cannot use the card"
python=python3
python3 -c 'import numpy' 2>/dev/null || python=build/venv/bin/python
mkdir -p "$RESULTS" "$LOGS"

begin_table() { printf '%s\n' '| what | result | seconds |' '|---|---|---|' >"$RESULTS/$stage.md"; }

# check NAME COMMAND...: a row of the stage's table.
check() {
  local name=$1 start=$EPOCHREALTIME outcome=ok log=$LOGS/gpu-$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null || { outcome=FAILED; tail -n 20 "$log"; }
  say "| $name | $outcome | $(seconds_since "$start") |" | tee -a "$RESULTS/$stage.md"
}

# beside COMMAND...: beside others, as many as pay; `wait` waits for all.
beside() {
  while (($(jobs -rp | wc -l) >= JOBS)); do wait -n || true; done
  "$@" &
}

# run_test NAME [COMMAND...]: the program, by way of COMMAND; it passes where at least one case does.
run_test() {
  GTEST_FILTER=$(filter_of "$1") "${@:2}" "$bin/$1" --gtest_brief=1 | awk '{ print } /PASSED  \] [1-9]/ { passed = 1 } END { exit !passed }'
}
# Of programs that also have cases without a device, which CI has seen, those with one.
filter_of() { [[ $1 == golden_test || $1 == chain_test ]] && say '*cuda*' || say '*'; }

run_tests() {
  begin_table
  for name in "${tests[@]}"; do beside check "$name" run_test "$name"; done
  wait
}

run_sanitizer() {
  local sanitizer tool name
  sanitizer=$(command -v compute-sanitizer || echo build/cuda/toolkit/bin/compute-sanitizer)
  begin_table
  if [[ ! -x $sanitizer ]]; then
    say "| compute-sanitizer is not installed: nothing looked for races | | |" | tee -a "$RESULTS/$stage.md"
    return
  fi
  for tool in "${tools[@]}"; do
    for name in "${tests[@]}"; do
      [[ " ${KERNEL_TESTS[*]} " == *" $name "* ]] || continue
      beside check "$tool:$name" run_test "$name" "$sanitizer" --tool="$tool" --error-exitcode=9
    done
  done
  wait
}

run_server() {
  begin_table
  check clients bash tests/gpu_server.sh "$bin" cuda
  [[ -z $bundle && -x build/venv/bin/python ]] || return 0
  # test_devices wants as many devices as it says.
  check e2e env BARISTA_BIN="$bin" BARISTA_BACKEND=cuda build/venv/bin/python -m pytest -p no:cacheprovider -q tests/e2e \
    --ignore=tests/e2e/test_devices.py
}

# measure COMMAND...: its table is the stage's.
measure() { "$@" >"$RESULTS/$stage.md" || say "FAILED: $*" >>"$RESULTS/$stage.md"; cat "$RESULTS/$stage.md"; }
run_figures() { measure "$python" tests/bench/gpu_figures.py --bin="$bin"; }
run_peers() {
  local model=build/bench-models/bench-150m
  [[ -e $model/config.json ]] || "$python" tests/bench/make_model.py bench-150m "$model"
  measure "$python" tests/bench/peers_gpu.py --model="$model" --engine_bench="$bin/engine_bench"
}

failed=0
for stage in "${stages[@]}"; do
  say "${BOLD}$stage${PLAIN}"
  "run_$stage"
  ! grep -q FAILED "$RESULTS/$stage.md" || failed=1
done

page=$RESULTS/$(date +%F)-$(tr -cs '[:alnum:]\n' - <<<"${card%%,*}" | tr '[:upper:]' '[:lower:]').md
{
  printf '# %s, %s\n\n' "$card" "$(date +%F)"
  say "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1); commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)."
  for stage in "${STAGES[@]}"; do
    [[ ! -e $RESULTS/$stage.md ]] || { printf '\n## %s\n\n    bash tests/gpu.sh --only=%s\n\n' "$stage" "$stage" && cat "$RESULTS/$stage.md"; }
  done
} >"$page"
say ''
cat "$page"
exit "$failed"
