# SPDX-License-Identifier: Apache-2.0
"""The catalogue of benches and the gates that they must hold. A new bench is one line here."""

from dataclasses import dataclass, field
from typing import Callable

import load
import measure
import peers

MANY = 5_000


@dataclass(frozen=True)
class Bench:
    name: str
    title: str
    unit: str
    weigh: Callable
    hosts: tuple[int, ...] = (1,)
    # Rounds at most: what does not vary from round to round is not repeated for its own sake.
    rounds: int = 1_000
    bases: tuple[str, ...] = field(default=("haproxy", "envoy"))
    # Least on-CPU ÷ wall of a kept round, if not that of the run: where client and workload, which share a CPU, are at
    # their end before the proxy is, all sides get the same rate instead.
    saturation: float | None = None

    def sides(self, chosen: list[str]) -> list[tuple[str, str, int]]:
        """Label, peer and number of hosts of everything that is weighed in one round."""
        sides = []
        for peer in chosen:
            if peers.takes_part(peer, self.name):
                for hosts in self.hosts:
                    sides.append((f"{peer}@{hosts}" if len(self.hosts) > 1 else peer, peer, hosts))
        return sides

    def bases_of(self, label: str) -> list[str]:
        """What a side is compared with: the same peer with one host, or the named bases."""
        return [label.split("@")[0] + "@1"] if len(self.hosts) > 1 else list(self.bases)


PER_REQUEST, PER_CONNECTION, PER_IDLE = "CPU-µs a request", "CPU-µs a connection with one GET", "KiB a connection"

BENCHES = [
    Bench("h1", "h1 → h1, `wrk -t1 -c64`, 128 B, keep-alive", PER_REQUEST, measure.cost(load.wrk),
          bases=("haproxy", "envoy", "relay")),
    Bench("h1-tls", "h1 over TLS → h1, `h2load --h1 -c64`", PER_REQUEST, measure.cost(load.h1_tls)),
    Bench("h2", "h2 over TLS → h1, `h2load -c8 -m16`", PER_REQUEST, measure.cost(load.h2_tls)),
    Bench("grpc", "gRPC unary, h2c → h2c, `h2load -c8 -m16 -d`, trailers checked", PER_REQUEST,
          measure.cost(load.grpc)),
    Bench("handshake-full", "TLS 1.3 full handshake, X25519, ECDSA P-256, 6 clients", PER_CONNECTION,
          measure.cost(lambda site, seconds: load.handshake(site, seconds, "full"))),
    Bench("handshake-resumed", "TLS 1.3 resumed (verified in the client), 6 clients", PER_CONNECTION,
          measure.cost(lambda site, seconds: load.handshake(site, seconds, "resumed"))),
    Bench("mesh", f"h1 → h1, `h2load --h1 -c64`, {load.RATE:,} a second (Envoy: what it bears), 128 B, keep-alive, to a "
          "workload in cleartext and in the mesh's mutual TLS",
          PER_REQUEST, measure.cost(load.paced), bases=("torana+plain", "envoy+mtls"), saturation=0.3),
    Bench("policies", "h1 → h1, `h2load --h1 -c64`, every request with a token; nobody looks for it, or 100 policies do",
          PER_REQUEST, measure.cost(load.bearing), bases=("torana", "envoy")),
    Bench("hosts", f"1 and {MANY:,} hosts, load on the last, h1 → h1", PER_REQUEST, measure.cost(load.wrk),
          hosts=(1, MANY)),
    Bench("idle-h1", "4,000 idle h1 connections, ΔPss", PER_IDLE, measure.idle_memory(4_000, False), rounds=3),
    Bench("idle-tls", "2,000 idle TLS connections, ΔPss", PER_IDLE, measure.idle_memory(2_000, True), rounds=3),
]


@dataclass(frozen=True)
class Gate:
    """`bench`'s median ratio of `subject` to `base` (or its value, if `base` is None) is at most `limit`."""

    bench: str
    subject: str
    base: str | None
    limit: float
    must: bool


def must(bench: str, base: str | None, limit: float, subject: str = "torana") -> Gate:
    return Gate(bench, subject, base, limit, True)


def aim(bench: str, base: str | None, limit: float) -> Gate:
    return Gate(bench, "torana", base, limit, False)


GATES = [
    must("h1", "haproxy", 1.15),
    must("h1", "envoy", 0.50),
    must("h2", "haproxy", 1.60),
    must("h2", "envoy", 0.60),
    must("h1", "torana", 1.05, "torana+balance"),
    must("h2", "torana", 1.05, "torana+balance"),
    must("policies", "torana", 1.15, "torana+policies"),
    must("mesh", "torana+plain", 1.15, "torana+mtls"),
    must("hosts", "torana@1", 1.10, f"torana@{MANY}"),
    must("idle-h1", None, 4.0),
    must("idle-tls", None, 16.0),
    aim("h1", "haproxy", 0.85),
    aim("h1", "envoy", 0.35),
    aim("h2", "haproxy", 1.00),
    aim("h2", "envoy", 0.35),
    aim("grpc", "envoy", 0.60),
    aim("idle-tls", None, 12.0),
]
