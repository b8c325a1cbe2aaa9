"""Whether causes differ by more than chance: an exact test of each, and of all of them together.

R. A. Fisher, The logic of inductive inference, J. R. Stat. Soc. 98 (1935) 39-82: a cause that has
nothing to do with the verdicts is spread among the futures as if these were shuffled. So, of the
futures in which it happened, the number that failed has a hypergeometric distribution. Two-sided:
all numbers count that are at most as probable as the one that was found.

Many causes are compared at once, and most happen too rarely (or too often) ever to look extreme.
Such a cause cannot be found by mistake, so the correction need not count it. R. E. Tarone, A
modified Bonferroni method for discrete data, Biometrics 46 (1990) 515-522, counts only those that
can. Here each counts with the probability with which it can, exactly, which is never more: P. H.
Westfall and R. D. Wolfinger, Multiple tests with discrete distributions, Am. Stat. 51 (1997) 3-8.
The sum over all causes bounds how often any of them looks as extreme by chance, however they depend
on each other.

Futures are taken as independent, and a cause as one that does not matter when knowing it tells
nothing about verdicts and about the instants of failures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, exp, floor, lgamma

import numpy as np
from numpy.typing import NDArray

LIMIT = 0.05
"""A cause counts as found when its ``chance`` is below this."""
_ALIKE = 1 + 1e-7  # probabilities whose quotient is smaller are equal except for rounding
_AT_ONCE = 1 << 20  # numbers in a table

Floats = NDArray[np.float64]


class Chances:
    """The tests of all causes that were seen in ``failed`` failing and ``passed`` passing futures.

    ``failing`` and ``passing`` say in how many failing and passing ones each cause happened.
    """

    def __init__(
        self, failing: Sequence[int], passing: Sequence[int], failed: int, passed: int
    ) -> None:
        self._few, self._total = min(failed, passed), failed + passed
        found = np.asarray(failing if failed <= passed else passing, int)  # in the smaller group
        counts = np.asarray(failing, int) + np.asarray(passing, int)
        self._counts, which, self._causes = np.unique(
            counts, return_inverse=True, return_counts=True
        )
        self.alone: Floats = np.ones(len(counts))
        """Of each cause: the probability that it looks as extreme or more so by chance."""
        for rows, levels, places in self._tables():
            mine = np.flatnonzero((which >= rows.start) & (which < rows.stop))
            row = which[mine] - rows.start
            self.alone[mine] = levels[row, places[row, found[mine]]]
        self.chance: Floats = self.any_below(self.alone)
        """Of each cause: at most how probable it is that chance makes any cause look as extreme."""

    def any_below(self, levels: Floats) -> Floats:
        """At most how probable it is that chance gives any cause a probability as low as each of
        these.
        """
        wanted, which = np.unique(levels, return_inverse=True)
        total = np.zeros(len(wanted))
        for rows, table, _ in self._tables():
            for row, causes in zip(table, self._causes[rows], strict=True):
                index = np.searchsorted(row, wanted * _ALIKE, "right")
                total += causes * np.where(index > 0, row[index - 1], 0)
        return np.minimum(total, 1)[which]

    @property
    def of_perfect(self) -> float:
        """The :attr:`chance` of one more cause that is in all failing futures and in no other."""
        alone = perfect(self._few, self._total)
        return min(alone + float(self.any_below(np.array([alone]))[0]), 1.0)

    def _tables(self) -> Iterator[tuple[slice, Floats, NDArray[np.intp]]]:
        """For a stretch of the counts: all probabilities that a cause of that count may have,
        ascending (0 where there are fewer), and the place among them of each number of its futures
        in the smaller group.
        """
        step = max(_AT_ONCE // (self._few + 1), 1)
        for start in range(0, len(self._counts), step):
            rows = slice(start, min(start + step, len(self._counts)))
            weights = _weights(self._counts[rows, None], self._few, self._total)
            order = np.argsort(weights, axis=1, kind="stable")
            ascending = np.take_along_axis(weights, order, axis=1)
            last = np.ones(ascending.shape, bool)
            last[:, :-1] = ascending[:, 1:] > ascending[:, :-1] * _ALIKE
            sums = np.where(last, np.minimum(np.cumsum(ascending, axis=1), 1), np.inf)
            levels = np.minimum.accumulate(sums[:, ::-1], axis=1)[:, ::-1]
            yield rows, np.where(ascending > 0, levels, 0), np.argsort(order, axis=1)


def together(alone: Sequence[float]) -> list[float]:
    """For each of a few tests, at most how probable it is that chance makes any of them look as
    extreme, from the probability of each ``alone``.

    S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6 (1979)
    65-70: those that are more extreme need not be counted again.
    """
    found, largest = [1.0] * len(alone), 0.0
    for done, index in enumerate(sorted(range(len(alone)), key=alone.__getitem__)):
        largest = max(largest, min((len(alone) - done) * alone[index], 1.0))
        found[index] = largest
    return found


def perfect(few: int, total: int) -> float:
    """The probability that a cause lies by chance exactly in those ``few`` of ``total`` futures
    that fail (or in those that pass), and in no other.
    """
    ways = lgamma(total + 1) - lgamma(few + 1) - lgamma(total - few + 1)
    return (1 + (2 * few == total)) * exp(-ways)


def percent(chance: float) -> str:
    """A probability in words; rounding does not move it across 5 %."""
    if chance < 0.001:
        return "under 0.1 %"
    tenths = (floor if chance < LIMIT else ceil)(chance * 1000) / 10
    return f"{tenths:g} %" if chance < 2 * LIMIT else f"{chance * 100:.0f} %"


def _weights(counts: NDArray[np.int_], few: int, total: int) -> Floats:
    """How probable 0, 1, ... ``few`` of the smaller group are among ``counts`` of ``total``."""
    from scipy.special import gammaln  # imports for a quarter of a second

    def ways(of: NDArray[np.int_] | int, chosen: NDArray[np.int_]) -> Floats:
        with np.errstate(invalid="ignore"):
            found: Floats = gammaln(of + 1.0) - gammaln(chosen + 1.0) - gammaln(of - chosen + 1.0)
        return np.where((chosen >= 0) & (chosen <= of), found, -np.inf)

    among = np.arange(few + 1)[None, :]
    others = total - few
    whole = ways(total, counts)
    return np.exp(ways(few, among) + ways(others, counts - among) - whole)
