"""Where to draw next: more futures while it is unclear whether P changes, more points where it
does.

A curve is drawn in steps. A few points over the whole span get a handful of futures each. While it
is unclear whether P changes at all, each point gets some more. Then the gap between two points that
most probably holds a whole change is halved, again and again; where several gaps may hold it, the
points beside them get more futures first, because a point in the wrong gap costs more than these
futures. A gradual change is not in one gap alone, and is not narrowed down. Then the points of
the beginning get futures until their intervals are narrow enough: few where all futures fail or
none does, many where P is near 1/2. Points that only served to place a change do not need this. At
last, the points around a gradual change get more futures while it may as well be several changes.
What is small beside the largest change gets no futures for its own sake.

All of this depends on the draws alone, not on the order in which they come. Each point has its own
row of seeds, used from the first. A point is measured at the first length of its row at which its
interval is narrow enough. Everything else is decided when all rows have the lengths that were
wanted. So the same recording and settings give the same curve with one worker or a hundred, in one
run or in ten, and no future is drawn that another order would not have needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from branchpoint.clock import SECOND
from branchpoint.errors import BranchpointError
from branchpoint.futures.draws import Draw
from branchpoint.futures.statistics.proportion import fewest_more, half_width, most_trials
from branchpoint.futures.statistics.steps import EVIDENCE, Steps, runs
from branchpoint.futures.statistics.stopping import AIM, FIRST, is_known

SEEDS = 1_000_000
"""Number of seeds of one curve: the curve with seed number s uses the seeds from s * SEEDS on."""

_DOUBT = 1.0  # evidence for changes from which it is worth looking closer
_FLOORS = 6  # times FIRST that every point may get to find out whether P changes
_MOST = 10 * FIRST  # futures of a point to find out which gap beside it holds a change
_SURE = 0.8  # probability of a gap from which it is halved at once
_LIKELY = 0.5  # probability of a change from which it is worth placing it
_MAYBE = 0.05  # probability of a gap up to which it is left alone
_LITTLE = 0.01  # expected change of P up to which it does not matter whether there is one
_SMALL = 0.03  # ... and up to which share of the largest one
_GRID = 0.48  # share of a fixed grid's futures from which no point gets more to find out
_EACH = 3 * FIRST  # futures that it takes to halve a gap, about
_PARTS = 8  # gaps into which a gradual change is cut, to tell it from several changes
_SPREAD = 4  # points at the beginning, and one more for each eight that are allowed
_PATIENCE = 3  # times the most that a point can need; then it is given up, as many are censored


class Wanted(NamedTuple):
    """One future to be run."""

    at: int
    """The instant of the fork, absolute ns."""
    seed: int


@dataclass(frozen=True)
class Settings:
    """What curve is wanted."""

    start: int
    """Absolute ns of the first point."""
    end: int
    """Absolute ns of the last point."""
    points: int = 32
    """At most so many points."""
    precision: float = 0.1
    """Half width that the intervals of the first points, spread over the span, must not exceed."""
    resolution: int = SECOND // 4
    """ns: how precisely changes are to be placed."""
    seed: int = 0
    """Curves with different numbers share no future."""

    def __post_init__(self) -> None:
        for good, words in (
            (0 <= self.start < self.end, "start must be before end"),
            (2 <= self.points <= 10_000, "points must be 2 to 10000"),
            (0.005 <= self.precision <= 0.4, "precision must be 0.005 to 0.4"),
            (self.resolution > 0, "resolution must be greater than 0"),
            (0 <= self.seed < 2**63 // SEEDS - 1, "seed must be a number from 0 to 9 * 10^12"),
        ):
            if not good:
                raise BranchpointError(f"this curve cannot be drawn: {words}")


class Allocation:
    """Decides which futures a curve needs, from what is known of those drawn before."""

    def __init__(self, settings: Settings, known: Callable[[int, int], Draw | None]) -> None:
        """``known(at, seed)`` gives the draw of a future once it is known."""
        self.settings = settings
        self.points: list[int] = _spread(settings)
        """Instants at which futures are drawn, absolute ns, ascending."""
        self._known = known
        self._rows = {at: _Row(at, settings) for at in self.points}
        self._spread = set(self.points)  # those that are measured
        self._floor = FIRST
        self._budget = _GRID * settings.points * most_trials(settings.precision, AIM)
        self._placing = 0.0  # futures that it will probably take to place changes
        self._measuring = False
        self._done = False

    def jobs(self, atleast: int = 1) -> list[Wanted]:
        """The futures that are needed now; empty when the curve is done.

        All of them are needed, whatever the results of the others. Those that decide where the next
        point goes come first; further ones are added until there are ``atleast``, if that many are
        needed. Futures of one point follow each other.
        """
        while not self._done:
            urgent = [job for row in self._in_order() for job in self._missing(row)]
            if urgent:
                return self._filled(urgent, atleast)
            self._advance()
        return []

    def used(self) -> Iterator[Draw]:
        """The draws that this curve is made of so far, by point and seed.

        Of each point, only those before the first missing one: later ones would be biased, because
        short futures, which are the failing ones, end first.
        """
        for row in self._in_order():
            yield from self._drawn(row)

    def missing(self) -> int:
        """About how many futures are still to be drawn; 0: the curve is done."""
        if self._done:
            return 0
        count = 0
        for row in self._in_order():
            drawn = len(self._drawn(row))
            count += max(row.expected(row.at in self._spread) - drawn, 0)
        return max(count + round(self._placing), 1)

    def _in_order(self) -> list[_Row]:
        return [self._rows[at] for at in self.points]

    def _drawn(self, row: _Row) -> list[Draw]:
        """The draws of a row, and those after them that will surely be in it."""
        row.extend(self._known)
        if row.measured or row.at not in self._spread:
            return row.draws
        return row.ahead(self._known)

    def _missing(self, row: _Row) -> list[Wanted]:
        row.extend(self._known)
        return row.next(self._known)

    def _filled(self, urgent: list[Wanted], atleast: int) -> list[Wanted]:
        asked = {job.at for job in urgent}
        jobs = list(urgent)
        for row in self._in_order():
            if len(jobs) >= atleast:
                break
            if row.at not in asked and row.at in self._spread:
                jobs += row.next(self._known, measuring=True)
        return jobs

    def _advance(self) -> None:
        """Want more of some rows, place points, begin to measure, or be done."""
        if self._look_closer():
            return
        if self._measuring:
            self._done = True
        self._measuring = True
        for at in self._spread:
            self._rows[at].measured = True

    def _look_closer(self) -> bool:
        """Want what is needed to know whether P changes, and where; returns whether anything is."""
        self._placing = 0.0
        rows = self._in_order()
        failed, trials = zip(*(row.counts for row in rows), strict=True)
        found = Steps(self.points, failed, trials)
        if found.evidence < EVIDENCE:
            if found.evidence < _DOUBT or self._floor >= _FLOORS * FIRST:
                return False
            self._floor += FIRST
            return self._want(self.points, self._floor)
        moving, whole = found.movement
        gaps = np.diff(self.points)
        wide = gaps > self.settings.resolution
        placed = ~wide & (whole > _SURE)
        size = abs(np.diff(found.mean))
        matters = size > max(_LITTLE, _SMALL * size.max())
        maybe = wide & matters & (whole > _MAYBE) & _together(np.where(placed, 0, moving))
        halvings = np.log2(gaps[maybe] / self.settings.resolution)
        self._placing = float(moving[maybe] @ halvings) * _EACH
        by_chance = sorted(np.flatnonzero(maybe).tolist(), key=lambda gap: -whole[gap])
        if not by_chance:
            gradual = wide & (moving > _SURE) & (gaps > gaps[moving > _SURE].sum() / _PARTS)
            if self._halve(np.flatnonzero(gradual).tolist()):
                return True
            if not self._measuring:
                return False  # what is measured may make it clear
            unclear = wide & (moving > _MAYBE) & (moving < 1 - _MAYBE)
            return self._want_beside(np.flatnonzero(unclear & matters).tolist())
        sure = [gap for gap in by_chance if whole[gap] > _SURE]
        if not sure and self._want_beside(by_chance):
            return True
        return self._halve(sure or by_chance[:1])

    def _want_beside(self, gaps: Sequence[int]) -> bool:
        """Want more of the points beside these gaps; returns whether any may have more."""
        beside = {self.points[end] for gap in gaps for end in (gap, gap + 1)}
        least = min((len(self._rows[at].draws) for at in beside), default=_MOST)
        planned = sum(row.expected(at in self._spread) for at, row in self._rows.items())
        if least >= _MOST or planned >= self._budget:
            return False
        return self._want(beside, least + max(FIRST, least // 4))

    def _want(self, points: Iterable[int], length: int) -> bool:
        """Want rows of that length; returns whether any was shorter."""
        short = [row for at in points if (row := self._rows[at]).floor < length]
        for row in short:
            row.floor = length
        return any(len(row.draws) < length for row in short)

    def _halve(self, gaps: Sequence[int]) -> bool:
        """Place points in the middle of these gaps, as far as more are allowed."""
        room = self.settings.points - len(self.points)
        for gap in gaps[:room]:
            middle = (self.points[gap] + self.points[gap + 1]) // 2
            self._rows[middle] = _Row(middle, self.settings)
        self.points = sorted(self._rows)
        return room > 0 and len(gaps) > 0


def _together(moving: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which gaps are in a run that probably holds a change; any gap of the run may hold it."""
    found = np.zeros(len(moving), bool)
    for first, last in runs(moving > _MAYBE):
        found[first : last + 1] = moving[first : last + 1].sum() > _LIKELY
    return found


