#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The first process of the cluster's namespaces: brings up the network and every component, then reaps what is left to
# it. When it ends, all of it ends.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
PATH=$KUBE:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

ready() { awk -v now="$(date +%s.%N)" -v what="$1" '{printf "%5.1f s %s\n", now - $1, what}' "$RUN/began" >>"$RUN/times"; }

start() {
  local name=$1
  shift
  "$@" >"$RUN/log/$name.log" 2>&1 &
  echo $! >"$RUN/$name.pid"
}

# until_true WHAT COMMAND…: at most 60 s.
until_true() {
  local what=$1
  shift
  for _ in {1..300}; do
    "$@" >/dev/null 2>&1 && { ready "$what"; return; }
    sleep 0.2
  done
  echo "not in time: $what" >&2
  exit 1
}

# A template with the settings filled in.
render() {
  sed -e "s#@RUN@#$RUN#g; s#@IDENTITIES@#$IDENTITIES#g; s#@NODE@#$NODE#g; s#@NODE_ADDRESS@#$NODE_ADDRESS#g" \
    -e "s#@POD_RANGE@#$POD_RANGE#g; s#@DNS_ADDRESS@#$DNS_ADDRESS#g" "$HERE/etc/$1" >"$RUN/$2"
}

# No route leaves: what nothing answers dies on a pair of interfaces that nobody listens to. The default route is what
# lets packets to Service addresses, which no interface has, come as far as kube-proxy's rules.
network() {
  ip link set lo up
  ip link add node0 type veth peer name node0-peer
  ip link set node0 arp off
  ip link set node0-peer up
  ip link set node0 up
  ip addr add "$NODE_ADDRESS/32" dev node0
  ip route add default dev node0 src "$NODE_ADDRESS"
  sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.ip_local_port_range='32768 60999'
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true
}

store() {
  mount -t tmpfs tmpfs "$RUN/etcd"
  start etcd etcd --name node --data-dir "$RUN/etcd" \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster node=http://127.0.0.1:2380
}

api_server() {
  start kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 \
    --advertise-address="$NODE_ADDRESS" --bind-address=0.0.0.0 --secure-port=6443 \
    --service-cluster-ip-range="$SERVICE_RANGE" --authorization-mode=Node,RBAC \
    --enable-admission-plugins=NodeRestriction --allow-privileged=true --event-ttl=1h \
    --client-ca-file="$IDENTITIES/ca.crt" \
    --tls-cert-file="$IDENTITIES/apiserver.crt" --tls-private-key-file="$IDENTITIES/apiserver.key" \
    --kubelet-certificate-authority="$IDENTITIES/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$IDENTITIES/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$IDENTITIES/apiserver-kubelet-client.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$IDENTITIES/tokens.pub" --service-account-signing-key-file="$IDENTITIES/tokens.key"
}

controllers() {
  local name
  # A controller manager that is alone lives on while the API server is away, where one of several would begin anew: it
  # must not take the node for lost because nothing was heard of it meanwhile.
  for name in controller-manager scheduler; do
    local config=$IDENTITIES/$name.kubeconfig
    local flags=(--kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config"
      --leader-elect=false --bind-address=127.0.0.1)
    [ "$name" = scheduler ] || flags+=(--service-account-private-key-file="$IDENTITIES/tokens.key"
      --root-ca-file="$IDENTITIES/ca.crt" --cluster-signing-cert-file="$IDENTITIES/ca.crt"
      --cluster-signing-key-file="$IDENTITIES/ca.key" --use-service-account-credentials=true
      --allocate-node-cidrs=false --controllers='*,-node-ipam-controller' --node-monitor-grace-period=1h)
    start "kube-$name" "kube-$name" "${flags[@]}"
  done
}

images() {
  local archive
  until_true containerd ctr --address "$RUN/containerd/socket" version
  for archive in "$CACHE"/*.tar; do
    ctr --address "$RUN/containerd/socket" --namespace k8s.io images import "$archive" >>"$RUN/log/images.log" 2>&1
  done
  ready images
}

node() {
  render kubelet.yaml kubelet.yaml
  render kube-proxy.yaml kube-proxy.yaml
  echo "nameserver $DNS_ADDRESS" >"$RUN/resolv.conf"
  start kubelet kubelet --config="$RUN/kubelet.yaml" --kubeconfig="$IDENTITIES/kubelet.kubeconfig" \
    --hostname-override="$NODE" --node-ip="$NODE_ADDRESS" --root-dir="$RUN/kubelet" --cert-dir="$RUN/kubelet/pki"
  start kube-proxy kube-proxy --config="$RUN/kube-proxy.yaml"
  start load-balancer load-balancer --kubeconfig="$IDENTITIES/admin.kubeconfig" --addresses="$BALANCER_RANGE"
}

mount --make-rshared /
network
store
render cni.conflist cni/10-torana.conflist
render containerd.toml containerd.toml
start containerd containerd --config "$RUN/containerd.toml"
api_server
until_true 'API server' kubectl get --raw=/readyz
controllers
# The API server asks the kubelet for logs, exec and port-forward.
kubectl create clusterrolebinding torana:kubelet-administrators --clusterrole=system:kubelet-api-admin \
  --user=kube-apiserver-kubelet-client >/dev/null
images
node
until_true 'node' kubectl wait --for=condition=Ready "node/$NODE" --timeout=1s
touch "$RUN/ready"

# Bash reaps the orphans of containers while it waits.
trap 'exit 0' TERM INT
while :; do
  sleep 3600 &
  wait $! || true
done
