"""How a change changes the probability of a failure: futures with it and without it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from branchpoint.clock import Instant
from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.futures import partial
from branchpoint.futures.attribution import Rate
from branchpoint.futures.running.future import Outcome
from branchpoint.futures.running.trials import Interrupted
from branchpoint.futures.sample import FIRST, MOST, OF_EACH, Sample, check
from branchpoint.futures.statistics.exact import LIMIT, percent
from branchpoint.futures.statistics.proportion import difference
from branchpoint.store.manifest import Input
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording

Change = Callable[[Branch], Any]
_BATCH = FIRST // 2
"""Futures of each kind that are drawn first."""


@dataclass(frozen=True)
class WhatIf:
    """How often it fails with a change and without it. Made by ``run.what_if(...)``."""

    about: str
    before: Rate
    """As it is."""
    after: Rate
    """With the change."""
    chance: float
    """How probable it is that chance makes the two look as different (Fisher's exact test,
    two-sided). Futures with and without the change have the same seeds; if that makes them more
    alike, the true probability is smaller."""
    censored: int
    """Futures that ended early and are not counted."""

    @property
    def effect(self) -> float:
        """By how much the change changes P(failure)."""
        return self.after.failed / max(self.after.trials, 1) - (
            self.before.failed / max(self.before.trials, 1)
        )

    @property
    def interval(self) -> tuple[float, float]:
        """Newcombe's 95 % interval of :attr:`effect`."""
        after, before = self.after, self.before
        low, high = difference(after.failed, after.trials, before.failed, before.trials)
        return float(low), float(high)

    @property
    def found(self) -> bool:
        """Whether chance alone does this in fewer than 5 % of all cases."""
        return self.chance < LIMIT

    @property
    def conclusion(self) -> str:
        """What it shows."""
        if self.found:
            verb = "less" if self.effect < 0 else "more"
            low, high = self.interval
            return (
                f"with the change it fails {verb} often: P(failure) changes by {self.effect:+.2f} "
                f"(95 %: {low:+.2f} to {high:+.2f})"
            )
        if self.before.failed < OF_EACH and self.after.failed < OF_EACH:
            failed = self.before.failed + self.after.failed
            if not failed:
                return "too few failures to tell: take a moment from which it fails more often"
            drawn = self.before.trials + self.after.trials + self.censored  # in both arms
            enough = math.ceil(OF_EACH * drawn / failed)
            return f"too few failures to tell: about futures={enough} would do"
        return "the change makes no difference beyond chance"

    def _rows(self) -> Iterator[tuple[str, Rate]]:
        yield "as it is", self.before
        yield "with the change", self.after

    def __repr__(self) -> str:
        rows = ", ".join(f"{rate} {name}" for name, rate in self._rows())
        lost = f" ({self.censored} more ended early)" if self.censored else ""
        counted = f"it fails in {rows}; by chance: {percent(self.chance)}{lost}"
        return "\n".join([self.about, self.conclusion, counted])

    def _repr_html_(self) -> str:
        rows = [
            (name, str(rate), "{:.2f} to {:.2f}".format(*rate.interval))
            for name, rate in self._rows()
        ]
        table = tables.html(("", "fails in", "P(failure), 95 %"), rows)
        lines = "".join(f"<p>{escape(line)}</p>" for line in (self.about, self.conclusion))
        return f"{lines}{table}{tables.note(f'by chance: {percent(self.chance)}')}"


def what_if(
    run: Recording,
    moment: Instant,
    failure: Failure,
    change: Change,
    *,
    futures: int | None,
    **how: Any,
) -> WhatIf:
    """See ``Recording.what_if``; ``how`` is as for :class:`Sample`."""
    check(futures)
    with Sample(run, moment, failure, **how) as sample:
        about = f"{failure.name}: futures from {sample.moment}"
        inputs = _inputs(sample, change)
        pairs: list[tuple[Outcome, Outcome]] = []
        more = futures or _BATCH
        try:
            while more:
                numbers = range(len(pairs), len(pairs) + more)
                drawn = sample.run(numbers), sample.changed(numbers, inputs)
                pairs += zip(*drawn, strict=True)
                more = 0 if futures else _more(pairs)
        except Interrupted as stop:
            partial.give(stop, 2 * len(pairs))
            about = f"{about}, stopped early"
    return judged(about, pairs)


def judged(about: str, pairs: Sequence[tuple[Outcome, Outcome]]) -> WhatIf:
    """What futures as they are, each with one of the same seed with the change, show."""
    before, after = (_rate([pair[arm] for pair in pairs]) for arm in (0, 1))
    censored = 2 * len(pairs) - before.trials - after.trials
    return WhatIf(about, before, after, before.chance(after), censored)


def _inputs(sample: Sample, change: Change) -> list[Input]:
    """What the change is for the machine: the inputs that it gives to a branch.

    :raises BranchpointError: when it gives none, so that nothing would differ.
    """
    branch = sample.moment.branch()
    known = branch.end.inputs  # those to come, too, before which the new ones are placed
    change(branch)
    inputs = [each for each in branch.end.inputs if not any(each is old for old in known)]
    if not inputs:
        raise BranchpointError(
            "the change does nothing to the branch that it is given",
            'let it run a command or ask for a fault: lambda branch: branch.faults.kill("db.1")',
        )
    return inputs


def _more(pairs: Sequence[tuple[Outcome, Outcome]]) -> int:
    """How many pairs to draw next: until as many failed as a complete prevention needs to be seen.

    Only how many failed in both arms together decides, so that it is the same whether the change
    does anything or not.
    """
    failed = sum(each.draw.verdict == "failed" for pair in pairs for each in pair)
    passed = sum(each.draw.verdict == "passed" for pair in pairs for each in pair)
    fewest = min(failed, passed)
    if fewest >= 2 * OF_EACH or len(pairs) >= MOST:
        return 0
    expected = math.ceil((2 * OF_EACH - fewest) * (len(pairs) + 1) / (fewest + 1))
    return min(expected, len(pairs), MOST - len(pairs))


def _rate(outcomes: Sequence[Outcome]) -> Rate:
    verdicts = [outcome.draw.verdict for outcome in outcomes]
    failed = verdicts.count("failed")
    return Rate(failed, failed + verdicts.count("passed"))
