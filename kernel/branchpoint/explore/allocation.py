"""Where to draw next: points where the curve turns, and as many futures as each point needs.

A curve is drawn in two passes. First a few points over the whole span get a handful of futures
each, and the gap that holds the turning point, so far as these tell, is halved again and again.
Then every point gets futures until its interval is narrow enough, one that is always or never
failing few, one near 1/2 many; and where the turning point shows more clearly then, more points.

All of it follows from the draws alone, however they came: each point has its own row of seeds,
used from the first; a point is done at the first length of its row at which its interval is narrow
enough; a new point is placed by rows of a fixed length. So the same recording and settings give
the same curve with one worker or a hundred, in one go or in ten, and never a future that another
order of events would not have needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from branchpoint.errors import BranchpointError
from branchpoint.explore import turning
from branchpoint.explore.draws import Draw
from branchpoint.explore.proportion import fewest_more, half_width, most_trials
from branchpoint.timeline.clock import SECOND

FIRST = 16
"""Futures of a point in the first pass: as many as an even share needs to be known to ±0.1 when
none fails, or all do."""
SEEDS = 1_000_000
"""Seeds of one curve: the curve with seed number s uses s * SEEDS and on."""

_SURE = 0.9  # probability of a gap from which the first pass halves it
_PATIENCE = 3  # times the most that a point can need, after which it is left, censored as it is


class Job(NamedTuple):
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
    points: int = 20
    """At most so many points."""
    precision: float = 0.1
    """Half width that the interval of every point must not exceed."""
    resolution: int = SECOND // 4
    """ns: how closely the turning point is wanted."""
    seed: int = 0
    """Curves with different numbers share no future."""

    def __post_init__(self) -> None:
        for good, words in (
            (0 <= self.start < self.end, "start must be before end"),
            (2 <= self.points <= 10_000, "points must be 2 to 10000"),
            (0.005 <= self.precision <= 0.4, "precision must be 0.005 to 0.4"),
            (self.resolution > 0, "resolution must be more than 0"),
            (0 <= self.seed < 2**63 // SEEDS - 1, "seed must be a number from 0 to 9 * 10^12"),
        ):
            if not good:
                raise BranchpointError(f"this curve cannot be drawn: {words}")


class Allocation:
    """Decides which futures a curve needs, from what is known of those drawn before."""

    def __init__(self, settings: Settings, known: Callable[[int, int], Draw | None]) -> None:
        """``known(at, seed)`` gives the draw of a future once it is there."""
        self.settings = settings
        self.points: list[int] = _spread(settings)
        """Instants at which futures are drawn, absolute ns, ascending."""
        self._known = known
        self._rows = {at: _Row(at, settings) for at in self.points}
        self._refining = False  # whether the first pass is over
        self._done = False

    def jobs(self, atleast: int = 1) -> list[Job]:
        """The futures that are needed now; empty when the curve is done.

        All of them are needed, whatever the others tell. Those on which it depends where the next
        point goes come first; further ones are added until there are ``atleast``, if there are so
        many. Futures of one point are neighbours.
        """
        while not self._done:
            urgent = [job for row in self._in_order() for job in self._missing(row)]
            if urgent:
                return self._filled(urgent, atleast)
            self._advance()
        return []

    def used(self) -> Iterator[Draw]:
        """The draws that this curve is made of so far, by point and seed."""
        for row in self._in_order():
            row.extend(self._known)
            yield from row.draws
            yield from row.ahead(self._known)

    def missing(self) -> int:
        """How many futures are still to be drawn, as things look now; 0: the curve is done."""
        if self._done:
            return 0
        count = 0
        for row in self._in_order():
            row.extend(self._known)
            count += row.expected() - len(row.draws)
        return max(count, 1)

    def _in_order(self) -> list[_Row]:
        return [self._rows[at] for at in self.points]

    def _missing(self, row: _Row) -> list[Job]:
        row.extend(self._known)
        return row.next(refine=self._refining, known=self._known)

    def _filled(self, urgent: list[Job], atleast: int) -> list[Job]:
        asked = {job.at for job in urgent}
        jobs = list(urgent)
        for row in self._in_order():
            if len(jobs) >= atleast:
                break
            if row.at not in asked:
                jobs += row.next(refine=True, known=self._known)
        return jobs

    def _advance(self) -> None:
        """Place another point, begin the second pass, or be done."""
        place = self._next_point() if len(self.points) < self.settings.points else None
        if place is not None:
            self._rows[place] = _Row(place, self.settings)
            self.points = sorted(self._rows)
        elif self._refining:
            self._done = True
        else:
            self._refining = True

    def _next_point(self) -> int | None:
        """The middle of the gap that most probably holds the turning point, if it is too wide."""
        counts = [row.counts(None if self._refining else row.first) for row in self._in_order()]
        failed, trials = zip(*counts, strict=True)
        found = turning.find(self.points, failed, trials)
        if found.turning is None:
            return None
        low = self.points.index(found.turning.low)
        high = self.points.index(found.turning.high)
        gaps = [
            gap
            for gap in range(low, high)
            if self.points[gap + 1] - self.points[gap] > self.settings.resolution
        ]
        if not gaps:
            return None
        chosen = max(gaps, key=lambda gap: found.mass[gap])
        if not self._refining and found.mass[chosen] < _SURE:
            return None  # a point in the wrong gap costs more than to look closer first
        return (self.points[chosen] + self.points[chosen + 1]) // 2


class _Row:
    """The futures of one point, in the order of their seeds."""

    def __init__(self, at: int, settings: Settings) -> None:
        self.at = at
        self.draws: list[Draw] = []
        self._failed = 0
        self._counted = 0  # draws that are not censored
        self._precision = settings.precision
        self._seed = settings.seed * SEEDS
        self.first = min(FIRST, fewest_more(0, 0, settings.precision))
        self._most = _PATIENCE * most_trials(settings.precision)

    def extend(self, known: Callable[[int, int], Draw | None]) -> None:
        """Take the draws that are there, as far as they are needed."""
        while (more := self._length(refine=True) - len(self.draws)) > 0:
            for _ in range(more):
                draw = known(self.at, self._seed + len(self.draws))
                if draw is None:
                    return
                self.draws.append(draw)
                if draw.verdict != "censored":
                    self._counted += 1
                    self._failed += draw.verdict == "failed"

    def next(self, *, refine: bool, known: Callable[[int, int], Draw | None]) -> list[Job]:
        """The futures that are certainly needed next and are not known yet."""
        seeds = range(self._seed + len(self.draws), self._seed + self._length(refine))
        return [Job(self.at, seed) for seed in seeds if known(self.at, seed) is None]

    def _length(self, refine: bool) -> int:
        """To how many draws the row has to grow, at least, before it can be judged again."""
        length = len(self.draws)
        if length < self.first:
            return self.first
        if not refine or length >= self._most or not self._counted:
            return length
        more = fewest_more(self._failed, self._counted, self._precision)
        return min(length + more, self._most)

    def ahead(self, known: Callable[[int, int], Draw | None]) -> Iterator[Draw]:
        """Draws that came before others with lower seeds."""
        for seed in range(self._seed + len(self.draws), self._seed + self._length(refine=True)):
            draw = known(self.at, seed)
            if draw is not None:
                yield draw

    def counts(self, length: int | None) -> tuple[int, int]:
        """How many failed, of how many that are not censored, among the first ``length`` draws."""
        if length is None:
            return self._failed, self._counted
        counted = [draw.verdict for draw in self.draws[:length] if draw.verdict != "censored"]
        return counted.count("failed"), len(counted)

    def expected(self) -> int:
        """The length that the row will have in the end if it goes on as it began."""
        if not self._counted:
            return max(len(self.draws), self.first)
        needed = _needed(self._failed, self._counted, self._precision)
        return max(len(self.draws), min(len(self.draws) - self._counted + needed, self._most))


@cache
def _needed(failed: int, counted: int, precision: float) -> int:
    """How many trials it takes if the share of failures stays as it is."""
    few, many = counted, max(most_trials(precision), counted)
    while few < many:  # the half width falls as their number grows
        middle = (few + many) // 2
        if half_width(failed * middle / counted, middle) <= precision:
            many = middle
        else:
            few = middle + 1
    return many


def _spread(settings: Settings) -> list[int]:
    """The first points: evenly from start to end, about a third of those allowed."""
    count = max(2, min(settings.points, -(-settings.points // 3)))
    count = min(count, settings.end - settings.start + 1)
    span = settings.end - settings.start
    return [settings.start + span * i // (count - 1) for i in range(count)]
