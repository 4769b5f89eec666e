#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh: prints where Istio's program is. Built once for each content of its go.sum and sources, outside the checkout;
# the first time takes minutes, and 3 GB of Go's own caches. Where there is neither the program nor Go, it says so and
# prints nothing. --install brings Go, too.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
cd "$(dirname "${BASH_SOURCE[0]}")"

HASH=$(cat go.sum ./*.go | sha256sum | cut -c1-16)
PROGRAM=${TORANA_CACHE:-$HOME/.cache/torana}/istio-oracle-$HASH
readonly HASH PROGRAM

build() {
  local part
  say "building Istio's program: some minutes, once" >&2
  mkdir -p "$(dirname "$PROGRAM")"
  part=$(mktemp "$PROGRAM.XXXXXX")
  CGO_ENABLED=0 retry go build -mod=readonly -buildvcs=false -ldflags '-s -w' -o "$part" . >&2 ||
    die "Istio's program could not be built: is there a network?"
  mv "$part" "$PROGRAM"
}

if ! [ -x "$PROGRAM" ]; then
  [ "${1:-}" != --install ] || need_go >&2
  PATH=$PATH:/usr/local/go/bin
  export GOTOOLCHAIN=auto
  if ! command -v go >/dev/null; then
    say "✘ NOT COMPARED WITH ISTIO: that needs Go; ./dev istio-oracle brings it" >&2
    exit 0
  fi
  build
fi
printf '%s\n' "$PROGRAM"
