"""Judges: each follows one future and says at which instant a failure happened in it.

A judge is fed events as they come, in the order of time, so a future can be stopped as soon as
the verdict is known. See :mod:`failures` for what they look for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from branchpoint.clock import format_vtime
from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.events.event import Columns, Event
from branchpoint.events.following import follow
from branchpoint.events.queries import Between, Query
from branchpoint.events.reports import unstarted
from branchpoint.guest import wire
from branchpoint.store.manifest import Input
from branchpoint.timeline.replaying.history import COMMAND


@dataclass(frozen=True)
class Stretch:
    """The stretch of a timeline that is judged, in absolute ns."""

    fork: int
    """Where the future begins."""
    horizon: int
    """By when the failure must have happened."""
    origin: int
    """The instant of vtime 0."""
    past: Columns
    """What happened up to the fork."""


class Judge:
    """Follows one future of a stretch."""

    failed_at: int | None = None
    """The instant (absolute ns) at which the failure happened; None: not so far."""
    limit = 0
    """While ``waiting``: absolute ns, after the horizon, up to which time has to pass."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch = stretch

    def __repr__(self) -> str:
        return f"{type(self).__name__}(failed_at={self.failed_at})"

    @property
    def waiting(self) -> bool:
        """Whether a verdict is pending that may come after the horizon."""
        return False

    def probes(self, numbers: Iterator[int]) -> list[Input]:
        """Commands to place in the future; ``numbers`` gives free numbers for them."""
        return []

    def feed(self, events: Iterable[Event]) -> int | None:
        """Take the next events; returns ``failed_at``."""
        raise NotImplementedError

    def settle(self, at: int) -> int | None:
        """Time has come to ``at`` (absolute ns), and all that happened until then was fed; returns
        ``failed_at``.
        """
        return self.failed_at

    def finish(self) -> int | None:
        """The horizon is reached and nothing more will come; returns ``failed_at``."""
        return self.settle(self.stretch.horizon)

    def fresh(self) -> Self:
        """A copy that knows what this judge knows now, for another future from the same fork."""
        return copy.copy(self)


class QueryJudge(Judge):
    """The failure is an event that matches a query."""

    def __init__(self, stretch: Stretch, query: Query, with_past: bool) -> None:
        super().__init__(stretch)
        self._test = follow(query, stretch.past)
        if with_past:
            past = stretch.past
            known = (query & Between(stretch.origin, None)).first(past)
            self.failed_at = None if known is None else int(past.at[known])

    def feed(self, events: Iterable[Event]) -> int | None:
        if self.failed_at is None:
            for event in events:
                if event.at <= self.stretch.horizon and self._test(event):
                    self.failed_at = event.at
                    break
        return self.failed_at

    def fresh(self) -> Self:
        new = copy.copy(self)
        new._test = copy.deepcopy(self._test)
        return new


class SilenceJudge(Judge):
    """The failure is that no event matches a query for ``patience`` (ns)."""

    def __init__(self, stretch: Stretch, query: Query, patience: int) -> None:
        super().__init__(stretch)
        self._query = query
        self._patience = patience
        known = query.all(stretch.past)
        self._last = max(stretch.origin, int(stretch.past.at[known[-1]]) if len(known) else 0)

    def feed(self, events: Iterable[Event]) -> int | None:
        for event in events:
            if self.settle(event.at) is not None:
                break
            if self._query(event):
                self._last = event.at
        return self.failed_at

    def settle(self, at: int) -> int | None:
        silent = max(self._last + self._patience, self.stretch.fork)
        if self.failed_at is None and silent < at and silent <= self.stretch.horizon:
            self.failed_at = silent
        return self.failed_at

    def finish(self) -> int | None:
        return self.settle(self.stretch.horizon + 1)


class CheckJudge(Judge):
    """The failure is an event for which a function of the user returns true."""

    def __init__(
        self, stretch: Stretch, check: Callable[[Event], Any], remembers: bool, with_past: bool
    ) -> None:
        super().__init__(stretch)
        self._check = check
        self._remembers = remembers
        if with_past:
            past = stretch.past
            begin = int(past.at.searchsorted(stretch.origin))
            self.feed(past.event(position, stretch.origin) for position in range(begin, len(past)))

    def feed(self, events: Iterable[Event]) -> int | None:
        if self.failed_at is None:
            for event in events:
                if event.at <= self.stretch.horizon and self._check(event):
                    self.failed_at = event.at
                    break
        return self.failed_at

    def fresh(self) -> Self:
        new = copy.copy(self)
        if self._remembers:
            new._check = copy.deepcopy(self._check)
        return new


