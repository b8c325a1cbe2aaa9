"""Follows the core stream: a connection to the sequencer that comes back when it is lost."""

from __future__ import annotations

import socket
from collections.abc import Callable

from . import address, frames, wire
from .log import log
from .loop import Loop, Peer

RETRY_SECONDS = 0.5


class Follower:
    """Asks the sequencer for the core stream from ``position`` on.

    ``on_frames(data, frames)`` gets whole frames only: their bytes, and what they say. By then
    ``position`` is the offset after them.
    """

    def __init__(
        self,
        loop: Loop,
        sequencer: tuple[str, int],
        position: int,
        on_frames: Callable[[bytes, list[frames.Frame]], None],
    ) -> None:
        self.position = position
        self._loop = loop
        self._sequencer = sequencer
        self._on_frames = on_frames
        self._incomplete = b""
        self._connect()

    def _connect(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            remote = (socket.gethostbyname(self._sequencer[0]), self._sequencer[1])
            sock.connect_ex(remote)
        except OSError as error:
            log(f"cannot reach the sequencer at {address.show(self._sequencer)}: {error}")
            sock.close()
            self._loop.after(RETRY_SECONDS, self._connect)
            return
        self._incomplete = b""
        peer = Peer(self._loop, sock, remote)
        peer.on_message = self._receive
        peer.on_close = lambda: self._loop.after(RETRY_SECONDS, self._connect)
        peer.send(wire.pack(wire.FOLLOW, self.position))
        log(f"following the core stream at {peer.name}")

    def _receive(self, message: wire.Message) -> None:
        expected = self.position + len(self._incomplete)
        if message.op != wire.DATA or message.offset != expected:
            raise wire.ProtocolError(
                f"expected core stream data at {expected}, "
                f"got operation {message.op} at {message.offset}"
            )
        data = self._incomplete + message.body
        found, end = frames.parse(data)
        self._incomplete = data[end:]
        self.position += end
        if found:
            self._on_frames(data[:end], found)
