"""Where a failure became likely: the steps of P(failure) over time, with what is not known.

The model: P is constant but for steps, which come as a Poisson process, one expected in the whole
span; each stretch between two steps has a P of its own, Beta(1/2, 1/2) before anything is seen
(Jeffreys). A stretch's draws then have a closed probability (beta-binomial), what is drawn at
points can tell only the gap between two points in which a step lies, and sums over all ways to
cut the span into stretches are exact by recursion:

D. Barry, J. A. Hartigan, Product partition models for change point problems, Ann. Stat. 20 (1992)
260-279; P. Fearnhead, Exact and efficient Bayesian inference for multiple changepoint problems,
Stat. Comput. 16 (2006) 203-213. The best single cut is found as in J. D. Scargle et al., Bayesian
blocks, Astrophys. J. 764 (2013) 167.

*The* turning point is the largest step, up or down. It is located by drawing whole histories of P
from the posterior and noting, in each, in which gap the largest step lies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from branchpoint.explore.proportion import LEVEL

EVIDENCE = 20.0
"""Bayes factor from which a step is taken for real. The draws must be this much more probable with
steps than without; by Ville's inequality that happens by chance to one flat curve in 20 at most,
however often one looks while draws come in."""

_PRIOR = 0.5  # both parameters of the Beta distribution
_EXPECTED = 1.0  # steps in the whole span, before anything is seen
_HISTORIES = 2000  # drawn from the posterior
_SEED = 20  # of these histories: the same draws give the same answer

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """A change of P somewhere from ``low`` to ``high``, instants at which futures were drawn."""

    at: int
    """Absolute ns: as likely before as after it, by the posterior's median."""
    low: int
    high: int
    """The shortest run of gaps that holds it with 95 % probability, absolute ns."""
    before: float
    after: float
    """P on both sides of it, by posterior mean."""

    @property
    def size(self) -> float:
        """By how much P rises; negative when it falls."""
        return self.after - self.before


@dataclass(frozen=True)
class Turning:
    """What draws at some points tell about steps of P."""

    evidence: float
    """Bayes factor of "P has steps" against "P is flat"; may be infinite."""
    turning: Step | None
    """The largest step; None while ``evidence`` is less than EVIDENCE."""
    steps: list[Step]
    """All steps of the single best explanation, in the order of time."""
    mass: Floats
    """For each gap between neighbouring points, the probability that the largest step is in it."""


def find(at: Sequence[int], failed: Sequence[int], trials: Sequence[int]) -> Turning:
    """What ``failed[i]`` of ``trials[i]`` draws at the instants ``at[i]`` (ns, ascending) tell."""
    counts = _Counts(at, failed, trials)
    if counts.points < 2:
        return Turning(1.0, None, [], np.zeros(0))
    forward = counts.forward()
    evidence = counts.evidence(forward)
    if evidence < EVIDENCE:
        return Turning(evidence, None, [], np.zeros(counts.points - 1))
    mass, before, after = counts.largest_steps(forward)
    located = counts.located(mass, before, after)
    return Turning(evidence, located, counts.best_steps(), mass)


