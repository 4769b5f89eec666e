#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Is the mesh in the test cluster one, without Torana? Another workload of it gets in by mutual TLS and by HBONE, and is
# known there by its identity; who has no certificate or none of this mesh, and whoever speaks plain text, does not. A
# certificate is replaced while its server runs. The mesh must be up: mesh.sh up.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
MESH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PROGRAMS=$("$MESH/build.sh")
readonly MESH PROGRAMS NAMESPACE=mesh-test

cluster() { "$MESH/../cluster/cluster.sh" "$@"; }
kubectl() { cluster kubectl --namespace "$NAMESPACE" "$@"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

bad() {
  printf '✘ %s\n' "$1" >&2
  sed 's/^/  /' "$work/said" >&2
  failed=$((failed + 1))
}

# passes WHAT WANTED COMMAND…: it succeeds, and says what the extended regular expression matches.
passes() {
  local what=$1 wanted=$2
  shift 2
  if cluster inside timeout 20 "$@" >"$work/said" 2>&1 </dev/null && grep -Eq -- "$wanted" "$work/said"; then
    good "$what"
  else
    bad "$what: it should say $wanted"
  fi
}

# refused WHAT COMMAND…: nobody answers, least of all with 200.
refused() {
  local what=$1
  shift
  if cluster inside timeout 20 "$@" >"$work/said" 2>&1 </dev/null || grep -q 'StatusCode=200' "$work/said"; then
    bad "$what"
  else
    good "$what"
  fi
}

# identity ACCOUNT: its certificate, in a folder of that name.
identity() {
  local address
  kubectl create serviceaccount "$1" --dry-run=client --output=yaml | kubectl apply --filename - >/dev/null
  kubectl create token "$1" --audience=istio-ca >"$work/$1.token"
  kubectl get configmap istio-ca-root-cert --output='jsonpath={.data.root-cert\.pem}' >"$work/roots.pem"
  address=$(cluster kubectl --namespace istio-system get service istiod --output='jsonpath={.spec.clusterIP}')
  cluster inside "$PROGRAMS/certify" --once --folder="$work/$1" --ca="$address:15012" --ca-roots="$work/roots.pem" \
    --token="$work/$1.token" >"$work/said" 2>&1 || bad "no certificate for $1"
}

# Of nobody's mesh, with a name that would be good.
forged() {
  mkdir -p "$work/forged"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj / \
    -addext "subjectAltName=critical,URI:spiffe://cluster.local/ns/$NAMESPACE/sa/client" \
    -keyout "$work/forged/key.pem" -out "$work/forged/cert.pem" 2>/dev/null
}

# Of the newest pod: the one before it may not be gone yet.
address_of() {
  kubectl get pod --selector "app=$1" --sort-by=.metadata.creationTimestamp --output='jsonpath={.items[-1:].status.podIP}'
}
serial() {
  cluster inside timeout 20 openssl s_client -connect "$1:8080" "${tls[@]}" </dev/null 2>/dev/null | openssl x509 -noout -serial || true
}

"$MESH/mesh.sh" workloads "$NAMESPACE"
identity client
forged
app=$(address_of my-app) ambient=$(address_of ambient-app) plain=$(address_of plain-app)
echo_client=("$PROGRAMS/echo-client" --timeout=5s)
# Its certificates have no host names, so the client of echo verifies nothing; openssl does.
mine=(--client-cert="$work/client/cert.pem" --client-key="$work/client/key.pem" -k)
theirs=(--client-cert="$work/forged/cert.pem" --client-key="$work/forged/key.pem" -k)
tunnel=(--hbone="$ambient:15008" --hbone-insecure-skip-verify)
known=(--hbone-client-cert="$work/client/cert.pem" --hbone-client-key="$work/client/key.pem")
unknown=(--hbone-client-cert="$work/forged/cert.pem" --hbone-client-key="$work/forged/key.pem")
tls=(-CAfile "$work/roots.pem" -verify_return_error -cert "$work/client/cert.pem" -key "$work/client/key.pem")
me="spiffe://cluster.local/ns/$NAMESPACE/sa/client"

passes 'mutual TLS, HTTP/1.1: the peer is known' "X-Forwarded-Client-Cert:By=.*/sa/my-app;.*URI=$me" \
  "${echo_client[@]}" "${mine[@]}" --alpn=istio-http/1.1,istio,http/1.1 "https://$app:8080/"
passes 'mutual TLS, HTTP/2' 'Proto=HTTP/2.0' "${echo_client[@]}" "${mine[@]}" --http2 "https://$app:8080/"
passes 'mutual TLS, gRPC' "URI=$me" "${echo_client[@]}" "${mine[@]}" --alpn=h2 "grpc://$app:7070"
passes 'mutual TLS: its certificate is of the mesh' "URI:spiffe://cluster.local/ns/$NAMESPACE/sa/my-app" \
  bash -c 'openssl s_client "$@" </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName' - -connect "$app:8080" "${tls[@]}"
refused 'mutual TLS: no certificate' "${echo_client[@]}" -k "https://$app:8080/"
refused 'mutual TLS: a forged certificate' "${echo_client[@]}" "${theirs[@]}" "https://$app:8080/"
refused 'mutual TLS: plain text' "${echo_client[@]}" "http://$app:8080/"
passes 'HBONE, HTTP/1.1 within' 'StatusCode=200' "${echo_client[@]}" "${tunnel[@]}" "${known[@]}" "http://$ambient:8080/"
passes 'HBONE, HTTP/2 within' 'Proto=HTTP/2.0' "${echo_client[@]}" "${tunnel[@]}" "${known[@]}" --http2 "http://$ambient:8080/"
passes 'HBONE, gRPC within' 'StatusCode=200' "${echo_client[@]}" "${tunnel[@]}" "${known[@]}" "grpc://$ambient:7070"
passes 'HBONE: the peer is known' "\"$me\":" curl -fsS "http://$ambient:15020/"
refused 'HBONE: no certificate' "${echo_client[@]}" "${tunnel[@]}" "http://$ambient:8080/"
refused 'HBONE: a forged certificate' "${echo_client[@]}" "${tunnel[@]}" "${unknown[@]}" "http://$ambient:8080/"
refused 'HBONE: to another pod' "${echo_client[@]}" "${tunnel[@]}" "${known[@]}" "http://$plain:8080/"
refused 'beside HBONE: plain text' "${echo_client[@]}" "http://$ambient:8080/"
passes 'outside of the mesh: plain text' 'StatusCode=200' "${echo_client[@]}" "http://$plain:8080/"

# A certificate of 8 s is replaced after 4.
MESH_WORKLOAD_LIFETIME=8s "$MESH/mesh.sh" workloads "$NAMESPACE" >/dev/null
app=$(address_of my-app)
before=$(serial "$app")
sleep 6
after=$(serial "$app")
printf '%s\n%s\n' "$before" "$after" >"$work/said"
if [ -n "$before" ] && [ -n "$after" ] && [ "$before" != "$after" ]; then
  good 'a certificate is replaced while its server runs'
else
  bad 'a certificate is replaced while its server runs'
fi
[ "$failed" = 0 ] || die "$failed of these failed"
