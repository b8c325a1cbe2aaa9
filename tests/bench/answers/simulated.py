"""Are a curve's estimates, intervals and steps right? Tested by many thousand simulations.

The curves are drawn by the same code as for recordings; only their futures are coins whose P is
known at each instant. A user who watches may stop a curve at any moment, so it is checked during
the whole run: intervals have to be right at every moment.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from branchpoint import progress
from branchpoint.futures.allocation import Allocation, Settings
from branchpoint.futures.draws import Draw
from branchpoint.futures.statistics.proportion import LEVEL
from branchpoint.futures.statistics.steps import Step, Steps
from branchpoint.futures.statistics.stopping import beginning, estimate, interval
from figures import Figure, amount
from kept import part, valid_for
from scale import FULL, Scale

_SECOND = 1_000_000_000
_LENGTH = 30  # seconds
_LOOK = 61  # futures between two checks of a curve
_WATCHED = 10  # in one of so many curves, steps are checked during the whole run, which takes long
_PART = 50  # curves per process
_PRECISION = 0.1
_KEPT = "simulated"  # the file of results
_MANY = 0.1  # share of curves that take long for no special reason
_COVERED, _BIAS, _FALSE = 0.94, 0.005, 0.05  # bars


@dataclass(frozen=True)
class Shape:
    """P(failure) as a function of the instant."""

    name: str
    values: tuple[tuple[float, float], ...] = ()
    """(second, P from there on)."""
    smooth: Callable[[float], float] | None = None
    lasting: float = 0.0
    """Seconds that a smooth change takes."""
    near: float = 0.5
    """Largest distance of a right step from its cause, in seconds."""
    findable: bool = True
    """Whether all its steps are large enough to be found with a curve's futures."""

    def p(self, second: float) -> float:
        if self.smooth is not None:
            return self.smooth(second)
        return self.values[bisect_right(self.values, second, key=lambda v: v[0]) - 1][1]

    @property
    def causes(self) -> list[float]:
        return [second for second, _ in self.values[1:]]


def _ramp(second: float) -> float:
    return 0.1 + 0.8 * min(max((second - 8) / 12, 0.0), 1.0)


def _hazard(second: float) -> float:
    return 1 - exp(-0.08 * (_LENGTH - second))


SHAPES = (
    Shape("never", ((0, 0.0),)),
    Shape("always", ((0, 1.0),)),
    Shape("0.5 %", ((0, 0.005),)),
    Shape("7 % all along", ((0, 0.07),)),
    Shape("a third all along", ((0, 1 / 3),)),
    Shape("two coins", ((0, 0.25), (10.3, 0.5), (20.1, 1.0))),
    Shape("three dice", ((0, 0.1), (6, 0.36), (13.1, 0.74), (21, 1.0))),
    Shape("0 to 10 %", ((0, 0.0), (15.2, 0.1)), near=3),
    Shape("5 to 20 %", ((0, 0.05), (15.2, 0.2)), near=3),
    Shape("seven steps", tuple((3.7 * i, (i + 1) / 8) for i in range(8)), findable=False),
    Shape("a ramp", smooth=_ramp, lasting=12),
    Shape("a hazard", smooth=_hazard, lasting=_LENGTH),
)


_Counts = tuple[int, int, int]
"""Intervals that hold, all intervals, curves."""
_NOTHING: _Counts = (0, 0, 0)


