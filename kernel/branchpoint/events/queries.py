"""Queries on events, independent of any recording.

A :class:`Query` selects positions in :class:`~branchpoint.events.event.Columns`. It contains
no events itself, so the same query can watch a live branch, filter a recording and be written on
a command line (:func:`parse_query`).
"""

from __future__ import annotations

import fnmatch
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from branchpoint.errors import BranchpointError, near

if TYPE_CHECKING:
    from branchpoint.events.event import Columns, Event

Positions = NDArray[np.intp]
"""Which events, as ascending positions in the columns."""
Patterns = str | Iterable[str] | None
_CONDITIONS = ("container", "stream", "type", "source", "text", "regex", "start", "end")


class Query:
    """A query on events. Combines with ``|``, ``&``, ``-`` and ``~``.

    Call it with one Event to test whether that event, alone, matches. Events that come one after
    another: :mod:`branchpoint.events.following`.
    """

    def select(self, columns: Columns, among: Positions) -> Positions:
        """Those of the positions ``among`` whose events match."""
        raise NotImplementedError

    def all(self, columns: Columns) -> Positions:
        """The positions of all events that match."""
        return self.select(columns, np.arange(len(columns), dtype=np.intp))

    def first(self, columns: Columns, start: int = 0) -> int | None:
        """The first position from ``start`` on whose event matches, or None."""
        found = self.select(columns, np.arange(start, len(columns), dtype=np.intp))
        return int(found[0]) if len(found) else None

    def __call__(self, event: Event) -> bool:
        # Called for every event of thousands of futures, so common queries have a faster version.
        return self.first(event.alone()) is not None

    def __or__(self, other: Query) -> Query:
        return Either(self, other) if isinstance(other, Query) else NotImplemented

    def __and__(self, other: Query) -> Query:
        return Both(self, other) if isinstance(other, Query) else NotImplemented

    def __sub__(self, other: Query) -> Query:
        return Both(self, Except(other)) if isinstance(other, Query) else NotImplemented

    def __invert__(self) -> Query:
        return Except(self)

    def __deepcopy__(self, _: Any) -> Query:
        return self  # it never changes


class Everything(Query):
    """Every event."""

    def select(self, columns: Columns, among: Positions) -> Positions:
        return among

    def __call__(self, event: Event) -> bool:
        return True


@dataclass(frozen=True)
class Both(Query):
    left: Query
    right: Query

    def select(self, columns: Columns, among: Positions) -> Positions:
        return self.right.select(columns, self.left.select(columns, among))

    def __call__(self, event: Event) -> bool:
        return self.left(event) and self.right(event)


@dataclass(frozen=True)
class Either(Query):
    left: Query
    right: Query

    def select(self, columns: Columns, among: Positions) -> Positions:
        return np.union1d(self.left.select(columns, among), self.right.select(columns, among))

    def __call__(self, event: Event) -> bool:
        return self.left(event) or self.right(event)


@dataclass(frozen=True)
class Except(Query):
    query: Query

    def select(self, columns: Columns, among: Positions) -> Positions:
        return np.setdiff1d(among, self.query.select(columns, among), assume_unique=True)

    def __call__(self, event: Event) -> bool:
        return not self.query(event)


@dataclass(frozen=True)
class Between(Query):
    """Events from ``start`` to ``end``, absolute ns, both included; None: no bound."""

    start: int | None = None
    end: int | None = None

    def select(self, columns: Columns, among: Positions) -> Positions:
        # Events are ordered by time, so a range of time is a range of positions.
        low = 0 if self.start is None else np.searchsorted(columns.at, self.start, "left")
        high = len(columns)
        if self.end is not None:
            high = int(np.searchsorted(columns.at, self.end, "right"))
        return among[np.searchsorted(among, low) : np.searchsorted(among, high)]


