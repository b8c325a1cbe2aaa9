"""The sequencer: puts all messages in one order. Its output is the core stream.

It keeps the stream in a file and sends it to those who follow it (the tip retransmitter and the
archive); everybody else reads the stream from them.
"""

from __future__ import annotations

import time

from . import frames, wire
from .log import log
from .loop import Loop, Peer
from .streamfile import StreamFile

REPORT_SECONDS = 10.0
CHUNK = 65536  # bytes of old stream in one message to a follower


class Sequencer:
    def __init__(self, loop: Loop, directory: str) -> None:
        self._loop = loop
        self._stream = StreamFile(f"{directory}/core-stream")
        self._followers: list[Peer] = []
        self._report()

    def accept(self, peer: Peer) -> None:
        def receive(message: wire.Message) -> None:
            if message.op == wire.PUBLISH:
                self._publish(peer, message.body)
            elif message.op == wire.FOLLOW:
                self._follow(peer, message.offset)
            else:
                raise wire.ProtocolError(f"operation {message.op} is not for a sequencer")

        peer.on_message = receive
        peer.on_close = lambda: self._leave(peer)

    def _publish(self, peer: Peer, payload: bytes) -> None:
        if len(payload) > frames.MAX_PAYLOAD:
            raise wire.ProtocolError(f"message of {len(payload)} bytes")
        last = self._stream.frame
        now = time.time_ns()
        frame = (
            frames.Frame(last.sequence + 1, max(now, last.time_ns + 1), payload)
            if last
            else frames.Frame(1, now, payload)
        )
        offset, data = self._stream.length, frame.encode()
        self._stream.append(data, frame)
        peer.send(wire.pack(wire.ACCEPTED, offset))
        for follower in self._followers:
            follower.send(wire.pack(wire.DATA, offset, data))

    def _follow(self, peer: Peer, offset: int) -> None:
        if offset > self._stream.length:
            raise wire.ProtocolError("asked for a part of the core stream that is still to come")
        log(f"{peer.name} follows the core stream")
        while data := self._stream.read(offset, CHUNK):
            peer.send(wire.pack(wire.DATA, offset, data))
            offset += len(data)
        self._followers.append(peer)

    def _leave(self, peer: Peer) -> None:
        if peer in self._followers:
            self._followers.remove(peer)
            log(f"{peer.name} no longer follows the core stream")

    def _report(self) -> None:
        last = self._stream.frame
        log(f"{last.sequence if last else 0} messages in order")
        self._loop.after(REPORT_SECONDS, self._report)


def run(listen: tuple[str, int], directory: str) -> None:
    loop = Loop()
    sequencer = Sequencer(loop, directory)
    loop.listen(listen, sequencer.accept)
    loop.run()