@dataclass
class _Tally:
    """The results for one shape."""

    curves: int = 0
    futures: int = 0
    points: int = 0
    covered: int = 0
    """Points of finished curves whose interval holds P."""
    whole: int = 0
    """Finished curves whose band holds P at all points."""
    right: int = 0
    """Finished curves whose steps are right."""
    errors: dict[int, tuple[float, float, int]] = field(default_factory=dict)
    """For each first point: sum and sum of squares of (estimate - P), and their number."""
    looks: dict[int, _Counts] = field(default_factory=dict)
    """For each number of futures at a check: the curves that are unfinished then."""
    ends: dict[int, _Counts] = field(default_factory=dict)
    """For each number of futures at a check: the curves that are found finished then."""
    watched: int = 0
    """Curves whose steps were checked during the whole run."""
    early: int = 0
    """Those of them that showed a false step at any moment."""

    def merge(self, other: _Tally) -> None:
        for name in (
            "curves",
            "futures",
            "points",
            "covered",
            "whole",
            "right",
            "watched",
            "early",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for key, parts in other.errors.items():
            known = self.errors.get(key, (0.0, 0.0, 0))
            self.errors[key] = tuple(a + b for a, b in zip(known, parts, strict=True))
        for mine, more in ((self.looks, other.looks), (self.ends, other.ends)):
            for key, counts in more.items():
                mine[key] = _sum(mine.get(key, _NOTHING), counts)

    def stopped(self) -> Iterator[tuple[float, float]]:
        """For each moment at which a user may stop: the share of intervals that hold.

        Of all curves, those that are done by then as they ended; and of unfinished ones alone (1 if
        they are fewer than a tenth: these take so long because their futures are exceptions).
        """
        done = _NOTHING
        for check in sorted(self.looks.keys() | self.ends.keys()):
            done = _sum(done, self.ends.get(check, _NOTHING))
            going = self.looks.get(check, _NOTHING)
            held, of, curves = _sum(done, going)
            yield held / of, going[0] / going[1] if going[2] >= _MANY * curves else 1.0


def _sum(some: _Counts, more: _Counts) -> _Counts:
    return some[0] + more[0], some[1] + more[1], some[2] + more[2]


class _Futures:
    """Futures of which only the first ``allowed`` ones exist."""

    def __init__(self, shape: Shape, seed: int) -> None:
        self._shape = shape
        self._seed = seed
        self._rows: dict[int, list[Draw]] = {}
        self._taken: set[tuple[int, int]] = set()
        self.allowed = 0

    def known(self, at: int, seed: int) -> Draw | None:
        if (at, seed) not in self._taken:
            if len(self._taken) >= self.allowed:
                return None
            self._taken.add((at, seed))
        if at not in self._rows:
            chances = np.random.default_rng([self._seed, at]).random(1024)
            ends = (
                Draw(at=at, seed=0, verdict="passed", end=at),
                Draw(at=at, seed=0, verdict="failed", failed_at=at, end=at),
            )  # one object for all of a kind: curves do not look at seeds
            self._rows[at] = [
                ends[fails] for fails in map(int, chances < self._shape.p(at / _SECOND))
            ]
        return self._rows[at][seed]

    def __len__(self) -> int:
        return len(self._taken)


def _curves(shape: Shape, seeds: range) -> _Tally:
    tally = _Tally()
    for seed in seeds:
        futures = _Futures(shape, seed)
        allocation = Allocation(Settings(0, _LENGTH * _SECOND), futures.known)
        first = list(allocation.points)
        watched = seed % _WATCHED == 0
        early = done = False
        while not done:
            futures.allowed += _LOOK
            done = not allocation.jobs()
            points = _points(allocation)
            held = _held(shape, points, LEVEL)
            here = tally.ends if done else tally.looks
            counts = here.get(futures.allowed, _NOTHING)
            here[futures.allowed] = _sum(counts, (sum(held), len(held), 1))
            early = early or (watched and _is_wrong(shape, points))
        tally.curves += 1
        tally.futures += len(futures)
        tally.points += len(held)
        tally.covered += sum(held)
        tally.whole += all(_held(shape, points, 1 - (1 - LEVEL) / len(points)))
        tally.right += _is_right(shape, points)
        tally.watched += watched
        tally.early += early
        for at in first:
            error = points[at].p - shape.p(at / _SECOND)
            total, squares, count = tally.errors.get(at, (0.0, 0.0, 0))
            tally.errors[at] = total + error, squares + error**2, count + 1
    return tally


class _Point:
    """The futures at one instant, as a curve takes them."""

    def __init__(self, row: list[bool]) -> None:
        self.failed, self.trials = sum(row), len(row)
        self._first = beginning(row, _PRECISION)

    @property
    def p(self) -> float:
        return estimate(self._first.failed, self._first.counted, _PRECISION)

    def interval(self, level: float) -> tuple[float, float]:
        return interval(self._first.failed, self._first.counted, _PRECISION, level)


_Points = dict[int, _Point]
"""By instant."""


def _points(allocation: Allocation) -> _Points:
    """Those that have futures."""
    rows: dict[int, list[bool]] = {}
    for draw in allocation.used():
        rows.setdefault(draw.at, []).append(draw.verdict == "failed")
    return {at: _Point(row) for at, row in rows.items()}


def _held(shape: Shape, points: _Points, level: float) -> list[bool]:
    """For each point: whether its interval holds the true value."""
    found = []
    for at, point in points.items():
        low, high = point.interval(level)
        found.append(low <= shape.p(at / _SECOND) <= high)
    return found


def _steps(points: _Points) -> list[Step]:
    counts = [(at, point.failed, point.trials) for at, point in points.items()]
    return Steps(*map(list, zip(*counts, strict=True))).steps


def _sudden(points: _Points) -> list[float]:
    return [step.at / _SECOND for step in _steps(points) if not step.gradual]


def _is_wrong(shape: Shape, points: _Points) -> bool:
    """Whether a sudden step is reported whose interval contains no cause."""
    for step in _steps(points):
        low, high = step.low / _SECOND, step.high / _SECOND
        if shape.lasting:
            if high - low < shape.lasting / 4:
                return True
        elif not any(low <= cause <= high for cause in shape.causes):
            return True
    return False


def _is_right(shape: Shape, points: _Points) -> bool:
    if shape.lasting:
        return not _is_wrong(shape, points)
    sudden = _sudden(points)
    others = [at for at in sudden if all(abs(at - cause) > shape.near for cause in shape.causes)]
    found = [any(abs(at - cause) <= shape.near for at in sudden) for cause in shape.causes]
    return not others and (all(found) or not shape.findable)


def simulated(scale: Scale, work: Path) -> list[Figure]:
    """Curves of each shape, on all cores. All take hours, so each shape is kept when it is done."""
    shapes = blake3(Path(__file__).read_bytes()).hexdigest(16)
    of = f"{valid_for(_KEPT)} {shapes} {scale.simulated}"
    with ProcessPoolExecutor(os.cpu_count()) as pool:

        def take(shape: Shape) -> dict[str, Any]:
            figures = _figures(shape, _simulate(pool, shape, scale.simulated))
            return {"figures": [each.as_dict() for each in figures]}

        found = [
            part(_KEPT, shape.name, of, partial(take, shape), scale is FULL) for shape in SHAPES
        ]
    return [Figure(**each) for one in found for each in one["figures"]]


def _simulate(pool: ProcessPoolExecutor, shape: Shape, count: int) -> _Tally:
    parts = [range(i, min(i + _PART, count)) for i in range(0, count, _PART)]
    tally = _Tally()
    with progress.task(f"simulated curves, {shape.name}", count, "curves") as task:
        for part in pool.map(partial(_curves, shape), parts):
            tally.merge(part)
            task.update(tally.curves)
    return tally


def _figures(shape: Shape, tally: _Tally) -> list[Figure]:
    worst, alone = (min(each) for each in zip(*tally.stopped(), strict=True))
    bias = max((total / count for total, _, count in tally.errors.values()), key=abs)
    squares, of = next((s, c) for t, s, c in tally.errors.values() if t / c == bias)
    whole, right = tally.whole / tally.curves, tally.right / tally.curves
    early = tally.early / tally.watched
    name = f"simulated, {shape.name}: "
    return [
        Figure(
            f"{name}95 % intervals that hold, at the worst moment to stop",
            f"{amount(worst, '%')} (of unfinished curves alone {amount(alone, '%')}, at the end "
            f"{amount(tally.covered / tally.points, '%')}; {tally.curves} curves of "
            f"{round(tally.futures / tally.curves)} futures)",
            f"≥ {amount(_COVERED, '%')}", worst >= _COVERED,
        ),
        Figure(f"{name}bands that hold at all points", amount(whole, "%"),
               f"≥ {amount(LEVEL, '%')}", whole >= LEVEL),
        Figure(f"{name}largest bias of an estimate",
               f"{bias:+.4f} (standard error {(squares / of / of) ** 0.5:.4f})",
               f"≤ {_BIAS}", abs(bias) <= _BIAS),
        Figure(f"{name}steps right", amount(right, "%"), "≥ 95 %", right >= 1 - _FALSE),
        Figure(f"{name}curves that told a wrong step at any moment",
               f"{amount(early, '%')} of {tally.watched}",
               f"≤ {amount(_FALSE, '%')}", early <= _FALSE),
    ]  # fmt: skip
