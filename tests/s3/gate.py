"""A door in front of a server that refuses, cuts or throttles some of what goes through it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code>"
    b"<Message>Please reduce your request rate.</Message></Error>"
)
_HEAD = b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"


class Gate:
    """Hands connections on to the port `to`, one request each, as moto serves them.

    `throttled` requests that begin with `method` are answered with 503, `cut` answers end after
    some thousand bytes. While `closed`, connections are refused.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        self.method = b""
        self.throttled = 0
        self.cut = 0
        self.closed = False
        self.passed = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take the door away."""
        self._door.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                if self.closed:
                    client.close()
                else:
                    threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            first = client.recv(1 << 16)
            is_meant = first.startswith(self.method)
            if self.throttled > 0 and is_meant:
                self.throttled -= 1
                length = f"Content-Length: {len(_SLOW_DOWN)}\r\n\r\n".encode()
                client.sendall(_HEAD + length + _SLOW_DOWN)
                client.shutdown(socket.SHUT_WR)
                while client.recv(1 << 16):  # an answer before the end of a request may be lost
                    pass
                return
            left = 1 << 62
            if self.cut > 0 and is_meant:
                self.cut -= 1
                left = 10_000
            self.passed += 1
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                server.sendall(first)
                threading.Thread(target=_pump, args=(client, server), daemon=True).start()
                while left > 0 and (data := server.recv(min(left, 1 << 16))):
                    client.sendall(data)
                    left -= len(data)


def _pump(source: socket.socket, to: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            to.sendall(data)
