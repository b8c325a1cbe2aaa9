"""What the guest says again in a replay must be what it said before.

A history's log has every event up to its tip, so a replay is compared with it all the way, not only
at the few instants at which a digest of the machine is known.

The date of an event is a few hundred nanoseconds before it can be read. So an event that the guest
was sending when a state was taken is heard after that state, but has a date before it.
"""

from __future__ import annotations

from collections.abc import Sequence

from branchpoint.events.event import Columns, Event, EventLog
from branchpoint.events.eventfile import Gap
from branchpoint.events.listing import inert
from branchpoint.guest import wire

_TELLING = wire.TICK
"""ns before the end of a replay in which an event may have begun that is heard only later."""
_SHOWN = 200  # characters of an event in an error


class Otherwise(Exception):
    """The guest did not say what it had said before."""

    def __init__(self, expected: Event | None, heard: Event | None) -> None:
        """``expected`` is None when no event was expected, ``heard`` when none was heard."""
        super().__init__(expected, heard)
        self.expected = expected
        self.heard = heard

    @property
    def at(self) -> int:
        """Absolute ns of the earlier of both."""
        return min(event.at for event in (self.expected, self.heard) if event is not None)

    def __str__(self) -> str:
        expected, heard = (
            "nothing" if event is None else repr(inert(str(event), _SHOWN))
            for event in (self.expected, self.heard)
        )
        return f"expected {expected}, heard {heard}"


class Echo:
    """One stretch of a replay, and the events that have to be heard in it."""

    def __init__(self, known: Columns, start: int, end: int, gaps: Sequence[Gap] = ()) -> None:
        """Events that are heard after ``start`` and dated at most ``end`` (absolute ns) have to be
        the ``known`` ones, except within ``gaps``, where nothing is known.
        """
        self._known = known
        self._start = start
        self._end = end
        self._gaps = [gap for gap in gaps if gap.start <= end and not self._over(gap, start)]
        self._next: int | None = int(known.at.searchsorted(start, "right"))
        """Position of the next event; None: found by the date of the next event that is heard."""

    @staticmethod
    def _over(gap: Gap, at: int) -> bool:
        return gap.end is not None and gap.end < at

    def _lost(self, at: int) -> bool:
        return any(gap.start <= at and not self._over(gap, at) for gap in self._gaps)

    def hear(self, events: Sequence[Event]) -> None:
        """Compare the next events that the guest has said.

        :raises Otherwise: when one is not what was said before.
        """
        for event in events:
            if event.at > self._end:
                return
            if self._lost(event.at):
                self._next = None
                continue
            if self._next is None or event.at <= self._start:
                self._next = int(self._known.at.searchsorted(event.at, "left"))
            expected = self._event(self._next, event.origin)
            if expected != event:
                raise Otherwise(expected, event)
            self._next += 1

    def finish(self, until: int, origin: int = 0) -> None:
        """Nothing more is heard up to ``until`` (absolute ns).

        :raises Otherwise: when something should have been.
        """
        if self._next is None:
            return
        last = int(self._known.at.searchsorted(min(until, self._end), "right"))
        silent = [i for i in range(self._next, last) if not self._lost(int(self._known.at[i]))]
        if len(silent) > 1 or any(self._known.at[i] <= until - _TELLING for i in silent):
            raise Otherwise(self._event(silent[0], origin), None)

    def _event(self, position: int, origin: int) -> Event | None:
        known = self._known
        return known.event(position, origin) if position < len(known) else None


def news(log: EventLog, heard: list[Event]) -> list[Event]:
    """The events ``heard`` that ``log`` does not have yet: the guest was sending some at its end.

    :raises Otherwise: when these are not the last ones of the log.
    """
    known = log.columns()
    last = int(known.at[-1]) if len(known) else -1
    again = sum(event.at <= last for event in heard)
    if not again:
        return heard
    if again > len(known):
        raise Otherwise(None, heard[0])
    for position, event in enumerate(heard[:again], len(known) - again):
        expected = known.event(position, event.origin)
        if expected != event:
            raise Otherwise(expected, event)
    return heard[again:]
