#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Who is who in the test cluster: a CA, certificates of servers and clients, the key of service-account tokens, and a
# kubeconfig for each client. All of it is made anew for every cluster.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

mkdir -p "$IDENTITIES"
chmod 700 "$IDENTITIES"
cd "$IDENTITIES"

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

authority() {
  key ca
  openssl req -x509 -new -key ca.key -subj /CN=torana-cluster-ca -days 30 -out ca.crt \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}

# certificate NAME SUBJECT USAGE [NAMES]
certificate() {
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  {
    echo basicConstraints=CA:FALSE
    echo keyUsage=critical,digitalSignature
    echo "extendedKeyUsage=$3"
    [ -z "${4:-}" ] || echo "subjectAltName=$4"
  } >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt" \
    2>/dev/null
}

# client NAME SUBJECT: a certificate, and how to reach the API server with it.
client() {
  certificate "$1" "$2" clientAuth
  cat >"$1.kubeconfig" <<TEXT
apiVersion: v1
kind: Config
clusters: [{name: torana, cluster: {server: "https://$NODE_ADDRESS:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: torana, context: {cluster: torana, user: $1}}]
current-context: torana
TEXT
}

authority
names=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost
certificate apiserver /CN=kube-apiserver serverAuth "$names,IP:127.0.0.1,IP:$NODE_ADDRESS,IP:${SERVICE_RANGE%.*}.1"
certificate kubelet-server "/O=system:nodes/CN=system:node:$NODE" serverAuth "DNS:$NODE,IP:$NODE_ADDRESS,IP:127.0.0.1"
certificate apiserver-kubelet-client /CN=kube-apiserver-kubelet-client clientAuth
client admin /O=system:masters/CN=admin
client controller-manager /CN=system:kube-controller-manager
client scheduler /CN=system:kube-scheduler
client proxy /CN=system:kube-proxy
client kubelet "/O=system:nodes/CN=system:node:$NODE"
openssl genrsa -out tokens.key 2048 2>/dev/null
openssl rsa -in tokens.key -pubout -out tokens.pub 2>/dev/null
