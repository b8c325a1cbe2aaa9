"""Small explorations for the tests of the search: real files with made-up stretches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from recordings import ORIGIN, SECOND, make

from branchpoint.search.exploration import BASE, HEAD, Exploration, Head
from branchpoint.search.signs import SIGNALS, Signal
from branchpoint.search.tree import ROOT

END = ORIGIN + 10 * SECOND  # of the recording of set-up
FAILURE = "unexpected exit"


def begun(
    path: Path, *, title: str = "shop", signals: Sequence[Signal] = SIGNALS
) -> Exploration:  # fmt: skip
    """One without stretches, open."""
    path.mkdir()
    make(path / BASE)
    head = Head(
        title=title, seed=1, length=SECOND, depth=SECOND, signals=tuple(signals),
        failures=[(FAILURE, "ab"), ("out of memory", "cd")],
    )  # fmt: skip
    (path / HEAD).write_bytes(msgspec.json.encode(head))
    return Exploration(path)


def add(found: Exploration, *seen: str, length: int = 50, failed: str = "") -> int:
    """A stretch off set-up in which this was seen, and which ended with the failure of that kind,
    if any; its number.
    """
    node = found.tree.node(ROOT, len(found.tree), END, END + length, seen)
    if failed:
        how = {"failure": FAILURE, "failed_at": END + length - 10, "kind": failed}
        node = msgspec.structs.replace(node, **how)
    return found.add(node)
