"""What the watchers of one computer tell together."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from branchpoint.errors import MachineError
from branchpoint.machine.watching.bytecode import Bytecode, Instruction, Interpreter, Jump
from branchpoint.machine.watching.coverage import Coverage, Places
from branchpoint.machine.watching.switches import Fields, Switches, Turn
from branchpoint.machine.watching.watcher import Watcher

NO_CODE: Places = np.empty(0, np.uint64)


class Ran(NamedTuple):
    """The code that ran in a stretch of time."""

    places: Places
    """Of programs in the memory module, but for interpreted ones; see :mod:`coverage`."""
    bytecode: list[Instruction]
    """Of Python programs, in the order in which each ran first."""
    untold: bool
    """Whether there was more than can be told, so that some is left out."""
    turns: tuple[Turn, ...] = ()
    """Who got the processor, in the order of time."""
    executed: int = 0
    """How many instructions of byte code ran since the beginning, each time counted."""


NOTHING = Ran(NO_CODE, [], untold=False)


@dataclass(frozen=True)
class Covered:
    """What a computer is to tell: the code that runs; of these Pythons their byte code, too; and
    the kernel's context switches, if it is said where they are.
    """

    interpreters: tuple[Interpreter, ...] = ()
    switches: Fields | None = None


class Watchers:
    """All watchers of one computer. Their methods raise OSError when the emulator is gone."""

    def __init__(self, covered: Covered | None) -> None:
        """None: it is to tell nothing."""
        given = covered or Covered()
        self._coverage = None if covered is None else Coverage()
        self._bytecode = Bytecode(given.interpreters) if given.interpreters else None
        self._switches = Switches(given.switches) if given.switches else None

    @property
    def all(self) -> list[Watcher]:
        """Each of them."""
        each = (self._coverage, self._bytecode, self._switches)
        return [watcher for watcher in each if watcher is not None]

    def attach(self, links: list[socket.socket]) -> None:
        """Give each our end of its connection."""
        for watcher, link in zip(self.all, links, strict=True):
            watcher.attach(link)

    def begin(self) -> None:
        """From here on, tell what runs."""
        for watcher in self.all:
            watcher.begin()

    def turn(self, jumps: Sequence[Jump]) -> None:
        """From here on, Python programs go the other way at these jumps; see :class:`Bytecode`.

        It is meant for as long as the machine runs on from here: before it becomes another one, end
        it with an empty list. The state of the machine has the changed code of processes.

        :raises MachineError: when no byte code is told, so that nothing is known of jumps.
        """
        if self._bytecode is None:
            raise MachineError("this emulator knows nothing of Python's byte code")
        self._bytecode.turn(jumps)

    @property
    def executed(self) -> int:
        """How many instructions of byte code ran since the beginning; 0 if it is not told."""
        return self._bytecode.executed if self._bytecode else 0

    def take(self) -> Ran:
        """What ran since it was last asked, or since :meth:`begin`."""
        places, untold = self._coverage.take() if self._coverage else (NO_CODE, False)
        bytecode, count, more = self._bytecode.take() if self._bytecode else ([], 0, False)
        turns, still_more = self._switches.take() if self._switches else ([], False)
        return Ran(places, bytecode, untold or more or still_more, tuple(turns), count)
