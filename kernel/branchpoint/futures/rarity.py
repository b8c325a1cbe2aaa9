"""How rarely something fails from one moment on: as many futures as its rarity needs.

A curve needs P to ±0.1, for which sixteen passing futures are enough. A failure in one of a hundred
runs needs P to a share of itself, such as half. So futures are drawn until a certain number have
failed: then P is known to about the same share of itself, however small it is. J. B. S. Haldane, On
a method of estimating frequencies, Biometrika 33 (1945) 222-225.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from branchpoint.clock import Instant
from branchpoint.errors import BranchpointError
from branchpoint.futures import partial
from branchpoint.futures.running.trials import Interrupted
from branchpoint.futures.sample import Sample
from branchpoint.futures.statistics.proportion import LEVEL, quantile
from branchpoint.futures.statistics.stopping import exact
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording

_BATCH = 32  # futures between two looks at how many failed
_OFTEN = 0.1  # P from which it is given in per cent
_DECIMALS = 18  # of a P in per cent: as many as tell the largest number below 1 from it


@dataclass(frozen=True)
class Rarity:
    """How often futures from one moment fail."""

    about: str
    failed: int
    trials: int
    """Futures that failed or passed."""
    censored: int
    """Futures whose verdict is not known, because they ended early."""
    wanted: int
    """The number of failures at which drawing ends."""
    stopped: bool = False
    """Whether it was interrupted before that. Calling it again goes on."""

    @property
    def p(self) -> float:
        """P(failure), without bias; not a number when there are no futures."""
        if self._ended:
            return (self.wanted - 1) / (self.trials - 1)
        return self.failed / self.trials if self.trials else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval (low, high) of P(failure).

        Censored futures may all have failed, or all have passed: it holds in either case.
        """
        if not self.trials + self.censored:
            return 0.0, 1.0
        low, _ = exact(self.failed, self.trials + self.censored)
        if self._ended and not self.censored:  # the last one had to fail
            return low, exact(self.failed - 1, self.trials - 1)[1]
        failed = self.failed + self.censored
        return low, exact(failed, self.trials + self.censored)[1]

    @property
    def at_most(self) -> float:
        """The bound that P(failure) is below with 95 % (one-sided)."""
        failed = self.failed + self.censored
        return exact(failed, self.trials + self.censored, 2 * LEVEL - 1)[1]

    @property
    def _ended(self) -> bool:
        return self.failed >= self.wanted > 1

    def __repr__(self) -> str:
        counted = f"{self.failed} of {self.trials} futures failed"
        lost = f"; {self.censored} more ended early and may have failed" if self.censored else ""
        if not self.trials:
            return f"{self.about}: nothing is known yet{lost}"
        if not self.failed:
            words = f"fewer than {_one_in(self.at_most)} (95 %)"
        else:
            low, high = self.interval
            words = f"about {_one_in(self.p)} (95 %: {_one_in(low)} to {_one_in(high)})"
        early = "; stopped early" if self.stopped else ""
        return f"{self.about}: {words}; {counted}{lost}{early}"


def how_rare(
    run: Recording,
    failure: Failure,
    moment: Instant,
    *,
    precision: float,
    futures: int,
    **how: Any,
) -> Rarity:
    """See ``Recording.how_rare``; ``how`` is as for :class:`Sample`."""
    if not 0.05 <= precision < 1:
        raise BranchpointError(
            f"precision={precision!r} must be at least 0.05 and less than 1",
            "it is a share of P(failure): 0.5 is usual",
        )
    if futures < 1:
        raise BranchpointError(f"futures={futures} must be at least 1", "leave it out for 1000")
    wanted = max(math.ceil((quantile(LEVEL) / precision) ** 2), 2)
    stopped = False
    with Sample(run, moment, failure, lines=False, **how) as sample:
        verdicts: list[str] = []
        while not stopped and len(verdicts) < futures and verdicts.count("failed") < wanted:
            numbers = range(len(verdicts), min(len(verdicts) + _BATCH, futures))
            note = f"{verdicts.count('failed')} of {len(verdicts)} failed" if verdicts else ""
            try:
                outcomes = sample.run(numbers, note)
            except Interrupted as stop:
                outcomes = stop.first
                partial.give(stop, len(verdicts) + len(outcomes))
                stopped = True
            verdicts += [outcome.draw.verdict for outcome in outcomes]
    # Count only up to the last failure that was wanted, not to the end of its batch.
    failures = [number for number, verdict in enumerate(verdicts) if verdict == "failed"]
    used = verdicts[: failures[wanted - 1] + 1] if len(failures) >= wanted else verdicts
    return Rarity(
        f"{failure.name} from {sample.moment}",
        used.count("failed"),
        len(used) - used.count("censored"),
        used.count("censored"),
        wanted,
        stopped,
    )


def _one_in(p: float) -> str:
    """A probability in words."""
    if p <= 0:
        return "never"
    if p < _OFTEN:
        return f"1 in {1 / p:.0f}"
    # "100%" would say that it always fails: as many decimals as that is not.
    shown = (f"{p:.{decimals}%}" for decimals in range(_DECIMALS))
    return next((text for text in shown if p >= 1 or not text.startswith("100")), "100%")
