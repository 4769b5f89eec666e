# SPDX-License-Identifier: Apache-2.0
"""Where things lie: binaries, ports, the folder of a run, its certificate. Starts nothing."""

import glob
import os
import shutil
import socket
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("TORANA_CACHE") or Path.home() / ".cache" / "torana")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
ANCHORS = TARGET / "release"
RESULTS = CACHE / "bench-results"

# Below the kernel's ephemeral range, so that no client of ours can hold one of them.
PORTS = iter(range(20_100, 32_000))


class Absent(Exception):
    """Something that a bench needs is not on this machine."""


def torana() -> Path:
    return Path(os.environ.get("TORANA_BIN") or TARGET / "release" / "torana")


def from_pypi(pattern: str) -> str:
    found = glob.glob(str(CACHE / "bench-venv" / "lib" / "python3*" / "site-packages" / pattern))
    if not found:
        raise Absent(f"{pattern}: run tests/bench/setup.sh")
    return found[0]


def from_path(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise Absent(f"{name}: run tests/bench/setup.sh")
    return found


def anchor(name: str) -> str:
    path = ANCHORS / name
    if not path.is_file():
        raise Absent(f"anchor {name}: run tests/bench/setup.sh")
    return str(path)


def free_port() -> int:
    """The next port that nobody listens on; never one twice in a run, so that no round meets the last one's sockets."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Absent("ports: all of the bench's range were used")


def certificate(folder: Path) -> None:
    """A self-signed ECDSA P-256 certificate for *.bench.test: cert.pem, key.pem, all.pem."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:*.bench.test",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True)
    (folder / "all.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())


def mesh(folder: Path) -> None:
    """An authority of a mesh (mesh.pem), and what it has signed for a workload and for the gateway."""
    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("req", "-x509", *key, "-days", "30", "-subj", "/CN=mesh", "-keyout", "mesh-key.pem", "-out", "mesh.pem")
    for name in ("workload", "gateway"):
        (folder / f"{name}.ext").write_text(f"subjectAltName=critical,URI:{identity(name)}\n"
                                            "extendedKeyUsage=serverAuth,clientAuth\n")
        run("req", *key, "-subj", "/", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "mesh.pem", "-CAkey", "mesh-key.pem", "-CAcreateserial",
            "-days", "30", "-extfile", f"{name}.ext", "-out", f"{name}.pem")


def identity(account: str) -> str:
    return f"spiffe://cluster.local/ns/bench/sa/{account}"


def host(number: int) -> str:
    return f"h{number}.bench.test"
