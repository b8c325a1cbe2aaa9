"""Which events a log explorer shows: the user's filter, and the search for matching events.

The search runs in short steps, so that the first matches are on the screen while a slow regular
expression still works through a million lines.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from branchpoint.clock import format_vtime, to_ns
from branchpoint.errors import BranchpointError
from branchpoint.events.event import Columns, EventSet
from branchpoint.events.queries import Positions, Where, parse_query

_BLOCK = 16_384  # events that are searched before the time is checked again
_KINDS = ("exit", "log", "event", "sdk")  # the kinds that parse_query knows
How = Literal["preceded_by", "not_preceded_by", "followed_by", "not_followed_by"]
HOW: tuple[How, ...] = ("preceded_by", "not_preceded_by", "followed_by", "not_followed_by")


@dataclass(frozen=True)
class Nearby:
    """A condition on what happens around an event."""

    how: How
    query: str
    """As for :func:`parse_query`; a query without a kind ("exit:", ...) is a part of the text."""
    within: str = ""
    """Virtual seconds; empty: at any distance."""

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise BranchpointError(
                f"{self.how!r} is not a condition of a filter", f"use one of {', '.join(HOW)}"
            )
        if not self.query:
            raise BranchpointError(
                f"the condition {self.how} has no query", "for example: exit:db.* or a text"
            )

    @property
    def words(self) -> str:
        """The query as :func:`parse_query` takes it."""
        kind, colon, _ = self.query.partition(":")
        return self.query if colon and kind in _KINDS else f"log:*:{self.query}"

    def narrowed(self, events: EventSet) -> EventSet:
        """The events for which this condition holds."""
        narrow = getattr(events, self.how)
        return narrow(parse_query(self.words), self.within or None)

    @property
    def code(self) -> str:
        """The call that does the same."""
        within = f", within={_in_code(self.within)}" if self.within else ""
        return f".{self.how}({self.words!r}{within})"


@dataclass(frozen=True)
class Filter:
    """Which events are shown. With all fields empty: all events."""

    text: str = ""
    """A part of the text, or a regular expression."""
    is_regex: bool = False
    case: bool = False
    """Whether upper and lower case differ."""
    container: tuple[str, ...] = ()
    """Names; a name in parentheses is the source of events that belong to no container:
    "(kernel)"."""
    stream: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    start: str = ""
    """Virtual seconds; events exactly at ``start`` or ``end`` are included."""
    end: str = ""
    near: tuple[Nearby, ...] = field(default=())

    def __post_init__(self) -> None:
        for name in ("container", "stream", "type"):
            given = getattr(self, name)
            given = (given,) if isinstance(given, str) else tuple(given)
            if not all(isinstance(each, str) for each in given):
                raise BranchpointError(f"{name}={given!r} is not a name")
            object.__setattr__(self, name, given)
        for name in ("start", "end"):
            object.__setattr__(self, name, str(getattr(self, name)).strip())
        near = tuple(n if isinstance(n, Nearby) else Nearby(**n) for n in self.near)
        object.__setattr__(self, "near", near)

    @classmethod
    def of(cls, given: dict[str, Any]) -> Filter:
        """The filter that a browser sent."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in given.items() if name in known})

    def state(self) -> dict[str, Any]:
        """The filter as the browser gets it."""
        return asdict(self)

    @property
    def search(self) -> re.Pattern[str] | None:
        """The regular expression to search for; None when the filter has none.

        :raises BranchpointError: when it is not a valid regular expression.
        """
        if not self.text or not self.is_regex:
            return None
        Where(regex=self.text)  # explains what is wrong with it
        return re.compile(self.text, 0 if self.case else re.IGNORECASE)

    def narrowed(self, events: EventSet) -> EventSet:
        """The events that match all conditions except the text."""
        if self.container:
            query = Where(container=self._named) | Where(container="", source=self._sources)
            events = events.where(query)
        if self.stream:
            events = events.where(stream=self.stream)
        if self.type:
            events = events.where(type=self.type)
        if self.start or self.end:
            events = events.where(start=self.start or None, end=self.end or None)
        for near in self.near:
            events = near.narrowed(events)
        return events

    def applied(self, events: EventSet) -> EventSet:
        """The events that match all conditions, as a new set of events."""
        events = self.narrowed(events)
        if not self.text:
            return events
        if self.is_regex:
            return events.where(regex=self.search)
        if self.case:
            return events.where(text=self.text)
        return events.where(regex=f"(?i){re.escape(self.text)}")

    def code(self, events: str = "run.events") -> str:
        """The Python expression for the events that are shown."""
        named, sources = self._named, self._sources
        asked = {}
        if self.text:
            if self.case and not self.is_regex:
                asked["text"] = repr(self.text)
            else:
                pattern = self.text if self.is_regex else re.escape(self.text)
                asked["regex"] = repr(pattern if self.case else f"(?i){pattern}")
        if named and not sources:
            asked["container"] = _listed(named)
        elif named:
            one, other = _listed(named), _listed(sources)
            where = f"{events}.where(container='', source={other})"
            events = f"({events}.where(container={one}) | {where})"
        elif sources:
            asked.update(container="''", source=_listed(sources))
        asked.update({n: _listed(getattr(self, n)) for n in ("stream", "type") if getattr(self, n)})
        ends = {name: getattr(self, name) for name in ("start", "end")}
        asked.update({name: _in_code(end) for name, end in ends.items() if end})
        words = ", ".join(f"{name}={value}" for name, value in asked.items())
        where = f".where({words})" if words else ""
        return events + where + "".join(near.code for near in self.near)

    @property
    def _named(self) -> list[str]:
        return [name for name in self.container if not name.startswith("(")]

    @property
    def _sources(self) -> list[str]:
        return [name[1:-1] for name in self.container if name.startswith("(")]


