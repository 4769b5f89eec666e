#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real Kubernetes cluster of one node on this machine, without a container engine or a registry: etcd, API server,
# controller manager, scheduler, kubelet, containerd and kube-proxy in network, mount and process namespaces of their
# own. Nothing outside is touched; ending the first process ends it all. Needs root.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

usage() {
  cat <<'TEXT'
./dev cluster up                   start it; what is missing is installed and built first (once; about 15 minutes)
./dev cluster down                 end it, and everything in it
./dev cluster kubectl ARGUMENTS…   as its administrator
./dev cluster inside COMMAND…      run COMMAND where the cluster's addresses are reachable
./dev cluster image NAME FOLDER COMMAND   make an image of FOLDER that runs COMMAND, and give it to the node
./dev cluster logs COMPONENT       what etcd, containerd, kube-apiserver, kubelet, kube-proxy … wrote
./dev cluster status               whether it runs, and since when what was ready
TEXT
}

# The first process of the cluster's namespaces, if it runs.
first_process() {
  local outer
  outer=$(cat "$RUN/outer.pid" 2>/dev/null) && kill -0 "$outer" 2>/dev/null && pgrep -P "$outer"
}

running() { [ -e "$RUN/ready" ] && first_process >/dev/null; }

inside() {
  local first
  first=$(first_process) || die "the cluster does not run: ./dev cluster up"
  # The namespaces have their own idea of the working directory.
  exec nsenter --target "$first" --net --mount --pid --wd="$PWD" env "PATH=$KUBE:$PATH" "KUBECONFIG=$KUBECONFIG" "$@"
}

up() {
  if running; then
    good "the cluster runs"
    return
  fi
  [ "$(id -u)" = 0 ] || die "root is needed: namespaces, mounts and cgroups"
  "$HERE/install.sh"
  down
  mkdir -p "$RUN"/{cni,log,kubelet,etcd}
  "$HERE/identities.sh"
  date +%s.%N >"$RUN/began"
  # What the caller holds open, a lock perhaps, is not held for as long as the cluster runs.
  (
    for open in /proc/self/fd/*; do
      [ "${open##*/}" -le 2 ] || eval "exec ${open##*/}>&-"
    done
    exec setsid unshare --net --mount --pid --fork --kill-child=SIGKILL --mount-proc --propagation private "$HERE/node.sh"
  ) >"$RUN/log/node.log" 2>&1 </dev/null &
  echo $! >"$RUN/outer.pid"
  for _ in {1..600}; do
    [ -e "$RUN/ready" ] && break
    # It may not have begun its first process yet.
    kill -0 "$(cat "$RUN/outer.pid")" 2>/dev/null || break
    sleep 0.2
  done
  if ! running; then
    tail -n 20 "$RUN"/log/{node,kube-apiserver,kubelet,containerd}.log >&2 || true
    die "the cluster did not become ready; the ends of its logs are above, the whole is in $RUN/log"
  fi
  good "the cluster is ready: $(tail -n 1 "$RUN/times")"
}

down() {
  local outer
  outer=$(cat "$RUN/outer.pid" 2>/dev/null) || outer=
  if [ -n "$outer" ]; then
    kill -9 "$outer" 2>/dev/null || true
    for _ in {1..50}; do kill -0 "$outer" 2>/dev/null && sleep 0.1 || break; done
  fi
  # Containers are dead by then, and their groups empty a moment later.
  for _ in {1..20}; do
    find /sys/fs/cgroup -depth -type d \( -path '*/kubepods*' -o -path '*/k8s.io*' \) -exec rmdir {} + 2>/dev/null || true
    rm -rf "$RUN" 2>/dev/null && break
    sleep 0.2
  done
  [ ! -e "$RUN" ] || die "$RUN cannot be removed: is something mounted there?"
}

image() {
  [ $# -ge 3 ] || die "./dev cluster image NAME FOLDER COMMAND…"
  local archive
  archive=$(mktemp --suffix=.tar)
  "$HERE/image.sh" "$archive" "$@"
  (inside ctr --address "$RUN/containerd/socket" --namespace k8s.io images import "$archive" >/dev/null)
  rm -f "$archive"
}

status() {
  running || die "the cluster does not run"
  cat "$RUN/times"
}

verb=${1:-}
[ $# = 0 ] || shift
case $verb in
  up | down | status) "$verb" ;;
  image) image "$@" ;;
  inside) inside "$@" ;;
  kubectl) inside kubectl "$@" ;;
  logs) cat "$RUN/log/${1:?of which component?}.log" ;;
  *) usage; [ -z "$verb" ] || exit 2 ;;
esac
