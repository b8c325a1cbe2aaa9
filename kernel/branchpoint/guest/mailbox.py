"""The host's end of the mailbox, on a machine that stands still."""

from __future__ import annotations

import struct

from branchpoint.errors import MachineError
from branchpoint.guest import wire
from branchpoint.guest.boot import mailbox_address
from branchpoint.machine.computer import Computer


class Mailbox:
    """Commands into a computer and records out of it.

    The positions of both rings are in guest memory, so they travel with its state; only how far
    the outbox was read is kept here.
    """

    def __init__(self, computer: Computer) -> None:
        self.computer = computer
        self._base = mailbox_address(computer.spec.ram)
        self._seen = 0

    @property
    def ready(self) -> bool:
        """Whether the agent has begun to listen."""
        return self.computer.read(self._base, len(wire.MAGIC)) == wire.MAGIC

    def _counter(self, offset: int) -> int:
        return int(struct.unpack("<Q", self.computer.read(self._base + offset, 8))[0])

    def send(self, command: bytes) -> None:
        """Put a command (see :mod:`wire`) into the inbox now; the agent sees it within a tick."""
        frame = wire.frame(command)
        head = self._counter(wire.IN_HEAD)
        if len(frame) > wire.room(head, self._counter(wire.IN_TAIL)):
            raise MachineError(
                f"the guest's inbox is full at {self.computer.now} ns",
                "let some virtual time pass before the next command",
            )
        for offset, data in wire.placed(frame, head):
            self.computer.write(self._base + offset, data)

    def skip(self) -> None:
        """Take everything that the guest has said so far as read."""
        self._seen = self._counter(wire.OUT_HEAD)

    def drain(self) -> list[wire.Record]:
        """What the guest has said since the last :meth:`drain` or :meth:`skip`."""
        head = self._counter(wire.OUT_HEAD)
        if head == self._seen:
            return []
        data = b"".join(
            self.computer.read(self._base + offset, length)
            for offset, length in wire.unread(head, self._seen)
        )
        self._seen = head
        return wire.decode(data, self.computer.now)
