# The Helm chart: rendered, linted, held to Kubernetes' schemas, to its own schema, and to the server's knobs; then the
# suites of helm-unittest.
source tests/support/pytest.sh
bash deploy/bootstrap.sh --chart
said=$(run_pytest tests/helm 2>&1) || failed=1
say "$said"
suites=$("$TOOLS/bin/helm-unittest" deploy/helm/barista 2>&1) || failed=1
say "$suites"
# counted WORD: how many tests helm-unittest calls that. It leaves out what none is.
counted() {
  local count
  count=$(sed -n "s/^Tests: .*\b\([0-9]\+\) $1,.*/\1/p" <<<"$suites")
  echo "${count:-0}"
}
read -r _ passed _ failures _ <<<"$(sed -n '/^cases: /{s/,//;p}' <<<"$said")"
echo "cases: $((passed + $(counted passed))) passed, $((failures + $(counted failed) + $(counted errored))) failed"
[[ -z ${failed:-} ]]
