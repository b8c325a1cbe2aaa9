"""The archive: answers requests for any part of the core stream, from its disk.

It gathers requests for a moment and then serves them in the order of their offsets, so that one
sweep over the disk answers them all.
"""

from __future__ import annotations

from . import wire
from .follower import Follower
from .frames import Frame
from .log import log
from .loop import Loop, Peer
from .streamfile import StreamFile

SWEEP_SECONDS = 0.25
NAME = b"archive"


class Archive:
    def __init__(self, loop: Loop, sequencer: tuple[str, int], directory: str) -> None:
        self._loop = loop
        self._stream = StreamFile(f"{directory}/core-stream")
        self._waiting: list[tuple[Peer, wire.Message]] = []
        self._follower = Follower(loop, sequencer, self._stream.length, self._append)

    def accept(self, peer: Peer) -> None:
        def receive(message: wire.Message) -> None:
            if message.op not in (wire.HELLO, wire.REQUEST):
                raise wire.ProtocolError(f"operation {message.op} is not for an archive")
            if not self._waiting:
                self._loop.after(SWEEP_SECONDS, self._sweep)
            self._waiting.append((peer, message))

        peer.on_message = receive

    def _sweep(self) -> None:
        waiting, self._waiting = self._waiting, []
        for peer, message in sorted(waiting, key=lambda pair: pair[1].offset):
            if message.op == wire.HELLO:
                log(f"hello from {peer.name}")
                peer.send(wire.pack(wire.HERE, self._stream.length, NAME))
            elif message.offset > self._stream.length:
                peer.send(wire.pack(wire.NOT_HERE, message.offset))
            else:
                data = self._stream.read(message.offset, message.length)
                peer.send(wire.pack(wire.DATA, message.offset, data))

    def _append(self, data: bytes, frames: list[Frame]) -> None:
        self._stream.append(data, frames[-1])


def run(listen: tuple[str, int], sequencer: tuple[str, int], directory: str) -> None:
    loop = Loop()
    archive = Archive(loop, sequencer, directory)
    loop.listen(listen, archive.accept)
    loop.run()
