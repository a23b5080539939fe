#!/usr/bin/env bash
# A server of the demo model on one backend and all that its client can ask of it, beside another backend: both must say the
# same, the metrics must tell of it, and SIGTERM must end the server with exit code 0 and its sessions kept.
#
#   bash tests/gpu_server.sh BIN BACKEND [AGAINST]
#
#   BIN       folder of barista-server and barista
#   AGAINST   default cpu
#
# Texts are compared, drawn from weights in float32 on both: backends differ there by 1e-5 of a logit, which two tokens
# would have to be closer than to swap.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib.sh"
cd "$ROOT"
(($# == 2 || $# == 3)) || die "usage: bash tests/gpu_server.sh BIN BACKEND [AGAINST]"
BIN=$(realpath "$1") BACKEND=$2 AGAINST=${3:-cpu}
SERVER=("$BIN/barista-server")
scratch=$(mktemp -d)
trap 'kill "${SERVER_PID:-}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

begin() {
  start_server "$LOGS/gpu-server-$1.log" --model=deploy/demo-model --backend="$1" --weights_dtype=f32 --sessions_max=8 \
    --state_dir="$scratch/$1-states" --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0
  export BARISTA_SERVER=$GRPC
}
end() { stop_server || die "barista-server ends with exit code $? after SIGTERM; see $LOGS"; }
client() { "$BIN/barista" "$@" --quiet; }
draw() { client generate --max_tokens=32 --temperature=0 "$@" && echo; }

# What the client says of the server that runs; $1: a folder for files.
talk() {
  local many=() i
  draw "def fibonacci(n):"
  draw "import os" --temperature=0.8 --seed=7 --top_p=0.9
  draw "class Stack:" --n=2 --temperature=1 --seed=3
  draw "for i in range(10):" --speculation_tokens=4
  head -c 2000 README.md | draw -
  client tokenize "def f(x):"
  client score "return x + 1" >/dev/null
  client describe >/dev/null
  for i in 1 2 3 4 5 6; do  # more than slots are free, at once
    draw "def function_$i(a, b):" >"$1/many-$i" &
    many+=($!)
  done
  for i in "${many[@]}"; do wait "$i"; done
  cat "$1"/many-*

  client session create draft >/dev/null
  draw --session=draft "def fibonacci(n):"
  client session fork draft left right --repeat_parent >/dev/null
  draw --session=left
  draw --session=right  # a fork that repeats its parent
  head -c 1000 LICENSE | client append --session=right - >/dev/null
  draw --session=right
  client session rewind left --tokens=16 >/dev/null
  draw --session=left
  client session snapshot draft kept >/dev/null
  client session restore kept again >/dev/null
  draw --session=again
  client session export draft "$1/draft.session" >/dev/null
  client session import "$1/draft.session" copy >/dev/null
  draw --session=copy
  printf '%s\n' "def area(r):" "/more" | client chat --session=copy --temperature=0 --max_tokens=16
  client session delete again >/dev/null
}

tell_metrics() {
  python3 - "http://$METRICS/metrics" <<'PY'
import sys
import urllib.request

page = urllib.request.urlopen(sys.argv[1], timeout=10).read().decode()
values = dict(line.rsplit(" ", 1) for line in page.splitlines() if line and line[0] != "#")
assert float(values["barista_generation_tokens_total"]) > 500, "too few tokens are counted"
assert float(values["barista_state_nonfinite_total"]) == 0, "a state is not finite"
PY
}

# All of it on one backend; what was said goes to the file $2.
run_on() {
  local files=$scratch/$1-files
  mkdir "$files"
  begin "$1"
  talk "$files" >"$2"
  tell_metrics
  end
  begin "$1"  # sessions were parked
  draw --session=draft >>"$2"
  end
}

run_on "$BACKEND" "$scratch/said"
run_on "$AGAINST" "$scratch/wanted"
diff "$scratch/wanted" "$scratch/said" || die "backend $BACKEND says (>) other things than $AGAINST (<)"
say "$BACKEND and $AGAINST: $(wc -c <"$scratch/said") bytes, the same"
