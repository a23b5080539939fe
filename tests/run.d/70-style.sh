# Formatting of C++, the scripts, and the habits that a machine can check. All three run, whatever the first one says.
passed=0 failed=0
count() { if "$@"; then ((passed += 1)); else ((failed += 1)); fi || true; }

formatted() {
  local unformatted
  unformatted=$(find server kernels clients tests \( -name '*.cc' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
    xargs -0 -n 1 -P "$(nproc)" bash -c '"$0" --dry-run --Werror "$1" >/dev/null 2>&1 || echo "  $1"' \
      build/venv/bin/clang-format | sort)
  [[ -z $unformatted ]] || { say "not formatted (build/venv/bin/clang-format -i FILE):"; say "$unformatted"; return 1; }
}

scripts_are_clean() {
  find deploy tests proto clients .ci \( -name '*.sh' -o -path .ci/run \) -type f -print0 |
    xargs -0 shellcheck --severity=warning --shell=bash --exclude=SC1091,SC2034,SC2154
}

count formatted
count scripts_are_clean
count python3 tests/support/check_style.py
echo "cases: $passed passed, $failed failed"
((failed == 0))
