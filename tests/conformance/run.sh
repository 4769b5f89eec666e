#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh [--experimental] [--part] [ARGUMENTS…]: the official conformance suite of Gateway API, unmodified, against
# Torana in the test cluster, which must run with Torana installed. Builds the suite and its backend once. Further
# arguments go to the suite (-run-test NAME …).
#
# --experimental  replaces the CRDs by those of the experimental channel first
# --part          a selection over all five profiles, without a report
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
CONFORMANCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${TORANA_CACHE:-$HOME/.cache/torana}/conformance-$(sha256sum <"$CONFORMANCE/go.sum" | cut -c1-16)
readonly CONFORMANCE CACHE

readonly PROFILES=GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS,GATEWAY-TCP,GATEWAY-UDP
# Addresses inside and outside of what the test cluster's load balancer gives.
readonly USABLE=198.18.128.250 UNUSABLE=198.18.200.1

cluster() { "$CONFORMANCE/../cluster/cluster.sh" "$@"; }

build() {
  [ -x "$CACHE/suite" ] && return
  need_go
  say "building the conformance suite: a few minutes, once"
  mkdir -p "$CACHE/backend"
  (
    cd "$CONFORMANCE"
    export CGO_ENABLED=0 GOTOOLCHAIN=go1.27.3 GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
    retry go mod download
    go build -o "$CACHE/backend/echo-basic" sigs.k8s.io/gateway-api-conformance-images/echo-basic
    go test -c -o "$CACHE/suite.part" sigs.k8s.io/gateway-api/conformance
  )
  mv "$CACHE/suite.part" "$CACHE/suite"
}

# Both names that the manifests use are the one version of the backend that can be downloaded.
backend() {
  local name=registry.k8s.io/gateway-api/conformance/echo-basic
  cluster image "$name:v0.1.0,$name:v0.2.0" "$CACHE/backend" /echo-basic
}

# CRDs of the channel come from the module that the suite is built from.
experimental() {
  local crds
  need_go
  crds=$(cd "$CONFORMANCE" && GOTOOLCHAIN=go1.27.3 go list -mod=readonly -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd/experimental
  rm -f "$CACHE/crds"
  ln -s "$crds" "$CACHE/crds"
  local files=("$CACHE"/crds/gateway.networking*.yaml)
  cluster kubectl apply --server-side --force-conflicts "${files[@]/#/--filename=}" >/dev/null
}

channel=standard selection='^TestConformance$' report=()
while :; do
  case ${1:-} in
    --experimental) channel=experimental ;;
    --part) selection="^TestConformance\$/^($(grep -v '^#' "$CONFORMANCE/part.txt" | paste -sd '|'))\$" ;;
    *) break ;;
  esac
  shift
done
build
backend
[ "$channel" = standard ] || experimental
if [ "$selection" = '^TestConformance$' ]; then
  mkdir -p "${REPORTS:=$CACHE/reports}"
  report=(-report-output "$REPORTS/$channel.yaml" -organization torana -project torana -url https://torana.dev
    -contact maintainers@torana.dev -version "$(git -C "$CONFORMANCE" describe --always --dirty 2>/dev/null || echo unknown)")
fi
cd "$CACHE"
cluster inside "$CACHE/suite" -test.v -test.timeout 60m -test.run "$selection" \
  -gateway-class torana -conformance-profiles "$PROFILES" \
  -usable-address "$USABLE" -unusable-address "$UNUSABLE" "${report[@]}" "$@"
