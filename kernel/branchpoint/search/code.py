"""Which places of code an exploration has seen run, and in how many stretches.

Places come from the emulator (:mod:`branchpoint.machine.watching.coverage`). Code that is made at
run time has none; where its program tells of the edges that it runs, these have places beyond all
others, which follow from the container, the module and the number of the edge. So have lines of
Python programs, whose places follow from the file and the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from branchpoint.events import sdk
from branchpoint.events.event import Event
from branchpoint.machine.watching.coverage import Places
from branchpoint.programs.python import Line

LINES = 1 << 46
"""Places of lines are this or more; no memory module is that large."""
EDGES = 1 << 47
"""Places of edges are this or more."""
_NUMBER = 19  # bits of the number of a line; a file that is longer has its first lines again
RARE = 8
"""Places that ran in fewer stretches are noted with each stretch in which they run."""


def edges_of(event: Event) -> Places:
    """The places of the edges that an event tells of, in no order."""
    module, edges = sdk.edges(event)
    named = (f"{event.container}\0{module}\0{edge}" for edge in edges)
    digests = b"".join(blake3(name.encode()).digest(8) for name in named)
    return np.frombuffer(digests, "<u8") % EDGES + EDGES


def lines_of(lines: Iterable[Line]) -> Places:
    """The places of lines of Python programs, in no order."""
    numbered = {(line.file, line.line) for line in lines}
    places = [LINES + (file_key(file) << _NUMBER) + number % (1 << _NUMBER)
              for file, number in numbered]  # fmt: skip
    return np.array(places, np.uint64)


@lru_cache(maxsize=1 << 14)
def file_key(file: str) -> int:
    """What the places of a file's lines have in common."""
    return int.from_bytes(blake3(file.encode()).digest(4), "little") >> 5


def key_of(place: int) -> int | None:
    """The :func:`file_key` of a line's place; None for other places."""
    return (place - LINES) >> _NUMBER if LINES <= place < EDGES else None


def together(ran: Places, edges: Iterable[Places], most: int) -> tuple[Places, bool]:
    """All these places, at most ``most``, and whether some are left out."""
    found = np.unique(np.concatenate([ran, *edges]))
    return found[:most], len(found) > most


class Code:
    """The places seen so far. They are numbered from 0 in the order in which they were seen."""

    def __init__(self) -> None:
        self._places: Places = np.empty(0, np.uint64)
        """All of them, ascending."""
        self._numbers = np.empty(0, np.int64)
        """The number of each of these."""
        self._counts = np.empty(0, np.int64)
        """By number: in how many stretches a place ran, at most RARE."""

    def __len__(self) -> int:
        return len(self._places)

    @property
    def counts(self) -> NDArray[np.int64]:
        """In how many stretches each place ran, by number; RARE stands for that many or more."""
        return self._counts

    @property
    def places(self) -> list[int]:
        """All places, by number."""
        found = np.empty_like(self._places)
        found[self._numbers] = self._places
        return [int(place) for place in found]

    def look(self, ran: Places) -> tuple[list[int], list[int]]:
        """The places that are new, and the numbers of those known ones that are rare."""
        at = np.searchsorted(self._places, ran)
        known = at < len(self._places)
        known[known] = self._places[at[known]] == ran[known]
        numbers = self._numbers[at[known]]
        rare = np.sort(numbers[self._counts[numbers] < RARE])
        return ran[~known].tolist(), rare.tolist()

    def learn(self, fresh: list[int], rare: list[int]) -> None:
        """Take in what :meth:`look` said of a stretch.

        :raises ValueError: when it cannot have been said of these places.
        """
        new, old = np.array(fresh, np.uint64), np.array(rare, np.int64)
        if (new[1:] <= new[:-1]).any() or (old[1:] <= old[:-1]).any():
            raise ValueError("a stretch lists code twice, or in another order than the others")
        if (old < 0).any() or (old >= len(self)).any() or np.isin(new, self._places).any():
            raise ValueError("a stretch numbers code otherwise than the others")
        self._counts[old] += self._counts[old] < RARE
        if len(new):
            at = np.searchsorted(self._places, new)
            self._numbers = np.insert(self._numbers, at, len(self) + np.arange(len(new)))
            self._places = np.insert(self._places, at, new)
            self._counts = np.concatenate([self._counts, np.ones(len(new), np.int64)])
