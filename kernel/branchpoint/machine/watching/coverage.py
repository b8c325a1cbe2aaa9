"""Which code of the containers' programs ran, told by a plugin of its own (``coverage.c``).

Code is named by its place: how many bytes after the beginning of the system's memory module it
lies. That is the same in every process, branch and computer. Code made at run time, and the
kernel's, has no place and is not told.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from branchpoint.errors import MachineError
from branchpoint.machine.watching.watcher import HERE, Watcher

Places = NDArray[np.uint64]
"""Sorted places, each once."""

MOST_BLOCKS = 1 << 18
"""Blocks of code that are told apart on one machine; later ones are left out."""
_REPLY = struct.Struct("<III")
_NONE = np.uint64(2**64 - 1)


class Coverage(Watcher[tuple[Places, bool]]):
    """What the plugin of one emulator tells."""

    source = HERE / "coverage.c"

    def __init__(self) -> None:
        super().__init__()
        self._blocks = np.empty((0, 4), np.uint64)
        """Of each block: the places of its first instruction, of the branch at its end, of what
        comes after that, and of what it jumps to."""

    def begin(self) -> None:
        """Leave out what ran before."""
        self.take()

    def take(self) -> tuple[Places, bool]:
        """What ran since it was last asked, while the machine stands still, and whether some code
        is not told, because there were too many blocks.

        These are the branches that were executed, and the first instructions of the blocks to which
        they led. It depends on what the guest did only, not on where the emulator was stopped.
        """
        self.ask(b"?")
        hits, blocks, left_out = _REPLY.unpack(self.receive(_REPLY.size))
        if hits > MOST_BLOCKS or len(self._blocks) + blocks > MOST_BLOCKS:
            raise MachineError("the emulator tells of more code than it may")
        ran = np.frombuffer(self.receive(4 * hits), np.uint32)
        news = np.frombuffer(self.receive(32 * blocks), np.uint64).reshape(-1, 4)
        self._blocks = np.concatenate([self._blocks, news])
        return places(self._blocks[ran]), left_out > 0


def places(ran: NDArray[np.uint64]) -> Places:
    """The places of blocks that ran (n × 4; see :class:`Coverage`).

    A block may begin in the middle of another one, where the emulator had stopped: such a beginning
    is no place, as no branch that ran leads there.
    """
    first, last, after, target = ran.T
    led_to = np.isin(first, np.concatenate([after, target]))
    found = np.unique(np.concatenate([first[led_to], last]))
    return found[found != _NONE]
