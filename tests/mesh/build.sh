#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# build.sh: prints the folder of the programs that the tests of the mesh run: pilot-discovery (istiod), Istio's echo
# server and client, its sample of an authorization server, and ours (certify, sidecar, names, streams). Built once for
# each content of go.sum and our sources, outside the checkout; the first time takes minutes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
cd "$(dirname "${BASH_SOURCE[0]}")"

HASH=$(cat go.sum build.sh ./*.go ./*/*.go | sha256sum | cut -c1-16)
FOLDER=${TORANA_CACHE:-$HOME/.cache/torana}/mesh-$HASH
readonly HASH FOLDER

# program NAME PACKAGE. With the flags that tests/oracle builds with, and the same versions: Go has most of it then.
program() {
  CGO_ENABLED=0 retry go build -mod=readonly -buildvcs=false -ldflags '-s -w' -o "$FOLDER.part/$1" "$2" >&2 ||
    die "$1 could not be built: is there a network?"
}

if ! [ -d "$FOLDER" ]; then
  need_go >&2
  say "building istiod and Istio's echo server: some minutes, once" >&2
  rm -rf "$FOLDER.part"
  mkdir -p "$FOLDER.part"
  program pilot-discovery istio.io/istio/pilot/cmd/pilot-discovery
  program echo-server istio.io/istio/pkg/test/echo/cmd/server
  program echo-client istio.io/istio/pkg/test/echo/cmd/client
  program ext-authz istio.io/istio/samples/extauthz/cmd/extauthz
  for own in certify sidecar names streams; do program "$own" "./$own"; done
  mv "$FOLDER.part" "$FOLDER"
fi
printf '%s\n' "$FOLDER"
