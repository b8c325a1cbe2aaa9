"""Names of widgets: the same each time a notebook runs, so that its file does not change.

A name depends on the text of the cell that makes the widget and on how many widgets the cell made
before. A cell that runs again gets the same name again, and its new widget replaces the old one.
The kernel tells which cell runs with :func:`use`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

from blake3 import blake3


class Cell(NamedTuple):
    """The cell that runs."""

    execution: str = ""
    """Different each time the cell runs."""
    id: str = ""
    """The same each time; empty where it is not known."""
    code: str = ""


class Identities:
    """The names given so far, in one process."""

    def __init__(self) -> None:
        self._execution = ""
        self._number = 0
        self._owners: dict[str, object] = {}

    def next(self, kind: str, cell: Cell) -> str:
        """The name of the next widget that ``cell`` makes."""
        if cell.execution != self._execution:
            self._execution, self._number = cell.execution, 0
        self._number += 1
        # Without ids, a cell with the same text may be this one or another: share no names then.
        owner = (cell.id, self._number) if cell.id else object()
        for copy in itertools.count():
            words = f"{kind}\0{self._number}\0{copy}\0{cell.code}"
            name = blake3(words.encode("utf-8", "replace")).hexdigest(16)
            if self._owners.setdefault(name, owner) == owner:
                return name
        raise AssertionError("a count does not end")


_identities = Identities()
_cell: Callable[[], Cell] = Cell


def use(cell: Callable[[], Cell]) -> None:
    """Use ``cell()`` to find out which cell runs."""
    global _cell
    _cell = cell


def next_name(kind: str) -> str:
    """The name of the next widget of this kind in the cell that runs."""
    return _identities.next(kind, _cell())
