#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh HELM [write]: the charts are sound, they render whatever their values say, wrong values are refused, and
# deploy/install.yaml is what the chart renders; `write` writes it anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

helm=$1
mode=${2:-compare}
charts=deploy/charts
out=$(mktemp -d "${TMPDIR:-/tmp}/torana-charts.XXXXXX")
trap 'rm -rf "$out"' EXIT
export HELM_CACHE_HOME=$out/cache HELM_CONFIG_HOME=$out/config HELM_DATA_HOME=$out/data

die() {
  printf '✘ %s\n' "$*" >&2
  exit 1
}

# render CHART ARGUMENTS…: on standard output. Folders that are links are told of on standard error every time.
render() {
  local chart=$1
  shift
  "$helm" template torana "$charts/$chart" --namespace torana-system "$@" 2>"$out/said" || {
    cat "$out/said" >&2
    return 1
  }
}

# refused WHAT ARGUMENTS…: the schema of the values says no.
refused() {
  local what=$1
  shift
  ! render torana "$@" >/dev/null 2>&1 || die "values are not refused: $what"
}

install_yaml() {
  cat <<'TEXT'
# SPDX-License-Identifier: Apache-2.0
# What the chart in deploy/charts/torana renders with its defaults: ./dev goldens writes it. The CRDs come first:
#
#   kubectl apply --server-side -f deploy/crds/gateway-api -f deploy/crds/torana.dev
#   kubectl apply --server-side -f deploy/install.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: torana-system
TEXT
  render torana
}

for chart in torana torana-crds; do
  "$helm" lint --strict "$charts/$chart" >"$out/lint" 2>&1 || {
    cat "$out/lint" >&2
    die "helm lint $chart"
  }
done

install_yaml >"$out/install.yaml"
if [ "$mode" = write ]; then
  cp "$out/install.yaml" deploy/install.yaml
elif ! diff -u deploy/install.yaml "$out/install.yaml"; then
  die "deploy/install.yaml is not what the chart renders: ./dev goldens"
fi

render torana --values tests/helm/everything.yaml >"$out/everything.yaml"
for expected in 'kind: PodMonitor' 'kind: PrometheusRule' 'torana.json: |' 'kind: GatewayParameters' 'image: "registry.example.com/edge/torana:1"' \
  'namespace: istio-system' 'istio: edge' 'port: 8443' 'name: extra-one' 'name: "extra-torana"' 'team: edge' 'example.com/arn: role' 'runs-on: edge' 'name: pull' '--revision=canary' \
  'name: torana-mesh-ca' 'targetPort: mesh-ca' '--mesh-ca-listen=0.0.0.0:15013' '--mesh-ca-trust-domain=mesh.example' '--mesh-ca-lifetime=1h30m' \
  '--mesh-ca-cluster-id=east'; do
  grep -qF -- "$expected" "$out/everything.yaml" || die "with everything on there is no: $expected"
done
render torana --set gatewayClass.create=false --set serviceAccount.create=false --set podDisruptionBudget.enabled=false >"$out/little.yaml"
for unexpected in 'kind: GatewayClass' 'kind: ServiceAccount$' 'kind: PodDisruptionBudget'; do
  ! grep -q "^$unexpected" "$out/little.yaml" || die "with little on there is still: $unexpected"
done

refused 'a key that nothing reads' --set replicas=3
refused 'a number that is a text' --set replicaCount=many
refused 'no controller at all' --set replicaCount=0
refused 'a port that is none' --set 'ingress.ports[0].port=0'
refused 'a revision that is no label' --set istio.revision=a/b
refused 'a trust domain that is none' --set meshCA.trustDomain=Cluster/Local
refused 'a lifetime that is none' --set meshCA.certificateLifetime=1d
refused 'a log format that does not exist' --set logFormat=xml

render torana-crds >"$out/crds.yaml"
[ "$(grep -c '^kind: CustomResourceDefinition' "$out/crds.yaml")" = "$(find deploy/crds -name '*.yaml' | wc -l)" ] ||
  die "the chart of the CRDs does not have all of them"
[ "$(grep -c '^    helm.sh/resource-policy: keep' "$out/crds.yaml")" = "$(find deploy/crds -name '*.yaml' | wc -l)" ] ||
  die "a CRD would go when the chart is uninstalled, and every object of its kind with it"
[ "$(render torana-crds --set gatewayApi.enabled=false | grep -c '^kind: CustomResourceDefinition')" = \
  "$(find deploy/crds/torana.dev -name '*.yaml' | wc -l)" ] || die "gatewayApi.enabled=false leaves CRDs of Gateway API"
