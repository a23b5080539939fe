# Shared by the scripts of this repository: where things are, how they speak, how a server is started and stopped.
# Sourced, by bash, with `set -euo pipefail` in force.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TOOLS=$ROOT/build/tools   # programs that a build or a test needs and the system lacks
LOGS=$ROOT/build/logs
SERVER=("$ROOT/build/cpu/bin/barista-server")  # what start_server starts
export PATH="$TOOLS/venv/bin:$TOOLS/bin:$PATH"

if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' PLAIN=$'\e[0m'
else
  BOLD='' DIM='' RED='' GREEN='' PLAIN=''
fi

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "${BOLD}note:${PLAIN} $*" >&2; }
die() { printf '%s\n' "${RED}error:${PLAIN} $*" >&2; exit 1; }

# seconds_since START: START is a value of $EPOCHREALTIME.
seconds_since() {
  local now=$EPOCHREALTIME
  printf '%d.%d' $(((${now/[.,]/} - ${1/[.,]/}) / 1000000)) $(((${now/[.,]/} - ${1/[.,]/}) / 100000 % 10))
}

# quietly NAME WHAT COMMAND...: runs COMMAND with its output in build/logs/NAME.log and prints one line, WHAT and how long
# it took. Where it fails: the end of the log, where the rest is, and exit.
quietly() {
  local log=$LOGS/$1.log what=$2 start=$EPOCHREALTIME
  shift 2
  mkdir -p "$LOGS"
  printf '  %-44s ' "$what"
  if "$@" >"$log" 2>&1 </dev/null; then
    printf '%s\n' "${DIM}$(seconds_since "$start") s${PLAIN}"
  else
    printf '%s\n' "${RED}failed${PLAIN} after $(seconds_since "$start") s"
    tail -n 25 "$log" | sed 's/^/    /' >&2
    die "$what: failed; all of its output is in ${log#"$ROOT"/}"
  fi
}

# at_least VERSION MINIMUM: both dotted numbers.
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start_server LOG FLAG...: starts SERVER with these flags and waits for its ready line. Sets SERVER_PID, GRPC and
# METRICS (HOST:PORT). The server's stdout goes to LOG, its stderr to LOG.err. Fails with its words where it ends instead.
start_server() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  : >"$log"
  "${SERVER[@]}" "$@" >"$log" 2>"$log.err" </dev/null &
  SERVER_PID=$!
  local tries=0
  until grep -q '^ready ' "$log"; do
    kill -0 "$SERVER_PID" 2>/dev/null || { tail -n 10 "$log.err" >&2; die "barista-server ended before it was ready; see $log.err"; }
    ((tries += 1)) && ((tries < 1200)) || die "barista-server is not ready after 60 s; see $log.err"
    sleep 0.05
  done
  GRPC=$(sed -n 's/^ready .*grpc=\([^ ]*\).*/\1/p' "$log")
  METRICS=$(sed -n 's/^ready .*metrics=\([^ ]*\).*/\1/p' "$log")
}

# stop_server: SIGTERM, so that it drains, and waits for it. Its exit code.
stop_server() {
  kill -TERM "$SERVER_PID" 2>/dev/null || true
  wait "$SERVER_PID"
}
