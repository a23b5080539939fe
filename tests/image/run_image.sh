#!/usr/bin/env bash
# Runs an image's programs as a container runtime would: its own environment and command, user 10001 without capabilities,
# a read-only root, the model and the state as volumes. Needs root.
#
#   bash tests/image/run_image.sh ROOT ENVIRONMENT COMMAND     the image's files, and two lines of configuration.py
set -euo pipefail
[[ -n ${OWN_MOUNTS:-} ]] || exec env OWN_MOUNTS=1 unshare --mount --propagation private bash "$0" "$@"
source "$(dirname "${BASH_SOURCE[0]}")/../../deploy/lib.sh"
source "$ROOT/tests/support/check.sh"
cd "$ROOT"
image_root=$1
eval "environment=($2) command=($3)"

mount --bind "$image_root" "$image_root"
cd "$ROOT"
mount --rbind /proc "$image_root/proc"
mount --rbind /dev "$image_root/dev"
mount --bind deploy/demo-model "$image_root/model"
mount -o remount,bind,ro "$image_root/model"
mount -t tmpfs -o uid=10001,gid=10001,mode=0700 state "$image_root/var/lib/barista"
mount -o remount,bind,ro "$image_root"

inside=(env -i "${environment[@]}" chroot "$image_root"
  setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all)
SERVER=("${inside[@]}" "${command[@]}")
serve() { start_server "$LOGS/image-server.log" --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0 --state_dir=/var/lib/barista; }
client() { "${inside[@]}" barista --server="$GRPC" "$@"; }
trap '[[ -z ${SERVER_PID:-} ]] || kill "$SERVER_PID" 2>/dev/null || true' EXIT

read_only() { ! "${inside[@]}" touch /usr/local/x /tmp/x 2>/dev/null; }
as_a_stranger() {
  local status
  status=$(<"/proc/$SERVER_PID/status")
  grep -qP '^Uid:\t10001\t10001\t10001\t10001$' <<<"$status" && grep -qP '^CapEff:\t0+$' <<<"$status"
}
generates() { [[ -n $(client generate "def read(" --session=kept --max_tokens=8 --seed=7) ]]; }
tells_metrics() {
  local page
  page=$(curl -fsS "http://$METRICS/metrics") && grep -q '^barista_' <<<"$page"
}
ends_well() { stop_server; }

check "nothing can be written" read_only
serve
check "the server is user 10001 without capabilities" as_a_stranger
check "the client makes a session" client session create kept
check "the client generates" generates
check "metrics are told" tells_metrics
check "SIGTERM ends it with 0" ends_well
serve
check "the session outlives the server on the volume" client session get kept
check "SIGTERM ends it with 0 again" ends_well
SERVER_PID=
end_of_checks
