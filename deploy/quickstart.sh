#!/usr/bin/env bash
# From a bare Debian 12 or Ubuntu to streamed text: installs, builds, serves the demo model, lets it write, shows the
# metrics of that request.
#
#   bash deploy/quickstart.sh [--keep] [PROMPT]
#
#   --keep   leave the server running
#   PROMPT   what the demo model continues; it has read the Python standard library and nothing else
#
# The first run takes some minutes, mostly compiling; later ones seconds.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

keep='' prompt=$'def read_lines(path):\n    """Return the lines of a file."""\n'
for arg in "$@"; do
  case $arg in
    --keep) keep=1 ;;
    -h | --help) usage; exit 0 ;;
    -*) die "unknown option $arg; see --help" ;;
    *) prompt=$arg ;;
  esac
done
cd "$ROOT"

say "${BOLD}1  Install${PLAIN}"
bash deploy/bootstrap.sh

say "${BOLD}2  Build${PLAIN}"
if [[ ! -e build/cpu/build.ninja ]]; then
  quietly configure "configure (build/cpu)" cmake --preset cpu -DBARISTA_TESTS=OFF
fi
quietly build "barista-server, barista" cmake --build --preset cpu --target barista-server barista

say "${BOLD}3  Serve${PLAIN} deploy/demo-model"
listen=127.0.0.1:8470 metrics_listen=127.0.0.1:8471
if ! port_is_free 8470 || ! port_is_free 8471; then
  warn "port 8470 or 8471 is in use; taking free ones"
  listen=127.0.0.1:0 metrics_listen=127.0.0.1:0
fi
trap '[[ -z ${SERVER_PID:-} ]] || kill "$SERVER_PID" 2>/dev/null || true' EXIT
start_server "$LOGS/server.log" --model=deploy/demo-model --listen="$listen" --metrics_listen="$metrics_listen"
say "  gRPC on $GRPC, metrics on http://$METRICS/metrics"

client=(build/cpu/bin/barista --server="$GRPC")
say "${BOLD}4  Generate${PLAIN} ${DIM}${client[0]} generate PROMPT --max_tokens=120${PLAIN}"
say ''
printf '%s' "${DIM}${prompt}${PLAIN}"
"${client[@]}" generate --prompt="$prompt" --max_tokens=120 --seed=7
say ''

say "${BOLD}5  Metrics${PLAIN} of that request"
for try in {1..40}; do  # the call is counted a moment after its last word arrived
  curl -fsS "http://$METRICS/metrics" >"$LOGS/metrics.txt" || die "no answer from http://$METRICS/metrics"
  if grep -q '^barista_requests_total{status="ok"} [1-9]' "$LOGS/metrics.txt"; then break; fi
  ((try < 40)) || warn "the metrics do not count the request yet"
  sleep 0.05
done
awk '
  function line(what, value) { printf "  %-36s %s\n", what, value }
  !/^#/ { value[$1] = $2 }
  END {
    b = "barista_"
    line("prompt tokens", value[b "prompt_tokens_total"])
    line("generated tokens", value[b "generation_tokens_total"])
    line("time to first token", sprintf("%.1f ms", 1000 * value[b "time_to_first_token_seconds_sum"]))
    gaps = value[b "inter_token_latency_seconds_count"]
    if (gaps > 0) {
      mean = value[b "inter_token_latency_seconds_sum"] / gaps
      line("mean time between tokens", sprintf("%.2f ms (%.0f tokens/s)", 1000 * mean, 1 / mean))
    }
    line("queue time", sprintf("%.2f ms", 1000 * value[b "request_queue_time_seconds_sum"]))
    line("whole call", sprintf("%.0f ms", 1000 * value[b "e2e_request_latency_seconds_sum"]))
    line("bytes per session, at any length", value[b "bytes_per_session"])
    line("sessions that fit", value[b "sessions_max"])
  }' "$LOGS/metrics.txt"

say ''
if [[ -n $keep ]]; then
  trap - EXIT
  say "The server keeps running (stop it with: kill $SERVER_PID). Try:"
  say "  ${client[*]}                     # type prompts, read continuations"
  say "  curl http://$METRICS/metrics"
else
  stop_server || die "the server did not stop cleanly; see $LOGS/server.log.err"
  SERVER_PID=
  say "Done; the server is stopped. Next:"
  say "  bash deploy/quickstart.sh --keep      # the same, and it stays up"
  say "  build/cpu/bin/barista help            # the client;  build/cpu/bin/barista-server --help: the server"
  say "  bash tests/run.sh                     # everything that can be tested here"
fi
