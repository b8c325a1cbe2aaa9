"""Where P(failure) changes, and how: at once, gradually, several times, or not at all.

The model. P keeps its value until something changes it. Changes come as a Poisson process, two
expected in the whole span. Half of them happen at once: P jumps to any other value. The others are
gradual: P goes up, or down, with a speed of their own, until that ends. Draws at points only
show the gap between two points in which a jump lies, so a change that is over within one gap counts
as a jump. P is a hidden state that walks over a grid of values, evenly spaced in the arcsine of the
square root of P, which gives each value the weight of Jeffreys' prior. Sums over everything that P
may have done are exact by the forward-backward recursion, and whole histories of P are drawn from
the posterior to see what they have in common.

L. R. Rabiner, A tutorial on hidden Markov models and selected applications in speech recognition,
Proc. IEEE 77 (1989) 257-286; P. Fearnhead, Exact and efficient Bayesian inference for multiple
changepoint problems, Stat. Comput. 16 (2006) 203-213.

A change is given as the shortest run of gaps that holds all of it in 95 % of the histories. So a
rise that may have taken ten seconds is never reported as a step of a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from branchpoint.futures.statistics.proportion import LEVEL

EVIDENCE = 20.0
"""A change is reported when the draws are at least this many times more probable with changes than
without. If P is constant, that happens by chance to one curve in 20 at most, however often one
looks while draws come in (Ville's inequality)."""

_LEVELS = 64  # values of P
_EXPECTED = 2.0  # changes in the whole span, before anything is seen
_AT_ONCE = 0.5
_SPEEDS = (0.5, 1.25, 3.0, 8.0)  # of gradual changes: shares of the grid in the whole span
_FAR = 0.4  # how far they go on average, as a share of the grid
_EVEN = 10  # shape of the gamma distribution of how far they go in one gap: close to its mean
_UNDER_WAY = 0.2  # probability that P is changing already at the first point
_QUIET = 0.02  # probability of movement up to which a gap belongs to no change
_APART = 0.97  # share of the histories from which two changes are told apart
_ENDS = 0.1  # share of a movement that may be left out at each end
_HISTORIES = 1000  # drawn from the posterior
_SEED = 20  # of these histories: the same draws give the same answer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_P: Floats = np.sin(np.pi / 2 * (np.arange(_LEVELS) + 0.5) / _LEVELS) ** 2
_WAYS = 2 * len(_SPEEDS)  # up, with each speed; then down


@dataclass(frozen=True)
class Step:
    """A change of P somewhere from ``low`` to ``high``, instants at which futures were drawn."""

    at: int
    """Absolute ns: where half of the change is done, by the posterior's median."""
    low: int
    high: int
    """The shortest run of gaps that holds the whole change with 95 % probability, absolute ns."""
    before: float
    after: float
    """P on both sides of it, by posterior mean."""
    sudden: float
    """Probability that it happened within one gap."""

    @property
    def size(self) -> float:
        """By how much P rises; negative when it falls."""
        return self.after - self.before

    @property
    def gradual(self) -> bool:
        """Whether it takes longer, so that it has no single instant."""
        return self.sudden < 1 - LEVEL


class Steps:
    """What draws at some points tell about changes of P."""

    def __init__(self, at: Sequence[int], failed: Sequence[int], trials: Sequence[int]) -> None:
        """``failed[i]`` of ``trials[i]`` draws at the instants ``at[i]`` (ns, ascending)."""
        self.at: Ints = np.asarray(at, np.int64)
        self.points = len(self.at)
        gaps = np.diff(self.at).astype(float)
        if (gaps <= 0).any():
            raise ValueError("points are not in the order of time")
        k, n = np.asarray(failed, float)[:, None], np.asarray(trials, float)[:, None]
        logs = k * np.log(_P) + (n - k) * np.log1p(-_P)
        logs -= logs.max(axis=1, keepdims=True)
        self._likelihood: Floats = np.exp(logs)
        self._flat: Floats = logs.sum(axis=0)  # [level]: log likelihood if P were that all along
        span = gaps.sum() if len(gaps) else 1.0
        self._still: Floats = np.exp(-_EXPECTED * gaps / span)
        rates = np.array(_SPEEDS * 2) / span / _FAR
        self._on: Floats = np.exp(-gaps[:, None] * rates)  # [gap, way]: it goes on after the gap
        slow = (1 - _AT_ONCE) / _WAYS
        self._begin: Floats = (1 - self._still)[:, None] * slow * self._on
        self._jump: Floats = (1 - self._still) - self._begin.sum(axis=1)
        # Rounded: gaps that were halved equally often differ by a nanosecond, and share a kernel.
        self._shares = [float(f"{gap / span:.4g}") for gap in gaps]

    # -- sums over everything that P may have done

    @cached_property
    def _forward(self) -> tuple[Floats, Floats, float]:
        """[point, level] at rest, [point, way, level] on the move, scaled at each point; and the
        log of the probability of all draws."""
        rest = np.zeros((self.points, _LEVELS))
        move = np.zeros((self.points, _WAYS, _LEVELS))
        total = 0.0
        for i in range(self.points):
            if i == 0:
                rest[0] = (1 - _UNDER_WAY) / _LEVELS
                move[0] = _UNDER_WAY / _WAYS / _LEVELS
            else:
                gap = i - 1
                both = np.stack([move[gap], np.broadcast_to(rest[gap], (_WAYS, _LEVELS))], axis=1)
                moved, started = (both @ _kernel(self._shares[gap])).transpose(1, 0, 2)
                ended = (1 - self._on[gap]) @ moved
                rest[i] = self._still[gap] * rest[gap] + ended
                rest[i] += self._jump[gap] * rest[gap].sum() / _LEVELS
                move[i] = self._begin[gap][:, None] * started + self._on[gap][:, None] * moved
            rest[i] *= self._likelihood[i]
            move[i] *= self._likelihood[i]
            scale = rest[i].sum() + move[i].sum()
            rest[i] /= scale
            move[i] /= scale
            total += float(np.log(scale))
        return rest, move, total

    def _moved(self, gap: int, from_: Floats) -> Floats:
        """[way, level]: where P may be after a gap when it is on the move."""
        return np.matmul(from_[:, None, :], _kernel(self._shares[gap]))[:, 0]

    @cached_property
    def evidence(self) -> float:
        """Bayes factor of "P changes" against "P is constant"; may be infinite."""
        if self.points < 2:
            return 1.0
        flat = float(np.logaddexp.reduce(self._flat)) - np.log(_LEVELS)
        constant = (1 - _UNDER_WAY) * float(self._still.prod())
        odds = np.exp(min(self._forward[2] - flat, 700.0)) - constant
        return float(max(odds, 0.0) / (1 - constant))

    @property
    def movement(self) -> tuple[Floats, Floats]:
        """For each gap, the probability that P changes there, and that a whole change is in it."""
        return self._smoothed[0], self._smoothed[1]

    @property
    def mean(self) -> Floats:
        """For each point, the posterior mean of P."""
        return self._smoothed[2]

    @cached_property
    def _smoothed(self) -> tuple[Floats, Floats, Floats]:
        """What all draws together tell: :attr:`movement` and :attr:`mean`."""
        rest, move, _ = self._forward
        still = np.zeros(max(self.points - 1, 0))
        jump = np.zeros(max(self.points - 1, 0))
        mean = np.zeros(self.points)
        mean[-1:] = (rest[-1:] + move[-1:].sum(axis=1)) @ _P
        after_rest = np.ones(_LEVELS)
        after_move = np.ones((_WAYS, _LEVELS))
        for gap in range(self.points - 2, -1, -1):
            seen_rest = self._likelihood[gap + 1] * after_rest
            seen_move = self._likelihood[gap + 1] * after_move
            here_still = self._still[gap] * rest[gap] @ seen_rest
            here_jump = self._jump[gap] * rest[gap].sum() * seen_rest.mean()
            both = np.stack([seen_move, np.broadcast_to(seen_rest, (_WAYS, _LEVELS))], axis=2)
            begins, ends = (_kernel(self._shares[gap]) @ both).transpose(2, 0, 1)
            after_rest = self._still[gap] * seen_rest + self._jump[gap] * seen_rest.mean()
            after_rest = after_rest + self._begin[gap] @ begins
            on = self._on[gap][:, None]
            after_move = on * begins + (1 - on) * ends
            here = rest[gap] * after_rest + (move[gap] * after_move).sum(axis=0)
            all_ = here.sum()
            still[gap], jump[gap], mean[gap] = here_still / all_, here_jump / all_, here @ _P / all_
            after_rest, after_move = after_rest / all_, after_move / all_
        return np.clip(1 - still, 0, 1), np.clip(jump, 0, 1), mean

    # -- histories of P

    @cached_property
    def _histories(self) -> tuple[Ints, NDArray[np.int8]]:
        """[history, point]: the level of P; [history, gap]: 0 at rest, 1 a jump, 2 on the
        way up, 3 down."""
        rest, move, _ = self._forward
        draw = np.random.default_rng(_SEED)
        levels = np.zeros((_HISTORIES, self.points), np.int64)
        moves = np.zeros((_HISTORIES, max(self.points - 1, 0)), np.int8)
        weights = np.concatenate([rest[-1], move[-1].ravel()])
        state = _choose(np.cumsum(weights), draw.random(_HISTORIES))
        mode, level = state // _LEVELS, state % _LEVELS  # 0: at rest; way + 1: on the move
        levels[:, -1] = level
        for gap in range(self.points - 2, -1, -1):
            resting = np.cumsum(rest[gap])
            moving = self._moved(gap, move[gap])
            starting = self._moved(gap, np.broadcast_to(rest[gap], (_WAYS, _LEVELS)))
            options = np.zeros((_HISTORIES, 2 + _WAYS))
            still = mode == 0
            at_rest, on_move = np.flatnonzero(still), np.flatnonzero(~still)
            options[at_rest, 0] = self._still[gap] * rest[gap][level[at_rest]]
            options[at_rest, 1] = self._jump[gap] * resting[-1] / _LEVELS
            options[at_rest, 2:] = ((1 - self._on[gap])[:, None] * moving[:, level[at_rest]]).T
            way = mode[on_move] - 1
            options[on_move, 0] = self._begin[gap][way] * starting[way, level[on_move]]
            options[on_move, 1] = self._on[gap][way] * moving[way, level[on_move]]
            sums = np.cumsum(options, axis=1)
            choice = _choose(sums, draw.random(_HISTORIES))
            chance = draw.random(_HISTORIES)
            before, now = level.copy(), mode.copy()
            jumped = still & (choice == 1)
            before[jumped] = _choose(
                np.broadcast_to(resting, (jumped.sum(), _LEVELS)), chance[jumped]
            )
            moves[jumped, gap] = 1
            ended = still & (choice > 1)
            now[ended] = choice[ended] - 1
            began = ~still & (choice == 0)
            way_of = np.where(began, mode, now) - 1
            now[began] = 0
            goes = np.flatnonzero(ended | ~still)
            way = way_of[goes]
            came = np.where(began[goes, None], rest[gap], move[gap][way])
            came *= _kernel(self._shares[gap])[way, :, level[goes]]
            before[goes] = _choose(np.cumsum(came, axis=1), chance[goes])
            moves[goes, gap] = np.where(way < len(_SPEEDS), 2, 3)
            level, mode = before, now
            levels[:, gap] = level
        return levels, moves

    @cached_property
    def steps(self) -> list[Step]:
        """The changes that are there with 95 % probability, in the order of time."""
        if self.points < 2 or self.evidence < EVIDENCE:
            return []
        _, moves = self._histories
        moving = (moves > 0).mean(axis=0) > _QUIET
        found: list[Step] = []
        for first, last in runs(moving):
            found += self._in(first, last + 1)
        return found

    def _in(self, first: int, last: int) -> list[Step]:
        """The changes in the gaps ``first`` to before ``last``."""
        levels, moves = self._histories
        here = moves[:, first:last] > 0
        walks = _P[levels[:, first : last + 1]]
        some = here.any(axis=1) & (np.ptp(walks, axis=1) > 0)  # a jump may end where it began
        if some.mean() < LEVEL:
            return []
        for place in range(first + 1, last):  # two changes, with P at rest at this point between
            across = (moves[:, place - 1] > 1) & (moves[:, place - 1] == moves[:, place])
            left = (moves[:, first:place] > 0).any(axis=1)
            right = (moves[:, place:last] > 0).any(axis=1)
            if (left & right & ~across).mean() >= _APART:
                return [*self._in(first, place), *self._in(place, last)]
        moved = np.diff(walks[some], axis=1)
        start, stop = _around_the_largest(moved)
        low, high = self._shortest(first + start, first + stop)
        before, after = _P[levels[some, low]], _P[levels[some, high]]
        half = self._halfway(levels[some, low : high + 1]) + low
        sure = (stop - start == 1).mean()
        return [
            Step(
                at=self._median(half, low, high),
                low=int(self.at[low]),
                high=int(self.at[high]),
                before=float(before.mean()),
                after=float(after.mean()),
                sudden=float(sure),
            )
        ]

    def _shortest(self, start: Ints, stop: Ints) -> tuple[int, int]:
        """First and last point of the shortest run that holds LEVEL of these, each whole."""
        best = (int(start.min()), int(stop.max()))
        for low in np.unique(start):
            inside = np.sort(stop[start >= low])
            needed = int(np.ceil(LEVEL * len(start)))
            if len(inside) < needed:
                break
            high = int(inside[needed - 1])
            if self.at[high] - self.at[low] < self.at[best[1]] - self.at[best[0]]:
                best = (int(low), high)
        return best

    @staticmethod
    def _halfway(levels: Ints) -> Ints:
        """In which gap of these P passes the middle between its ends."""
        p = _P[levels]
        middle = (p[:, :1] + p[:, -1:]) / 2
        rising = p[:, -1:] >= p[:, :1]
        passed = np.where(rising, p >= middle, p <= middle)
        passed[:, 0] = False
        return passed.argmax(axis=1) - 1

    def _median(self, gap: Ints, low: int, high: int) -> int:
        """The median instant (ns) at which histories pass the middle; within a gap every instant is
        equally probable.
        """
        mass = np.bincount(np.clip(gap, low, high - 1), minlength=high)
        sums = np.concatenate([[0], np.cumsum(mass)]) / len(gap)
        chosen = int(np.clip(np.searchsorted(sums, 0.5, "right") - 1, low, high - 1))
        share = (0.5 - sums[chosen]) / max(mass[chosen] / len(gap), 1e-9)
        begin, end = int(self.at[chosen]), int(self.at[chosen + 1])
        return begin + round(float(np.clip(share, 0, 1)) * (end - begin))


@lru_cache(64)
def _kernel(gap: float) -> Floats:
    """[way, from, to]: the probability that P gets from one level to another in a gap, which is
    that share of the span, while it is on the move. What would be beyond 0 and 1 is left out, so P
    cannot move for long near its ends.
    """
    from scipy.special import gammainc  # imports for a quarter of a second

    mean = _LEVELS * gap * np.array(_SPEEDS)[:, None]
    edges = np.concatenate([[0.0], np.arange(_LEVELS) + 0.5])
    steps = np.diff(gammainc(_EVEN, _EVEN * edges / mean), axis=1)  # [way, levels further]
    further = np.arange(_LEVELS)[None, :] - np.arange(_LEVELS)[:, None]
    up = np.where(further >= 0, steps[:, np.maximum(further, 0)], 0.0)
    return np.ascontiguousarray(np.concatenate([up, up.transpose(0, 2, 1)]))


def _choose(sums: Floats, chance: Floats) -> Ints:
    """For each chance from 0 to 1, which of the weights with these sums it falls on."""
    return np.minimum((sums < (chance * sums[..., -1])[:, None]).sum(axis=1), sums.shape[-1] - 1)


def _around_the_largest(moved: Floats) -> tuple[Ints, Ints]:
    """In each row, the movement, without rest and in one direction, that has the largest gap: its
    first gap, and the one after its last. Its ends, which are mostly chance, are left out.
    """
    gap = np.arange(moved.shape[1])
    largest = np.abs(moved).argmax(axis=1)[:, None]
    sign = np.sign(np.take_along_axis(moved, largest, axis=1))
    other = moved * sign <= 0
    start = np.where(other & (gap < largest), gap + 1, 0).max(axis=1)[:, None]
    stop = np.where(other & (gap > largest), gap, moved.shape[1]).min(axis=1)[:, None]
    done = np.cumsum(np.where((gap >= start) & (gap < stop), np.abs(moved), 0.0), axis=1)
    done /= np.maximum(done[:, -1:], 1e-12)
    begin = np.minimum((done <= _ENDS).sum(axis=1), largest[:, 0])
    return begin, np.maximum((done < 1 - _ENDS).sum(axis=1), largest[:, 0]) + 1


def runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of true flags."""
    edges = np.diff(np.concatenate([[False], flags, [False]]).astype(int))
    return list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True))
