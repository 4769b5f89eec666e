# SPDX-License-Identifier: Apache-2.0
"""What a client of the Gateway sees: the status of one answer, over one kept connection."""

import socket


class Client:
    """One connection, opened again whenever it is lost."""

    def __init__(self, address: str, port: int = 80):
        self.address, self.port, self.stream = address, port, None

    def ask(self, host: str, path: str = "/") -> int | None:
        """The status; `None` if there is no answer."""
        try:
            if self.stream is None:
                self.stream = socket.create_connection((self.address, self.port), timeout=5)
                self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return self.answer()
        except OSError:
            self.close()
            return None

    def answer(self) -> int:
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += self.more()
        head, body = seen.split(b"\r\n\r\n", 1)
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        # Everything that is asked here answers with a length.
        left = int(fields[b"content-length"]) - len(body)
        while left > 0:
            left -= len(self.more())
        if fields.get(b"connection") == b"close":
            self.close()
        return int(head.split(b" ", 2)[1])

    def more(self) -> bytes:
        some = self.stream.recv(65536)
        if not some:
            raise ConnectionResetError
        return some

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.stream = None
