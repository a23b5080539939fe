# The image: its Dockerfile, what is installed, what that needs to run; with --full the images themselves, built and run.
source tests/support/check.sh
source tests/image/contents.sh
source deploy/versions.env

version=$(sed -n 's/^project(barista VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
files='bin/barista bin/barista-server share/barista/LICENSE share/barista/NOTICE share/barista/barista.pb'

prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install build/cpu --prefix "$prefix" --strip

runtime_packages_exact() {
  local needed
  needed=$(bash tests/image/runtime_packages.sh "$prefix") && diff <(tr -s ' \n' '\n' <<<"$RUNTIME_PACKAGES" | sort) - <<<"$needed"
}
whole_contract() {
  build/venv/bin/python - "$prefix/share/barista/barista.pb" <<'PY'
import sys
from google.protobuf import descriptor_pb2, descriptor_pool

pool = descriptor_pool.DescriptorPool()
with open(sys.argv[1], "rb") as file:
    for each in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
        pool.AddSerializedFile(each.SerializeToString())
for service in ("InferenceService", "ModelService", "SessionService", "TokenizerService"):
    pool.FindServiceByName("barista.v1." + service)
PY
}

check "hadolint" build/venv/bin/hadolint deploy/Dockerfile
check "the image's label is the project's version" grep -qF "image.version=\"$version\"" deploy/Dockerfile
check "what is installed" files_are "$prefix" "$files"
check "RUNTIME_PACKAGES of deploy/versions.env are those of the programs' libraries" runtime_packages_exact
check "barista.pb holds the services and all that they import" whole_contract
check "an installed server runs" "$prefix/bin/barista-server" --model=deploy/demo-model --check_config

# try_image VARIANT FILES: builds it; what lies in it, what it says it runs, and whether that runs.
try_image() {
  say "the image: $1"
  image_root=$ROOT/build/image/$1
  bash deploy/image.sh --sandbox --variant="$1" --root="$image_root"
  check_contents
  check "what is installed in the image" files_are "$image_root/usr/local" "$2"
  check "the image's configuration" build/venv/bin/python tests/image/configuration.py "$image_root.json" "$version"
  mapfile -t config < <(build/venv/bin/python tests/image/configuration.py "$image_root.json" "$version")
  check "the image runs" bash tests/image/run_image.sh "$image_root" "${config[0]}" "${config[1]}"
  say "result: image $1: $(du -sm --one-file-system "$image_root" | cut -f 1) MiB, $(packages_of | wc -l) packages"
}
if [[ -n $FULL ]]; then
  try_image cpu "$files"
  try_image cuda "${files/barista.pb/NVIDIA-LICENSE share/barista/barista.pb}"
fi
end_of_checks
