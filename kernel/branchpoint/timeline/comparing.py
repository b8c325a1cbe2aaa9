"""Two timelines side by side: what happened in both, and what happened in only one of them."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from branchpoint import showing
from branchpoint.clock import format_vtime
from branchpoint.events import tables
from branchpoint.events.event import Columns, Event
from branchpoint.events.listing import inert, row
from branchpoint.events.queries import Positions

if TYPE_CHECKING:
    import pandas as pd

    from branchpoint.timeline.moment import Moment

_NUMBERS = re.compile(r"[0-9]+")
_BEFORE, _AFTER = 3, 17  # rows around the first difference, in a printed comparison
_WIDTH = 120  # characters of text there
_PAGE = 300  # ... and on a page, which breaks lines


class Pair(NamedTuple):
    """An event of both timelines, whose instants may differ, or of only one of them."""

    a: Event | None
    b: Event | None

    @property
    def differs(self) -> bool:
        """Whether only one of the timelines has it."""
        return self.a is None or self.b is None


class Comparison:
    """Two timelines, made by ``run.compare(a, b)``. Shows where they part."""

    def __init__(self, a: Moment, b: Moment, *, numbers: bool = False) -> None:
        self.a = a
        self.b = b
        self.end = min(a.at, b.at)
        """Absolute ns up to which they are compared: the earlier end."""
        one, other = (moment.events.up_to(min(a, b, key=_at)) for moment in (a, b))
        self._events = one, other
        self._numbers = numbers
        self._shared = _shared(one.columns, other.columns, len(one), len(other))
        self._rows = self._aligned()
        """Positions in both after the common beginning, in the order of time; -1: not there."""

    @property
    def parted(self) -> float:
        """Virtual seconds of the first event whose text or instant differs, or of the end."""
        instants = [
            events.columns.at[self._shared] for events in self._events if self._shared < len(events)
        ]
        return (int(min(instants, default=self.end)) - self.a.run.origin) / 1e9

    @property
    def first(self) -> Pair | None:
        """The first event that only one of them has; None: there is no such event."""
        number = self.first_number
        return None if number is None else self[number]

    @property
    def first_number(self) -> int | None:
        """The number of :attr:`first`, for ``comparison[number]``; None: there is no such event."""
        found = self.numbers_of_differences
        return int(found[0]) if len(found) else None

    @property
    def numbers_of_differences(self) -> Positions:
        """The numbers of the events that only one of them has."""
        return np.flatnonzero((self._rows < 0).any(axis=1)) + self._shared

    @property
    def differences(self) -> list[Pair]:
        """The events that only one of them has."""
        return [self[number] for number in self.numbers_of_differences.tolist()]

    def __len__(self) -> int:
        return self._shared + len(self._rows)

    def __getitem__(self, number: int) -> Pair:
        if not 0 <= number < len(self):
            raise IndexError(number)
        places = (number, number)
        if number >= self._shared:
            places = tuple(self._rows[number - self._shared].tolist())
        one, other = (
            None if place < 0 else events.columns.event(place, events.origin)
            for events, place in zip(self._events, places, strict=True)
        )
        return Pair(one, other)

    def __iter__(self) -> Iterator[Pair]:
        return map(self.__getitem__, range(len(self)))

    def frame(self) -> pd.DataFrame:
        """One row per event from where they part: vtime_a, vtime_b (not a number where it is
        missing), source, container, stream, type, text_a, text_b.
        """
        import pandas as pd

        rows = []
        for pair in map(self.__getitem__, range(self._shared, len(self))):
            known = pair.a or pair.b
            assert known is not None
            times = [float("nan") if e is None else e.vtime for e in pair]
            texts = ["" if e is None else e.text for e in pair]
            rows.append((*times, known.source, known.container, known.stream, known.type, *texts))
        titles = ["vtime_a", "vtime_b", "source", "container", "stream", "type", "text_a", "text_b"]
        return pd.DataFrame(rows, columns=titles)

    def explore(self) -> Any:
        """Both logs side by side, to scroll in, for a notebook."""
        return showing.show("compare", self)

    def _aligned(self) -> np.ndarray[Any, Any]:
        """Which events are the same: the n-th of its kind in one is the n-th in the other."""
        one, other = self._events
        waiting: dict[Any, deque[int]] = defaultdict(deque)
        for place in range(self._shared, len(other)):
            waiting[self._kind(other.columns, place)].append(place)
        rows = []
        for place in range(self._shared, len(one)):
            same = waiting.get(self._kind(one.columns, place))
            rows.append((int(one.columns.at[place]), place, same.popleft() if same else -1))
        rows += [
            (int(other.columns.at[place]), -1, place) for left in waiting.values() for place in left
        ]
        rows.sort(key=lambda entry: entry[0])
        return np.array([entry[1:] for entry in rows], np.int64).reshape(-1, 2)

    def _kind(self, columns: Columns, place: int) -> tuple[str, ...]:
        """What makes an event the same as another one."""
        known, text = columns.names.known, columns.texts[place]
        codes = (columns.source, columns.container, columns.stream, columns.type)
        names = [known[column[place]] for column in codes]
        return (*names, text if self._numbers else _NUMBERS.sub("#", text))

    # -- showing itself

    def _summary(self) -> str:
        first = self.first
        ends = f"compared up to {format_vtime(self.end - self.a.run.origin)} s"
        if first is None:
            return f"no event that only one of them has, {ends}"
        event, owner = (first.a, "a") if first.a is not None else (first.b, "b")
        assert event is not None
        return f"first difference at {event.vtime:.6f} s, only in {owner}; {ends}"

    def _lines(self, width: int) -> tuple[list[tuple[str, ...]], str]:
        number = self.first_number
        start = max((len(self) if number is None else number) - _BEFORE, 0)
        shown = range(start, min(start + _BEFORE + _AFTER, len(self)))
        rows: list[tuple[str, ...]] = []
        for pair in map(self.__getitem__, shown):
            sides = [("", "", "") if event is None else _told(event, width) for event in pair]
            who = sides[0][1] or sides[1][1]
            sign = "=" if not pair.differs else "<" if pair.b is None else ">"
            rows.append((sides[0][0], who, sides[0][2], sign, sides[1][0], sides[1][2]))
        return rows, self._summary()

    def __repr__(self) -> str:
        rows, foot = self._lines(_WIDTH)
        table = [_TITLES, *rows]
        widths = [max(len(line[column]) for line in table) for column in range(len(_TITLES))]
        return "\n".join(
            [
                *(
                    "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
                    for line in table
                ),
                foot,
            ]
        )

    def _repr_html_(self) -> str:
        rows, foot = self._lines(_PAGE)
        return tables.html(_TITLES, rows) + tables.note(foot)


_TITLES = ("vtime a", "container", "text a", "", "vtime b", "text b")


def _told(event: Event, width: int) -> tuple[str, str, str]:
    _, who, what, text = row(event, width)
    words = text if event.type == "log" else f"{what} {text}"
    return f"{event.vtime:.6f}", who, inert(words, width)


def _at(moment: Moment) -> int:
    return moment.at


def _shared(one: Columns, other: Columns, length: int, other_length: int) -> int:
    """How many events from the first on are the same in both, instants included."""
    count = min(length, other_length)
    known = {name: code for code, name in enumerate(one.names.known)}
    same = np.array([known.get(name, -1) for name in other.names.known], np.int32)
    differ = one.at[:count] != other.at[:count]
    for name in ("source", "container", "stream", "type"):
        differ |= getattr(one, name)[:count] != same[getattr(other, name)[:count]]
    different = np.flatnonzero(differ)
    count = int(different[0]) if len(different) else count
    texts = zip(one.texts[:count], other.texts, strict=False)
    return next((place for place, (a, b) in enumerate(texts) if a != b), count)
