"""Systems of which one can calculate how likely their failure is: tests/machine/systems/known.

Each has a recording that failed; ``probability`` says how likely the failure is when everything
random is drawn anew from an instant of that recording on.
"""

from __future__ import annotations

import itertools
import shutil
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import branchpoint as bp
from branchpoint.errors import BranchpointError

UNKNOWN = -0.010, 0.006
"""Seconds around the nominal instant of a draw for which no probability is stated: within the first
the guest takes notice of a seed, within the second the number is drawn. (The scripts count from
their own start, which comes some 5 ms after vtime 0; test_known_systems sees to it that they have
drawn by then.)"""
SEEDS = 300
"""Seeds that are tried for a recording that fails, at most; the rarest failure has p = 0.064."""
AFTER = 5
"""Seconds that a recording goes on after its failure: until after the horizon."""
_SYSTEMS = Path(__file__).parents[1] / "machine" / "systems" / "known"


@dataclass(frozen=True)
class Known:
    """A system with a known answer."""

    name: str
    """Of the compose file and the service."""
    steps: tuple[tuple[float, float], ...]
    """(vtime, probability from there on), in order; the first at 0."""
    cause: float
    """The vtime at which the most is decided: where the turning point belongs."""
    horizon: float
    """The vtime by which a future that fails has failed (all but one of 20 000, in ``race``)."""

    @property
    def compose(self) -> Path:
        return _SYSTEMS / f"{self.name}.yaml"

    @property
    def container(self) -> str:
        return f"{self.name}.1"

    @property
    def failure(self) -> str:
        """The failure, as :func:`branchpoint.record` and ``run.likelihood`` take it."""
        return f"exit:{self.container}"

    def decides(self, vtime: float) -> bool:
        """Whether it is not known if the draw at this instant still counts as to come."""
        return any(UNKNOWN[0] < vtime - step < UNKNOWN[1] for step, _ in self.steps[1:])

    def probability(self, vtime: float) -> float:
        """P(failure) in a future that leaves the recording at ``vtime``, unless it decides."""
        index = bisect_right(self.steps, vtime, key=lambda step: step[0])
        return self.steps[index - 1][1]

    def record(self, path: Path) -> int:
        """Record it at ``path`` with the first seed from 1 on that makes it fail; the seed.

        The recording goes on until after the horizon.
        """
        for seed in itertools.islice(itertools.count(1), SEEDS):
            with bp.record(
                self.compose,
                path,
                seed=seed,
                duration=self.horizon,
                until=self.failure,
                after=AFTER,
            ) as run:
                if run.manifest.failure is not None:
                    return seed
            shutil.rmtree(path)
        raise BranchpointError(f"{self.name} fails with none of {SEEDS} seeds")


TWO_COINS = Known("two-coins", ((0, 0.25), (10, 0.5), (20, 1)), cause=20, horizon=31)
"""Heads twice. Both tosses decide equally much as a factor, the second one more as a difference."""

_FAILS = 0.4  # of one try
RETRY = Known(
    "retry",
    tuple((2.0 * done, _FAILS ** (3 - done)) for done in range(4)),
    cause=6,
    horizon=9,
)
"""Three tries in vain."""

_RATES = 0.5, 1.5  # a second
RACE = Known("race", ((0, _RATES[0] / sum(_RATES)), (4, 1)), cause=4, horizon=4 + 5)
"""The first of two exponential timers rings first."""

BAKED = Known("baked", ((0, 0.5), (4, 1)), cause=4, horizon=35)
"""Decided long before it shows."""

ALL = (TWO_COINS, RETRY, RACE, BAKED)
