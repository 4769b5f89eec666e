# SPDX-License-Identifier: Apache-2.0
"""Processes of a run: pinned, awaited, stopped by their own id. Reads their CPU time and memory from /proc."""

import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

PROXY_CPU = 0
CLIENT_CPU = 1


class Failed(Exception):
    """A round that must not be counted and must not be hidden."""


def raise_limits() -> None:
    """Thousands of connections each side: as many files as the hard limit gives."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(cpu: int, command: list[str]) -> list[str]:
    return ["taskset", "-c", str(cpu), *command]


class Process:
    """A server that lives for one `with` block; its output is in a file of `folder`."""

    def __init__(self, name: str, command: list[str], cpu: int, folder: Path):
        self.name = name
        self.output = folder / f"{name}.out"
        self.errors = folder / f"{name}.err"
        with open(self.output, "wb") as output, open(self.errors, "wb") as errors:
            self.child = subprocess.Popen(pinned(cpu, command), stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=errors, cwd=folder)
        self.pid = self.child.pid

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, how: signal.Signals, patience: float = 20) -> None:
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def said(self) -> str:
        text = self.errors.read_text(errors="replace") + self.output.read_text(errors="replace")
        return text[-800:].strip()

    def await_port(self, port: int, patience: float = 60) -> None:
        self.await_true(lambda: connects(port), f"port {port}", patience)

    def await_answer(self, port: int, host: str, patience: float = 60) -> None:
        """Until a GET for `host` is answered with 200: configured, not only listening."""
        self.await_true(lambda: status(port, host) == 200, f"a 200 for {host}", patience)

    def await_true(self, ready, what: str, patience: float) -> None:
        end = time.monotonic() + patience
        while not ready():
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with {self.child.returncode} before {what}: {self.said()}")
            if time.monotonic() > end:
                raise Failed(f"{self.name}: no {what} in {patience:.0f} s: {self.said()}")
            time.sleep(0.05)

    def cpu_ns(self) -> int:
        """On-CPU time of all threads so far, nanoseconds."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as schedstat:
                    total += int(schedstat.read().split()[0])
            except FileNotFoundError:
                continue  # a thread that ended between the two reads
        return total

    def pss_kib(self) -> int:
        with open(f"/proc/{self.pid}/smaps_rollup", encoding="ascii") as rollup:
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False


def status(port: int, host: str) -> int:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as stream:
            stream.settimeout(2)
            stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            return int(stream.recv(4096).split(b" ")[1])
    except (OSError, IndexError, ValueError):
        return 0


def steal_and_total() -> tuple[int, int]:
    """Ticks that the hypervisor took, and all ticks, of every CPU since boot."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return ticks[7], sum(ticks)
