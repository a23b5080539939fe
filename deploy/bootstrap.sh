#!/usr/bin/env bash
# Installs what a build of Barista needs on Debian 12 or a recent Ubuntu, with apt and pip alone.
#
#   bash deploy/bootstrap.sh [--test] [--cuda]
#
#   --test   also what tests/run.sh needs: test libraries, a Python environment in build/venv, checkers
#   --cuda   also NVIDIA's compiler and libraries as PyPI wheels, as a toolkit in build/cuda/toolkit: neither a GPU nor a
#            driver is needed
#
# Libraries come from the distribution, system-wide (root or sudo); everything else goes under build/. Versions:
# deploy/versions.env. Running it again when all is there changes nothing and takes a second.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$ROOT/deploy/versions.env"

usage() { sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

as_root() {
  if [[ $EUID == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing packages needs root: run this as root, or install sudo"
  fi
}

# The names among the arguments that are not installed.
missing_packages() {
  local -A installed=()
  local name status
  while read -r name status; do
    [[ $status == installed ]] && installed[${name%:*}]=1
  done < <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null)
  for name in "$@"; do
    [[ -n ${installed[$name]:-} ]] || echo "$name"
  done
}

APT_UPDATED=
apt_update() {
  [[ -n $APT_UPDATED ]] && return
  quietly apt-update "apt-get update" as_root apt-get update -q
  APT_UPDATED=1
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  apt_update
  quietly apt-install "${#missing[@]} packages from apt" \
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

warn_of_other_versions() {
  local name version
  while read -r name version; do
    [[ $version == "${TESTED_SERIES[$name]}"* ]] ||
      warn "$name is $version here; this tree is built and tested with ${TESTED_SERIES[$name]}"
  done < <(dpkg-query -W -f '${Package} ${Version}\n' "${!TESTED_SERIES[@]}")
}

rust_version() { cargo --version 2>/dev/null | cut -d ' ' -f 2; }

# The cargo on PATH if it is new enough; else the distribution's newest.
install_rust() {
  command -v cargo >/dev/null && at_least "$(rust_version)" "$RUST_MINIMUM" && return
  apt_update
  local name
  for name in web 1.91 1.90 1.89 1.88 1.87; do  # Debian 12 calls its current Rust "web"; Ubuntu has numbers
    apt-cache show "cargo-$name" >/dev/null 2>&1 || continue
    install_packages "cargo-$name" "rustc-$name"
    if [[ ! -e /usr/bin/cargo ]]; then
      mkdir -p "$TOOLS/bin"
      ln -sf "/usr/bin/cargo-$name" "$TOOLS/bin/cargo"
      ln -sf "/usr/bin/rustc-$name" "$TOOLS/bin/rustc"
    fi
    break
  done
  hash -r
  command -v cargo >/dev/null && at_least "$(rust_version)" "$RUST_MINIMUM" ||
    die "Rust $RUST_MINIMUM or later is needed, and apt has none here (found: $(rust_version || true)); put a cargo on PATH"
}

# pip_into DIR NAME WHAT ARGUMENT...: makes the environment DIR hold exactly what `pip install ARGUMENT...` asks; a stamp
# with STAMP_OF's content makes the next run free.
pip_into() {
  local dir=$1 name=$2 what=$3 wanted
  shift 3
  wanted="$* $(cat "${STAMP_OF[@]}" 2>/dev/null)"
  [[ -e $dir/.installed && $(<"$dir/.installed") == "$wanted" ]] && return
  [[ -x $dir/bin/pip ]] || quietly "$name-venv" "${dir#"$ROOT"/}" python3 -m venv "$dir"
  quietly "$name" "$what" "$dir/bin/pip" install --disable-pip-version-check --no-input "$@"
  printf '%s' "$wanted" >"$dir/.installed"
}

install_cmake() {
  local -a STAMP_OF=(/dev/null)
  pip_into "$TOOLS/venv" cmake "CMake $CMAKE_VERSION from PyPI" "cmake==$CMAKE_VERSION"
}

# promtool checks our metrics and rules, and a real Prometheus scrapes a server in the tests. Unpacked, not installed: the
# package would start a daemon.
install_prometheus() {
  [[ -x $TOOLS/bin/promtool && -x $TOOLS/bin/prometheus ]] && return
  apt_update
  local scratch
  scratch=$(mktemp -d)
  quietly prometheus "prometheus from apt" bash -c "cd '$scratch' && apt-get download -q prometheus && dpkg -x prometheus_*.deb ."
  mkdir -p "$TOOLS/bin"
  mv "$scratch"/usr/bin/{promtool,prometheus} "$TOOLS/bin/"
  rm -r "$scratch"
}

# Sessions and snapshots in Redis are tested against a real one. Package redis-server would start a daemon; but all that it
# adds to redis-tools is the name: the program is the one that checks dumps, and looks how it was called.
link_redis_server() {
  local program
  program=$(command -v redis-check-rdb) || die "package redis-tools has no redis-check-rdb here"
  mkdir -p "$TOOLS/bin"
  ln -sf "$program" "$TOOLS/bin/redis-server"
  "$TOOLS/bin/redis-server" --version | grep -q '^Redis server' || die "$program is no redis-server here"
}

install_test_tools() {
  local -a packages STAMP_OF=("$ROOT"/tests/requirements.txt "$ROOT"/tests/*/requirements.txt)
  read -r -a packages <<<"${TEST_PACKAGES//$'\n'/ }"
  install_packages "${packages[@]}"
  install_prometheus
  link_redis_server
  pip_into "$ROOT/build/venv" requirements "Python packages of the tests" -r "$ROOT/tests/requirements.txt"
}

# CMake and nvcc want the layout of an installed toolkit: lib64 beside lib, and names without a version for the linker.
# The wheels lie in build/tools, since build/cuda is also where the preset builds.
install_cuda() {
  local cuda=$TOOLS/cuda toolkit so
  local -a wheels STAMP_OF=(/dev/null)
  read -r -a wheels <<<"$CUDA_WHEELS"
  pip_into "$cuda" cuda "CUDA compiler and libraries from PyPI" --no-deps "${wheels[@]}"
  toolkit=$(echo "$cuda"/lib/python3*/site-packages/nvidia/cu13)
  [[ -x $toolkit/bin/nvcc ]] || die "NVIDIA's wheels have no bin/nvcc under $toolkit"
  mkdir -p "$ROOT/build/cuda"
  ln -sfn "../${toolkit#"$ROOT/build/"}" "$ROOT/build/cuda/toolkit"
  ln -sfn lib "$toolkit/lib64"
  for so in "$toolkit"/lib/lib*.so.*; do
    [[ -e ${so%.so.*}.so ]] || ln -s "$(basename "$so")" "${so%.so.*}.so"
  done
}

main() {
  local with_tests='' with_cuda=''
  for arg in "$@"; do
    case $arg in
      --test) with_tests=1 ;;
      --cuda) with_cuda=1 ;;
      -h | --help) usage; exit 0 ;;
      *) die "unknown option $arg; see --help" ;;
    esac
  done
  command -v apt-get >/dev/null ||
    die "no apt-get: this script knows Debian and Ubuntu; deploy/versions.env lists what to install elsewhere"
  local -a packages
  read -r -a packages <<<"${BUILD_PACKAGES//$'\n'/ }"
  install_packages "${packages[@]}"
  warn_of_other_versions
  install_rust
  install_cmake
  if [[ -n $with_tests ]]; then install_test_tools; fi
  if [[ -n $with_cuda ]]; then install_cuda; fi
  say "  all there: g++ $(c++ -dumpfullversion), cmake $CMAKE_VERSION, cargo $(rust_version)"
}

main "$@"
