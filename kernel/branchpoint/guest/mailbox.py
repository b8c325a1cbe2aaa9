"""The host's end of the mailbox, on a machine that stands still."""

from __future__ import annotations

import struct

from branchpoint.errors import MachineError
from branchpoint.guest import wire
from branchpoint.guest.boot import mailbox_address
from branchpoint.machine.computer import Computer

_POSITIONS = struct.Struct("<QQ")  # of the inbox: its head, then its tail


class Mailbox:
    """Commands into a computer and records out of it.

    The positions of both rings are in guest memory, so they travel with its state; only how far
    the outbox was read is kept here.
    """

    def __init__(self, computer: Computer) -> None:
        self.computer = computer
        self._base = mailbox_address(computer.spec.ram)
        self._seen = 0
        computer.watch(self._base + wire.OUT_HEAD)

    @property
    def ready(self) -> bool:
        """Whether the agent has begun to listen."""
        return self.computer.read(self._base, len(wire.MAGIC)) == wire.MAGIC

    @property
    def waits(self) -> bool:
        """Whether there is a command that the agent has not taken yet."""
        head, tail = self._positions()
        return head != tail

    def _positions(self) -> tuple[int, int]:
        head, tail = _POSITIONS.unpack(self.computer.read(self._base + wire.IN_HEAD, 16))
        return head, tail

    def send(self, command: bytes) -> None:
        """Put a command (see :mod:`wire`) into the inbox now; the agent sees it within a tick."""
        frame = wire.frame(command)
        head, tail = self._positions()
        if len(frame) > wire.room(head, tail):
            raise MachineError(
                f"the guest's inbox is full at {self.computer.now} ns",
                "let some virtual time pass before the next command",
            )
        for offset, data in wire.placed(frame, head):
            self.computer.write(self._base + offset, data)

    def skip(self) -> None:
        """Take everything that the guest has said so far as read."""
        self._seen = self.computer.watched

    def drain(self) -> list[wire.Record]:
        """What the guest has said since the last :meth:`drain` or :meth:`skip`."""
        head = self.computer.watched
        if head == self._seen:
            return []
        data = b"".join(
            self.computer.read(self._base + offset, length)
            for offset, length in wire.unread(head, self._seen)
        )
        self._seen = head
        return wire.decode(data, self.computer.now)
