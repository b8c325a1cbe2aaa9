"""Are the curve's intervals and turning points right? Tested on systems whose answer is known."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from blake3 import blake3

import branchpoint as bp
from answers import truths
from answers.truths import Known
from branchpoint import progress
from branchpoint.futures.curve import Curve
from branchpoint.futures.likelihood import ask, collect
from branchpoint.futures.running.workers import Pool
from branchpoint.futures.statistics.proportion import wilson
from figures import Figure, amount
from kept import DRAWING, has, part
from scale import FULL, Scale
from subjects import known_recording, machine, sources

_NEAR = 0.5  # largest distance of a right step from its cause, in virtual seconds
_COVERED, _RIGHT = 0.94, 0.95  # bars
_KEPT = "known_answers"  # the file of results
_TOGETHER = 5  # curves whose results are kept together
_RUNNING = ("futures/running", "futures/likelihood.py", "futures/curve.py", "timeline/seeds.py")
_HOURS = 2.5  # after which no more are begun


@dataclass
class _Tally:
    """How often the curves were right so far."""

    curves: int = 0
    futures: int = 0
    points: int = 0
    covered: int = 0
    whole: int = 0
    """Curves whose band holds the truth at all points."""
    right: int = 0
    """Curves with one step near each cause and no other step, and none in a slow change."""
    errors: list[float] = field(default_factory=list)
    """Distances of steps from their near cause, in virtual seconds."""

    def add(self, known: Known, curve: Curve) -> None:
        self.curves += 1
        self.futures += len(curve.draws)
        together = True
        for point, (least, most) in zip(curve.points, curve.band, strict=True):
            vtime = (point.at - curve.origin) / 1e9
            if known.decides(vtime):
                continue
            low, high = point.interval
            truth = known.probability(vtime)
            self.points += 1
            self.covered += low <= truth <= high
            together = together and least <= truth <= most
        self.whole += together
        self.right += self._is_right(known, curve)

    def _is_right(self, known: Known, curve: Curve) -> bool:
        if known.lasting:
            lengths = [step.interval[1] - step.interval[0] for step in curve.steps]
            return bool(lengths) and min(lengths) >= known.lasting / 4
        sudden = [step.vtime for step in curve.steps if not step.gradual]
        found = [min((abs(at - cause) for at in sudden), default=1e9) for cause in known.causes]
        self.errors += [error for error in found if error <= _NEAR]
        others = [at for at in sudden if all(abs(at - step) > _NEAR for step, _ in known.steps[1:])]
        return not others and all(error <= _NEAR for error in found)

    def __iadd__(self, other: _Tally) -> _Tally:
        for name in ("curves", "futures", "points", "covered", "whole", "right", "errors"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def figures(self, name: str) -> list[Figure]:
        low, high = wilson(self.covered, self.points)
        share, whole = self.covered / self.points, self.whole / self.curves
        right = self.right / self.curves
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
                f"{name}: curves whose band holds all true probabilities",
                f"{amount(whole, '%')} ({self.whole} of {self.curves})",
                f"≥ {amount(_COVERED, '%')}",
                whole >= _COVERED,
            ),
            Figure(
                f"{name}: curves with all steps within {_NEAR:g} virtual s of their causes, and no "
                "others",
                f"{amount(right, '%')} ({self.right} of {self.curves}"
                + (f"; mean error {amount(sum(self.errors) / len(self.errors), 's')})"
                   if self.errors else ")"),
                f"≥ {amount(_RIGHT, '%')}",
                right >= _RIGHT,
            ),
        ]  # fmt: skip


def known_answers(scale: Scale, work: Path) -> list[Figure]:
    """Curves as users get them, with different seeds, for each system. Futures drawn before are
    used again.

    All take some thirty hours of a core. So the results of each few curves are kept, of all systems
    in turn, and after :data:`_HOURS` it reports what there is; the next time it goes on.
    """
    enough = time.monotonic() + _HOURS * 3600
    tallies = {known.name: _Tally() for known in truths.ALL}
    decides = f"{machine()} {sources(*DRAWING, *_RUNNING)}"
    for first in range(1, scale.curves + 1, _TOGETHER):
        seeds = range(first, min(first + _TOGETHER, scale.curves + 1))
        for known in truths.ALL:
            asked = repr((known, seeds)).encode() + known.compose.read_bytes()
            of = f"{decides} {blake3(Path(__file__).read_bytes() + asked).hexdigest(16)}"
            name = f"{known.name} {first}"
            if time.monotonic() < enough or has(_KEPT, name, of):
                take = partial(_counts, known, seeds, work)
                tallies[known.name] += _Tally(**part(_KEPT, name, of, take, scale is FULL))
    everything = _Tally()
    figures: list[Figure] = []
    for name, tally in tallies.items():
        if tally.curves:
            everything += tally
            figures += tally.figures(name)
    return everything.figures("all systems with known answers") + figures


def _counts(known: Known, seeds: range, work: Path) -> dict[str, Any]:
    """The results of the curve of each of these seeds; one pool of workers draws all of them."""
    tally, failure = _Tally(), bp.failure(known.failure)
    with bp.open(known_recording(known, work)) as run:
        asked = {"horizon": run.at(known.horizon)}
        if not known.fails:
            asked["end"] = run.at(known.horizon - 1)  # its check, which is all that is to come
        question, _ = ask(run, failure, **asked)
        with (
            Pool(run, failure, question.horizon, noise=question.noise) as pool,
            progress.task(f"curves of {known.name}", len(seeds), "curves") as task,
        ):
            for done, seed in enumerate(seeds, 1):
                question, settings = ask(run, failure, seed=seed, **asked)
                tally.add(known, collect(run, question, settings, lambda: nullcontext(pool)))
                task.update(done)
    return asdict(tally)
