# The Helm chart: rendered, linted, held to Kubernetes' schemas, to its own schema, and to the server's knobs; then the
# suites of helm-unittest.
source tests/support/pytest.sh
bash deploy/bootstrap.sh --chart
counts=$(run_pytest tests/helm 2>&1) || failed=1
say "$counts"
suites=$("$TOOLS/bin/helm-unittest" deploy/helm/barista 2>&1) || failed=1
say "$suites"
read -r _ passed _ failures _ <<<"$(sed -n '/^cases: /{s/,//;p}' <<<"$counts")"
units=$(sed -n 's/^Tests: *\(.*\) total$/\1/p' <<<"$suites")
units_failed=$(sed -n 's/.*\b\([0-9]*\) failed.*/\1/p' <<<"$units")
units_passed=$(sed -n 's/.*\b\([0-9]*\) passed.*/\1/p' <<<"$units")
echo "cases: $((passed + ${units_passed:-0})) passed, $((failures + ${units_failed:-0})) failed"
[[ -n $units_passed && -z ${failed:-} ]]