class _Counts:
    """The draws at points, and the sums over all ways to cut them into stretches."""

    def __init__(self, at: Sequence[int], failed: Sequence[int], trials: Sequence[int]) -> None:
        self.at = np.asarray(at, np.int64)
        self.points = len(self.at)
        self.failed = np.concatenate([[0.0], np.cumsum(np.asarray(failed, float))])
        self.trials = np.concatenate([[0.0], np.cumsum(np.asarray(trials, float))])
        gaps = np.diff(self.at).astype(float)
        if (gaps <= 0).any():
            raise ValueError("points are not in the order of time")
        # A gap has a step or not; two in one gap look like one.
        rate = _EXPECTED / gaps.sum() if len(gaps) else 0.0
        self.step = np.log(-np.expm1(-rate * gaps))
        self.calm = np.concatenate([[0.0], np.cumsum(-rate * gaps)])
        self.logs = _log_gamma_table(int(self.trials[-1]) + 1)
        self.stretches = self._stretches()

    def _stretches(self) -> Floats:
        """[i, j]: log probability of the draws at points i..j with one P and no step between."""
        first, last = np.triu_indices(self.points)
        k = self.failed[last + 1] - self.failed[first]
        n = self.trials[last + 1] - self.trials[first]
        half, whole = self.logs
        likelihood = (
            half[k.astype(int)] + half[(n - k).astype(int)] - whole[n.astype(int)]
        )  # log B(k + 1/2, n - k + 1/2) - log B(1/2, 1/2)
        table = np.full((self.points, self.points), -np.inf)
        table[first, last] = likelihood + self.calm[last] - self.calm[first]
        return table

    def forward(self) -> Floats:
        """[j]: log probability of all draws at points 0..j-1, when a stretch begins at j."""
        forward = np.zeros(self.points + 1)
        before = np.concatenate([[0.0], self.step])  # of the step in front of a stretch
        for end in range(1, self.points + 1):
            terms = forward[:end] + before[:end] + self.stretches[:end, end - 1]
            forward[end] = np.logaddexp.reduce(terms)
        return forward

    def evidence(self, forward: Floats) -> float:
        """Bayes factor of one or more steps against none."""
        flat = self.stretches[0, -1]  # with the prior probability of no step in it
        none = self.calm[-1]
        odds = math.exp(min(forward[-1] - flat, 700.0)) - 1
        return odds * math.exp(none) / -math.expm1(none)

    def largest_steps(self, forward: Floats) -> tuple[Floats, Floats, Floats]:
        """For each gap: how often the largest step lies there, and mean P before and after it."""
        draw = np.random.default_rng(_SEED)
        starts = self._histories(forward, draw)  # [history, point]: a stretch begins here
        rows, first = starts.nonzero()
        last = np.append(first[1:], 0) - 1
        last[last < first] = self.points - 1  # the next stretch begins another history
        k = self.failed[last + 1] - self.failed[first]
        n = self.trials[last + 1] - self.trials[first]
        p = draw.beta(k + _PRIOR, n - k + _PRIOR)
        # Between two stretches of one history there is a step.
        inner = np.flatnonzero(rows[1:] == rows[:-1])
        sizes = np.zeros((_HISTORIES, self.points - 1))
        sizes[rows[inner], last[inner]] = np.abs(p[inner + 1] - p[inner])
        largest = inner[sizes.argmax(axis=1)[rows[inner]] == last[inner]]
        gap = last[largest]
        count = np.bincount(gap, minlength=self.points - 1)
        seen = np.maximum(count, 1)
        before = np.bincount(gap, p[largest], self.points - 1) / seen
        after = np.bincount(gap, p[largest + 1], self.points - 1) / seen
        return count / max(count.sum(), 1), before, after

    def _histories(self, forward: Floats, draw: np.random.Generator) -> NDArray[np.bool_]:
        """Ways to cut the points into stretches, drawn from the posterior, from the end back."""
        starts = np.zeros((_HISTORIES, self.points), bool)
        starts[:, 0] = True
        before = np.concatenate([[0.0], self.step])
        end = np.full(_HISTORIES, self.points)
        for place in range(self.points, 0, -1):  # a stretch that ends before `place`
            here = np.flatnonzero(end == place)
            if len(here):
                weights = forward[:place] + before[:place] + self.stretches[:place, place - 1]
                sums = np.cumsum(np.exp(weights - forward[place]))
                begin = np.searchsorted(sums, draw.random(len(here)) * sums[-1], "right")
                starts[here, begin] = True
                end[here] = begin
        return starts

    def best_cuts(self) -> list[int]:
        """Where the stretches of the most probable way to cut begin, and the last one's end."""
        best = np.zeros(self.points + 1)
        begins = np.zeros(self.points + 1, int)
        before = np.concatenate([[0.0], self.step])
        for end in range(1, self.points + 1):
            terms = best[:end] + before[:end] + self.stretches[:end, end - 1]
            begins[end] = int(terms.argmax())
            best[end] = terms[begins[end]]
        cuts = [self.points]
        while cuts[-1]:
            cuts.append(int(begins[cuts[-1]]))
        return cuts[::-1]

    def best_steps(self) -> list[Step]:
        """The steps of the most probable way to cut, each with its neighbours where they are."""
        cuts = self.best_cuts()
        return [self._between(*ends) for ends in zip(cuts[:-2], cuts[2:], strict=True)]

    def _between(self, start: int, end: int) -> Step:
        """The one step among the points ``start`` to before ``end``."""
        inner = np.arange(start, end - 1)
        weights = (
            self.stretches[start, inner] + self.step[inner] + self.stretches[inner + 1, end - 1]
        )
        mass = np.zeros(self.points - 1)
        mass[inner] = np.exp(weights - np.logaddexp.reduce(weights))
        before = np.zeros(self.points - 1)
        after = np.zeros(self.points - 1)
        before[inner] = self._mean(np.full(len(inner), start), inner)
        after[inner] = self._mean(inner + 1, np.full(len(inner), end - 1))
        return self.located(mass, before, after)

    def _mean(self, first: NDArray[np.intp], last: NDArray[np.intp]) -> Floats:
        k = self.failed[last + 1] - self.failed[first]
        n = self.trials[last + 1] - self.trials[first]
        return (k + _PRIOR) / (n + 2 * _PRIOR)

    def located(self, mass: Floats, before: Floats, after: Floats) -> Step:
        """One step from the probability of each gap; within a gap every instant is alike."""
        sums = np.concatenate([[0.0], np.cumsum(mass)])
        gap = int(np.clip(np.searchsorted(sums, 0.5, "right") - 1, 0, len(mass) - 1))
        share = (0.5 - sums[gap]) / mass[gap]
        low, high = _shortest_run(self.at, sums)
        inside = slice(low, high)
        weight = mass[inside] / mass[inside].sum()
        return Step(
            at=int(self.at[gap]) + round(float(share) * int(self.at[gap + 1] - self.at[gap])),
            low=int(self.at[low]),
            high=int(self.at[high]),
            before=float(before[inside] @ weight),
            after=float(after[inside] @ weight),
        )


def _shortest_run(at: NDArray[np.int64], sums: Floats) -> tuple[int, int]:
    """First and last point of the shortest run of gaps that holds LEVEL of the probability."""
    best = (0, len(at) - 1)
    for low in range(len(at) - 1):
        high = int(np.searchsorted(sums, sums[low] + LEVEL - 1e-9, "left"))
        if high < len(at) and at[high] - at[low] < at[best[1]] - at[best[0]]:
            best = (low, high)
    return best


def _log_gamma_table(count: int) -> tuple[Floats, Floats]:
    """log of Γ(i + 1/2) / Γ(1/2) and of Γ(i + 1), for i from 0 to ``count``."""
    i = np.arange(1, count + 1, dtype=float)
    half = np.concatenate([[0.0], np.cumsum(np.log(i - 0.5))])
    whole = np.concatenate([[0.0], np.cumsum(np.log(i))])
    return half, whole