class _Row:
    """The futures of one point, in the order of their seeds."""

    def __init__(self, at: int, settings: Settings) -> None:
        self.at = at
        self.draws: list[Draw] = []
        self.floor = FIRST
        """The length that is wanted at least."""
        self.measured = False
        """Whether it goes on until the interval is narrow enough."""
        self._failed = 0
        self._counted = 0  # draws that are not censored
        self._known = False  # whether P is known, by the draws so far or their beginning
        self._precision = settings.precision
        self._seed = settings.seed * SEEDS
        self._most = _PATIENCE * most_trials(settings.precision, AIM)

    @property
    def counts(self) -> tuple[int, int]:
        """How many failed, of how many that are not censored."""
        return self._failed, self._counted

    def extend(self, known: Callable[[int, int], Draw | None]) -> None:
        """Take the draws that are there, as far as they are needed."""
        while (more := self._length(self.measured) - len(self.draws)) > 0:
            for _ in range(more):
                draw = known(self.at, self._seed + len(self.draws))
                if draw is None:
                    return
                self.draws.append(draw)
                if draw.verdict != "censored":
                    self._counted += 1
                    self._failed += draw.verdict == "failed"
                    if is_known(self._failed, self._counted, self._precision):
                        self._known = True

    def ahead(self, known: Callable[[int, int], Draw | None]) -> list[Draw]:
        """The draws that are known, also those that are needed only when it is measured."""
        later = copy(self)
        later.draws, later.measured = list(self.draws), True
        later.extend(known)
        return later.draws

    def next(
        self, known: Callable[[int, int], Draw | None], *, measuring: bool = False
    ) -> list[Wanted]:
        """The futures that are certainly needed next and are not known yet."""
        length = self._length(self.measured or measuring)
        seeds = range(self._seed + len(self.draws), self._seed + length)
        return [Wanted(self.at, seed) for seed in seeds if known(self.at, seed) is None]

    def _length(self, measuring: bool) -> int:
        """To how many draws the row has to grow, at least, before it can be judged again."""
        length = len(self.draws)
        if length < self.floor or not measuring or length >= self._most or not self._counted:
            return max(length, self.floor)
        if self._known:
            return length
        more = fewest_more(self._failed, self._counted, self._precision, AIM)
        return min(length + max(more, FIRST - self._counted), self._most)

    def expected(self, measured: bool) -> int:
        """The length that the row will have in the end if it goes on as it began."""
        if not self._counted or not measured or self._known:
            return max(self.floor, len(self.draws))
        needed = _needed(self._failed, self._counted, self._precision)
        lost = len(self.draws) - self._counted
        return max(self.floor, min(lost + needed, self._most))


@cache
def _needed(failed: int, counted: int, precision: float) -> int:
    """How many trials it takes if the share of failures stays as it is."""
    few, many = counted, max(most_trials(precision, AIM), counted)
    while few < many:  # the half width falls as their number grows
        middle = (few + many) // 2
        if half_width(failed * middle / counted, middle, AIM) <= precision:
            many = middle
        else:
            few = middle + 1
    return many


def _spread(settings: Settings) -> list[int]:
    """The first points, evenly from start to end; the others are for where P changes."""
    count = min(settings.points, _SPREAD + settings.points // 8)
    count = min(count, settings.end - settings.start + 1)
    span = settings.end - settings.start
    return [settings.start + span * i // (count - 1) for i in range(count)]
