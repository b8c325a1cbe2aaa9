"""The events of a timeline as a picture needs them: by lane and by column of pixels.

However many events there are, a picture is made of as many numbers as it has columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from branchpoint.clock import format_vtime
from branchpoint.events import types
from branchpoint.events.event import LOG, Columns, Event
from branchpoint.events.listing import inert
from branchpoint.timeline.recording import Recording

GUEST = "(guest)"
"""The lane of what comes from no container, or from several."""
MOST_COLUMNS = 4000
MOST_LANES = 1000
"""Containers that have a lane of their own; the others share that of the guest."""
_MOST_MARKS = 2000  # in a picture
_MOST_SPANS = 1000
_STATES = {
    "container.start": "running",
    "container.unpause": "running",
    "container.pause": "paused",
    "container.exit": "exited",
}
_KINDS = get_args(types.Sign)
"""Kinds of marks, the most important first: it hides what else is in the same column, except a
fault, which may be its cause and has a row of its own in the lane."""
_FAULT = _KINDS.index("fault")
_WIDTH = 200  # characters of a mark's text


class Mark(NamedTuple):
    """Something that happened in one lane, in one column."""

    lane: int
    column: int
    kind: str
    at: int
    """ns since vtime 0 of the first and most important one."""
    text: str
    number: int
    """How many things happened in this column."""


class Span(NamedTuple):
    """A state or a fault of a lane, from one column to another; both may lie outside."""

    lane: int
    start: float
    end: float
    what: str


class Lanes:
    """The lanes of one state of a timeline. Instants are absolute ns."""

    def __init__(self, columns: Columns, containers: Sequence[str], origin: int) -> None:
        self._columns = columns
        self.origin = origin
        """Absolute ns of vtime 0."""
        found = {columns.names.known[code] for code in np.unique(columns.container).tolist()}
        named = dict.fromkeys((*containers, *sorted(found - {*containers, ""})))
        self.names = [*list(named)[:MOST_LANES], GUEST]
        """Of lanes, from the top."""
        number = {name: lane for lane, name in enumerate(self.names)}
        known = columns.names.known
        rest = number[GUEST]
        self._lane_of = np.array([number.get(name, rest) for name in known], np.int64)
        self._is_log = np.array([name == LOG for name in known], bool)

    @classmethod
    def of(cls, run: Recording, columns: Columns) -> Lanes:
        """Those of a timeline of a recording; its containers have one each, seen or not."""
        return cls(columns, [container.name for container in run.manifest.containers], run.origin)

    @property
    def first(self) -> int:
        """The first event, or vtime 0 if that is earlier."""
        at = self._columns.at
        return min(int(at[0]), self.origin) if len(at) else self.origin

    # -- lines

    def lines(self, start: int, end: int, count: int) -> tuple[bytes, bytes]:
        """How many lines there are, and how many of them are errors: a byte for each of ``count``
        columns of each lane, 0 to 255, by the square root of their number.
        """
        columns = self._columns
        window = self._window(start, end)
        log = self._is_log[columns.type[window]]
        lane = self._lane_of[columns.container[window]]
        column = self._column(columns.at[window], start, end, count)
        cell = (lane * count + column)[log]
        errors = columns.stream[window][log] == self._code("err")
        size = len(self.names) * count
        every = np.bincount(cell, minlength=size)
        bad = np.bincount(cell[errors], minlength=size)
        # What the kernel says while it boots must not dwarf what containers say.
        inside = every[: size - count]
        highest = max(int((inside if inside.any() else every).max(initial=0)), 1)
        return _levels(every, highest), _levels(bad, highest)

    # -- what happened

    @cached_property
    def _notable(self) -> NDArray[np.intp]:
        """Positions of everything but lines."""
        return np.flatnonzero(~self._is_log[self._columns.type])

    @cached_property
    def _ranks(self) -> NDArray[np.int64]:
        """How much each of the notable events matters: its kind."""
        columns = self._columns
        kinds = np.array([_KINDS.index(types.sign(name)) for name in columns.names.known], np.int64)
        ranks = kinds[columns.type[self._notable]]
        fields = columns.fields
        for number in np.flatnonzero(columns.type[self._notable] == self._code("sdk.assert")):
            if fields.get(int(self._notable[number]), {}).get("violated") == "1":
                ranks[number] = _KINDS.index("violation")
        return ranks

    def marks(self, start: int, end: int, count: int) -> list[Mark]:
        """What happened: one mark per column of a lane, as many as fit into a picture; one more
        where a fault began or ended.
        """
        columns = self._columns
        window = self._window(start, end)
        low, high = np.searchsorted(self._notable, (window.start, window.stop))
        positions = self._notable[low:high]
        ranks = self._ranks[low:high]
        lane = self._lane_of[columns.container[positions]]
        column = self._column(columns.at[positions], start, end, count)
        cell = (lane * count + column) * 2 + (ranks == _FAULT)
        order = np.lexsort((positions, ranks, cell))
        cells, first, counts = np.unique(cell[order], return_index=True, return_counts=True)
        best = order[first]
        if len(cells) > _MOST_MARKS:
            keep = np.sort(np.argsort(ranks[best], kind="stable")[:_MOST_MARKS])
            cells, best, counts = cells[keep], best[keep], counts[keep]
        found = []
        for cell, each, number in zip(cells.tolist(), best.tolist(), counts.tolist(), strict=True):
            event = columns.event(int(positions[each]), self.origin)
            kind = _KINDS[ranks[each]]
            lane, place = divmod(cell // 2, count)
            found.append(Mark(lane, place, kind, event.at - self.origin, told(event), number))
        return found

    def next_mark(self, at: int, *, forward: bool) -> Event | None:
        """The next thing that happened after (or before) an instant, lines left out."""
        instants = self._columns.at[self._notable]
        number = int(np.searchsorted(instants, at, "right" if forward else "left"))
        number -= not forward
        if not 0 <= number < len(instants):
            return None
        return self._columns.event(int(self._notable[number]), self.origin)

    # -- what lasts

    @cached_property
    def _states(self) -> list[tuple[NDArray[np.int64], list[str]]]:
        """For each lane the instants at which its container's state changed, and to what."""
        columns = self._columns
        known = columns.names.known
        wanted = np.array([name in _STATES for name in known], bool)
        positions = self._notable[wanted[columns.type[self._notable]]]
        lanes = self._lane_of[columns.container[positions]]
        found = []
        for lane in range(len(self.names)):
            mine = positions[lanes == lane]
            states = [_STATES[known[code]] for code in columns.type[mine].tolist()]
            found.append((columns.at[mine], states))
        return found

    def states(self, start: int, end: int, count: int) -> list[Span]:
        """The states of the containers as stretches; of those within one column, only the last."""
        spans = []
        for lane, (instants, states) in enumerate(self._states):
            low = max(int(np.searchsorted(instants, start, "right")) - 1, 0)
            high = int(np.searchsorted(instants, end, "right"))
            shown = self._place(instants[low:high], start, end, count)
            # Of those that fall into one column, the last.
            kept = np.flatnonzero(np.diff(np.floor(shown), append=np.inf) > 0)
            ends = [*shown[kept[1:]].tolist(), float(count)]
            for begin, stop, number in zip(shown[kept].tolist(), ends, kept.tolist(), strict=False):
                if stop > 0:
                    spans.append(Span(lane, max(begin, 0.0), stop, states[low + number]))
        return spans

    @cached_property
    def _faults(self) -> list[tuple[int, int, int, str]]:
        """Of each fault: lane, first and last instant, text."""
        columns = self._columns
        codes = {self._code("fault.start"): True, self._code("fault.end"): False}
        found: dict[str, list[Any]] = {}
        last = int(columns.at[-1]) if len(columns) else 0
        for position in self._notable.tolist():
            begins = codes.get(int(columns.type[position]))
            if begins is None:
                continue
            name = columns.fields.get(position, {}).get("id", str(position))
            if begins:
                event = columns.event(position)
                lane = int(self._lane_of[columns.container[position]])
                found[name] = [lane, event.at, last, told(event)]
            elif name in found:
                found[name][2] = int(columns.at[position])
        return [(lane, begin, end, text) for lane, begin, end, text in found.values()]

    def faults(self, start: int, end: int, count: int) -> list[Span]:
        """The faults that were active, the longest ones when there are too many."""
        active = [fault for fault in self._faults if fault[1] <= end and fault[2] >= start]
        active.sort(key=lambda fault: fault[1] - fault[2])
        place = [
            (fault, self._place(np.array(fault[1:3]), start, end, count).tolist())
            for fault in active[:_MOST_SPANS]
        ]
        return [
            Span(fault[0], max(begin, 0.0), min(stop, float(count)), fault[3])
            for fault, (begin, stop) in place
        ]

    # -- geometry

    def _window(self, start: int, end: int) -> slice:
        low, high = np.searchsorted(self._columns.at, (start, end + 1))
        return slice(int(low), int(high))

    def _column(self, at: NDArray[Any], start: int, end: int, count: int) -> NDArray[np.int64]:
        place = (at - start) * count // max(end - start, 1)
        return np.clip(place, 0, count - 1).astype(np.int64)

    def _place(self, at: NDArray[Any], start: int, end: int, count: int) -> NDArray[np.float64]:
        return (at - start) * count / max(end - start, 1)

    def _code(self, name: str) -> int:
        """The number of a name, or one that no event has."""
        known = self._columns.names.known
        return known.index(name) if name in known else -1


def told(event: Event) -> str:
    """One event in a line of a picture."""
    who = f"{event.container} " if event.container else ""
    what = event.type.removeprefix("container.")
    text = event.text if event.type.startswith(("fault", "sdk")) else f"{what} {event.text}"
    return inert(f"{format_vtime(event.at - event.origin)} s  {who}{text}".rstrip(), _WIDTH)


def _levels(counts: NDArray[np.int64], highest: int) -> bytes:
    """Numbers as heights: even one can be seen, and twice as many is higher."""
    heights = np.ceil(255 * np.sqrt(np.minimum(counts / highest, 1)))
    return heights.astype(np.uint8).tobytes()
