"""What happened in the machine: output lines and life-cycle events, with their instants.

Events are kept in columns, so that a million of them can be filtered quickly. The owner of a
timeline appends to an :class:`EventLog`; users have an :class:`EventSet`, which is lazy and
immutable and can be filtered and combined.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from branchpoint import showing
from branchpoint.clock import SECOND, Duration, Instant, to_ns
from branchpoint.decoding import whole
from branchpoint.errors import BranchpointError
from branchpoint.events import listing, tables
from branchpoint.events.queries import (
    Between,
    Check,
    Either,
    Everything,
    Near,
    Part,
    Patterns,
    Positions,
    Query,
    Where,
    parse_query,
    refuse_misspelt,
)

if TYPE_CHECKING:
    import pandas as pd

LOG = "log"
"""The type of an output line."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, at one instant."""

    at: int
    """Absolute ns: since the machine was switched on."""
    source: str
    """Where it comes from: "container", "process", "kernel" or "agent" for lines; "life" for the
    life cycle of containers; "fault"; "machine"."""
    container: str = ""
    stream: str = ""
    """"out" or "err" for lines, "sdk" for what a program told the tester."""
    text: str = ""
    """A line as it was written, terminal control sequences included."""
    type: str = LOG
    """"log" for a line, else what happened: "container.exit", "setup.complete", ..."""
    fields: Mapping[str, str] = {}
    origin: int = 0
    """Absolute ns of vtime 0."""

    @property
    def vtime(self) -> float:
        """Seconds of virtual time since set-up was complete."""
        return (self.at - self.origin) / SECOND

    def number(self, field: str) -> int:
        """The whole number in a field; 0 when it is not one (fields are untrusted)."""
        return whole(self.fields.get(field, "")) or 0

    def alone(self) -> Columns:
        """Columns that hold only this event."""
        log = EventLog()
        log.append(self)
        return log.columns()

    def __str__(self) -> str:
        return "  ".join(listing.row(self))

    def __repr__(self) -> str:
        return f"<Event {self}>"


class Names:
    """Small numbers for strings that occur often. It only grows, so it can be shared."""

    def __init__(self) -> None:
        self.known: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        """The number of ``name``."""
        found = self._codes.get(name)
        if found is None:
            found = self._codes[name] = len(self.known)
            self.known.append(name)
        return found

    def matching(self, pattern: re.Pattern[str]) -> NDArray[np.bool_]:
        """For each number, whether its name matches ``pattern``."""
        return np.fromiter((pattern.match(n) is not None for n in self.known), bool)


@dataclass(frozen=True)
class Columns:
    """The events of one timeline up to some point; never changes.

    ``texts`` and ``fields`` may contain later events too: they are shared with the growing log.
    """

    at: NDArray[np.int64]
    source: NDArray[np.int32]
    container: NDArray[np.int32]
    stream: NDArray[np.int32]
    type: NDArray[np.int32]
    names: Names
    texts: list[str]
    fields: dict[int, Mapping[str, str]]

    def __len__(self) -> int:
        return len(self.at)

    def event(self, position: int, origin: int = 0) -> Event:
        """One event; ``origin`` is the absolute ns of vtime 0."""
        known = self.names.known
        return Event(
            at=int(self.at[position]),
            source=known[self.source[position]],
            container=known[self.container[position]],
            stream=known[self.stream[position]],
            text=self.texts[position],
            type=known[self.type[position]],
            fields=self.fields.get(position, {}),
            origin=origin,
        )