@dataclass(frozen=True)
class Where(Query):
    """Events with the given properties; None means any.

    ``container``, ``type``, ``source`` and ``stream`` are patterns (``*``, ``?``, ``[...]``), or
    several patterns (one must match). A container is also found by its service: ``"db"`` means
    ``db.1``, ``db.2``, ... ``text`` is a part of the text, ``regex`` is searched in it. The keys
    of ``fields`` must be there with exactly these values.

    :raises BranchpointError: for a bad pattern, text or regular expression.
    """

    container: Patterns = None
    stream: Patterns = None
    type: Patterns = None
    source: Patterns = None
    text: str | None = None
    regex: str | re.Pattern[str] | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("container", "stream", "type", "source"):
            given = getattr(self, name)
            if given is None or isinstance(given, str):
                continue
            if not isinstance(given, Iterable) or not all(isinstance(g, str) for g in given):
                raise BranchpointError(f"{name}={given!r} is not a name or a pattern")
            object.__setattr__(self, name, tuple(given))
        if self.text is not None and not isinstance(self.text, str):
            raise BranchpointError(f"text={self.text!r} is not a text")
        if isinstance(self.regex, str):
            try:
                object.__setattr__(self, "regex", re.compile(self.regex))
            except re.error as problem:
                raise BranchpointError(
                    f"{self.regex!r} is not a regular expression: {problem}",
                    "text=... searches for exactly these characters",
                ) from None
        elif self.regex is not None and not isinstance(getattr(self.regex, "pattern", None), str):
            raise BranchpointError(f"regex={self.regex!r} is not a regular expression for texts")

    def select(self, columns: Columns, among: Positions) -> Positions:
        for codes, patterns, is_container in (
            (columns.type, self.type, False),
            (columns.container, self.container, True),
            (columns.source, self.source, False),
            (columns.stream, self.stream, False),
        ):
            if patterns is not None:
                wanted = columns.names.matching(named(patterns, is_container))
                among = among[wanted[codes[among]]]
        if self.fields:
            table, wanted_items = columns.fields, self.fields.items()
            known = [p for p in among.tolist() if p in table and wanted_items <= table[p].items()]
            among = np.array(known, np.intp)
        if self.text:
            texts, part = columns.texts, self.text
            hits = [part in texts[p] for p in among.tolist()]
            among = among[np.array(hits, bool)]
        if self.regex is not None:
            texts, search = columns.texts, re.compile(self.regex).search
            hits = [search(texts[p]) is not None for p in among.tolist()]
            among = among[np.array(hits, bool)]
        return among

    def __call__(self, event: Event) -> bool:
        for name, patterns, is_container in (
            (event.type, self.type, False),
            (event.container, self.container, True),
            (event.source, self.source, False),
            (event.stream, self.stream, False),
        ):
            if patterns is not None and not named(patterns, is_container).match(name):
                return False
        return (
            self.fields.items() <= event.fields.items()
            and (not self.text or self.text in event.text)
            and (self.regex is None or re.compile(self.regex).search(event.text) is not None)
        )


def named(patterns: Any, is_container: bool) -> re.Pattern[str]:
    """A regular expression for names that match one of the patterns; for a container, its service
    matches too.
    """
    return _compiled(patterns, is_container)


@lru_cache(maxsize=256)
def _compiled(patterns: str | tuple[str, ...], is_container: bool) -> re.Pattern[str]:
    given = [patterns] if isinstance(patterns, str) else patterns
    tail = r"(?:\.[0-9]+)?" if is_container else ""
    return re.compile(
        "|".join(f"(?:{fnmatch.translate(p)[:-2]}){tail}\\Z" for p in given) or "(?!)"
    )


@dataclass(frozen=True)
class Near(Query):
    """Events of ``query`` with (if not ``wanted``: without) an event of ``other`` near them.

    Near is before the event (``before``) or after it, at most ``within`` ns away; None: at any
    distance. No event is near itself.
    """

    query: Query
    other: Query
    within: int | None
    before: bool
    wanted: bool

    def select(self, columns: Columns, among: Positions) -> Positions:
        found = self.query.select(columns, among)
        others = self.other.all(columns)
        if not len(others):
            return found[:0] if self.wanted else found
        if self.before:
            nearest = np.searchsorted(others, found, "left") - 1
            there = nearest >= 0
        else:
            nearest = np.searchsorted(others, found, "right")
            there = nearest < len(others)
        if self.within is not None:
            neighbour = others[np.clip(nearest, 0, len(others) - 1)]
            there &= np.abs(columns.at[found] - columns.at[neighbour]) <= self.within
        return found[there == self.wanted]