class MissingJudge(Judge):
    """The failure is that something has not happened by the horizon."""

    def __init__(self, stretch: Stretch, good: Judge) -> None:
        super().__init__(stretch)
        self._good = good
        self.limit = good.limit

    @property
    def waiting(self) -> bool:
        return self._good.waiting

    def probes(self, numbers: Iterator[int]) -> list[Input]:
        return self._good.probes(numbers)

    def feed(self, events: Iterable[Event]) -> int | None:
        self._good.feed(events)
        return None

    def finish(self) -> int | None:
        if self._good.finish() is None:
            self.failed_at = self.stretch.horizon
        return self.failed_at

    def fresh(self) -> Self:
        new = copy.copy(self)
        new._good = self._good.fresh()
        return new


class CommandJudge(Judge):
    """The failure is that a command at ``at`` (absolute ns) does not exit with 0 within
    ``patience`` (ns).
    """

    def __init__(
        self, stretch: Stretch, script: str, container: str, at: int, patience: int
    ) -> None:
        super().__init__(stretch)
        if at < stretch.fork:
            vtime = format_vtime(at - stretch.origin)
            raise BranchpointError(
                f"the command {script!r} would run at {vtime} s, before the branch begins",
                "branch earlier, or say how long after the branch: after=",
            )
        self._script, self._container, self._at = script, container, at
        self._number = ""
        self._ended = False
        self.limit = at + patience

    @property
    def waiting(self) -> bool:
        return not self._ended and self.failed_at is None

    def probes(self, numbers: Iterator[int]) -> list[Input]:
        number = next(numbers)
        self._number = str(number)
        whom = wire.OWN if self._container else wire.ROOT
        data = wire.exec(number, self._script, self._container, user=whom)
        note = f"{self._container or 'guest'}: {self._script[:200]}"
        return [Input(at=self._at, kind=COMMAND, data=data, note=note)]

    def feed(self, events: Iterable[Event]) -> int | None:
        for event in events:
            if self.settle(event.at) is not None:  # later events are no causes of it
                break
            if event.type == "process.exit" and event.fields.get("id") == self._number:
                self._ended = True
                if event.fields.get("code", "0") != "0" or event.fields.get("signal", "0") != "0":
                    self.failed_at = event.at
            elif (
                event.type == "error"
                and event.fields.get("about") == f"process/{self._number}"
                and unstarted(event)
            ):
                raise ContainerError(
                    f"{self._script!r} could not be run in {self._container or 'the guest'}: "
                    f"{event.text}"
                )
        return self.failed_at

    def settle(self, at: int) -> int | None:
        runs = self._number and not self._ended  # where nobody placed it, none is late
        if runs and self.failed_at is None and at > self.limit:
            self.failed_at = self.limit
        return self.failed_at

    def finish(self) -> int | None:
        if not self._ended and self.failed_at is None:
            self.failed_at = self.limit
        return self.failed_at


class CombinedJudge(Judge):
    """Any of several failures (the first counts), or all of them (the last counts)."""

    def __init__(self, stretch: Stretch, parts: list[Judge], needs_all: bool) -> None:
        super().__init__(stretch)
        self._parts = parts
        self._needs_all = needs_all
        self.limit = max(part.limit for part in parts)

    @property
    def waiting(self) -> bool:
        return any(part.waiting for part in self._parts)

    def probes(self, numbers: Iterator[int]) -> list[Input]:
        return [probe for part in self._parts for probe in part.probes(numbers)]

    def feed(self, events: Iterable[Event]) -> int | None:
        given = list(events)
        return self._decide([part.feed(given) for part in self._parts])

    def settle(self, at: int) -> int | None:
        return self._decide([part.settle(at) for part in self._parts])

    def finish(self) -> int | None:
        return self._decide([part.finish() for part in self._parts])

    def _decide(self, instants: list[int | None]) -> int | None:
        found = [at for at in instants if at is not None]
        if self._needs_all and len(found) == len(instants):
            self.failed_at = max(self.stretch.fork, *found)
        elif found and not self._needs_all:
            self.failed_at = min(found)
        return self.failed_at

    def fresh(self) -> Self:
        new = copy.copy(self)
        new._parts = [part.fresh() for part in self._parts]
        return new
