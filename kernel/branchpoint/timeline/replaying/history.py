"""A timeline as data: what reached the machine, and what was seen of it.

A history is the recording itself or a branch. A branch shares its parent's past up to the fork. Of
the future it keeps what was recorded, and what belongs to the world (faults), not what the user of
its parent did (commands): a branch with nothing added continues exactly as recorded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from branchpoint.events.event import EventLog
from branchpoint.guest.wire import TTY, Raw
from branchpoint.machine.state import State
from branchpoint.store.manifest import Input
from branchpoint.timeline.commands.bounding import Bound
from branchpoint.timeline.seeds import SEED

MOST_RAW = 1 << 30
"""Bytes of a stream of a command in raw mode that are kept, from its beginning."""
SETUP, FAULT, TEST, COMMAND = "setup", "fault", "test", "command"
_OF_THE_WORLD = (SETUP, FAULT, TEST)


@dataclass(frozen=True, order=True)
class Point:
    """A place in one history: an instant (absolute ns), and how many inputs came before it.

    The count tells apart the two sides of an input at that same instant.
    """

    at: int
    count: int


_END = Point(2**63, 2**31)


class Start(NamedTuple):
    """The state from which a machine ran."""

    what: str
    """Such as "checkpoint"."""
    at: int
    """Absolute ns."""


@dataclass(eq=False)
class History:
    """One timeline. ``tip`` is how far it was played; the recording's is its end from the start.

    ``inputs`` holds all of them since power-on, the parent's included, in order of time; those
    after the tip are the recorded future.
    """

    inputs: list[Input]
    tip: Point
    log: EventLog
    """Events up to the tip."""
    parent: History | None = None
    fork: Point = Point(0, 0)
    states: dict[Point, State] = field(default_factory=dict)
    """Machine states kept in memory."""
    raw: dict[int, dict[str, bytearray]] = field(default_factory=dict)
    """Bytes written by commands in raw mode: number -> stream -> bytes."""
    watchers: list[Callable[[bool], None]] = field(default_factory=list)
    """Called whenever time has passed at the tip, in the thread that lets it pass; with True when
    time stops again."""
    shown: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    """What was written to the terminals of commands, the parent's past included: number -> instant
    (absolute ns) and bytes."""
    bound: Bound | None = None
    """What is kept of the output of its commands; None: not known yet."""
    began: Start | None = None
    """The state from which the machine ran that first let time pass in it."""
    _unsettled: tuple[Point, dict[tuple[int, str], int]] | None = None
    """While what was heard is taken in: the tip before that, and how much of each raw stream was
    kept then."""

    def branch(self, at: Point) -> History:
        """A new history that leaves this one at ``at``."""
        shown = _until(self.shown, at.at)
        log = self.log.fork(at.at)
        inputs = self.inputs[: at.count] + self._to_come(at)
        return History(inputs, at, log, self, at, shown=shown)

    def _to_come(self, at: Point) -> list[Input]:
        """The inputs after ``at`` of a branch to which nothing is done."""
        if self.parent is None:
            return self.inputs[at.count :]
        recorded = {given: place for place, given in enumerate(self._recorded)}
        past, later = self.inputs[: at.count], self.inputs[at.count :]
        future = [i for i in later if i.kind in _OF_THE_WORLD or i in recorded]
        if self.reseeded(past):
            return future
        # A seed that was given later in this history has left these out.
        known = {*past, *future}
        left_out = [i for i in recorded if i.kind == SEED and i.at >= at.at and i not in known]
        if not left_out:
            return future
        return sorted([*future, *left_out], key=lambda i: (i.at, recorded.get(i, -1)))

    def point(self, at: int) -> Point:
        """The place at an instant, before any input at that very instant."""
        return Point(at, bisect_left(self.inputs, at, key=lambda given: given.at))

    def add(self, new: Input) -> None:
        """Place an input at the tip.

        A seed takes the place of the recording's own ones to come: from here on, all is drawn anew.
        """
        if new.at != self.tip.at:
            raise ValueError("an input goes to the tip of a history")
        count = self.tip.count
        if new.kind == SEED:
            self.inputs[count:] = [i for i in self.inputs[count:] if i.kind != SEED]
        self.inputs.insert(count, new)
        self.tip = Point(self.tip.at, count + 1)

    def take(self, raw: Raw) -> None:
        """Keep a piece of what a command in raw mode or a terminal has written."""
        number = raw.number
        if raw.stream == TTY:
            pieces = self.shown.setdefault(number, [])
            if not pieces or raw.at > pieces[-1][0]:  # it may have been half sent at the fork
                pieces.append((raw.at, raw.data))
        else:
            kept = self.raw.setdefault(number, {}).setdefault(raw.stream, bytearray())
            kept.extend(raw.data[: max(MOST_RAW - len(kept), 0)])

    def unsettle(self) -> None:
        """Say that more is taken in: until :meth:`settle`, an interrupt may come in between."""
        raw = self.raw.items()
        sizes = {(number, name): len(kept[name]) for number, kept in raw for name in kept}
        self._unsettled = self.tip, sizes

    def settle(self, tip: Point) -> None:
        """Move the tip: all that was heard up to there is taken in."""
        self.tip = tip
        self._unsettled = None

    def forget_after_tip(self) -> None:
        """Drop what was taken in just before an interrupt; it will come again."""
        before, self._unsettled = self._unsettled, None
        if before is not None and before[0] == self.tip:
            self.bound = None  # it has counted lines that come again
            for number, kept in self.raw.items():
                for name, data in kept.items():
                    del data[before[1].get((number, name), 0) :]
        columns = self.log.columns()
        if len(columns) and columns.at[-1] > self.tip.at:
            self.log = self.log.fork(self.tip.at)
            self.bound = None
        if any(pieces[-1][0] > self.tip.at for pieces in self.shown.values() if pieces):
            self.shown = _until(self.shown, self.tip.at)

    def lineage(self, at: Point) -> Iterator[tuple[History, Point]]:
        """This history and its ancestors, each with the latest place shared with ``at``."""
        here: History | None = self
        limit = at
        while here is not None:
            yield here, limit
            limit = min(limit, here.fork)
            here = here.parent

    def holds(self, other: History, at: Point) -> bool:
        """Whether a machine at ``at`` of ``other`` is also a machine of this history."""
        return any(history is other and at <= limit for history, limit in self.lineage(_END))

    def common(self, other: History, at: int) -> int:
        """The last instant (absolute ns) up to ``at`` that it has in common with ``other``.

        That is not after the tip of ``other``. Inputs due at that very instant come after it.
        """
        limit = min(at, other.tip.at)
        for pair in zip_longest(self.inputs, other.inputs):
            first = min(one.at for one in pair if one is not None)
            if first >= limit:
                break
            if pair[0] != pair[1]:
                return first
        return limit

    @property
    def _recorded(self) -> list[Input]:
        """All inputs of the recording."""
        here = self
        while here.parent is not None:
            here = here.parent
        return here.inputs

    def reseeded(self, given: Iterable[Input]) -> bool:
        """Whether among inputs of a machine there is a seed that the recording does not have."""
        return any(i.kind == SEED and i not in self._recorded for i in given)

    def commands(self) -> int:
        """How many commands were placed, and will be as recorded: one less than the next one's
        number.
        """
        return sum(i.kind == COMMAND for i in self.inputs)

    def nearest_state(self, at: Point) -> tuple[Point, State] | None:
        """The latest state in memory at or before ``at``, with its place."""
        best: tuple[Point, State] | None = None
        for history, limit in self.lineage(at):
            points = sorted(history.states)
            index = bisect_right(points, limit)
            if index and (best is None or points[index - 1] > best[0]):
                best = points[index - 1], history.states[points[index - 1]]
        return best


def _until(
    shown: dict[int, list[tuple[int, bytes]]], at: int
) -> dict[int, list[tuple[int, bytes]]]:
    return {
        number: [(instant, data) for instant, data in pieces if instant <= at]
        for number, pieces in shown.items()
    }
