# Device code, without a card: it compiles and links with warnings as errors, holds code for sm_90a and PTX, and says
# what is missing where there is no driver.
passed=0 failed=0
check() {
  local what=$1
  shift
  if "$@"; then ((passed += 1)); else ((failed += 1)); say "FAILED: $what"; fi || true
}

bash deploy/bootstrap.sh --cuda
cmake --preset cuda -DBARISTA_TESTS=ON
start=$EPOCHREALTIME
cmake --build --preset cuda --target barista_device
say "result: cuda: device code built in $(seconds_since "$start") s"

toolkit=build/cuda/toolkit/bin library=build/cuda/kernels/libbarista_cuda.a program=build/cuda/bin/device_limits
for file in "$library" "$program"; do
  code=$("$toolkit/cuobjdump" --list-elf --list-ptx "$file")
  check "$file: code for sm_90a" grep -q '\.sm_90a\.cubin$' <<<"$code"
  check "$file: PTX of compute_90" grep -q '\.sm_90\.ptx$' <<<"$code"
done
check "kernels without spills" python3 tests/support/device_code.py --cuobjdump="$toolkit/cuobjdump" "$library"

# The tests that run on a card link: nobody sees them run here.
source tests/gpu_tests.sh
check "tests of tests/gpu.sh" cmake --build --preset cuda --target "${TESTS[@]}"

# The whole backend is linked in, and without a card it says so.
check "backend_test" build/cuda/bin/backend_test --gtest_brief=1

# A machine with a card measures instead, and passes too.
said=$("$program" --rounds=1 2>&1) && status=0 || status=$?
say "exit code $status: $said"
one_clear_line() { [[ $status == 77 && $said == "no CUDA device: "* && $said != *$'\n'* ]]; }
measured() { [[ $status == 0 && $said == *'| copy'* ]]; }
answered() { one_clear_line || measured; }
check "exit code 77 and one line without a device" answered
echo "cases: $passed passed, $failed failed"
((failed == 0))
