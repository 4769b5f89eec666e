# SPDX-License-Identifier: Apache-2.0
"""The clients: each runs one load against a proxy and returns how many requests or connections were answered.
An answer that is not 2xx, a socket error or too few answers is a `Failed`, never a number."""

import os
import re
import subprocess
from contextlib import contextmanager

import bearer
import place
from process import CLIENT_CPU, Failed, pinned

# What `paced` asks for, in requests a second.
RATE = 32_000

# One message of five bytes: what `grpc` and `be` speak too.
GRPC_MESSAGE = b"\x00\x00\x00\x00\x05hello"


def run(command: list[str], patience: float) -> str:
    try:
        done = subprocess.run(pinned(CLIENT_CPU, command), capture_output=True, text=True, timeout=patience,
                              env=os.environ | {"RUST_BACKTRACE": "0"})
    except subprocess.TimeoutExpired as expired:
        raise Failed(f"{command[0]} still ran after {patience:.0f} s") from expired
    if done.returncode != 0:
        said = " ".join((done.stderr + done.stdout).split())
        raise Failed(f"{os.path.basename(command[0])} ended with {done.returncode}: {said[-400:]}")
    return done.stdout


def wrk(site, seconds: int) -> int:
    said = run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-H", f"Host: {site.host}", f"http://127.0.0.1:{site.http}/"],
               seconds + 30)
    return count_wrk(said)


def count_wrk(said: str) -> int:
    bad = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", said)
    if bad:
        raise Failed(f"wrk: {bad.group(0)}")
    requests = re.search(r"(\d+) requests in", said)
    return enough("wrk", int(requests.group(1)) if requests else 0)


def h2load(site, port: int, scheme: str, amount: list[str], more: list[str]) -> int:
    seconds = int(amount[0][2:]) if amount[0].startswith("-D") else 60
    said = run(["h2load", "-t1", *amount, "--connect-to", f"127.0.0.1:{port}", *more,
                f"{scheme}://{site.host}:{port}/"], seconds + 30)
    return count_h2load(said)


def count_h2load(said: str) -> int:
    requests = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", said)
    if not requests or not codes:
        raise Failed(f"h2load said nothing to count: {said[-300:]}")
    done, succeeded, *bad = map(int, requests.groups())
    good, *other = map(int, codes.groups())
    if any(bad) or any(other) or succeeded != done:
        raise Failed(f"h2load: {requests.group(0)}; {codes.group(0)}")
    # Answers whose head came and whose end did not, when the time was up, are counted by one line only.
    if abs(good - done) > 1024:
        raise Failed(f"h2load: {done} done and {good} heads with 2xx")
    return enough("h2load", done)


def h1_tls(site, seconds: int) -> int:
    return h2load(site, site.https, "https", [f"-D{seconds}"], ["--h1", "-c64", "-m1"])


def bearing(site, seconds: int) -> int:
    """With a token, whether anybody looks for it or not."""
    token = bearer.token(site.folder)
    return h2load(site, site.http, "http", [f"-D{seconds}"], ["--h1", "-c64", "-H", f"authorization: Bearer {token}"])


def paced(site, seconds: int) -> int:
    """RATE requests a second, or what the proxy bears if that is less."""
    return h2load(site, site.http, "http", [f"-D{seconds}"], ["--h1", "-c64", f"--rps={RATE // 64}"])


def h2_tls(site, seconds: int) -> int:
    return h2load(site, site.https, "https", [f"-D{seconds}"], ["-c8", "-m16"])


def grpc(site, seconds: int) -> int:
    """h2load does not look at trailers: one whole call by an own client before and after."""
    body = site.folder / "message"
    body.write_bytes(GRPC_MESSAGE)
    call = [place.anchor("grpc"), str(site.grpc), site.host]
    run(call, 10)
    done = h2load(site, site.grpc, "http", [f"-D{seconds}"],
                  ["-c8", "-m16", "-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"])
    run(call, 10)
    return done


def handshake(site, seconds: int, mode: str) -> int:
    said = run([place.anchor("handshake"), str(site.https), site.host, str(seconds), "6",
                str(site.folder / "cert.pem"), mode], seconds + 30)
    return enough("handshake", int(said.split()[1]))


@contextmanager
def held(site, count: int, tls: bool):
    """`count` idle connections for as long as the block lasts; it is a failure if the proxy closes any meanwhile."""
    command = [place.anchor("idle"), str(site.https if tls else site.http), site.host, str(count)]
    command += [str(site.folder / "cert.pem")] if tls else []
    child = subprocess.Popen(pinned(CLIENT_CPU, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    try:
        said = child.stdout.readline()
        if said.strip() != f"open {count}":
            child.kill()
            raise Failed(f"idle: {said.strip()} {child.stderr.read()[-300:].strip()}")
        yield
        said, _ = child.communicate(timeout=30)
        if said.strip() != "ended 0":
            raise Failed(f"idle: connections did not stay open: {said.strip()}")
    finally:
        child.kill()
        child.wait()


def enough(client: str, count: int) -> int:
    if count < 50:
        raise Failed(f"{client}: only {count} answers")
    return count
