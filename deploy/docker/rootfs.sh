#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rootfs.sh BINARY… FOLDER: makes FOLDER the root file system of an image: the programs, the shared libraries that they
# ask for and nothing else, one user, no shell. Libraries come from the machine that the programs were built on.
set -euo pipefail

die() {
  printf '✘ %s\n' "$*" >&2
  exit 1
}

[ $# -ge 2 ] || die "rootfs.sh BINARY… FOLDER"
root=${!#}
binaries=("${@:1:$#-1}")

install -d -m 755 "$root" "$root"/{bin,etc,run}
install -d -m 1777 "$root/tmp"
for binary in "${binaries[@]}"; do
  [ -x "$binary" ] || die "$binary is no program"
  install -m 755 "$binary" "$root/bin/$(basename "$binary")"
done

# Shared libraries, at the paths that the loader looks for; and the loader itself.
for binary in "${binaries[@]}"; do
  listed=$(ldd "$binary" 2>&1) || {
    grep -q 'not a dynamic executable\|statically linked' <<<"$listed" && continue
    die "$binary: $listed"
  }
  ! grep -q 'not found' <<<"$listed" || die "$binary: $(grep 'not found' <<<"$listed")"
  awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// {print $1}' <<<"$listed"
done | sort -u | while read -r library; do
  install -D -m 755 "$(readlink -f "$library")" "$root$library"
done

printf 'root:x:0:0:root:/:/sbin/nologin\ntorana:x:65532:65532:torana:/:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\ntorana:x:65532:\n' >"$root/etc/group"
# Names are asked of DNS and of /etc/hosts only: nothing else is here.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
