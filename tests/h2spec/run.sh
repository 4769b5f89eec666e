#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh TORANA H2SPEC: starts torana on a folder of manifests and `torana echo` behind it, then runs h2spec, strict,
# against HTTP/2 over TLS and against HTTP/2 by prior knowledge. Every test has to pass on both; ends what it started.
set -euo pipefail
torana=$1 h2spec=$2

# A version of h2spec with fewer tests than this is not the one that go.mod names.
readonly LEAST=140

folder=$(mktemp -d "${TMPDIR:-/tmp}/torana-h2spec.XXXXXX")
pids=()
finish() {
  local code=$?
  trap - EXIT
  [ "$code" = 0 ] || tail -n 30 "$folder"/*.log >&2 || true
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$folder"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A port that nobody answers on, below those of outgoing connections.
free_port() {
  local port
  while :; do
    port=$((10000 + RANDOM % 22000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  printf '%s' "$port"
}
plain=$(free_port) tls=$(free_port) backend=$(free_port) admin=$(free_port) health=$(free_port)

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost \
  -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>/dev/null
cat >"$folder/h2spec.yaml" <<TEXT
apiVersion: v1
kind: Secret
metadata: {name: certificate, namespace: default}
type: kubernetes.io/tls
data: {tls.crt: $(base64 -w0 <"$folder/cert.pem"), tls.key: $(base64 -w0 <"$folder/key.pem")}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec:
  gatewayClassName: torana
  listeners:
  - {name: http, port: $plain, protocol: HTTP}
  - {name: https, port: $tls, protocol: HTTPS, tls: {certificateRefs: [{name: certificate}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all, namespace: default}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: echo, port: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec: {ports: [{name: http, port: 80, targetPort: $backend}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo-1, namespace: default, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{name: http, port: $backend}]
endpoints: [{addresses: [127.0.0.1], conditions: {ready: true}}]
TEXT

"$torana" echo --address 127.0.0.1 --port "$backend" >"$folder/echo.log" 2>&1 </dev/null &
pids+=($!)
"$torana" run -f "$folder/h2spec.yaml" --admin "127.0.0.1:$admin" --health "127.0.0.1:$health" \
  >"$folder/torana.log" 2>&1 </dev/null &
pids+=($!)
ready() {
  curl -fs -o /dev/null "http://127.0.0.1:$health/readyz" && curl -fs -o /dev/null "http://127.0.0.1:$plain/"
}
for attempt in {1..100}; do
  ready && break
  [ "$attempt" != 100 ] || { printf '✘ h2spec: torana is not ready within 10 s\n' >&2; exit 1; }
  sleep 0.1
done

failed=0
# spec NAME ARGUMENTS…: the counts on one line; all of the output if a test fails, or is not run.
spec() {
  local name=$1 counts
  shift
  "$h2spec" --host 127.0.0.1 --strict --timeout 5 "$@" >"$folder/$name.out" 2>&1 || true
  counts=$(sed 's/\x1b\[[0-9;]*m//g' "$folder/$name.out" | grep -Eo '[0-9]+ tests, .*' | tail -n 1) || true
  if [[ $counts =~ ^([0-9]+)\ tests,\ ([0-9]+)\ passed ]] && ((BASH_REMATCH[1] >= LEAST)) &&
    [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]; then
    printf '✔ h2spec %s: %s\n' "$name" "$counts"
  else
    cat "$folder/$name.out"
    printf '✘ h2spec %s: %s\n' "$name" "${counts:-it has not run to its end}"
    failed=1
  fi
}
spec cleartext --port "$plain"
spec tls --port "$tls" --tls --insecure
exit "$failed"
