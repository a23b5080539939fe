# What lies in an image's file system, unpacked at $image_root, and what does not. Sourced by step `image`.

# Prints what it finds, and fails where that is anything.
nothing_found() {
  local found
  found=$(head -n 10)
  [[ -z $found ]] || { say "found: $found"; return 1; }
}

packages_of() { dpkg-query --admindir="$image_root/var/lib/dpkg" --show --showformat '${Package}\n'; }
no_package() { packages_of | { grep -xE "$1" || true; } | nothing_found; }
no_file() { find "$image_root" -xdev "$@" -printf '/%P\n' | nothing_found; }

installed_files() { (cd "$1" && find bin lib share/barista -not -type d 2>/dev/null | sort | xargs); }
files_are() {
  local found
  found=$(installed_files "$1")
  [[ $found == "$2" ]] || { say "found: $found"; return 1; }
}

libraries_found() { LC_ALL=C chroot "$image_root" ldd /usr/local/bin/barista-server /usr/local/bin/barista | { grep 'not found' || true; } | nothing_found; }

check_contents() {
  check "the programs' libraries are there" libraries_found
  check "no compiler, no tool of the build" no_package \
    '.*-dev|(gcc|g\+\+|cpp|clang)(-[0-9]+)?|binutils|make|cmake|ninja-build|cargo.*|rustc.*|python3.*|protobuf-compiler.*|curl|git'
  check "no lists and no archives of apt" no_file '(' -path "$image_root/var/lib/apt/lists/*" -o -name '*.deb' ')' -type f
  check "no history of a shell" no_file -name '.*_history'
  check "no sources" no_file '(' -name '*.cc' -o -name '*.h' -o -name '*.rs' -o -name '*.a' -o -path "$image_root/src" \
    -o -path "$image_root/out" ')'
  check "nothing of pip or cargo" no_file '(' -name .cargo -o -name site-packages -o -name .cache ')'
}
