# run_pytest DIR ARGUMENT...: pytest of build/venv; counts its cases for tests/run.sh. Sourced.
run_pytest() {
  local report code=0
  report=$(mktemp)
  build/venv/bin/python -m pytest -p no:cacheprovider --junit-xml="$report" "$@" || code=$?
  build/venv/bin/python - "$report" <<'PY'
import sys
import xml.etree.ElementTree as xml

suite = xml.parse(sys.argv[1]).getroot().find("testsuite")
total, failed = int(suite.get("tests")), int(suite.get("failures")) + int(suite.get("errors"))
print(f"cases: {total - failed - int(suite.get('skipped'))} passed, {failed} failed")
PY
  rm -f "$report"
  return "$code"
}