@dataclass(frozen=True)
class Part(Query):
    """Some of the events of ``query``, by their number."""

    query: Query
    part: slice

    def select(self, columns: Columns, among: Positions) -> Positions:
        chosen = np.sort(self.query.all(columns)[self.part])
        return np.intersect1d(among, chosen, assume_unique=True)


@dataclass(frozen=True)
class Check(Query):
    """Events for which a function of the user returns true."""

    check: Callable[[Event], Any]
    origin: int
    """Absolute ns of vtime 0, for the events that ``check`` gets."""

    def select(self, columns: Columns, among: Positions) -> Positions:
        hits = [bool(self.check(columns.event(p, self.origin))) for p in among.tolist()]
        return among[np.array(hits, bool)]


_QUERY_HELP = (
    'write "exit:CONTAINER", "log:CONTAINER:TEXT", "event:TYPE", "sdk:MESSAGE" or "test:COMMAND", '
    'for example "exit:*", "log:standby.replicator.1:Traceback" or "event:setup.complete"'
)


def refuse_misspelt(fields: Iterable[str], seen: Iterable[Mapping[str, str]]) -> None:
    """Refuse fields with names like those of conditions, unless one of the ``seen`` has them.

    :raises BranchpointError: for such a name; the hint has the condition's.
    """
    for name in fields:
        hint = near(name, _CONDITIONS)
        if "did you mean" in hint and not any(name in each for each in seen):
            raise BranchpointError(f"no event has a field {name!r}", hint)


def parse_query(text: str) -> Query:
    """A query written as one word, for command lines.

    ``exit:CONTAINER``          a container's first process ended
    ``log:CONTAINER:TEXT``      a line with TEXT in it
    ``event:TYPE[:CONTAINER]``  any other event
    ``sdk:MESSAGE``             an SDK assertion that was violated
    ``test:COMMAND``            a test command that failed

    CONTAINER, TYPE, MESSAGE and COMMAND are patterns as in :class:`Where`.

    :raises BranchpointError: when it is not of one of these forms.
    """
    kind, colon, rest = text.partition(":")
    if colon and rest:
        if kind == "exit":
            return Where(type="container.exit", container=rest)
        if kind == "sdk":
            return violated(rest)
        if kind == "test":
            return failed_test(rest)
        if kind == "event":
            type_, _, container = rest.partition(":")
            if type_:
                return Where(type=type_, container=container or None)
        if kind == "log":
            container, colon, part = rest.partition(":")
            if container and part:
                return Where(type="log", container=container, text=part)
    raise BranchpointError(f"{text!r} is not a query for events", _QUERY_HELP)


def violated(message: str = "*") -> Query:
    """SDK assertions (``always``, ``unreachable``) that were reached and did not hold.

    ``message`` is a pattern for their message.
    """
    return _asserted(message, violated="1")


def achieved(message: str = "*") -> Query:
    """SDK assertions (``sometimes``, ``reachable``) that were reached and held."""
    parts = [_asserted(message, type=t, hit="1", condition="1") for t in ("sometimes", "reachable")]
    return parts[0] | parts[1]


def failed_test(command: str = "*") -> Query:
    """Test commands that ended with a code other than 0 or by a signal, and were not killed: not by
    the composer, and not with their containers.

    ``command`` is a pattern for ``TEMPLATE/NAME``, or for the name alone.
    """
    either = "|".join(fnmatch.translate(f"{start}{command}: *") for start in ("", "*/"))
    ends = Where(type="test.exit", regex=None if command == "*" else re.compile(rf"\A(?:{either})"))
    return (
        ends
        - Where(fields={"code": "0"})
        - Where(fields={"asked": "1"})
        - Where(fields={"signal": str(signal.SIGKILL.value)})
    )


def _asserted(message: str, **fields: str) -> Query:
    said = re.compile(fnmatch.translate(message)) if message != "*" else None
    return Where(type="sdk.assert", regex=said, fields=fields)
