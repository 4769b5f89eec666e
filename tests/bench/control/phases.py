# SPDX-License-Identifier: Apache-2.0
"""What is weighed, one function each. Whatever contradicts the contract (a wrong status, ready before it serves, a
foreign object written to) is a failure, not a figure."""

import random
import re
import statistics
import time
import urllib.request
from dataclasses import dataclass

from client import Client
from cluster import SYSTEM, Failed, controllers, cpu_seconds, hostname, kubectl, memory, started, until
from edge import NAMESPACE, Site, host

# Of so many hosts is asked at every look; all of them once these have answered.
SAMPLE = 16
LOOK = 0.002
HEALTH = 15_021


@dataclass(frozen=True)
class Seen:
    """One figure of one round, in milliseconds, MB or per cent of a core."""

    name: str
    value: float


def boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def burst(site: Site, count: int) -> list[Seen]:
    """Services, slices and routes at once, from eight writers."""
    site.api.each(range(count), site.service)
    site.api.each(range(count), site.route)
    end = time.monotonic()
    programmed = settled(site.client(), count) - end
    until("every route is Accepted", lambda: site.accepted(count), 300, 0.25)
    return [Seen("burst: last write → all answer 200, ms", programmed * 1e3),
            Seen("burst: last write → all Accepted, ms", (time.monotonic() - end) * 1e3)]


def settled(client: Client, count: int, seconds: float = 120) -> float:
    """When every host answered 200: as soon as a sample does, all must, at the first try."""
    sample = sorted({0, count - 1, *random.sample(range(count), min(SAMPLE, count))}, reverse=True)
    until("a sample of the hosts answers 200", lambda: all(client.ask(host(at)) == 200 for at in sample), seconds, LOOK)
    found = time.monotonic()
    for number in range(count):
        if (status := client.ask(host(number))) != 200:
            raise Failed(f"{host(number)} answers {status} while others answer 200 already")
    return found


