#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# source.sh: prints where Istio's own source is, of the version whose packages judge: its tests have inputs that ours use.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
cd "$(dirname "${BASH_SOURCE[0]}")"

need_go >&2
export GOTOOLCHAIN=auto
retry go mod download istio.io/istio >&2 || die "Istio's source could not be brought: is there a network?"
go list -mod=readonly -m -f '{{.Dir}}' istio.io/istio
