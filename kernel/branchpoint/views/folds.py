"""Rows of a log that stand for several events: repeated lines, and lines of the guest's kernel.

They are made step by step, as a search finds more events, and with numpy, so that even a million
lines are folded quickly.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from branchpoint.events.event import LOG, Columns, EventLog
from branchpoint.events.queries import Positions

KERNEL = "kernel"
SAME = "same"
OPEN = "open"


class Fold(NamedTuple):
    """What a row stands for."""

    first: int
    """The number of its first event among those that are shown."""
    size: int
    """How many events the row stands for. In the first row of an opened group (OPEN): how many
    events the group has."""
    what: str
    """KERNEL: lines of the kernel; SAME: a line and its repeats; OPEN: the first row of a group
    that the user opened; "": a single event."""


class Folds:
    """Which events are shown as one row. Event numbers count the events that are shown, from 0."""

    def __init__(self, *, same: bool, kernel: bool, opened: Iterable[int] = ()) -> None:
        """``same`` folds equal lines, ``kernel`` folds all lines of the kernel, equal or not;
        ``opened`` has the position of the first event of each group that is shown in full.
        """
        self._columns = EventLog().columns()
        self._fold_same = same
        self._fold_kernel = kernel
        self._opened = set(opened)
        self._positions: Positions = np.empty(0, np.intp)
        self._joined = np.empty(0, bool)  # whether an event is in the row of the one before it
        self._starts = np.empty(0, np.intp)  # the number of each row's first event
        self._heads: dict[int, int] = {}  # of open groups: first event: number of events

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._starts)

    def grow(self, columns: Columns, positions: Positions) -> None:
        """Show more events: ``positions`` begins with the positions that were shown before."""
        self._columns = columns
        known = len(self._positions)
        if known == len(positions) and known:
            return
        more = self._joining(positions[max(known - 1, 0) :])
        self._joined = np.concatenate([self._joined, more if known else [False, *more]])
        self._joined = self._joined[: len(positions)]
        self._positions = positions
        begins = ~self._joined
        starts = np.flatnonzero(begins)
        self._heads = {}
        for position in self._opened:
            number = int(positions.searchsorted(position))
            row = int(starts.searchsorted(number))
            if row < len(starts) and starts[row] == number and positions[number] == position:
                end = int(starts[row + 1]) if row + 1 < len(starts) else len(positions)
                self._heads[number] = end - number
                begins[number:end] = True
        self._starts = np.flatnonzero(begins) if self._heads else starts

    def _joining(self, positions: Positions) -> NDArray[np.bool_]:
        """For each event except the first: whether it belongs to the row of the one before it."""
        columns, texts = self._columns, self._columns.texts
        same = np.full(max(len(positions) - 1, 0), self._fold_same)
        same &= columns.type[positions[1:]] == _code(columns, LOG)
        for codes in (columns.source, columns.container, columns.stream, columns.type):
            found = codes[positions]
            same &= found[1:] == found[:-1]
        maybe = np.flatnonzero(same)
        pairs = zip(positions[maybe].tolist(), positions[maybe + 1].tolist(), strict=True)
        same[maybe] = [texts[one] == texts[other] for one, other in pairs]
        if self._fold_kernel:
            kernel = columns.source[positions] == _code(columns, KERNEL)
            same |= kernel[1:] & kernel[:-1]
        return same

    def row_of(self, number: int) -> int:
        """The row in which an event is shown."""
        return max(int(self._starts.searchsorted(number, "right")) - 1, 0)

    def rows(self, start: int, count: int) -> list[Fold]:
        """At most ``count`` rows from the one numbered ``start`` on."""
        bounds = [*self._starts[start : start + count + 1].tolist()]
        if len(bounds) <= count:
            bounds.append(len(self._positions))
        found = []
        for first, end in pairwise(bounds):
            what, size = "", end - first
            if first in self._heads:
                what, size = OPEN, self._heads[first]
            elif size > 1:
                source = self._columns.source[self._positions[first]]
                is_kernel = self._fold_kernel and source == _code(self._columns, KERNEL)
                what = KERNEL if is_kernel else SAME
            found.append(Fold(first, size, what))
        return found


def only_kernel(columns: Columns, positions: Positions) -> bool:
    """Whether all of these events are lines of the kernel."""
    return bool((columns.source[positions] == _code(columns, KERNEL)).all())


def _code(columns: Columns, name: str) -> int:
    """The code of a name; -1, which no event has, for an unknown one."""
    known = columns.names.known
    return known.index(name) if name in known else -1
