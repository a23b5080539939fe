#!/usr/bin/env bash
# Packs server, client and all that they need but the C library into one archive that runs where nothing is installed.
#
#   bash deploy/bundle.sh [--cuda] [--tests]
#
#   --cuda    of the cuda-release preset: also computes on NVIDIA cards, with the machine's driver
#   --tests   also the test programs and benchmarks of `tests/gpu.sh --bundle=DIR`; with --cuda of the cuda preset, which
#             that builds otherwise
#
# Needs what bootstrap.sh installs, on Debian or Ubuntu. Makes build/bundle/NAME.tar.gz with one folder, NAME:
# barista-VERSION-linux-MACHINE, and -cuda. It may lie anywhere; lib/ is found from bin/. With --tests it is NAME-tests.tar.xz:
# the programs have most of their code in common, which only xz's window is wide enough to find.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$ROOT/tests/gpu_tests.sh"
cd "$ROOT"

preset=cpu cuda='' tests=''
for arg in "$@"; do
  case $arg in
    --cuda) preset=cuda-release cuda=1 ;;
    --tests) tests=1 ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) die "unknown option $arg; see --help" ;;
  esac
done

programs=()
if [[ -n $tests ]]; then
  programs=("${TESTS[@]}" "${BENCHES[@]}")
  if [[ -n $cuda ]]; then preset=cuda programs+=(device_limits); fi
fi
version=$(sed -n 's/^project(barista VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=barista-$version-linux-$(uname -m)
name+=${cuda:+-cuda}${tests:+-tests}
out=$ROOT/build/bundle dir=$ROOT/build/bundle/$name
share=$dir/share/barista

quietly bundle-configure "configure $preset" cmake --preset "$preset"
quietly bundle-build "build $preset" cmake --build --preset "$preset" --target barista-server barista barista_protoset "${programs[@]}"
rm -rf "$dir"
quietly bundle-install "install" cmake --install "build/$preset" --prefix "$dir" --strip
if [[ -n $tests ]]; then install --strip -t "$dir/bin" "${programs[@]/#/build/$preset/bin/}"; fi

# All that the loader finds, less the C library's own.
mapfile -t libraries < <(ldd "$dir"/bin/* | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u |
  grep -vE '/(ld-linux[^/]*|lib(anl|c|dl|m|mvec|pthread|resolv|rt|util))\.so[^/]*$')
mkdir -p "$dir/lib" "$share/licences" "$share/demo-model"
cp --dereference "${libraries[@]}" "$dir/lib/"
strip --strip-unneeded "$dir"/lib/*

# Whoever passes libraries on passes on their licences.
for package in $(dpkg-query --search "${libraries[@]/#*\//*/$(c++ -print-multiarch)/}" | sed 's/:.*//' | sort -u); do
  cp "/usr/share/doc/$package/copyright" "$share/licences/$package"
done
cp deploy/demo-model/{README.md,config.json,generation_config.json,model.safetensors,tokenizer.json} "$share/demo-model/"

archive=build/bundle/$name.tar.gz compress=(gzip -9n)
if [[ -n $tests ]]; then archive=build/bundle/$name.tar.xz compress=(xz --threads=1 '--lzma2=preset=6,dict=128MiB'); fi
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --directory="$out" "$name" | "${compress[@]}" >"$archive"
glibc=$(readelf --version-info "$dir"/{bin,lib}/* | grep -o 'GLIBC_2\.[0-9]*' | sort -uV | tail -n 1)
say "  $archive: $(($(stat -c %s "$archive") / 1000000)) MB; needs glibc ${glibc#GLIBC_} or later"
