"""Which thread gets the processor at each context switch, told by a plugin (``switches.c``)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from branchpoint.errors import MachineError
from branchpoint.machine.watching.watcher import HERE, Watcher

_MOST = 1 << 16
_REPLY = struct.Struct("<II")
_TURN = struct.Struct("<Qii16s64s")


class Fields(NamedTuple):
    """Where the kernel keeps what is told: bytes from the beginning of its structures."""

    switch: int
    """Address of ``__switch_to_asm``."""
    thread: int
    process: int
    command: int
    groups: int
    arrival: int
    """When a thread last got the processor."""
    ran: int
    """When what it used of it was last added up."""
    group: int
    node: int
    name: int


class Turn(NamedTuple):
    """A thread gets the processor."""

    at: int
    """By the kernel's clock, in ns."""
    thread: int
    """Its number; 0 when nobody wants the processor."""
    process: int
    command: str
    """At most 15 bytes of the program's name."""
    group: str
    """The name of its control group: a container's."""


class Switches(Watcher[tuple[list[Turn], bool]]):
    """What the plugin of one emulator tells."""

    source = HERE / "switches.c"

    def __init__(self, fields: Fields) -> None:
        super().__init__()
        self._fields = fields

    def options(self) -> list[str]:
        """Where to look in the kernel."""
        switch, *offsets = self._fields
        return [f"switch={switch:x}", f"fields={':'.join(map(str, offsets))}"]

    def begin(self) -> None:
        """Leave out what ran before."""
        self.take()

    def take(self) -> tuple[list[Turn], bool]:
        """The turns since it was last asked, in their order, and whether there were too many."""
        self.ask(b"?")
        count, left_out = _REPLY.unpack(self.receive(_REPLY.size))
        if count > _MOST:
            raise MachineError("the emulator tells of more context switches than it may")
        data = self.receive(_TURN.size * count)
        turns = [
            Turn(at, thread, process, _text(command), _text(group))
            for at, thread, process, command, group in _TURN.iter_unpack(data)
        ]
        return turns, left_out > 0


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")
