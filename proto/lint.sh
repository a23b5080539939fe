#!/usr/bin/env bash
# Checks the contract: builds it, lints it (STANDARD, COMMENTS), and shows what the formatter would change.
# Needs npm once, to put buf into build/tools; later runs are offline.
set -euo pipefail
cd "$(dirname "$0")"
tools="$(cd .. && pwd)/build/tools"
buf="$tools/node_modules/.bin/buf"
if [[ ! -x "$buf" ]]; then
  command -v npm >/dev/null || { echo "proto/lint.sh: npm is needed to install buf (apt install npm)" >&2; exit 1; }
  mkdir -p "$tools"
  npm install --silent --no-audit --no-fund --prefix "$tools" @bufbuild/buf@1.75.0
fi
"$buf" build -o /dev/null
"$buf" lint
"$buf" format --diff --exit-code --path barista
echo "proto: lint and format clean"
