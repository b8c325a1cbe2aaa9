"""A connection as publishers and replicators use it: one message out, one message back."""

from __future__ import annotations

import socket

from . import address, wire


class Client:
    """A connection to ``server`` that waits at most ``timeout`` seconds for anything."""

    def __init__(self, server: tuple[str, int], timeout: float) -> None:
        self.socket = socket.create_connection(server, timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.remote = address.show(self.socket.getpeername())
        self._inbox = bytearray()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> wire.Message:
        while (message := wire.take(self._inbox)) is None:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError(f"{self.remote} closed the connection")
            self._inbox += data
        return message

    def close(self) -> None:
        self.socket.close()
