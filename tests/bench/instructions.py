# SPDX-License-Identifier: Apache-2.0
"""User instructions a request, by cachegrind: (I(5000 requests) − I(1000)) ÷ 4000. The figure that does not depend on
the machine's mood; it does not see the kernel."""

import re
import signal

import bearer
import load
import measure
from process import Failed

FEW, MANY = 1_000, 5_000
# Envoy does not run under valgrind in useful time.
ABLE = ("torana", "torana+balance", "torana+policies", "torana+plain", "torana+mtls", "haproxy", "nginx")

SHAPES = {
    "h1": lambda site, count: load.h2load(site, site.http, "http", [f"-n{count}"], ["--h1", "-c8"]),
    "policies": lambda site, count: load.h2load(
        site, site.http, "http", [f"-n{count}"],
        ["--h1", "-c8", "-H", f"authorization: Bearer {bearer.token(site.folder)}"]),
    "h2": lambda site, count: load.h2load(site, site.https, "https", [f"-n{count}"], ["-c8", "-m16"]),
    "grpc": lambda site, count: load.h2load(
        site, site.grpc, "http", [f"-n{count}"],
        ["-c8", "-m16", "-d", message(site), "-H", "content-type: application/grpc", "-H", "te: trailers"]),
}


def message(site) -> str:
    file = site.folder / "message"
    file.write_bytes(load.GRPC_MESSAGE)
    return str(file)


def executed(rig: measure.Rig, peer: str, shape: str, count: int) -> int:
    """Instructions of one life of `peer` that answers `count` requests."""
    log = rig.folder / f"cachegrind.{peer}.{shape}.{count}"
    wrapper = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
               f"--log-file={log}"]
    with measure.running(rig, peer, 1, wrapper) as (site, proxy):
        SHAPES[shape](site, count)
        # SIGTERM ends all of them in order; valgrind writes its sum at a regular exit only.
        proxy.stop(signal.SIGTERM, 60)
    refs = re.search(r"I\s+refs:\s+([\d,]+)", log.read_text(errors="replace"))
    if not refs:
        raise Failed(f"cachegrind of {peer} wrote no sum")
    return int(refs.group(1).replace(",", ""))


def table(rig: measure.Rig, chosen: list[str], shapes: list[str]) -> str:
    lines = ["| | " + " | ".join(shapes) + " |", "| --- " * (len(shapes) + 1) + "|"]
    for peer in (peer for peer in chosen if peer in ABLE):
        cells = []
        for shape in shapes:
            try:
                cells.append(f"{(executed(rig, peer, shape, MANY) - executed(rig, peer, shape, FEW)) // (MANY - FEW):,}")
            except Failed as failed:
                cells.append(f"failed: {failed}")
            print(f"  {peer} {shape}: {cells[-1]}", flush=True)
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
