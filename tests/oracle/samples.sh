#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# samples.sh: prints where Istio's samples are, of the version whose packages judge. Brought once for each content of
# go.sum.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly SAMPLES=${TORANA_CACHE:-$HOME/.cache/torana}/istio-samples-$(sha256sum <go.sum | cut -c1-16)

if ! [ -d "$SAMPLES" ]; then
  need_go >&2
  retry go mod download istio.io/istio >&2 || die "Istio's samples could not be brought: is there a network?"
  rm -rf "$SAMPLES.part"
  mkdir -p "$(dirname "$SAMPLES")"
  cp -r "$(go list -mod=readonly -m -f '{{.Dir}}' istio.io/istio)/samples" "$SAMPLES.part"
  chmod -R u+w "$SAMPLES.part"
  mv "$SAMPLES.part" "$SAMPLES"
fi
printf '%s\n' "$SAMPLES"