def _in_code(seconds: str) -> str:
    """A time as typed, such as "1m", as a number in Python; other instants as a text."""
    with contextlib.suppress(BranchpointError):
        return format_vtime(to_ns(seconds)).rstrip("0").rstrip(".")
    return repr(seconds)


class Lowered:
    """The texts of a timeline in lower case, made once, block by block."""

    def __init__(self) -> None:
        self._texts: list[str] | None = None
        self._lower: list[str] = []

    def upto(self, texts: list[str], end: int) -> list[str]:
        """At least the first ``end`` of ``texts`` in lower case."""
        if self._texts is not texts:
            self._texts, self._lower = texts, []
        if len(self._lower) < end:
            self._lower.extend(text.lower() for text in texts[len(self._lower) : end])
        return self._lower


class Selection:
    """The positions of the events that match a filter, found step by step."""

    def __init__(self, events: EventSet, filter: Filter, lowered: Lowered) -> None:
        self.filter = filter
        self._lowered = lowered
        self._columns = events.columns
        self._texts = events.columns.texts
        self._check = _checking(filter)
        self._among: Positions = filter.narrowed(events).positions
        self._scanned = 0
        self._found: Positions = np.empty(len(self._among), np.intp)
        self._count = 0
        if self._check is None:
            self._found, self._count = self._among, len(self._among)
            self._scanned = len(self._among)

    def __len__(self) -> int:
        return self._count

    @property
    def positions(self) -> Positions:
        """The positions of the events found so far."""
        return self._found[: self._count]

    @property
    def scanned(self) -> float:
        """Which part of the events was searched, 0 to 1."""
        return self._scanned / len(self._among) if len(self._among) else 1.0

    @property
    def done(self) -> bool:
        """Whether all events were searched."""
        return self._scanned >= len(self._among)

    def work(self, seconds: float) -> bool:
        """Search for about so many wall seconds; returns whether the search is done."""
        stop = time.monotonic() + seconds
        while not self.done and time.monotonic() < stop:
            assert self._check is not None
            block = self._among[self._scanned : self._scanned + _BLOCK]
            texts = self._texts
            if not self.filter.is_regex and not self.filter.case:
                texts = self._lowered.upto(texts, int(block[-1]) + 1)
            hits = block[self._check(texts, block)]
            self._found[self._count : self._count + len(hits)] = hits
            self._count += len(hits)
            self._scanned += len(block)
        return self.done

    def grown(self, events: EventSet) -> Selection:
        """The selection for a timeline that has grown. Earlier results are reused if possible.

        Conditions on nearby events are searched again, since such events may have come later.
        """
        new = Selection(events, self.filter, self._lowered)
        same = not self.filter.near and self._check is not None
        if same and np.array_equal(new._among[: len(self._among)], self._among):
            new._found[: self._count] = self.positions
            new._count, new._scanned = self._count, self._scanned
        return new

    def first_at(self, at: int) -> int:
        """The number of the first found event at or after ``at`` (absolute ns)."""
        return int(np.searchsorted(self._columns.at[self.positions], at, "left"))


_Check = Callable[[list[str], Positions], NDArray[np.bool_]]


def _checking(filter: Filter) -> _Check | None:
    """A function that tells for some positions whether their texts match; None: all match."""
    if not filter.text:
        return None
    pattern = filter.search
    if pattern is not None:
        search = pattern.search
        return lambda texts, block: np.array(
            [search(texts[p]) is not None for p in block.tolist()], bool
        )
    part = filter.text if filter.case else filter.text.lower()
    return lambda texts, block: np.array([part in texts[p] for p in block.tolist()], bool)


def facets(columns: Columns, positions: Positions) -> dict[str, list[list[Any]]]:
    """The containers, streams and types that occur, by name, each with its number of events.

    Sources of events that belong to no container, such as "(kernel)", follow the containers.
    """
    known = columns.names.known
    containers = columns.container[positions]
    nowhere = {code for code, name in enumerate(known) if not name}
    found: dict[str, list[list[Any]]] = {}
    for name, codes in (("stream", columns.stream), ("type", columns.type)):
        found[name] = _counted(known, codes[positions])
    found["container"] = _counted(known, containers)
    outside = np.isin(containers, list(nowhere))
    sources = _counted(known, columns.source[positions][outside])
    found["container"] += [[f"({name})", count] for name, count in sources]
    return {name: [entry for entry in entries if entry[0]] for name, entries in found.items()}


def _counted(known: list[str], codes: NDArray[np.int32]) -> list[list[Any]]:
    counts = np.bincount(codes, minlength=len(known)).tolist()
    return sorted(
        ([known[code], count] for code, count in enumerate(counts) if count), key=lambda e: e[0]
    )


def _listed(names: Sequence[str]) -> str:
    return repr(names[0] if len(names) == 1 else list(names))
