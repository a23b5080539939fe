#!/usr/bin/env bash
# The chart against a real Kubernetes API server, without nodes: each example is installed, upgraded, rolled back and
# uninstalled, and its pods are held to the Pod Security Standard "restricted".
#
#   bash deploy/helm/e2e.sh
#
# The first run builds the API server, which takes half an hour of a core; later ones take a minute or two.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
cd "$ROOT"

bash deploy/bootstrap.sh --cluster
scratch=$(mktemp -d)
etcd_pid='' api_pid=''
stop() {
  local pid
  for pid in $api_pid $etcd_pid; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap stop EXIT

# free_ports N: that many ports that nobody listens on.
free_ports() {
  python3 -c 'import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))' "$1"
}
read -r etcd_port peer_port api_port <<<"$(free_ports 3)"
token=$(openssl rand -hex 16)
openssl genrsa -out "$scratch/sa.key" 2048 2>/dev/null
echo "$token,admin,1,\"system:masters\"" >"$scratch/tokens.csv"

"$TOOLS/bin/etcd" --data-dir="$scratch/etcd" --listen-client-urls="http://127.0.0.1:$etcd_port" --advertise-client-urls="http://127.0.0.1:$etcd_port" \
  --listen-peer-urls="http://127.0.0.1:$peer_port" >"$scratch/etcd.log" 2>&1 &
etcd_pid=$!
# No controllers run, so no service accounts are made, which that plugin would wait for.
"$TOOLS/bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" --secure-port="$api_port" --bind-address=127.0.0.1 \
  --cert-dir="$scratch/certs" --service-account-key-file="$scratch/sa.key" --service-account-signing-key-file="$scratch/sa.key" \
  --service-account-issuer=https://kubernetes.default.svc --authorization-mode=RBAC --token-auth-file="$scratch/tokens.csv" \
  --service-cluster-ip-range=10.0.0.0/24 --disable-admission-plugins=ServiceAccount >"$scratch/api.log" 2>&1 &
api_pid=$!

api=https://127.0.0.1:$api_port tries=0
until curl -kfsS -H "Authorization: Bearer $token" "$api/readyz" >/dev/null 2>&1; do
  kill -0 "$api_pid" 2>/dev/null || { tail -n 20 "$scratch/api.log" >&2; die "the API server ended"; }
  ((tries += 1)) && ((tries < 240)) || { tail -n 20 "$scratch/api.log" >&2; die "the API server is not ready after 120 s"; }
  sleep 0.5
done
say "Kubernetes $("$TOOLS/bin/kube-apiserver" --version | sed 's/.* v//') is ready"

cat >"$scratch/kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: local
contexts: [{name: local, context: {cluster: local, user: admin}}]
clusters: [{name: local, cluster: {server: "$api", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: "$token"}}]
YAML
HOME=$scratch KUBECONFIG=$scratch/kubeconfig build/venv/bin/python tests/helm/cluster.py "$api" "$token"
