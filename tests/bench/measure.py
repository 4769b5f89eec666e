# SPDX-License-Identifier: Apache-2.0
"""One measurement: start a proxy, warm it, weigh it, stop it. And the statistics over paired rounds.
CPU time is the kernel's on-CPU count of the proxy's threads; nothing here reads a client's clock as a result."""

import random
import shutil
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import load
import peers
import place
from process import CLIENT_CPU, PROXY_CPU, Process, steal_and_total

STEAL_LIMIT = 0.02


@dataclass(frozen=True)
class Sample:
    """One measurement: `value` in the bench's unit; `busy` = on-CPU ÷ wall (None where it means nothing)."""

    value: float
    busy: float | None
    steal: float
    count: int

    def keeps(self, saturation: float) -> bool:
        if self.busy is None:
            return True
        return self.busy >= saturation and self.steal <= (STEAL_LIMIT if saturation > 0 else 1)


@dataclass(frozen=True)
class Rig:
    """What one run shares: its folder, its backend, the seconds of one load."""

    folder: Path
    backend: int
    grpc_backend: int
    # A workload's ports: in cleartext, and in mutual TLS.
    workload: tuple[int, int]
    seconds: int
    warm: int


@contextmanager
def rig(seconds: int, warm: int):
    with tempfile.TemporaryDirectory(prefix="torana-bench-") as name:
        folder = Path(name)
        place.certificate(folder)
        place.mesh(folder)
        ports, of_workload = (place.free_port(), place.free_port()), (place.free_port(), place.free_port())
        with Process("be", [place.anchor("be"), *map(str, ports)], CLIENT_CPU, folder) as backend, \
                Process("workload", peers.workload(folder, of_workload), CLIENT_CPU, folder) as workload:
            for process, port in [(backend, ports[0]), (backend, ports[1]), (workload, of_workload[1])]:
                process.await_port(port)
            yield Rig(folder, *ports, of_workload, seconds, warm)


@contextmanager
def running(rig: Rig, peer: str, hosts: int, wrapper: list[str] | None = None):
    """A fresh process of `peer`, configured for `hosts` hosts and answering for the last of them."""
    with tempfile.TemporaryDirectory(dir=rig.folder, prefix=f"{peer}-") as name:
        folder = Path(name)
        for file in rig.folder.glob("*.pem"):
            shutil.copy(file, folder)
        site = peers.Site(folder, rig.backend, rig.grpc_backend, rig.workload, hosts)
        command = (wrapper or []) + peers.PEERS[peer][0](site)
        with Process(peer, command, PROXY_CPU, folder) as proxy:
            proxy.await_answer(site.http, site.host)
            yield site, proxy


def cost(client):
    """A measurement of CPU-µs per answer of `client(site, seconds)`."""
    def weigh(rig: Rig, peer: str, hosts: int) -> Sample:
        with running(rig, peer, hosts) as (site, proxy):
            client(site, rig.warm)
            steal, ticks = steal_and_total()
            start, before = time.monotonic(), proxy.cpu_ns()
            count = client(site, rig.seconds)
            used, wall = proxy.cpu_ns() - before, time.monotonic() - start
            steal_after, ticks_after = steal_and_total()
            stolen = (steal_after - steal) / max(1, ticks_after - ticks)
            return Sample(used / count / 1000, used / 1e9 / wall, stolen, count)
    return weigh


def idle_memory(count: int, tls: bool):
    """A measurement of KiB of Pss per idle connection, each of which has carried one request."""
    def weigh(rig: Rig, peer: str, hosts: int) -> Sample:
        with running(rig, peer, hosts) as (site, proxy):
            # What is allocated once (pools, caches, worker stacks) is there before the count begins.
            with load.held(site, 32, tls):
                pass
            time.sleep(1)
            before = proxy.pss_kib()
            with load.held(site, count, tls):
                time.sleep(2)
                after = proxy.pss_kib()
            return Sample((after - before) / count, None, 0, count)
    return weigh


def ratios(rounds: list[dict[str, Sample]], subject: str, base: str, saturation: float) -> list[float]:
    """Ratios of the rounds in which both were kept."""
    both = [(r[subject], r[base]) for r in rounds if subject in r and base in r]
    return [a.value / b.value for a, b in both
            if a.keeps(saturation) and b.keeps(saturation) and b.value > 0]


def interval(values: list[float]) -> tuple[float, float, float]:
    """Median and its bootstrap 95 % interval. The seed is fixed: the same rounds give the same line."""
    chance = random.Random(2026)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(4000))
    return statistics.median(values), medians[100], medians[3899]
