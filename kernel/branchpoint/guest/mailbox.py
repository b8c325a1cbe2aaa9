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
        self._latest = 0  # ns: what came after that is from no earlier
        computer.watch(self._base + wire.OUT_HEAD)

    @property
    def ready(self) -> bool:
        """Whether the agent has begun to listen."""
        return self.computer.read(self._base, len(wire.MAGIC)) == wire.MAGIC

    def send(self, command: bytes) -> None:
        """Put a command (see :mod:`wire`) into the inbox now; the agent sees it within a tick."""
        frame = wire.frame(command)
        head, tail = _POSITIONS.unpack(self.computer.read(self._base + wire.IN_HEAD, 16))
        if len(frame) > wire.room(head, tail):
            raise MachineError(
                f"the guest's inbox is full at {self.computer.now} ns",
                "let some virtual time pass before the next command",
            )
        for offset, data in wire.placed(frame, head):
            self.computer.write(self._base + offset, data)

    def skip(self) -> None:
        """Take everything that the guest has said so far as read."""
        self._seen, self._latest = self.computer.watched, 0

    def drain(self, latest: int = 0) -> list[wire.Record]:
        """What the guest has said since the last :meth:`drain` or :meth:`skip`.

        ``latest`` (ns) is when it said the last thing before: nothing may be dated earlier.
        """
        head = self.computer.watched
        if head == self._seen:
            return []
        data = b"".join(
            self.computer.read(self._base + offset, length)
            for offset, length in wire.unread(head, self._seen)
        )
        self._seen = head
        records = wire.decode(data, self.computer.now, max(latest, self._latest))
        self._latest = records[-1].at if records else self._latest
        return records
