# AddressSanitizer and UBSan over the C++ tests, and over the server and its client under the calls that own most memory:
# sessions in every place, streams that end in every way, access, garbage; not test_logs, whose replay has 3 % of a core.
# Builds all again, so with --full alone.
source tests/support/pytest.sh
if [[ -z $FULL ]]; then
  echo "only with --full"
  echo "cases: 0 passed, 0 failed"
  exit 0
fi

cmake --preset cpu-asan -DBARISTA_TESTS=ON
cmake --build --preset cpu-asan
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
unit=0
BARISTA_FULL=1 ctest --test-dir build/cpu-asan --output-on-failure -j "$(nproc)" || unit=1

export BARISTA_BIN=build/cpu-asan/bin BARISTA_FULL=
tests=()
for name in access cancel converse converse_random drain garbage metrics prefix redis rewind sealed session_service \
  sessions snapshots tenant_limits tiers tls; do
  tests+=("tests/e2e/test_$name.py")
done
run_pytest "${tests[@]}"
((unit == 0))
