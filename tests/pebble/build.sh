#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh: prints the folder of the Pebble that go.mod pins: pebble, pebble-challtestsrv, and in test/ the configuration
# and the certificates that Pebble comes with. Built once for each content of go.sum, outside the checkout.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
cd "$(dirname "${BASH_SOURCE[0]}")"

HASH=$(sha256sum <go.sum | cut -c1-16)
FOLDER=${TORANA_CACHE:-$HOME/.cache/torana}/pebble-$HASH
readonly HASH FOLDER
readonly MODULE=github.com/letsencrypt/pebble/v2

if ! [ -d "$FOLDER" ]; then
  need_go >&2
  say "building Pebble: a minute at most, once" >&2
  rm -rf "$FOLDER.part"
  mkdir -p "$FOLDER.part"
  CGO_ENABLED=0 retry go build -mod=readonly -buildvcs=false -ldflags '-s -w' -o "$FOLDER.part/" \
    "$MODULE/cmd/pebble" "$MODULE/cmd/pebble-challtestsrv" >&2 || die "Pebble could not be built: is there a network?"
  # Files of modules are read-only.
  cp -r --no-preserve=mode "$(go list -mod=readonly -m -f '{{.Dir}}' "$MODULE")/test" "$FOLDER.part/test"
  mv "$FOLDER.part" "$FOLDER"
fi
printf '%s\n' "$FOLDER"
