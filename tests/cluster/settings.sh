# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# Addresses and places of the test cluster; sourced. All of it lives in namespaces of its own: no address is seen outside.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${TORANA_CACHE:-$HOME/.cache/torana}/cluster

readonly KUBERNETES=1.37.2
readonly NODE=torana-node
readonly NODE_ADDRESS=198.18.0.1
readonly POD_RANGE=198.18.64.0/20
readonly BALANCER_RANGE=198.18.128.0/24
readonly SERVICE_RANGE=198.19.0.0/20
readonly DNS_ADDRESS=198.19.0.10

# What every Kubernetes component is in; built once for each content of these files.
KUBE=$CACHE/kube-$(cat "$HERE"/kube/{go.mod,go.sum,*.go} | sha256sum | cut -c1-16)
# The same for the store; linked beside the components.
ETCD=$CACHE/etcd-$(cat "$HERE"/etcd/{go.mod,go.sum,*.go} | sha256sum | cut -c1-16)
# Everything that a running cluster writes; gone with it.
RUN=$CACHE/run
IDENTITIES=$RUN/identities
export KUBECONFIG=$IDENTITIES/admin.kubeconfig
