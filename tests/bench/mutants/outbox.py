"""The part of a machine that holds its mailbox, without the machine: bytes, and a clock."""

from __future__ import annotations

from branchpoint.guest import wire
from branchpoint.guest.boot import mailbox_address
from branchpoint.machine.spec import Hardware, Spec

_RAM = 64 << 20


class Memory:
    """Stands for a computer in which nothing runs; the test fills its outbox."""

    def __init__(self) -> None:
        self.spec = Spec(Hardware(_RAM))
        self.now = 0
        """The instant, in ns."""
        self.watched = 0
        """The number of bytes that the outbox claims to have."""
        self.closed = False
        self.ended = ""
        self._base = mailbox_address(_RAM)
        self._box = bytearray(wire.SIZE)

    def close(self) -> None:
        self.closed = True

    def watch(self, address: int) -> None:
        assert address == self._base + wire.OUT_HEAD

    def read(self, address: int, length: int) -> bytes:
        start = address - self._base
        assert 0 <= start <= wire.SIZE - length
        return bytes(self._box[start : start + length])

    def say(self, data: bytes, now: int, head: int | None = None) -> None:
        """Put ``data`` into the outbox by ``now`` (ns); ``head`` is the position that it claims."""
        ring = wire.OUTBOX_SIZE
        start = self.watched % ring
        data = data[:ring]
        first = min(len(data), ring - start)
        self._box[wire.OUTBOX + start : wire.OUTBOX + start + first] = data[:first]
        self._box[wire.OUTBOX : wire.OUTBOX + len(data) - first] = data[first:]
        self.watched = (self.watched + len(data) if head is None else head) % 2**64
        self.now = max(self.now, now)
