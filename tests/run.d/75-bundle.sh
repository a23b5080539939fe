# The bundle: it holds all that it needs but glibc, and serves from a folder of its own with an empty environment.
source tests/support/check.sh
bash deploy/bundle.sh

unpacked=$(mktemp -d)
trap 'kill "${SERVER_PID:-}" 2>/dev/null || true; rm -rf "$unpacked"' EXIT
archive=$(ls -t build/bundle/*-"$(uname -m)".tar.gz | head -n 1)
tar --extract --gzip --file="$archive" --directory="$unpacked"
bundle=$(echo "$unpacked"/*)
megabytes=$(($(stat -c %s "$archive") / 1000000))

# What the loader takes from elsewhere, or does not find.
foreign() {
  env -i LD_TRACE_LOADED_OBJECTS=1 "$bundle/bin/$1" |
    grep -vE "=> $bundle/bin/\.\./lib/|/ld-linux|linux-vdso|lib(anl|c|dl|m|mvec|pthread|resolv|rt|util)\.so\.[0-9] =>" || true
}
self_contained() { local found && found=$(foreign "$1") && [[ -z $found ]] || { say "found: $found"; return 1; }; }
licensed() { (($(find "$bundle/share/barista/licences" -type f -size +100c | wc -l) > 10)); }
# What the build's own server says.
completes() {
  start_server "$LOGS/bundle-server.log" --model="$1" --listen=127.0.0.1:0 --metrics_listen=127.0.0.1:0
  env -i "$bundle/bin/barista" --server="$GRPC" generate "def fibonacci(n):" --max_tokens=16 --temperature=0
  stop_server
}
same_text() {
  local bundled built
  built=$(completes deploy/demo-model)
  SERVER=(env -i "$bundle/bin/barista-server")
  bundled=$(cd / && completes "$bundle/share/barista/demo-model")
  [[ -n $bundled && $bundled == "$built" ]] || { say "found: $bundled, not $built"; return 1; }
}

check "the server's libraries are in the bundle" self_contained barista-server
check "the client's libraries are in the bundle" self_contained barista
check "the libraries' licences are there" licensed
check "less than 60 MB" test "$megabytes" -lt 60
check "it serves the model it brings" same_text
say "result: bundle: $megabytes MB"
end_of_checks
