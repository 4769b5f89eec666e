#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What reaches a pod over its network, written by tcpdump in the pod's own network namespace. It must run where the
# cluster's processes are seen: ./dev cluster inside.
#
# capture.sh start FILE POD        begins; POD is the pod's name. Returns once it listens
# capture.sh stop FILE             ends it; says how many packets the kernel dropped
# capture.sh count FILE PORT…      what clients sent to these ports: see streams/main.go
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"
MESH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly MESH

# A process of the pod: the host name of its containers is its name.
process() {
  local environment
  for environment in /proc/[0-9]*/environ; do
    if tr '\0' '\n' 2>/dev/null <"$environment" | grep -qx "HOSTNAME=$1"; then
      environment=${environment%/environ}
      printf '%s\n' "${environment#/proc/}"
      return
    fi
  done 2>/dev/null
  die "there is no process of pod $1"
}

# Enough of each packet to see how it begins. In its own session, so that it outlives who starts it.
start() {
  local file=$1 pid
  pid=$(process "$2")
  setsid nsenter --target "$pid" --net tcpdump -i eth0 --immediate-mode -Z root -U -s 256 -B 16384 -w "$file" tcp \
    >/dev/null 2>"$file.log" </dev/null &
  echo $! >"$file.pid"
  for _ in {1..100}; do
    grep -q 'listening on' "$file.log" && return
    sleep 0.1
  done
  cat "$file.log" >&2
  die "tcpdump does not listen"
}

stop() {
  local pid
  pid=$(cat "$1.pid")
  # What the kernel holds is written first.
  sleep 0.5
  kill -INT "$pid" 2>/dev/null || true
  for _ in {1..100}; do kill -0 "$pid" 2>/dev/null && sleep 0.1 || break; done
  grep 'dropped by kernel' "$1.log"
}

command -v tcpdump >/dev/null || die "tcpdump is missing: tests/mesh/mesh.sh up brings it"
verb=${1:-}
[ $# -lt 2 ] || shift
case $verb in
  start | stop) "$verb" "$@" ;;
  count) exec "$("$MESH/build.sh")/streams" "$@" ;;
  *) die "capture.sh start FILE POD | stop FILE | count FILE PORT…" ;;
esac
