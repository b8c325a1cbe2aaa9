"""How much of a command's output is kept: ``yes`` writes for ever, faster than anybody reads.

Its first lines are events like all others. From the instant at which they exceed :data:`HEAD`
bytes, one event of type :data:`CUT` stands for all that follows. The last :data:`TAIL` bytes are
kept outside of the log. The output of containers is never cut: they are the system under test.

The log has the instant of the cut. So a replay leaves out the same lines, wherever it begins, and
compares all others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from branchpoint.events.event import LOG, Columns, Event
from branchpoint.events.reports import from_guest
from branchpoint.guest import wire

HEAD = 1 << 20
"""Bytes of the output of one command that are kept as events, from its beginning."""
TAIL = 1 << 16
"""Bytes of the end of the output that are kept, too."""
CUT = "process.cut"
"""The type of the event after which the output of a command is not kept as events."""
_LINE = 32  # bytes that a line counts at least: empty ones are events, too
_PROCESS = "process"


class Tail:
    """The end of what a command wrote, and how much was left out before it."""

    def __init__(self) -> None:
        self.lines = 0
        """Lines that are left out; those of the end do not count."""
        self.bytes = 0
        """Bytes of these."""
        self.end: deque[wire.Line] = deque()
        self._size = 0  # bytes of the end

    def add(self, line: wire.Line) -> None:
        """Take the next line."""
        self.end.append(line)
        self._size += _size(line)
        while self._size > TAIL and len(self.end) > 1:
            old = self.end.popleft()
            self._size -= _size(old)
            self.lines += 1
            self.bytes += len(old.data) + 1


class _Written(NamedTuple):
    before: int
    """Bytes before the latest instant."""
    at: int
    """The latest instant, absolute ns."""
    then: int
    """Bytes at that instant."""


class Bound:
    """What is kept of the commands of one history."""

    def __init__(self, known: Columns, *, again: bool = False) -> None:
        """``known`` is the log up to where it continues. With ``again``, all output was heard
        before, and the same lines are left out as then.
        """
        self._again = again
        self.tails: dict[str, Tail] = {}
        """By the number of the command."""
        self._cut: dict[str, int] = {}  # number -> the instant from which output is not kept
        self._written: dict[str, _Written] = {}
        self._marked: set[str] = set()  # numbers whose cut event was made here
        self._last = int(known.at[-1]) if len(known) else -1
        for position in _positions(known, CUT, _PROCESS):
            event = known.event(position)
            self._cut[event.fields.get("id", "")] = event.at
        for position in [] if again else _positions(known, LOG, _PROCESS):
            event = known.event(position)
            size = max(len(event.text.encode()), _LINE)
            self._count(event.fields.get("id", ""), event.at, size)

    def events(self, records: Iterable[wire.Record], origin: int) -> list[Event]:
        """The events for what the guest has said, without what is left out."""
        events: list[Event] = []
        for record in records:
            if isinstance(record, wire.Raw):
                continue
            if isinstance(record, wire.Line) and record.source.startswith(_PROCESS):
                number = record.source.partition("/")[2]
                if not self._again:
                    self._follow(number, record)
                cut = self._cut.get(number)
                if cut is not None and record.at >= cut:
                    if record.at == cut and number not in self._marked:
                        self._marked.add(number)
                        events.append(_mark(number, cut, origin))
                    continue
            events.append(from_guest(record, origin))
        if events:
            self._last = max(self._last, events[-1].at)
        return events

    def _follow(self, number: str, line: wire.Line) -> None:
        """Count a new line, or add it to the tail. A line that the guest was sending at the end of
        the log is not new.
        """
        if number in self._cut:
            if line.at >= self._cut[number]:
                self.tails.setdefault(number, Tail()).add(line)
        elif line.at > self._last:
            self._count(number, line.at, _size(line))
            if self._written[number].before >= HEAD:
                self._cut[number] = line.at
                self.tails.setdefault(number, Tail()).add(line)

    def _count(self, number: str, at: int, size: int) -> None:
        written = self._written.get(number, _Written(0, at, 0))
        if at > written.at:
            written = _Written(written.before + written.then, at, 0)
        self._written[number] = written._replace(then=written.then + size)


def _positions(known: Columns, type_: str, source: str) -> list[int]:
    """Where the events of that type and source are."""
    names = known.names.known
    if type_ not in names or source not in names:
        return []
    here = (known.type == names.index(type_)) & (known.source == names.index(source))
    return here.nonzero()[0].tolist()


def _size(line: wire.Line) -> int:
    return max(len(line.data), _LINE)


def _mark(number: str, at: int, origin: int) -> Event:
    return Event(
        at=at,
        source=_PROCESS,
        type=CUT,
        text=f"it has written more than {HEAD >> 20} MiB: the rest is not kept, but for its end",
        fields={"id": number},
        origin=origin,
    )
