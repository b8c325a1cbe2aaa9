"""Futures of systems in which it is known which causes matter, without a machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from branchpoint.futures.draws import Draw
from branchpoint.futures.running.future import Outcome

THE_CAUSE = "fault kill db.1"
_HORIZON = 10_000_000_000  # virtual ns
_SKEW = 3  # how strongly events are shifted to early or late


@dataclass(frozen=True)
class Luck:
    """A system that fails by chance, and in which other things happen that have no effect on it.

    Each of these has its own probability: most are rare, some happen nearly always. Half of them
    tend to happen early, half late.
    """

    chance: float
    """P(failure)."""
    causes: int
    """How many things may happen that have no effect."""
    early: bool = True
    """Whether failures come early rather than late."""
    perfect: bool = False
    """Whether there is also THE_CAUSE, which all failing futures have and no other future has."""

    def runner(self, seed: int) -> Callable[[range, str], list[Outcome]]:
        """A function that runs its futures, in order, as :func:`sample.drawn` needs it."""
        draw = np.random.default_rng(seed)
        return lambda numbers, note: self._run(numbers, draw)

    def outcomes(self, futures: int, seed: int) -> list[Outcome]:
        """This many futures."""
        return self.runner(seed)(range(futures), "")

    def _run(self, numbers: range, draw: np.random.Generator) -> list[Outcome]:
        size = len(numbers), self.causes
        names = [f"log db.1: {number}" for number in range(self.causes)]
        often = 0.03 + 0.94 * np.linspace(0, 1, self.causes) ** 2
        late = np.where(np.arange(self.causes) % 2, 1 / _SKEW, _SKEW)
        at = 1 + (draw.random(size) ** late * _HORIZON).astype(int)
        at[draw.random(size) >= often] = 2 * _HORIZON  # never
        fails = draw.random(len(numbers)) < self.chance
        skew = _SKEW if self.early else 1 / _SKEW
        ends = np.where(fails, 2 + draw.random(len(numbers)) ** skew * _HORIZON, 1.1 * _HORIZON)
        found = []
        for number, instants, end, failed in zip(numbers, at, ends.astype(int), fails, strict=True):
            order = np.argsort(instants)
            order = order[instants[order] < end]
            seen = {names[cause]: int(instants[cause]) for cause in order}
            if failed and self.perfect:
                seen[THE_CAUSE] = int(end) - 1
            found.append(_outcome(number, int(end) if failed else None, int(end), seen))
        return found


def _outcome(number: int, failed_at: int | None, end: int, seen: dict[str, int]) -> Outcome:
    draw = Draw(
        at=0,
        seed=number,
        verdict="passed" if failed_at is None else "failed",
        failed_at=failed_at,
        end=end,
        causes=list(seen),
        instants=list(seen.values()),
    )
    return Outcome(draw, number=number, seen=seen)
