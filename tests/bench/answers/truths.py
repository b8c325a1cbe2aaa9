"""Systems whose likelihood of failure can be calculated: tests/machine/systems/known.

Each has a recording; ``probability`` is the probability of the failure when everything random is
drawn anew from an instant of that recording on.
"""

from __future__ import annotations

import itertools
import shutil
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import Any

import branchpoint as bp
from branchpoint.errors import BranchpointError

UNKNOWN = -0.010, 0.05
"""Seconds around the nominal instant of a draw for which no probability is given: before it, the
guest may not have taken the seed yet; after it, the number may not be drawn yet. (The scripts count
from their own start, about 5 ms after vtime 0; test_known_systems makes sure that they have
drawn by then.)"""
SEEDS = 300
"""Most seeds to try for a recording that fails; the rarest failure has p = 0.064."""
AFTER = 5
"""Seconds that a recording goes on after its failure, so that it includes the horizon."""
_SYSTEMS = Path(__file__).parents[2] / "machine" / "systems" / "known"


@dataclass(frozen=True)
class Known:
    """A system with a known answer."""

    name: str
    """Name of the compose file and of the service."""
    steps: tuple[tuple[float, float], ...]
    """(vtime, probability from there on), in order; the first at 0."""
    causes: tuple[float, ...]
    """The vtimes at which much is decided at once, where the curve must have a step."""
    horizon: float
    """The vtime by which all futures that fail have failed (but one of 20 000, in ``race``)."""
    fails: bool = True
    """Whether the recorded run failed."""
    said: tuple[str, ...] = ()
    """Lines that the recorded run must have, when the curve depends on its history."""
    lasting: float = 0.0
    """Seconds that a change takes if it is slow and therefore no step; 0: there is none."""
    likely: int = 1
    """A seed that gave the wanted run earlier; which one does depends on the guest."""

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
        """Whether it is unknown if the draw at this instant is still to come."""
        return any(UNKNOWN[0] < vtime - step < UNKNOWN[1] for step, _ in self.steps[1:])

    def probability(self, vtime: float) -> float:
        """P(failure) in a future that leaves the recording at ``vtime``; see :meth:`decides`."""
        index = bisect_right(self.steps, vtime, key=lambda step: step[0])
        return self.steps[index - 1][1]

    def record(self, path: Path) -> int:
        """Record it at ``path`` with the likely seed or the first one that gives the wanted run.

        The recording of a failure goes on until after the horizon. Returns the seed.
        """
        for seed in itertools.islice(itertools.chain((self.likely,), itertools.count(1)), SEEDS):
            with bp.record(
                self.compose,
                path,
                seed=seed,
                duration=self.horizon,
                until=self.failure,
                after=AFTER,
            ) as run:
                failed = run.manifest.failure is not None
                said = {event.text for event in run.events.where(type="log")}
                if failed == self.fails and said.issuperset(self.said):
                    return seed
            shutil.rmtree(path)
        raise BranchpointError(f"{self.name} does not do what is wanted with {SEEDS} seeds")


def _all(name: str, check: float, *draws: tuple[float, int, int], **more: Any) -> Known:
    """Fails at ``check`` when all draws come out bad: (vtime, bad cases, all cases)."""
    left = [Fraction(bad, of) for _, bad, of in draws]
    begins = [0.0, *(vtime for vtime, _, _ in draws)]
    steps = tuple((vtime, float(prod(left[i:]))) for i, vtime in enumerate(begins))
    causes = more.pop("causes", tuple(begins[1:]))
    return Known(name, steps, causes, check + 1, **more)


def _any(name: str, check: float, *draws: tuple[float, int, int], **more: Any) -> Known:
    """Fails at ``check`` when any draw comes out bad; in the recording none does."""
    left = [1 - Fraction(bad, of) for _, bad, of in draws]
    begins = [0.0, *(vtime for vtime, _, _ in draws)]
    steps = tuple((vtime, float(1 - prod(left[i:]))) for i, vtime in enumerate(begins))
    return Known(name, steps, more.pop("causes", ()), check + 1, fails=False, **more)


TWO_COINS = Known("two-coins", ((0, 0.25), (10, 0.5), (20, 1)), (10, 20), horizon=31, likely=2)
"""Heads twice. Both tosses matter equally as a factor; as a difference, the second matters more."""

_FAILS = 0.4  # of one try
RETRY = Known(
    "retry",
    tuple((2.0 * done, _FAILS ** (3 - done)) for done in range(4)),
    (6,),
    horizon=9,
    likely=20,
)
"""Three failed tries."""

_RATES = 0.5, 1.5  # a second
RACE = Known("race", ((0, _RATES[0] / sum(_RATES)), (4, 1)), (4,), horizon=4 + 5, likely=3)
"""The first of two exponential timers rings first."""

BAKED = Known("baked", ((0, 0.5), (4, 1)), (4,), horizon=35, likely=4)
"""Decided long before it becomes visible."""

DICE = _all("dice", 24, (6, 1, 2), (12, 2, 3), (18, 3, 4), likely=3)
"""Three draws that matter equally: no step is larger than another."""

SEVEN = _all("seven", 18, *((2.0 * i, i, i + 1) for i in range(1, 8)), likely=16)
"""Seven small steps, two seconds apart."""

TWO_CAUSES = Known(
    "two-causes", ((0, 1 - 0.6**2), (8, 0.4), (16, 1)), (8, 16), horizon=25,
    said=("draw at 8: good", "draw at 16: bad"), likely=4,
)  # fmt: skip
"""Either of two draws is enough; in the recording it was the second one."""

INJECTED = Known("injected", ((0, 0.3), (12, 1)), (12,), horizon=21, likely=2)
"""A fault that the guest draws: with a server killed at 12 s it fails at 20 s."""

RAMP = _all(
    "ramp", 22, *((6 + 0.5 * i, 3 + i, 4 + i) for i in range(24)), causes=(), lasting=11.5, likely=9
)
"""Twenty-four small steps, half a second apart: too close to separate them."""

HAZARD = _any("hazard", 24, *((0.5 * i, 1, 20) for i in range(1, 44)), lasting=21, likely=4)
"""It may happen each half second, and does not: P falls all the time."""

NEVER = Known("never", ((0, 0),), (), horizon=21, fails=False)
ALWAYS = _all("always", 20, (10, 1, 1), causes=())
RARE = Known("rare", ((0, 1 / 200), (10, 0)), (), horizon=21, fails=False)
"""A step that is too small to be found with a curve's futures."""

ALL = (
    DICE, TWO_CAUSES, INJECTED, HAZARD, RAMP, NEVER, ALWAYS, RARE, TWO_COINS, RETRY, RACE, BAKED,
    SEVEN,
)  # fmt: skip
"""Those whose steps must be found first: the bench takes them in this order."""
