// The definitions of Istio's kinds, as its users install them. No Go of it is built.
module torana.dev/tests/cluster/istio

go 1.25

require istio.io/api v1.31.4