def probe(site: Site, count: int, probes: int) -> list[Seen]:
    """One more route at a time: how long after the API server took it is it in force?"""
    client, after_answer, after_call = site.client(), [], []
    for number in range(count, count + probes):
        called = time.monotonic()
        site.route(number)
        taken = time.monotonic()
        awaited(client, number, 404, 200)
        now = time.monotonic()
        after_answer.append((now - taken) * 1e3)
        after_call.append((now - called) * 1e3)
        site.unroute(number)
        awaited(client, number, 200, 404)
    tenth = max(1, probes // 10)
    slope = statistics.median(after_answer[-tenth:]) / max(0.1, statistics.median(after_answer[:tenth]))
    return [Seen("probe: p50, ms", quantile(after_answer, 0.5)), Seen("probe: p99, ms", quantile(after_answer, 0.99)),
            Seen("probe: max, ms", max(after_answer)), Seen("probe: p99 from the call, ms", quantile(after_call, 0.99)),
            Seen("probe: last tenth ÷ first tenth", slope)]


def awaited(client: Client, number: int, before: int, after: int, seconds: float = 20) -> None:
    """Until `after` is answered; nothing but `before` may be until then."""
    end = time.monotonic() + seconds
    while (status := client.ask(host(number))) != after:
        if status != before or time.monotonic() > end:
            raise Failed(f"{host(number)} answers {status} on the way from {before} to {after}")
        time.sleep(LOOK)


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def weight(site: Site) -> list[Seen]:
    """Memory of the proxy and of the controller that leads."""
    proxy, leader = memory(site.proxy_process()), memory(site.leader())
    return [Seen("proxy: Pss, MB", proxy["pss"]), Seen("proxy: peak resident, MB", proxy["peak"]),
            Seen("controller: Pss, MB", leader["pss"]), Seen("controller: peak resident, MB", leader["peak"])]


def rest(site: Site, seconds: float) -> list[Seen]:
    """Processor time of everybody while nothing happens."""
    pids = {"proxy": site.proxy_process(), "controller": site.leader()}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    return [Seen(f"at rest: {name}, % of a core", (cpu_seconds(pid) - before[name]) / seconds * 100)
            for name, pid in pids.items()]


def cold(site: Site, count: int) -> list[Seen]:
    """No controller, and a proxy that has nothing: then the controllers are started."""
    port = door(site)
    kubectl("-n", SYSTEM, "scale", "deployment/torana", "--replicas=0")
    until("no controller runs", lambda: not controllers())
    proxy_of_its_own = fresh_proxy(site)
    kubectl("-n", SYSTEM, "scale", "deployment/torana", "--replicas=2")
    first = until("a controller runs", controllers, 120, LOOK)[0]
    both = serving(proxy_of_its_own, port, count, started(first))
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/torana", "--timeout=120s")
    another = fresh_proxy(site)
    alone = serving(another, port, count, started(site.proxy_process()))
    until("one controller leads", lambda: leads(site))
    return [Seen("cold start of controller and proxy → all 200, ms", both),
            Seen("cold start of a proxy → all 200, ms", alone)]


def leads(site: Site) -> bool:
    try:
        return bool(site.leader())
    except Failed:
        return False


def fresh_proxy(site: Site) -> dict:
    """Replaces the proxy's pod by one that has kept nothing, and waits for its process."""
    old = site.proxy()["metadata"]["name"]
    kubectl("-n", NAMESPACE, "delete", "pod", old, "--wait=false")

    def new() -> dict | None:
        pod = site.proxy()
        return pod if pod and pod["metadata"]["name"] != old and pod["status"].get("podIP") else None

    pod = until("another proxy", new)
    until("its process", lambda: runs(site))
    return pod


def runs(site: Site) -> bool:
    try:
        return bool(site.proxy_process())
    except Failed:
        return False


def door(site: Site) -> int:
    """The port at which proxies serve."""
    services = site.api.ask("GET", f"/api/v1/namespaces/{NAMESPACE}/services")["items"]
    service = next(service for service in services if service["spec"]["type"] == "LoadBalancer")
    return service["spec"]["ports"][0]["targetPort"]


def serving(pod: dict, port: int, count: int, begin: float) -> float:
    """Milliseconds from `begin` to the moment that the pod serves every host; it may not be Ready before."""
    address = pod["status"]["podIP"]
    hosts, ready = Client(address, port), Client(address, HEALTH)
    sample = [count - 1, 0, *random.sample(range(count), SAMPLE)]
    end = time.monotonic() + 120
    while not all(hosts.ask(host(number)) == 200 for number in sample):
        if ready.ask("health", "/readyz") == 200 and hosts.ask(host(count - 1)) != 200:
            raise Failed("the proxy is Ready before it serves")
        if time.monotonic() > end:
            raise Failed("not within two minutes: the proxy serves")
        time.sleep(LOOK)
    took = (boot() - begin) * 1e3
    settled(hosts, count)
    until("the proxy is Ready", lambda: ready.ask("health", "/readyz") == 200)
    return took


def foreign(site: Site, count: int) -> list[Seen]:
    """Routes of a Gateway of another class come and go: what does it cost those whom it does not concern?"""
    pids, writes, begin = controllers(), status_writes(site), time.monotonic()
    before = {pid: cpu_seconds(pid) for pid in pids}
    numbers = range(1_000_000, 1_000_000 + count)
    site.api.each(numbers, lambda number: site.route(number, "foreign"))
    site.api.each(numbers, site.unroute)
    took = time.monotonic() - begin
    if (more := status_writes(site) - writes) != 0:
        raise Failed(f"{more:g} writes of status for objects that are not Torana's")
    shares = [(cpu_seconds(pid) - before[pid]) / took * 100 for pid in pids]
    return [Seen("foreign routes: events a second", 2 * count / took),
            Seen("foreign routes: busiest controller, % of a core", max(shares)),
            Seen("foreign routes: of a core per 1,000 events a second, %", max(shares) / (2 * count / took) * 1e3)]


def status_writes(site: Site) -> float:
    """Of all controllers."""
    pods = site.api.ask("GET", f"/api/v1/namespaces/{SYSTEM}/pods")["items"]
    names = {hostname(pid) for pid in controllers()}
    total = 0.0
    for pod in (pod for pod in pods if pod["metadata"]["name"] in names):
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:{health_port(pod)}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        total += sum(float(value) for value in re.findall(r"^torana_controller_status_writes_total\S* (\S+)$", text, re.M))
    return total


def health_port(pod: dict) -> int:
    ports = [port for container in pod["spec"]["containers"] for port in container["ports"]]
    return next(port["containerPort"] for port in ports if port["name"] == "health")
