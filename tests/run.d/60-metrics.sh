# The server's metrics page by Prometheus' own checker; then a real Prometheus, our rules, dashboards and their names.
start_server "$LOGS/metrics-server.log" --model=deploy/demo-model --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0
trap 'kill "$SERVER_PID" 2>/dev/null || true' EXIT
build/cpu/bin/barista --server="$GRPC" generate --prompt="import" --max_tokens=4
curl -fsS "http://$METRICS/metrics" | promtool check metrics
stop_server
trap - EXIT

source tests/support/pytest.sh
export BARISTA_FULL=$FULL
run_pytest tests/prometheus
