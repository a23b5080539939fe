#!/usr/bin/env bash
# Everything that can be tested without a GPU, on a bare Debian 12 or Ubuntu: installs, builds, tests, checks.
#
#   bash tests/run.sh [--full] [STEP...]
#
#   --full   the whole counts of the seeded tests, and tests/results/full.md with the outcome
#   STEP     only these steps of tests/run.d, by name (style, proto, ...); default all
#
# A step is tests/run.d/NN-NAME.sh: bash, in the repository's root, with deploy/lib.sh sourced and FULL=1 or empty. It
# passes when it exits 0. A line `cases: P passed, F failed` says how many cases that were; a line `result: TEXT` goes into
# full.md. The last line of all is `N passed, N failed`, cases over all steps.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib.sh"
cd "$ROOT"

FULL='' wanted=()
for arg in "$@"; do
  case $arg in
    --full) FULL=1 ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) die "unknown option $arg; see --help" ;;
    *) wanted+=("$arg") ;;
  esac
done

name_of() { local file=${1##*/[0-9][0-9]-}; echo "${file%.sh}"; }

steps=()
for file in tests/run.d/[0-9][0-9]-*.sh; do
  name=$(name_of "$file")
  if ((${#wanted[@]} == 0)) || [[ " ${wanted[*]} " == *" $name "* ]]; then steps+=("$file"); fi
done
((${#steps[@]})) || die "no step of tests/run.d is called ${wanted[*]}"

mkdir -p "$LOGS"
begin=$EPOCHREALTIME passed_all=0 failed_all=0 rows=()
say "${BOLD}bootstrap${PLAIN}"
bash deploy/bootstrap.sh --test

# run_step FILE LOG: the step's exit code.
run_step() {
  FULL=$FULL bash -c 'set -euo pipefail; source deploy/lib.sh; source "$1"' "$1" "$1" >"$2" 2>&1 </dev/null
}

for file in "${steps[@]}"; do
  name=$(name_of "$file") log=$LOGS/test-$(name_of "$file").log start=$EPOCHREALTIME outcome=ok
  printf '%-14s ' "$name"
  run_step "$file" "$log" || outcome=FAILED
  if [[ $outcome == ok ]]; then passed=1 failed=0; else passed=0 failed=1; fi
  cases=$(grep -aE '^cases: [0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
  if [[ -n $cases ]]; then read -r _ passed _ failed _ <<<"${cases//,/}"; fi
  if [[ $outcome != ok && $failed == 0 ]]; then failed=1; fi
  took=$(seconds_since "$start")
  ((passed_all += passed, failed_all += failed)) || true
  rows+=("$(printf '| %-14s | %-6s | %6s | %6s | %8s |' "$name" "$outcome" "$passed" "$failed" "$took")")
  if [[ $outcome == ok ]]; then
    say "${GREEN}ok${PLAIN}      $passed passed ${DIM}in $took s${PLAIN}"
  else
    say "${RED}FAILED${PLAIN}  $passed passed, $failed failed ${DIM}in $took s; ${log#"$ROOT"/}${PLAIN}"
    tail -n 60 "$log" | sed 's/^/    /'
    if [[ $name == build ]]; then say "nothing else can run without the build"; break; fi
  fi
done

table() {
  say '| step           | result | passed | failed |  seconds |'
  say '|----------------|--------|--------|--------|----------|'
  printf '%s\n' "${rows[@]}"
}
say ''
table
say "all of it in $(seconds_since "$begin") s"

if [[ -n $FULL ]]; then
  mkdir -p tests/results
  {
    say "# tests/run.sh --full"
    say "$(date -u +%Y-%m-%dT%H:%MZ), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    say "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
    say ''
    table
    for file in "$LOGS"/test-*.log; do sed -n 's/^result: /- /p' "$file"; done
  } >tests/results/full.md
fi

say "$passed_all passed, $failed_all failed"
((failed_all == 0))
