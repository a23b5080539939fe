# The server and the client as users have them, over gRPC.
source tests/support/pytest.sh
export BARISTA_FULL=$FULL
run_pytest tests/e2e
