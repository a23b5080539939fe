# The C++ tests. Each case of each program counts.
BARISTA_FULL=$FULL ctest --test-dir build/cpu --output-on-failure --verbose -j "$(nproc)" || failed=1
log=build/cpu/Testing/Temporary/LastTest.log
passed_cases=$(grep -ac '^\[       OK \]' "$log" || true)
failed_cases=$(grep -ac '^\[  FAILED  \].*ms)$' "$log" || true)
echo "cases: $passed_cases passed, $failed_cases failed"
[[ -z ${failed:-} ]]
