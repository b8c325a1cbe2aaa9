"""The demo's curve: how long it takes, and how many futures it needs compared with a fixed grid.

The grid is what similar tools do: as many points, evenly spaced, with the same number of futures
each, as many as the worst known point needs. It stops as soon as all points have the requested
precision, so it draws no more than it needs. And it need not find the turning point as exactly
as the curve does.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from branchpoint.futures.allocation import SEEDS, Settings
from branchpoint.futures.curve import Curve
from branchpoint.futures.likelihood import ask, collect
from branchpoint.futures.running.future import Shares
from branchpoint.futures.running.workers import Pool
from branchpoint.futures.statistics.proportion import fewest_more
from cost import cost
from figures import Figure, amount, at_most
from scale import Scale
from speed.shares import shares
from subjects import demo

_POINTS = 20
_BEFORE = 12  # virtual seconds before the failure at which the curve begins, as in the notebook
_TIME_BAR, _GRID_BAR = 45, 0.5  # seconds; share of the grid's futures


def curves(scale: Scale, work: Path) -> list[Figure]:
    """Both on one recording, with the same workers, one after another; no future is used twice."""
    path = _without_curves(demo(work), work / "curve.branchpoint")
    crash = bp.failure("exit:*")
    with bp.open(path) as run:
        asked = {"start": run.failure.rewind(_BEFORE), "points": _POINTS}
        question, settings = ask(run, crash, **asked, precision=scale.precision)
        with Pool(run, crash, question.horizon, noise=question.noise) as pool:
            started = time.monotonic()
            with cost() as spent:
                curve = collect(run, question, settings, lambda: nullcontext(pool))
            wall = time.monotonic() - started
            figures = _time(curve, scale.precision, wall, spent.emulator, pool)
            return [*figures, _against_grid(len(curve.draws), settings, pool)]


def _without_curves(recording: Path, copy: Path) -> Path:
    """A copy of a recording without any draws."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(recording, copy, ignore=shutil.ignore_patterns("curves"))
    return copy


def _time(curve: Curve, precision: float, wall: float, cpu: float, pool: Pool) -> list[Figure]:
    name = f"the demo's curve, at most {_POINTS} points, each to ±{precision:g}"
    virtual = sum(draw.end - draw.at for draw in curve.draws) / 1e9
    note = (
        f"{len(curve.draws)} futures at {len(curve.points)} points, {pool.count} workers; "
        f"{amount(virtual, 'virtual s')} at {amount(cpu / virtual * 1e3, 'ms')} of CPU time, "
        f"which makes {amount(cpu / pool.count, 's')} on cores with nothing else to do; "
        f"turning point {_found(curve)}"
    )
    figure = at_most(name, wall, _TIME_BAR, "s", note)
    return [figure, shares("its wall time", Shares(), pool.shares)]


def _found(curve: Curve) -> str:
    if not curve.turning_point:
        return "not found"
    low, high = curve.turning_point.interval
    return f"known to {amount(high - low, 's')}"


def _against_grid(adaptive: int, settings: Settings, pool: Pool) -> Figure:
    span = settings.end - settings.start
    points = [settings.start + span * i // (_POINTS - 1) for i in range(_POINTS)]
    failed: Counter[int] = Counter()
    counted: Counter[int] = Counter()
    each = 0
    with progress.task("a fixed grid", unit="futures") as task:
        while more := max(
            fewest_more(failed[at], counted[at], settings.precision) for at in points
        ):
            seeds = range(SEEDS + each, SEEDS + each + more)
            for draw in pool.run([(at, seed) for at in points for seed in seeds]):
                failed[draw.at] += draw.verdict == "failed"
                counted[draw.at] += draw.verdict != "censored"
                task.update(task.done + 1)
            each += more
    share = adaptive / (each * _POINTS)
    note = f"{adaptive} against {each * _POINTS}, {each} off each of {_POINTS} points"
    return Figure(
        "its futures, against those of a fixed grid that is as precise on the same recording",
        f"{amount(share, '%')} ({note})", f"≤ {amount(_GRID_BAR, '%')}", share <= _GRID_BAR,
    )  # fmt: skip
