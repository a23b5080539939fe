# check WHAT COMMAND...: counts COMMAND as a case that passes or fails, and goes on. Sourced.
passed=0 failed=0

check() {
  local what=$1
  shift
  if "$@"; then
    ((passed += 1))
  else
    ((failed += 1))
    say "FAILED: $what"
  fi || true
}

# The last lines of a step: tells tests/run.sh how many cases that were.
end_of_checks() {
  echo "cases: $passed passed, $failed failed"
  ((failed == 0))
}
