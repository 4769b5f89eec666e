# SPDX-License-Identifier: Apache-2.0
"""The folder of manifests that Torana is measured with: what a cluster would hold. Writes files, nothing else."""

import base64
from pathlib import Path

import bearer
import place

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: bench, namespace: bench}}
spec:
  gatewayClassName: torana
  addresses: [{{type: IPAddress, value: 127.0.0.1}}]
  listeners:
  - {{name: http, port: {http}, protocol: HTTP}}
  - {{name: grpc, port: {grpc}, protocol: HTTP}}
  - name: https
    port: {https}
    protocol: HTTPS
    tls: {{certificateRefs: [{{name: bench}}]}}
---
apiVersion: v1
kind: Secret
metadata: {{name: bench, namespace: bench}}
type: kubernetes.io/tls
data: {{tls.crt: {certificate}, tls.key: {key}}}
"""

BACKEND = """\
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: bench}}
spec:
  ports: [{{name: main, port: 80, targetPort: {port}{protocol}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: bench, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: main, port: {port}, protocol: TCP}}]
endpoints: [{endpoints}]
"""

# What can be asked for of balancing at once: the endpoint with fewer requests of two, ejection, caps that are counted.
BALANCED = """\
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bench, namespace: bench}
spec:
  host: bench
  trafficPolicy:
    loadBalancer: {simple: LEAST_REQUEST}
    outlierDetection: {consecutive5xxErrors: 5, consecutiveGatewayErrors: 5, maxEjectionPercent: 50}
    connectionPool: {tcp: {maxConnections: 10000}, http: {http2MaxRequests: 10000, http1MaxPendingRequests: 10000}}
"""

# A pod behind a sidecar, whose namespace takes nothing but mutual TLS.
POD_ENDPOINT = "{addresses: [127.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: bench}}"
POD = """\
---
apiVersion: v1
kind: Pod
metadata: {name: bench, namespace: bench, labels: {security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: workload}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: bench, namespace: bench}
spec: {mtls: {mode: STRICT}}
"""

HTTP_ROUTE = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: r{number}, namespace: bench}}
spec:
  parentRefs: [{{name: bench, sectionName: http}}, {{name: bench, sectionName: https}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: bench, port: 80}}]}}]
"""

GRPC_ROUTE = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: grpc, namespace: bench}}
spec:
  parentRefs: [{{name: bench, sectionName: grpc}}]
  hostnames: [{host}]
  rules: [{{backendRefs: [{{name: grpc, port: 80}}]}}]
"""


def endpoints(count: int) -> str:
    """The first of the backend's loopback addresses."""
    return ", ".join(f"{{addresses: [127.0.0.{last}], conditions: {{ready: true}}}}" for last in range(1, count + 1))


def write(folder: Path, site, balanced: bool = False, mutual: bool | None = None, guarded: bool = False) -> None:
    """Gateway, certificate and backends in one file, the routes of `site.hosts` hosts in another. `balanced`: over four
    endpoints, with everything that balancing can be asked for. `mutual`: to the workload, as one of a mesh or not.
    `guarded`: by a hundred policies."""
    def encoded(name: str) -> str:
        return base64.b64encode((site.folder / name).read_bytes()).decode()

    base = GATEWAY.format(http=site.http, https=site.https, grpc=site.grpc, certificate=encoded("cert.pem"),
                          key=encoded("key.pem"))
    backend = site.backend if mutual is None else site.workload[mutual]
    base += BACKEND.format(name="bench", port=backend, protocol="",
                           endpoints=POD_ENDPOINT if mutual else endpoints(4 if balanced else 1))
    base += POD if mutual else ""
    base += BALANCED if balanced else ""
    base += bearer.policies(site.folder) if guarded else ""
    base += BACKEND.format(name="grpc", port=site.grpc_backend, protocol=", appProtocol: kubernetes.io/h2c",
                           endpoints=endpoints(1))
    base += GRPC_ROUTE.format(host=site.host)
    (folder / "10-gateway.yaml").write_text(base)
    routes = (HTTP_ROUTE.format(number=i, host=place.host(i)) for i in range(site.hosts))
    (folder / "20-routes.yaml").write_text("".join(routes))
