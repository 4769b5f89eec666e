# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What every script here needs: a few words to people, retries, and the tools that may be missing on Debian or Ubuntu.
# Sourced.

readonly RUST_NEEDED=1.95

say() { printf '%s\n' "$*"; }
good() { printf '✔ %s\n' "$*"; }
die() {
  printf '✘ %s\n' "$*" >&2
  exit 1
}

# Three attempts, for what goes over the network.
retry() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return
    [ "$attempt" = 3 ] || sleep $((attempt * 5))
  done
  return 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "root is needed to install packages, and there is no sudo: run as root: $*"
  fi
}

# without_services COMMAND…: packages that it installs start no service of the machine.
without_services() {
  local policy=/usr/sbin/policy-rc.d code=0
  if [ -e "$policy" ]; then
    "$@"
    return
  fi
  printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
  "$@" || code=$?
  as_root rm -f "$policy"
  return $code
}

# need COMMAND=PACKAGE…: installs the packages whose command is missing.
need() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || die "missing, and this is not Debian or Ubuntu: install ${missing[*]}"
  say "installing ${missing[*]}"
  retry as_root apt-get update -qq || die "apt-get update does not work: is there a network?"
  without_services retry as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    ca-certificates "${missing[@]}" >/dev/null || die "could not install ${missing[*]}"
}

need_rust() {
  PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
  if ! command -v cargo >/dev/null; then
    apt-cache show rustup >/dev/null 2>&1 || die "Rust is missing and this system has no package rustup: https://rustup.rs"
    need rustup=rustup
    retry rustup default stable || die "rustup could not install a toolchain"
  fi
  local found
  found=$(rustc --version | cut -d' ' -f2)
  printf '%s\n%s\n' "$RUST_NEEDED" "${found%%-*}" | sort -VC ||
    die "rustc $found is too old, $RUST_NEEDED is needed: rustup update stable"
}

# Go as it is installed if it can bring the toolchain that a module asks for (1.21 and later); else the one of the Go
# module proxy, unpacked once.
need_go() {
  PATH=$PATH:/usr/local/go/bin
  export GOTOOLCHAIN=auto
  local found home version=1.27.3 name
  found=$(go env GOVERSION 2>/dev/null) || found=
  printf '%s\n%s\n' go1.21 "${found:-go0}" | sort -VC && return
  home=${TORANA_CACHE:-$HOME/.cache/torana}/go-$version
  if ! [ -x "$home/bin/go" ]; then
    need curl=curl unzip=unzip
    name=v0.0.1-go$version.linux-$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
    say "bringing Go $version"
    mkdir -p "$home.part"
    retry curl -fsSL -o "$home.part/go.zip" "https://proxy.golang.org/golang.org/toolchain/@v/$name.zip" ||
      die "Go could not be brought: is there a network?"
    unzip -q "$home.part/go.zip" -d "$home.part"
    chmod -R u+x "$home.part/golang.org/toolchain@$name/bin" "$home.part/golang.org/toolchain@$name/pkg/tool"
    mv "$home.part/golang.org/toolchain@$name" "$home"
    rm -rf "$home.part"
  fi
  PATH=$home/bin:$PATH
}
