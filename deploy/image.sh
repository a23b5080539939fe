#!/usr/bin/env bash
# Builds the container image of Barista with docker, podman or buildah, whichever works here.
#
#   bash deploy/image.sh [--variant=cpu|cuda] [--base=IMAGE] [--tag=NAME] [--root=DIR] [--sandbox] [-- ARGUMENT...]
#
#   --variant   cpu, or cuda: also computes on NVIDIA cards; default cpu
#   --base      the Debian 12 that the image starts from; default debian:12-slim. A release names it by digest
#   --tag       default barista:VERSION, or barista:VERSION-cuda
#   --root      also unpacks the image's files into DIR and writes its configuration to DIR.json; needs root
#   --sandbox   where no daemon runs and no registry is in reach: debootstrap makes the base from this machine's package
#               sources, buildah builds with chroot alone. Needs root and Debian 12; installs both where they are missing
#   ARGUMENT    goes to the engine's `build`
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

SANDBOX=$ROOT/build/image  # what --sandbox keeps: the base and buildah's store

choose_engine() {
  local name
  for name in docker podman buildah; do
    if "$name" info >/dev/null 2>&1; then
      ENGINE=("$name")
      return
    fi
  done
  die "none of docker, podman and buildah works here; --sandbox needs neither a daemon nor a registry"
}

# One package source a line: what apt knows here of Debian 12 itself.
package_sources() {
  # shellcheck disable=SC2016  # apt's variables, not ours
  apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Origin: Debian' 'Created-By: Packages' |
    grep ' bookworm' | sort -u
}

make_base() {
  local base=$SANDBOX/base container mirror
  if [[ ! -e $base.done ]]; then
    rm -rf "$base"
    package_sources >"$SANDBOX/sources.list"
    mirror=$(awk '$3 == "bookworm" { print $2; exit }' "$SANDBOX/sources.list")
    [[ -n $mirror ]] || die "apt knows no source of Debian 12 (bookworm) here"
    quietly debootstrap "Debian 12 by debootstrap" debootstrap --variant=minbase bookworm "$base" "$mirror"
    cp "$SANDBOX/sources.list" "$base/etc/apt/sources.list"
    rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*
    touch "$base.done"
  fi
  container=$("${ENGINE[@]}" from scratch)
  "${ENGINE[@]}" add --quiet "$container" "$base" /
  "${ENGINE[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  "${ENGINE[@]}" commit --quiet --rm "$container" "$BASE" >/dev/null
}

use_sandbox() {
  local name file
  [[ $EUID == 0 ]] || die "--sandbox needs root"
  for name in buildah debootstrap; do
    command -v "$name" >/dev/null ||
      quietly "apt-$name" "$name from apt" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$name"
  done
  mkdir -p "$SANDBOX"
  export BUILDAH_ISOLATION=chroot
  ENGINE=(buildah --storage-driver vfs --root "$SANDBOX/store" --runroot "$SANDBOX/run")
  # This machine's certificates and pip's settings, where it has its own.
  for file in /usr/local/share/ca-certificates /etc/pip.conf; do
    [[ ! -e $file ]] || BUILD_ARGUMENTS+=(--volume "$file:$file:ro")
  done
  BASE=localhost/barista-base
  "${ENGINE[@]}" inspect --type image "$BASE" >/dev/null 2>&1 || make_base
}

unpack() {
  local dir=$1 container mounted
  rm -rf "$dir"
  mkdir -p "$dir"
  if [[ ${ENGINE[0]} == buildah ]]; then
    container=$("${ENGINE[@]}" from "$TAG")
    mounted=$("${ENGINE[@]}" mount "$container")
    cp -a "$mounted/." "$dir/"
    "${ENGINE[@]}" rm "$container" >/dev/null
    "${ENGINE[@]}" inspect --type image "$TAG" |
      python3 -c 'import json, sys; json.dump(json.load(sys.stdin)["OCIv1"]["config"], sys.stdout)' >"$dir.json"
  else
    container=$("${ENGINE[@]}" create "$TAG")
    "${ENGINE[@]}" export "$container" | tar -x -C "$dir"
    "${ENGINE[@]}" rm "$container" >/dev/null
    "${ENGINE[@]}" inspect --type image --format '{{json .Config}}' "$TAG" >"$dir.json"
  fi
}

VARIANT=cpu BASE=debian:12-slim TAG='' BUILD_ARGUMENTS=()
root='' sandbox=''
while (($#)); do
  case $1 in
    --variant=*) VARIANT=${1#*=} ;;
    --base=*) BASE=${1#*=} ;;
    --tag=*) TAG=${1#*=} ;;
    --root=*) root=$(realpath -m "${1#*=}") ;;
    --sandbox) sandbox=1 ;;
    --) shift; BUILD_ARGUMENTS+=("$@"); break ;;
    -h | --help) usage; exit 0 ;;
    *) die "unknown option $1; see --help" ;;
  esac
  shift
done
[[ $VARIANT == cpu || $VARIANT == cuda ]] || die "--variant is cpu or cuda, not $VARIANT"
cd "$ROOT"
version=$(sed -n 's/^project(barista VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
if [[ -z $TAG ]]; then
  TAG=barista:$version
  [[ $VARIANT == cpu ]] || TAG+=-$VARIANT
fi
if [[ -n $sandbox ]]; then use_sandbox; else choose_engine; fi
say "image $TAG by ${ENGINE[0]}, from $BASE"
"${ENGINE[@]}" build --file deploy/Dockerfile --tag "$TAG" --build-arg BASE_IMAGE="$BASE" --build-arg VARIANT="$VARIANT" \
  "${BUILD_ARGUMENTS[@]}" .
if [[ -n $root ]]; then unpack "$root"; fi