class EventLog:
    """The growing list of a timeline's events, ordered by time."""

    def __init__(self, start: Columns | None = None) -> None:
        """Continue from ``start``; its memory is shared until the first event is added."""
        self._length = 0
        self._at = np.empty(0, np.int64)
        self._codes = np.empty((4, 0), np.int32)
        self._names = Names()
        self._texts: list[str] = []
        self._fields: dict[int, Mapping[str, str]] = {}
        self._shared = start
        if start is not None:
            self._length = len(start)
            self._names = start.names
        self._columns = start

    def __len__(self) -> int:
        return self._length

    @property
    def latest(self) -> int:
        """Absolute ns of the last event; 0 when there is none."""
        return int(self.columns().at[-1]) if self._length else 0

    def append(self, event: Event) -> None:
        """Add one event; ValueError when it is earlier than the last one."""
        self.extend([event])

    def extend(self, events: Iterable[Event]) -> None:
        """Add events; ValueError when one is earlier than the one before it."""
        new = list(events)
        if not new:
            return
        start, end = self._length, self._length + len(new)
        instants = np.array([self.latest, *(event.at for event in new)], np.int64)
        if (np.diff(instants) < 0).any():
            raise ValueError("events are not in the order of time")
        self._reserve(len(new))
        code = self._names.code
        self._at[start:end] = instants[1:]
        self._codes[:, start:end] = np.transpose(
            [(code(e.source), code(e.container), code(e.stream), code(e.type)) for e in new]
        )
        self._texts.extend(event.text for event in new)
        self._fields.update((p, e.fields) for p, e in enumerate(new, start) if e.fields)
        self._length = end
        self._columns = None

    def extend_columns(self, more: Columns) -> None:
        """Add all events of ``more``; ValueError when it begins before this log ends."""
        count = len(more)
        if not count:
            return
        if more.at[0] < self.latest:
            raise ValueError("events are not in the order of time")
        self._reserve(count)
        start, end = self._length, self._length + count
        self._at[start:end] = more.at
        translate = np.array([self._names.code(n) for n in more.names.known], np.int32)
        for row, codes in enumerate((more.source, more.container, more.stream, more.type)):
            self._codes[row, start:end] = translate[codes]
        self._texts.extend(more.texts[:count])
        self._fields.update((start + p, f) for p, f in list(more.fields.items()) if p < count)
        self._length = end
        self._columns = None

    def columns(self) -> Columns:
        """The events so far; later additions do not change what is returned."""
        if self._columns is None:
            n = self._length
            source, container, stream, type_ = self._codes[:, :n]
            self._columns = Columns(
                self._at[:n], source, container, stream, type_,
                self._names, self._texts, self._fields,
            )  # fmt: skip
        return self._columns

    def fork(self, until: int) -> EventLog:
        """A new log that begins with this one's events up to ``until`` (absolute ns, included)."""
        whole = self.columns()
        return EventLog(cut(whole, 0, int(np.searchsorted(whole.at, until, "right"))))

    def _reserve(self, more: int) -> None:
        if self._shared is not None:
            shared, self._shared = self._shared, None
            n = self._length
            self._at = shared.at.copy()
            self._codes = np.stack([shared.source, shared.container, shared.stream, shared.type])
            self._texts = shared.texts[:n]
            self._fields = {p: f for p, f in list(shared.fields.items()) if p < n}
        needed = self._length + more
        if needed > len(self._at):
            room = max(needed, len(self._at) * 3 // 2, 256) - len(self._at)
            self._at = np.concatenate([self._at, np.empty(room, np.int64)])
            self._codes = np.concatenate([self._codes, np.empty((4, room), np.int32)], axis=1)


def cut(columns: Columns, start: int, end: int) -> Columns:
    """The events from position ``start`` to before ``end``; shares memory where it can."""
    texts, fields = columns.texts, columns.fields
    if start:
        texts = texts[start:end]
        fields = {p - start: f for p, f in fields.items() if start <= p < end}
    span = slice(start, end)
    return Columns(
        columns.at[span], columns.source[span], columns.container[span], columns.stream[span],
        columns.type[span], columns.names, texts, fields,
    )  # fmt: skip


class EventSet:
    """Some events of one timeline, ordered by time. Lazy: nothing is searched before it is used.

    Immutable: every method that narrows or combines returns a new set. Times are virtual seconds,
    a Time, or anything with an instant: an event, a moment, a branch (then: its end).

    :raises BranchpointError: from any method, for an invalid query or one of another timeline.
    :raises TimeError: from any method, for what is not an instant or a length of time.
    """

    def __init__(
        self,
        columns: Columns,
        query: Query | None = None,
        *,
        origin: int = 0,
        moment_of: Callable[[int], Any] | None = None,
        history: Any = None,
    ) -> None:
        """``origin`` is the absolute ns of vtime 0; ``moment_of`` makes a moment from absolute
        ns; ``history`` is the timeline of the events, which may go on.
        """
        self.columns = columns
        self.query = query or Everything()
        self.origin = origin
        self.moment_of = moment_of
        self.history = history

    @cached_property
    def positions(self) -> Positions:
        """The positions of this set's events in the columns."""
        return self.query.all(self.columns)

    # Narrowing

    def where(
        self,
        query: EventSet | Query | str | None = None,
        *,
        container: Patterns = None,
        stream: Patterns = None,
        type: Patterns = None,
        source: Patterns = None,
        text: str | None = None,
        regex: str | re.Pattern[str] | None = None,
        start: Instant | None = None,
        end: Instant | None = None,
        **fields: Any,
    ) -> EventSet:
        """The events for which all of these conditions hold.

        ``container``, ``stream``, ``type`` and ``source`` are names or patterns such as
        ``"standby.*"``, or several of them (one must match); ``text`` is a part of the text,
        ``regex`` is searched in it; ``start`` and ``end`` are instants, both included; any other
        keyword is the value of a field: ``code=1``. ``query`` is a set of events, a query, or its
        short form, such as ``"exit:db.*"``.
        """
        refuse_misspelt(fields, self.columns.fields.values())
        asked: Query = Where(
            container, stream, type, source, text, regex, {k: str(v) for k, v in fields.items()}
        )
        if start is not None or end is not None:
            asked &= Between(self._instant(start), self._instant(end))
        return self._with(self.query & (asked if query is None else self._query_of(query) & asked))

    def filter(self, check: Callable[[Event], Any]) -> EventSet:
        """The events for which ``check(event)`` is true."""
        return self._with(self.query & Check(check, self.origin))

    def up_to(self, instant: Instant) -> EventSet:
        """The events not later than ``instant``."""
        return self._with(self.query & Between(None, self._instant(instant)))

    def after(self, instant: Instant) -> EventSet:
        """The events later than ``instant``."""
        at = self._instant(instant)
        return self._with(self.query & Between(None if at is None else at + 1, None))

    def preceded_by(
        self, other: EventSet | Query | str, within: Duration | None = None
    ) -> EventSet:
        """The events with one of ``other`` before them, at most ``within`` seconds earlier.

        ``other`` is a set of events, a query, or its short form, such as ``"exit:db.*"``.
        """
        return self._near(other, within, before=True, wanted=True)

    def not_preceded_by(
        self, other: EventSet | Query | str, within: Duration | None = None
    ) -> EventSet:
        """The events without one of ``other`` in the ``within`` seconds before them."""
        return self._near(other, within, before=True, wanted=False)

    def followed_by(
        self, other: EventSet | Query | str, within: Duration | None = None
    ) -> EventSet:
        """The events with one of ``other`` after them, at most ``within`` seconds later."""
        return self._near(other, within, before=False, wanted=True)

    def not_followed_by(
        self, other: EventSet | Query | str, within: Duration | None = None
    ) -> EventSet:
        """The events without one of ``other`` in the ``within`` seconds after them."""
        return self._near(other, within, before=False, wanted=False)

    def head(self, count: int = 10) -> EventSet:
        """The first ``count`` events."""
        return self[: max(count, 0)]

    def tail(self, count: int = 10) -> EventSet:
        """The last ``count`` events."""
        return self[-count:] if count > 0 else self[:0]

    def __or__(self, other: EventSet | Query) -> EventSet:
        return self._with(Either(self.query, self._query_of(other)))

    __ror__ = __or__

    def __and__(self, other: EventSet | Query) -> EventSet:
        return self._with(self.query & self._query_of(other))

    __rand__ = __and__

    def __sub__(self, other: EventSet | Query) -> EventSet:
        return self._with(self.query - self._query_of(other))

    def __rsub__(self, other: Query) -> EventSet:
        return self._with(self._query_of(other) - self.query)

    def __invert__(self) -> EventSet:
        return self._with(~self.query)

    def on(self, columns: Columns) -> EventSet:
        """The same query on another timeline, or on a later state of this one."""
        return EventSet(
            columns, self.query, origin=self.origin, moment_of=self.moment_of, history=self.history
        )

    def _with(self, query: Query) -> EventSet:
        return EventSet(
            self.columns, query, origin=self.origin, moment_of=self.moment_of, history=self.history
        )

    def _near(
        self, other: EventSet | Query | str, within: Any, *, before: bool, wanted: bool
    ) -> EventSet:
        span = None if within is None else to_ns(within)
        if span is not None and span < 0:
            raise BranchpointError(f"within={within!r} is negative")
        return self._with(Near(self.query, self._query_of(other), span, before, wanted))

    def _query_of(self, other: EventSet | Query | str) -> Query:
        if isinstance(other, Query):
            return other
        if isinstance(other, str):
            return parse_query(other)
        if not isinstance(other, EventSet):
            raise BranchpointError(
                f"{other!r} is not a set of events", 'nor a query: give one such as "exit:db.*"'
            )
        same = other.history is not None and other.history is self.history
        if not same and other.columns.texts is not self.columns.texts:
            raise BranchpointError(
                "these two sets of events belong to different timelines",
                "ask both queries on one timeline: a.on(b.columns) | b",
            )
        return other.query

    def _instant(self, given: Instant | None) -> int | None:
        """Absolute ns of an instant as users give it."""
        if given is None or isinstance(given, Event):
            return given.at if given is not None else None
        for owner in (given, getattr(given, "end", None)):
            at = getattr(owner, "at", None)
            if isinstance(at, int):
                return at
        return self.origin + to_ns(given)

    # Looking

    def __len__(self) -> int:
        return len(self.positions)

    def __bool__(self) -> bool:
        return len(self.positions) > 0

    def __iter__(self) -> Iterator[Event]:
        for position in self.positions.tolist():
            yield self.columns.event(position, self.origin)

    @overload
    def __getitem__(self, which: int) -> Event: ...
    @overload
    def __getitem__(self, which: slice) -> EventSet: ...
    def __getitem__(self, which: int | slice) -> Event | EventSet:
        if isinstance(which, slice):
            return self._with(Part(self.query, which))
        return self.columns.event(int(self.positions[which]), self.origin)

    @property
    def first(self) -> Event | None:
        """The earliest event, or None when there is none."""
        return self[0] if self else None

    @property
    def last(self) -> Event | None:
        """The latest event, or None when there is none."""
        return self[-1] if self else None

    def map(self, function: Callable[[Event], Any]) -> list[Any]:
        """``function`` of each event."""
        return [function(event) for event in self]

    def moments(self) -> list[Any]:
        """The moment of each event; BranchpointError when they belong to no recording."""
        if self.moment_of is None:
            raise BranchpointError("these events belong to no recording, so they have no moments")
        return [self.moment_of(at) for at in self.columns.at[self.positions].tolist()]

    def frame(self, *fields: str) -> pd.DataFrame:
        """A DataFrame: vtime (seconds), source, container, stream, text, type and fields.

        ``fields`` holds the fields of each event as a dict; those named here also get a column of
        their own, empty where an event has no such field; its name must not be one of the above.
        """
        return tables.frame(self, fields)

    def explore(self, **filters: Any) -> Any:
        """The log explorer, for a notebook: these events as a table to scroll and search.

        A chosen row gives its moment (``view.moment``). ``filters`` select what is shown first, as
        its ``filter`` method does: ``text``, ``regex``, ``container``, ``stream``, ``type``,
        ``start``, ``end``, ``preceded_by``, ...
        """
        return showing.show("log", self, **filters)

    def __repr__(self) -> str:
        return listing.plain(self)

    def _repr_html_(self) -> str:
        return listing.html(self)
