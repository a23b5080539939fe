# The contract: buf's lint and format.
PATH="$ROOT/build/venv/bin:$PATH" bash proto/lint.sh
