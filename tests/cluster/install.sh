#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the test cluster is made of: packages of Debian, and from the Go module proxy one binary of all Kubernetes
# components, and etcd. Does nothing where everything is there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

readonly COMPONENTS=(kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl load-balancer)

packages() {
  need containerd=containerd runc=runc nft=nftables ip=iproute2 pgrep=procps nsenter=util-linux \
    openssl=openssl /usr/lib/cni/bridge=containernetworking-plugins
}

kube() {
  [ -x "$KUBE/kube" ] && return
  need_go
  say "building Kubernetes $KUBERNETES: this takes about 15 minutes on two cores, once"
  local version=k8s.io/component-base/version minor=${KUBERNETES#*.} component
  mkdir -p "$KUBE"
  (
    cd "$HERE/kube"
    export CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
    retry go mod download
    go build -o "$KUBE/kube.part" -ldflags "-s -w -X $version.gitVersion=v$KUBERNETES -X $version.gitMajor=1 \
      -X $version.gitMinor=${minor%.*} -X $version.gitTreeState=clean" .
  )
  for component in "${COMPONENTS[@]}"; do ln -sf kube "$KUBE/$component"; done
  mv "$KUBE/kube.part" "$KUBE/kube"
}

store() {
  if [ ! -x "$ETCD/etcd" ]; then
    need_go
    say "building etcd: this takes about 2 minutes on two cores, once"
    mkdir -p "$ETCD"
    (
      cd "$HERE/etcd"
      export CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
      retry go mod download
      go build -o "$ETCD/etcd.part" -ldflags '-s -w' .
    )
    mv "$ETCD/etcd.part" "$ETCD/etcd"
  fi
  ln -sfn "$ETCD/etcd" "$KUBE/etcd"
}

# Pods need a process that holds their namespaces.
pause() {
  local image=$CACHE/pause-1.tar
  [ -e "$image" ] && return
  need cc=build-essential
  local root
  root=$(mktemp -d)
  cc -static -Os -o "$root/pause" "$HERE/pause.c"
  "$HERE/image.sh" "$image" registry.k8s.io/pause:3.10 "$root" /pause
  rm -r "$root"
}

mkdir -p "$CACHE"
packages
kube
store
pause
