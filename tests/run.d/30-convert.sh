# The checkpoint converter, against the authors' runs and random ones.
source tests/support/pytest.sh
run_pytest tests/convert
