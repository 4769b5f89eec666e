#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# istio.sh: prints where the definitions of Istio's kinds are, as Istio's API publishes them. Brought once for each content
# of istio/go.sum, which pins them.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

readonly DEFINITIONS=$CACHE/istio-$(sha256sum <"$HERE/istio/go.sum" | cut -c1-16).yaml

if ! [ -s "$DEFINITIONS" ]; then
  need_go >&2
  mkdir -p "$CACHE"
  (
    cd "$HERE/istio"
    GOFLAGS=-mod=readonly retry go mod download istio.io/api
    folder=$(GOFLAGS=-mod=readonly go list -m -f '{{.Dir}}' istio.io/api)
    cp "$folder/kubernetes/customresourcedefinitions.gen.yaml" "$DEFINITIONS.part"
  ) >&2 || die "the definitions of Istio could not be brought: is there a network?"
  mv "$DEFINITIONS.part" "$DEFINITIONS"
fi
printf '%s\n' "$DEFINITIONS"
