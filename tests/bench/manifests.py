# SPDX-License-Identifier: Apache-2.0
"""The folder of manifests that Torana is measured with: what a cluster would hold. Writes files, nothing else."""

import base64
from pathlib import Path

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
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
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


def write(folder: Path, site) -> None:
    """Gateway, certificate and backends in one file, the routes of `site.hosts` hosts in another."""
    def encoded(name: str) -> str:
        return base64.b64encode((site.folder / name).read_bytes()).decode()

    base = GATEWAY.format(http=site.http, https=site.https, grpc=site.grpc, certificate=encoded("cert.pem"),
                          key=encoded("key.pem"))
    base += BACKEND.format(name="bench", port=site.backend, protocol="")
    base += BACKEND.format(name="grpc", port=site.grpc_backend, protocol=", appProtocol: kubernetes.io/h2c")
    base += GRPC_ROUTE.format(host=site.host)
    (folder / "10-gateway.yaml").write_text(base)
    routes = (HTTP_ROUTE.format(number=i, host=place.host(i)) for i in range(site.hosts))
    (folder / "20-routes.yaml").write_text("".join(routes))
