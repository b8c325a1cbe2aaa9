"""Are the curve's intervals and turning points right? Asked of systems whose answer is known."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import truths
from figures import Figure, amount
from scale import Scale
from subjects import known_recording
from truths import Known

import branchpoint as bp
from branchpoint import progress
from branchpoint.explore.curve import Curve
from branchpoint.explore.likelihood import ask, collect
from branchpoint.explore.proportion import wilson
from branchpoint.explore.workers import Pool

_POINTS, _PRECISION = 12, 0.15
"""Of a small curve: some two hundred futures."""
_NEAR = 0.5  # virtual seconds between a turning point that is right and its cause
_COVERED, _RIGHT = 0.93, 0.95  # bars


@dataclass
class _Tally:
    """How often the curves were right so far."""

    curves: int = 0
    futures: int = 0
    points: int = 0
    covered: int = 0
    turned: int = 0
    """Curves whose turning point is near the cause."""
    errors: list[float] = field(default_factory=list)
    """Of all turning points that were found, virtual seconds."""

    def add(self, known: Known, curve: Curve) -> None:
        self.curves += 1
        self.futures += len(curve.draws)
        for point in curve.points:
            vtime = (point.at - curve.origin) / 1e9
            if known.decides(vtime):
                continue
            low, high = point.interval
            self.points += 1
            self.covered += low <= known.probability(vtime) <= high
        if curve.turning_point:
            self.errors.append(abs(curve.turning_point.vtime - known.cause))
            self.turned += self.errors[-1] <= _NEAR

    def __iadd__(self, other: _Tally) -> _Tally:
        for name in ("curves", "futures", "points", "covered", "turned", "errors"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def figures(self, name: str) -> list[Figure]:
        low, high = wilson(self.covered, self.points)
        share, turned = self.covered / self.points, self.turned / self.curves
        within = f"95 % of that: {amount(low, '%')} to {amount(high, '%')}"
        return [
            Figure(
                f"{name}: points whose 95 % interval holds the true probability",
                f"{amount(share, '%')} ({self.covered} of {self.points} in {self.curves} curves "
                f"of {round(self.futures / self.curves)} futures on average; {within})",
                f"≥ {amount(_COVERED, '%')}",
                share >= _COVERED,
            ),
            Figure(
                f"{name}: turning points within {_NEAR:g} virtual s of the cause",
                f"{amount(turned, '%')} ({self.turned} of {self.curves}"
                + (f"; mean error {amount(sum(self.errors) / len(self.errors), 's')})"
                   if self.errors else ")"),
                f"≥ {amount(_RIGHT, '%')}",
                turned >= _RIGHT,
            ),
        ]  # fmt: skip


def known_answers(scale: Scale, work: Path) -> list[Figure]:
    """Small curves with different seeds, of each system. What was drawn before is used again."""
    everything = _Tally()
    found: list[Figure] = []
    for known in truths.ALL:
        tally = _tally(known, scale.curves, known_recording(known, work))
        everything += tally
        found += tally.figures(known.name)
    return everything.figures("all systems with known answers") + found


def _tally(known: Known, curves: int, path: Path) -> _Tally:
    """The curve of every seed number; one pool of workers draws all of them."""
    tally, failure = _Tally(), bp.failure(known.failure)
    with bp.open(path) as run:
        horizon = run.at(known.horizon)
        question, _ = ask(run, failure, horizon=horizon, noise=None)
        with (
            Pool(run, failure, question.horizon, noise=None) as pool,
            progress.task(f"curves of {known.name}", curves, "curves") as task,
        ):
            for seed in range(1, curves + 1):
                question, settings = ask(
                    run, failure, points=_POINTS, precision=_PRECISION,
                    horizon=horizon, seed=seed, noise=None,
                )  # fmt: skip
                tally.add(known, collect(run, question, settings, lambda: nullcontext(pool)))
                task.update(seed)
    return tally
