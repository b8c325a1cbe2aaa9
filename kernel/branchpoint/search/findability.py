"""How likely an exploration is to miss a failure that is still there.

Failures of one kind are taken to come independently and at a constant rate of virtual time, as
often as in the exploration that found them. From k of them the rate is known by Garwood's exact
limit for the mean of a Poisson distribution (F. Garwood, Fiduciary limits for the Poisson
distribution, Biometrika 28 (1936) 437-442).
"""

from __future__ import annotations

from math import ceil, exp, log
from typing import NamedTuple

LEVEL = 0.95
"""How sure one wants to be."""


class Findability(NamedTuple):
    """How easily a failure is found again, if it is still there."""

    missed: float
    """The estimated probability that an exploration of the same virtual time does not find it."""
    missed_at_most: float
    """An upper limit of it, which holds with :data:`LEVEL`."""
    clean: int
    """How many such explorations that find nothing make sure, with :data:`LEVEL`, that it is
    gone: the chance that all of them miss it is at most 1 - LEVEL."""


def findability(times: int, share: float = 1) -> Findability:
    """For a failure that was seen ``times`` (at least 1) in an exploration, and explorations of
    ``share`` of its virtual time.
    """
    least = _least_mean(times) * share
    clean = ceil(-log(1 - LEVEL) / least) if least else 0
    return Findability(exp(-times * share), exp(-least), clean)


def _least_mean(times: int) -> float:
    """The lower limit, of level LEVEL, of a mean of which ``times`` were counted."""
    from scipy.special import gammaincinv  # slow to import

    return float(gammaincinv(times, 1 - LEVEL))
