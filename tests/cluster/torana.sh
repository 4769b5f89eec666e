#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# torana.sh --crds HELM: installs or upgrades only the definitions, with their chart.
# torana.sh TORANA TORANA-GATEWAY HELM [HELM-ARGUMENTS…]: makes Torana's image of these programs by the recipe of
# deploy/docker, gives it to the node, and installs or upgrades Torana with its own charts, as a user would. A release
# that is there takes the new image into use.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
readonly ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

cluster() { "$ROOT/tests/cluster/cluster.sh" "$@"; }
in_cluster() { cluster inside "$helm" "$@" 2> >(grep -v 'found symbolic link' >&2); }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Charts keep their folders out of the checkout.
export HELM_CACHE_HOME=$work/cache HELM_CONFIG_HOME=$work/config HELM_DATA_HOME=$work/data

definitions() {
  in_cluster upgrade --install torana-crds "$ROOT/deploy/charts/torana-crds" --namespace torana-system --create-namespace
}

if [ "${1:-}" = --crds ] && [ $# = 2 ]; then
  helm=$2
  definitions
  exit
fi
[ $# -ge 3 ] || die "torana.sh TORANA TORANA-GATEWAY HELM [HELM-ARGUMENTS…]"
torana=$1 gateway=$2 helm=$3
shift 3

version=$(sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' "$ROOT/deploy/charts/torana/Chart.yaml")
"$ROOT/deploy/docker/rootfs.sh" "$torana" "$gateway" "$work/root"
cluster image "docker.io/library/torana:$version" "$work/root" /bin/torana

definitions
# Another image of the same name is another template of the pods.
build=$(cat "$torana" "$gateway" | sha256sum | cut -c1-16)
in_cluster upgrade --install torana "$ROOT/deploy/charts/torana" --namespace torana-system \
  --set-string "podAnnotations.build=$build" "$@"
cluster kubectl --namespace torana-system rollout status deployment/torana --timeout=120s
