"""What the watchers of one computer tell together."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from branchpoint.machine.watching.bytecode import Bytecode, Instruction, Interpreter
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


NOTHING = Ran(NO_CODE, [], untold=False)


@dataclass(frozen=True)
class Covered:
    """What a computer is to tell: the code that runs; of these Pythons their byte code, too; and
    the kernel's context switches, if it is said where they are.
    """

    interpreters: tuple[Interpreter, ...] = ()
    switches: Fields | None = None

    def watch(self) -> Watchers:
        """The watchers of one computer."""
        return Watchers(self)


class Watchers:
    """All watchers of one computer. Their methods raise OSError when the emulator is gone."""

    def __init__(self, covered: Covered) -> None:
        self._coverage = Coverage()
        self._bytecode = Bytecode(covered.interpreters) if covered.interpreters else None
        self._switches = Switches(covered.switches) if covered.switches else None

    @property
    def all(self) -> list[Watcher]:
        """Each of them."""
        others = (self._bytecode, self._switches)
        return [self._coverage, *(watcher for watcher in others if watcher is not None)]

    def attach(self, links: list[socket.socket]) -> None:
        """Give each our end of its connection."""
        for watcher, link in zip(self.all, links, strict=True):
            watcher.attach(link)

    def begin(self) -> None:
        """From here on, tell what runs."""
        for watcher in self.all:
            watcher.begin()

    def take(self) -> Ran:
        """What ran since it was last asked, or since :meth:`begin`."""
        places, untold = self._coverage.take()
        bytecode, more = self._bytecode.take() if self._bytecode else ([], False)
        turns, still_more = self._switches.take() if self._switches else ([], False)
        return Ran(places, bytecode, untold or more or still_more, tuple(turns))
