#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh: prints where the Jaeger is that go.mod pins, all of it in one program. Built once for each content of go.sum,
# outside the checkout.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
cd "$(dirname "${BASH_SOURCE[0]}")"

HASH=$(sha256sum <go.sum | cut -c1-16)
PROGRAM=${TORANA_CACHE:-$HOME/.cache/torana}/jaeger-$HASH
readonly HASH PROGRAM

if ! [ -x "$PROGRAM" ]; then
  need_go >&2
  say "building Jaeger: a few minutes, once" >&2
  CGO_ENABLED=0 retry go build -mod=readonly -buildvcs=false -ldflags '-s -w' -o "$PROGRAM.part" \
    github.com/jaegertracing/jaeger/cmd/all-in-one >&2 || die "Jaeger could not be built: is there a network?"
  mv "$PROGRAM.part" "$PROGRAM"
fi
printf '%s\n' "$PROGRAM"
