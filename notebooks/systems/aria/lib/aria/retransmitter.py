"""The tip retransmitter: answers requests for the newest part of the core stream, from memory.

It follows the sequencer and keeps the last ``CAPACITY`` bytes (the *tip*) in a ring buffer. Every
few seconds it writes a snapshot; after a restart it goes on from the newest one, so that the
sequencer has to send it only what came later.
"""

from __future__ import annotations

from . import snapshot, times, wire
from .follower import Follower
from .frames import Frame
from .log import log
from .loop import Loop, Peer
from .ring import RingBuffer

CAPACITY = 64 * 1024
NAME = b"tip-retransmitter"


class TipRetransmitter:
    def __init__(
        self, loop: Loop, sequencer: tuple[str, int], directory: str, snapshot_seconds: float
    ) -> None:
        self._loop = loop
        self._directory = directory
        self._snapshot_seconds = snapshot_seconds
        text = snapshot.latest(directory)
        if text is None:
            self._state = snapshot.Snapshot()
            log("no snapshot: starting at the beginning of the core stream")
        else:
            self._state = snapshot.load(text)
            log(f"restored the snapshot of {times.show(self._state.stream_time_ns)}")
        self._ring = RingBuffer(CAPACITY, end=self._state.core_stream_length)
        self._follower = Follower(loop, sequencer, self._ring.end, self._append)
        loop.after(snapshot_seconds, self._take_snapshot)

    def accept(self, peer: Peer) -> None:
        def receive(message: wire.Message) -> None:
            if message.op == wire.HELLO:
                log(f"hello from {peer.name}")
                peer.send(wire.pack(wire.HERE, self._ring.end, NAME))
            elif message.op == wire.REQUEST:
                peer.send(self._answer(message))
            else:
                raise wire.ProtocolError(f"operation {message.op} is not for a tip retransmitter")

        peer.on_message = receive

    def _answer(self, request: wire.Message) -> bytes:
        if not self._ring.has(request.offset):
            return wire.pack(wire.NOT_HERE, request.offset)
        data = self._ring.read(request.offset, request.length)
        return wire.pack(wire.DATA, request.offset, data)

    def _append(self, data: bytes, frames: list[Frame]) -> None:
        self._ring.append(data)
        self._state.core_stream_length = self._ring.end
        self._state.sequence = frames[-1].sequence
        self._state.stream_time_ns = frames[-1].time_ns
        for frame in frames:
            name = frame.payload.partition(b"\0")[0].decode(errors="replace")
            messages, size = self._state.publishers.get(name, (0, 0))
            self._state.publishers[name] = (messages + 1, size + len(frame.payload))

    def _take_snapshot(self) -> None:
        self._loop.after(self._snapshot_seconds, self._take_snapshot)
        if self._state.sequence:
            self._state.save(self._directory)
            log(f"snapshot of {times.show(self._state.stream_time_ns)} written")


def run(
    listen: tuple[str, int], sequencer: tuple[str, int], directory: str, snapshot_seconds: float
) -> None:
    loop = Loop()
    retransmitter = TipRetransmitter(loop, sequencer, directory, snapshot_seconds)
    loop.listen(listen, retransmitter.accept)
    loop.run()
