#!/usr/bin/env bash
# Prints, one a line, the Debian packages of the libraries that installed programs name.
#
#   bash tests/image/runtime_packages.sh PREFIX
#
# Libraries that PREFIX/lib holds itself are left out.
set -euo pipefail
prefix=$1
folder=$(c++ -print-multiarch)
named=$(readelf --dynamic "$prefix"/bin/* | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' | sort -u)
patterns=()
for library in $named; do
  # Debian 12 knows some of them under /lib, which is /usr/lib.
  [[ -e $prefix/lib/$library ]] || patterns+=("*/$folder/$library")
done
found=$(dpkg-query --search "${patterns[@]}")  # fails where it misses one
sed 's/:.*//' <<<"$found" | sort -u
