"""P from draws that stop when P is known well enough: estimates without bias, exact intervals.

A point gets draws until its interval is narrow enough, so the number of draws depends on how they
ended: a point whose first draws all pass is soon done. If the number is treated as fixed
beforehand, small P are estimated too low (0.074 for 0.0925), and 95 % intervals hold in 89 % only.
Knowing the stopping rule corrects that. A row of draws is a walk on the lattice of (draws,
failures) that ends where the rule says so; all walks to one end are equally probable, so

- the share of those that began with a failure is an estimate of P without bias: M. A. Girshick,
  F. Mosteller, L. J. Savage, Unbiased estimates for certain binomial sampling problems with
  applications, Ann. Math. Stat. 17 (1946) 13-23;
- the number of walks to an end gives its probability, and so an exact interval: all P for which
  ends as extreme as this one, by that estimate, are not too rare: C. Jennison, B. W. Turnbull,
  Confidence intervals for a binomial parameter following a multistage test with application to
  MIL-STD 105D and medical trials, Technometrics 25 (1983) 49-58.

An interrupted row is treated as one of a rule that stops there at the latest.

A row may also go on beyond that end, to find out where P changes; and whether it does depends on
its own failures. So only its :func:`beginning` tells P: what comes later would bring a bias.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from branchpoint.futures.statistics.proportion import LEVEL, half_width, most_trials

AIM = 0.974
"""Level of Wilson's interval that has to be narrow enough: the exact one of 95 % is wider than
Wilson's."""
FIRST = 16
"""Draws of a row before it is judged at all."""

_FINEST = 0.02  # precision down to which walks are counted; beyond, there are too many
_HALVINGS = 40

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Rule:
    """Draw ``first`` times at least, then until P is known to ``precision``."""

    def __init__(self, precision: float, first: int = FIRST) -> None:
        self.precision = precision
        self.first = first
        self.most = max(most_trials(precision, AIM), first)

    @cached_property
    def _walks(self) -> tuple[list[Floats], list[Floats], list[NDArray[np.bool_]]]:
        """For each number of draws and of failures: log of the number of walks there, of those
        that began with a failure; and whether the rule stops there."""
        all_, failed, stops = [np.zeros(1)], [np.full(1, -np.inf)], [np.zeros(1, bool)]
        for n in range(1, self.most + 1):
            going = ~stops[-1]
            all_.append(_spread(np.where(going, all_[-1], -np.inf)))
            if n == 1:
                failed.append(np.array([-np.inf, 0.0]))
            else:
                failed.append(_spread(np.where(going, failed[-1], -np.inf)))
            if n < self.first:
                stops.append(np.zeros(n + 1, bool))
            else:
                known = half_width(np.arange(n + 1), n, AIM) <= self.precision
                stops.append(known | (n == self.most))
        return all_, failed, stops

    def reaches(self, k: int, n: int) -> bool:
        """Whether this rule may come to ``k`` failures of ``n`` draws."""
        return n <= self.most and bool(np.isfinite(self._walks[0][n][k]))

    def estimate(self, k: int, n: int) -> float:
        """P, without bias."""
        all_, failed, _ = self._walks
        return float(np.exp(failed[n][k] - all_[n][k]))

    @lru_cache(256)  # noqa: B019 - rules are few, and kept for good
    def _ends(self, most: int) -> tuple[Floats, Ints, Ints, Floats]:
        """All ends of a row of at most so many draws, sorted by their estimate: estimate, failures,
        draws, log of the number of walks.
        """
        all_, failed, stops = self._walks
        found: list[tuple[Floats, Ints, Ints, Floats]] = []
        for n in range(1, most + 1):
            here = np.isfinite(all_[n]) & (stops[n] | (n == most))
            k = np.flatnonzero(here)
            if len(k):
                share = np.exp(failed[n][k] - all_[n][k])
                found.append((share, k, np.full(len(k), n), all_[n][k]))
        share, k, n_, walks = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((n_, share))
        return share[order], k[order], n_[order], walks[order]

    def interval(self, k: int, n: int, level: float) -> tuple[float, float]:
        """The exact interval (low, high) of P."""
        ended = bool(self._walks[2][n][k])
        share, failures, draws, walks = self._ends(self.most if ended else n)
        mine = self.estimate(k, n)
        tail = (1 - level) / 2

        def probable(p: float, chosen: NDArray[np.bool_]) -> float:
            logs = walks[chosen] + failures[chosen] * np.log(p)
            return float(np.exp(logs + (draws - failures)[chosen] * np.log1p(-p)).sum())

        def bound(chosen: NDArray[np.bool_], *, rising: bool) -> float:
            low, high = 0.0, 1.0
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                if (probable(middle, chosen) > tail) == rising:
                    high = middle
                else:
                    low = middle
            return (low + high) / 2

        above, below = share >= mine - 1e-12, share <= mine + 1e-12
        low = 0.0 if k == 0 else bound(above, rising=True)
        return low, 1.0 if k == n else bound(below, rising=False)


@lru_cache(64)
def rule(precision: float) -> Rule:
    """The rule; kept, because counting its walks takes time."""
    return Rule(precision)


class Beginning(NamedTuple):
    """The draws at the beginning of a row, up to where P is known well enough."""

    failed: int
    counted: int
    """Draws that are not censored."""
    censored: int


def beginning(row: Iterable[bool | None], precision: float) -> Beginning:
    """The draws of a row that tell P: for each, in the order of their seeds, whether it failed;
    None: it is censored. The whole row if P is not known to ``precision`` by then.
    """
    failed = counted = censored = 0
    for ended in row:
        if ended is None:
            censored += 1
            continue
        failed += ended
        counted += 1
        if is_known(failed, counted, precision):
            break
    return Beginning(failed, counted, censored)


@cache
def is_known(k: int, n: int, precision: float) -> bool:
    """Whether a row that has come to ``k`` failures of ``n`` draws ends there."""
    return n >= FIRST and bool(half_width(k, n, AIM) <= precision)


def estimate(k: int, n: int, precision: float) -> float:
    """P from a row's beginning, ``k`` failures of ``n`` draws; no draws: nan."""
    if not n:
        return float("nan")
    found = _rule_of(k, n, precision)
    return found.estimate(k, n) if found is not None else k / n


@lru_cache(1 << 16)
def interval(k: int, n: int, precision: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval (low, high) of P from a row's beginning; no draws: 0 to 1.

    If the rule cannot have led there, the number of draws is treated as fixed beforehand: C. J.
    Clopper, E. S. Pearson, Biometrika 26 (1934) 404-413.
    """
    if not n:
        return 0.0, 1.0
    found = _rule_of(k, n, precision)
    return found.interval(k, n, level) if found is not None else exact(k, n, level)


def exact(k: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Clopper's and Pearson's interval (low, high) for a number of draws fixed beforehand."""
    from scipy.special import betaincinv  # imports for a quarter of a second

    tail = (1 - level) / 2
    low = float(betaincinv(k, n - k + 1, tail)) if k else 0.0
    return low, float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0


def _rule_of(k: int, n: int, precision: float) -> Rule | None:
    """The rule, if it may have led there and its walks can be counted."""
    if precision < _FINEST:
        return None
    found = rule(precision)
    return found if found.reaches(k, n) else None


def _spread(logs: Floats) -> Floats:
    """Walks after one more draw, which passes or fails."""
    passes, fails = np.append(logs, -np.inf), np.insert(logs, 0, -np.inf)
    return np.logaddexp(passes, fails)
