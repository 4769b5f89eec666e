# SPDX-License-Identifier: Apache-2.0
"""The API server over one kept connection a thread, and processes of the cluster. Runs inside the cluster's namespaces."""

import base64
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlparse

SYSTEM = "torana-system"
# A kept connection that was idle for longer is made anew, for the API server may be about to close it.
IDLE = 30
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes"


class Failed(Exception):
    """Something that the bench counts on did not happen."""


class Api:
    """As the cluster's administrator. Threads have connections of their own."""

    def __init__(self):
        view = json.loads(subprocess.check_output(["kubectl", "config", "view", "--raw", "--flatten", "-o", "json"]))
        cluster, user = view["clusters"][0]["cluster"], view["users"][0]["user"]
        self.server = urlparse(cluster["server"])
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
            pem.write(base64.b64decode(user["client-key-data"]))
            pem.flush()
            self.tls.load_cert_chain(pem.name)
        self.threads = threading.local()

    def ask(self, method: str, path: str, body: dict | None = None, kind: str = "application/json") -> dict:
        connection = self.connection()
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": kind, "Accept": "application/json"})
        reply = connection.getresponse()
        said = reply.read()
        if reply.status >= 300:
            raise Failed(f"{method} {path}: {reply.status} {said[:300]!r}")
        self.threads.used = time.monotonic()
        return json.loads(said)

    def connection(self) -> http.client.HTTPSConnection:
        """This thread's."""
        if time.monotonic() - getattr(self.threads, "used", float("-inf")) > IDLE:
            self.threads.connection = http.client.HTTPSConnection(
                self.server.hostname, self.server.port, context=self.tls, timeout=60)
        return self.threads.connection

    def each(self, items, work, threads: int = 8) -> None:
        """`work` for every item, several at a time."""
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, items, chunksize=8):
                pass


def kubectl(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(["kubectl", *arguments], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def until(what: str, is_so, seconds: float = 120, pause: float = 0.02):
    end = time.monotonic() + seconds
    while not (found := is_so()):
        if time.monotonic() > end:
            raise Failed(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
    return found


def processes(command: str) -> list[int]:
    """Those whose command line begins with it."""
    found = subprocess.run(["pgrep", "-f", f"^{command}"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def controllers() -> list[int]:
    return processes("/bin/torana controller")


def inside_of(command: str, pods: set[str]) -> list[int]:
    """Processes of `command` in pods of these names."""
    return [pid for pid in processes(command) if hostname(pid) in pods]


def hostname(pid: int) -> str:
    """What the process calls itself: the name of its pod."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((line[9:].decode() for line in environment if line.startswith(b"HOSTNAME=")), "")


def memory(pid: int) -> dict[str, float]:
    """Pss now and the largest resident set ever, in MB (10⁶ bytes)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    # What /proc calls kB are 1,024 bytes.
    return {"pss": kilobytes(rollup, "Pss:") * 1.024 / 1e3, "peak": kilobytes(status, "VmHWM:") * 1.024 / 1e3}


def kilobytes(text: str, field: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith(field))
    return float(line.split()[1]) * 1.024


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(pid: int) -> float:
    """When, on the clock of `time.clock_gettime(CLOCK_BOOTTIME)`."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
