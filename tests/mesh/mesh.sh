#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A mesh in the test cluster, which must run: istiod as its CA, the DNS by which istiod is found, and workloads that
# have certificates of it.
#
# mesh.sh up                    tcpdump, images, DNS, Istio's definitions and istiod; ready when it returns
# mesh.sh down                  istiod and the DNS are gone; its root certificates and definitions stay
# mesh.sh istiod stop|start     without istiod, and with it again; both wait until it is so
# mesh.sh istiod restart        another process with the same key
# mesh.sh manifest NAME         prints manifests/NAME.yaml with what is open in it filled in
# mesh.sh workloads NAMESPACE   my-app, ambient-app and plain-app there; ready when it returns
#
# MESH_LIFETIME                 of certificates whose length nobody asked for [default: 24h]
# MESH_WORKLOAD_LIFETIME        that the workloads ask for; 0: none [default: 0s]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
MESH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROGRAMS=$("$MESH/build.sh")
readonly MESH PROGRAMS

cluster() { "$MESH/../cluster/cluster.sh" "$@"; }
# Also inside of the cluster's namespaces, where its tests run.
kubectl() {
  if [ -n "${TORANA_INCLUSTER:-}" ]; then command kubectl "$@"; else cluster kubectl "$@"; fi
}

# The address that settings.sh has, without its other words.
dns_address() { sed -n 's/^readonly DNS_ADDRESS=//p' "$MESH/../cluster/settings.sh"; }

manifest() {
  sed -e "s#@BUILD@#$(basename "$PROGRAMS")#; s#@DNS_ADDRESS@#$(dns_address)#" \
    -e "s#@LIFETIME@#${MESH_LIFETIME:-24h}#; s#@WORKLOAD_LIFETIME@#${MESH_WORKLOAD_LIFETIME:-0s}#" \
    "$MESH/manifests/$1.yaml"
}

apply() { kubectl apply --server-side --force-conflicts --filename - "$@" >/dev/null; }

# image NAME PROGRAM…: the programs alone; the first one is run.
image() {
  local name=$1 root
  shift
  root=$(mktemp -d)
  cp "${@/#/$PROGRAMS/}" "$root"
  cluster image "docker.io/library/$name:1" "$root" "/$1"
  rm -r "$root"
}

ready() { kubectl --namespace "$1" rollout status "deployment/$2" --timeout=120s >/dev/null; }

up() {
  need tcpdump=tcpdump
  image mesh-istiod pilot-discovery
  image mesh-workload echo-server echo-client ext-authz certify sidecar names
  kubectl apply --server-side --force-conflicts --filename "$("$MESH/../cluster/istio.sh")" >/dev/null
  manifest names | apply
  manifest istiod | apply
  ready kube-system names
  ready istio-system istiod
  good "istiod and the DNS are ready"
}

down() {
  local name
  for name in istiod names; do
    manifest "$name" | kubectl delete --ignore-not-found --wait=true --filename - >/dev/null
  done
}

istiod() {
  local deployment=deployment/istiod
  case ${1:-} in
    stop)
      kubectl --namespace istio-system scale "$deployment" --replicas=0 >/dev/null
      kubectl --namespace istio-system wait --for=delete pod --selector app=istiod --timeout=60s >/dev/null
      ;;
    start)
      kubectl --namespace istio-system scale "$deployment" --replicas=1 >/dev/null
      ready istio-system istiod
      ;;
    restart)
      istiod stop
      istiod start
      ;;
    *) die "mesh.sh istiod stop|start|restart" ;;
  esac
}

workloads() {
  local namespace=${1:?mesh.sh workloads NAMESPACE} name
  kubectl create namespace "$namespace" --dry-run=client --output=yaml | apply
  for name in my-app ambient-app plain-app; do manifest "$name" | apply --namespace "$namespace"; done
  for name in my-app ambient-app plain-app; do ready "$namespace" "$name"; done
  good "my-app, ambient-app and plain-app are ready in $namespace"
}

verb=${1:-}
[ $# = 0 ] || shift
case $verb in
  up | down | istiod | manifest | workloads) "$verb" "$@" ;;
  *) die "mesh.sh up | down | istiod stop|start|restart | manifest NAME | workloads NAMESPACE" ;;
esac
