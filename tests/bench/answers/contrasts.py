"""Do contrasts find what matters, and nothing else? Tested on futures whose answer is known.

The futures are made up; the conclusions come from the code that users call.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import branchpoint as bp
from answers.luck import THE_CAUSE, Luck
from branchpoint import progress
from branchpoint.futures.contrast import Contrast, compare, contrast
from branchpoint.futures.sample import MOST, drawn, looked_at
from branchpoint.futures.statistics.proportion import wilson
from figures import Figure, amount, at_most
from scale import Scale
from subjects import demo

_WRONG_BAR, _POWER_BAR, _TIME_BAR = 0.05, 0.9, 60  # shares; seconds
_BEFORE = 12  # virtual seconds before the demo's failure, as in the notebook


@dataclass(frozen=True)
class _Setting:
    """One kind of contrast, for one system."""

    luck: Luck
    futures: int | None
    """None: as many as are needed."""
    of_curve: bool = False
    """Whether it is ``curve.contrast`` and not ``run.contrast``."""

    def contrast(self, seed: int) -> tuple[Contrast, int]:
        """The contrast, and how many futures it took."""
        outcomes = drawn(self.luck.runner(seed), self.futures)
        if self.of_curve:
            found = contrast(outcome.draw for outcome in outcomes)
        else:
            found = compare(looked_at(outcomes, lines=True), "")
        return found, len(outcomes)

    def __str__(self) -> str:
        call = "curve.contrast" if self.of_curve else "run.contrast"
        futures = f"until 6 failed, at most {MOST}" if self.futures is None else self.futures
        when = "early" if self.luck.early else "late"
        return (
            f"{call}, {futures} futures, P {self.luck.chance:g}, failing {when}, "
            f"{self.luck.causes} causes"
        )


_WRONG = (
    _Setting(Luck(0.05, 300), 40),
    _Setting(Luck(0.05, 300, early=False), 100),
    _Setting(Luck(0.1, 30), 40),
    _Setting(Luck(0.05, 300), None),
    _Setting(Luck(0.05, 300, early=False), 40, of_curve=True),
    _Setting(Luck(0.05, 300), 100, of_curve=True),
    _Setting(Luck(0.1, 30, early=False), 40, of_curve=True),
    _Setting(Luck(0.3, 30), 200, of_curve=True),
)
_POWER = tuple(_Setting(Luck(chance, 299, perfect=True), None) for chance in (0.05, 0.1, 0.3))


def contrasts(scale: Scale, work: Path) -> list[Figure]:
    """Thousands of contrasts of each kind, and how long the longest takes on the demo."""
    with progress.task("contrasts", len(_WRONG + _POWER), "kinds") as task:
        found = []
        for measure, settings in ((_wrong, _WRONG), (_power, _POWER)):
            for setting in settings:
                found.append(measure(setting, scale.contrasts))
                task.update(len(found))
    return [*found, _time(min(MOST, scale.contrasts), work)]


def _wrong(setting: _Setting, times: int) -> Figure:
    wrong = sum(bool(setting.contrast(seed)[0].decisive) for seed in range(times))
    return Figure(
        f"a cause is found where none matters: {setting}",
        _share(wrong, times),
        f"≤ {amount(_WRONG_BAR, '%')}",
        wrong <= _WRONG_BAR * times,
    )


def _power(setting: _Setting, times: int) -> Figure:
    right = used = 0
    for seed in range(times):
        found, futures = setting.contrast(seed)
        right += THE_CAUSE in [row.cause for row in found.decisive]
        used += futures
    return Figure(
        f"the one that matters is found: {setting} and this one",
        f"{_share(right, times)}, {used / times:.0f} futures on average",
        f"≥ {amount(_POWER_BAR, '%')}",
        right >= _POWER_BAR * times,
    )


def _share(count: int, times: int) -> str:
    low, high = wilson(count, times)
    return (
        f"{amount(count / times, '%')} ({count} of {times}; 95 % of that: {amount(low, '%')} to "
        f"{amount(high, '%')})"
    )


def _time(futures: int, work: Path) -> Figure:
    with bp.open(demo(work)) as run:
        crash = bp.failure("exit:*")
        moment = run.failure.rewind(_BEFORE)
        started = time.monotonic()
        found = run.contrast(moment, crash, futures=futures)
        wall = time.monotonic() - started
    note = f"{futures / wall:.3g} a second; {found.failed} failing, {found.passed} passing"
    return at_most(
        f"run.contrast on the demo, {_BEFORE} s before the failure, {futures} futures",
        wall, _TIME_BAR, "s", note,
    )  # fmt: skip
