"""Queries on events that come one after another, while nothing is known of later ones.

Most queries look at each event alone. Some need its neighbours or its number; these remember what
they need of the events before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from branchpoint.errors import BranchpointError
from branchpoint.events.event import Columns, Event
from branchpoint.events.queries import Both, Either, Except, Near, Part, Query

Test = Callable[[Event], bool]
"""Is given each event in turn, and tells whether it matches."""


def check(query: Query) -> None:
    """Refuse a query that needs events which have not happened yet.

    :raises BranchpointError: for one that asks for what follows an event, or for the last ones.
    """
    if isinstance(query, Near) and not query.before:
        raise BranchpointError(
            "what follows an event is not known when the event happens",
            "turn the question round, others.preceded_by(events), or give a class as check=",
        )
    if isinstance(query, Part) and _from_the_end(query.part):
        raise BranchpointError(
            "which events are the last ones is not known when they happen",
            "count from the beginning: events[1:] or events.head(3)",
        )
    for part in _parts(query):
        check(part)


def follow(query: Query, past: Columns) -> Test:
    """A test for the events that come after those of the ``past``, each in turn.

    ``copy.deepcopy`` of it goes on by itself from what the test knows.

    :raises BranchpointError: as :func:`check`.
    """
    check(query)
    parts = _parts(query)
    tests = [follow(part, past) for part in parts]
    if isinstance(query, Near):
        others = query.other.all(past)
        last = int(past.at[others[-1]]) if len(others) else None
        return _Near(tests[0], tests[1], query.within, query.wanted, last)
    if isinstance(query, Part):
        return _Part(tests[0], query.part, len(query.query.all(past)))
    if all(test is part for test, part in zip(tests, parts, strict=True)):
        return query  # it looks at each event alone, which is faster
    if isinstance(query, Except):
        return _Combined(tests, _none)
    return _Combined(tests, all if isinstance(query, Both) else any)


def _parts(query: Query) -> list[Query]:
    if isinstance(query, Both | Either):
        return [query.left, query.right]
    if isinstance(query, Near):
        return [query.query, query.other]
    return [query.query] if isinstance(query, Except | Part) else []


def _from_the_end(part: slice) -> bool:
    given = (part.start, part.stop, part.step)
    return any(each is not None and each < 0 for each in given)


def _none(given: Iterable[bool]) -> bool:
    return not any(given)


@dataclass
class _Combined:
    tests: list[Test]
    decide: Callable[[Iterable[bool]], bool]

    def __call__(self, event: Event) -> bool:
        return self.decide([test(event) for test in self.tests])  # each has to get each event


@dataclass
class _Near:
    test: Test
    other: Test
    within: int | None
    wanted: bool
    last: int | None
    """The instant of the last one of ``other``."""

    def __call__(self, event: Event) -> bool:
        there = self.last is not None and (
            self.within is None or event.at - self.last <= self.within
        )
        found = self.test(event) and there == self.wanted
        if self.other(event):
            self.last = event.at
        return found


@dataclass
class _Part:
    test: Test
    part: slice
    count: int
    """How many events there were so far, of which this is a part."""

    def __call__(self, event: Event) -> bool:
        if not self.test(event):
            return False
        self.count += 1
        return self.count - 1 in range(self.count)[self.part]
