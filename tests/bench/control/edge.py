# SPDX-License-Identifier: Apache-2.0
"""The Gateway that the bench programs: one proxy, a backend, and as many routes as are asked for, each with a host, a
Service and an EndpointSlice of its own."""

import re
from pathlib import Path

from client import Client
from cluster import ROUTES, SYSTEM, Api, Failed, controllers, hostname, inside_of, kubectl, until

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE = "bench-control"
CLASS, GATEWAY = "torana", "edge"


def host(number: int) -> str:
    return f"r{number}.bench.example"


# Of somebody else: nobody serves it.
FOREIGN = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: bench-foreign}
spec: {controllerName: example.com/nobody}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: foreign}
spec: {gatewayClassName: bench-foreign, listeners: [{name: http, port: 80, protocol: HTTP}]}
"""


def base() -> str:
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    return f"""
apiVersion: torana.dev/v1alpha1
kind: GatewayParameters
metadata: {{name: {GATEWAY}}}
spec: {{replicas: 1}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {GATEWAY}}}
spec:
  gatewayClassName: {CLASS}
  infrastructure: {{parametersRef: {{group: torana.dev, kind: GatewayParameters, name: {GATEWAY}}}}}
  listeners: [{{name: http, port: 80, protocol: HTTP}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo}}
spec:
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      automountServiceAccountToken: false
      containers:
        - {{name: echo, image: "torana:{version}", command: [/bin/torana], args: [echo, --port=9001, --name=echo]}}
"""


def is_accepted(route: dict) -> bool:
    return any(condition["type"] == "Accepted" and condition["status"] == "True"
               for parent in route.get("status", {}).get("parents", []) for condition in parent["conditions"])


class Site:
    """The namespace of the bench, and what is in it."""

    def __init__(self, api: Api):
        self.api, self.address, self.backend = api, "", ""

    def build(self) -> None:
        kubectl("create", "namespace", NAMESPACE)
        kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", "-", given=base() + "---" + FOREIGN)
        kubectl("-n", NAMESPACE, "wait", "--for=condition=Programmed", f"gateway/{GATEWAY}", "--timeout=60s")
        kubectl("-n", NAMESPACE, "rollout", "status", "deployment/echo", "--timeout=60s")
        gateway = self.api.ask("GET", f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/gateways/{GATEWAY}")
        self.address = gateway["status"]["addresses"][0]["value"]
        pods = self.api.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Decho")
        self.backend = pods["items"][0]["status"]["podIP"]

    def remove(self) -> None:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=300s")
        kubectl("delete", "gatewayclass", "bench-foreign", "--ignore-not-found")

    def service(self, number: int) -> None:
        """One with an endpoint. It has no address: what kube-proxy does with thousands is not weighed."""
        name, meta = f"s{number}", {"name": f"s{number}"}
        self.api.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/services",
                     {"metadata": meta, "spec": {"clusterIP": "None", "ports": [{"port": 80, "targetPort": 9001}]}})
        self.api.ask("POST", f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices",
                     {"metadata": meta | {"labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
                      "ports": [{"name": "", "port": 9001, "protocol": "TCP"}],
                      "endpoints": [{"addresses": [self.backend], "conditions": {"ready": True}}]})

    def route(self, number: int, gateway: str = GATEWAY) -> None:
        """For a host of its own."""
        self.api.ask("POST", ROUTES.format(NAMESPACE), {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": f"r{number}"},
            "spec": {"parentRefs": [{"name": gateway}], "hostnames": [host(number)],
                     "rules": [{"backendRefs": [{"name": f"s{number}", "port": 80}]}]}})

    def unroute(self, number: int) -> None:
        self.api.ask("DELETE", f"{ROUTES.format(NAMESPACE)}/r{number}")

    def client(self) -> Client:
        return Client(self.address)

    def accepted(self, count: int) -> bool:
        """Whether all of so many routes are. The list of thousands is asked for only once the last one is."""
        last = self.api.ask("GET", f"{ROUTES.format(NAMESPACE)}/r{count - 1}")
        return is_accepted(last) and sum(map(is_accepted, self.api.ask("GET", ROUTES.format(NAMESPACE))["items"])) == count

    def proxy(self) -> dict | None:
        """The pod of the proxy that is not on its way out."""
        pods = self.api.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        pods = [pod for pod in pods if not pod["metadata"]["name"].startswith("echo-")
                and "deletionTimestamp" not in pod["metadata"]]
        return pods[0] if len(pods) == 1 else None

    def proxy_process(self) -> int:
        pod = self.proxy()
        found = inside_of("/bin/torana-gateway", {pod["metadata"]["name"]}) if pod else []
        if len(found) != 1:
            raise Failed(f"the proxy has {len(found)} processes")
        return found[0]

    def leader(self) -> int:
        """The process of the controller that leads."""
        leases = self.api.ask("GET", f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases")["items"]
        # It begins with the name of the pod.
        holders = {lease["spec"].get("holderIdentity") or "" for lease in leases}
        found = [pid for pid in controllers() if any(holder.startswith(hostname(pid)) for holder in holders)]
        if len(found) != 1:
            raise Failed(f"{len(found)} of the controllers lead")
        return found[0]
