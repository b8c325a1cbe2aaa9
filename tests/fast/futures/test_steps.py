"""Changes of P(failure): found where they are, with the right kind; none found where none is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from coinfutures import SECOND, Known, drawn, settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from branchpoint.futures.statistics import steps
from branchpoint.futures.statistics.steps import Steps

AT = [0, 10, 25, 30, 50, 60]


def dense(gap: float) -> tuple[np.ndarray, np.ndarray]:
    """The transition matrix of P over a gap, given as a share of the span: probabilities from each
    state to each state; and the part of this matrix that keeps P unchanged.

    A state is (mode, level), with mode 0 at rest. Written from the description of the model.
    """
    levels, ways = steps._LEVELS, steps._WAYS
    kernel = steps._kernel(float(f"{gap:.4g}"))
    still = np.exp(-steps._EXPECTED * gap)
    speeds = np.array(steps._SPEEDS * 2)
    goes_on = np.exp(-gap * speeds / steps._FAR)
    everything = np.zeros((1 + ways, levels, 1 + ways, levels))
    rests = np.zeros_like(everything)
    rests[0, :, 0, :] = still * np.eye(levels)
    begins = (1 - still) * (1 - steps._AT_ONCE) / ways * goes_on
    everything[0, :, 0, :] = (1 - still - begins.sum()) / levels
    for way in range(ways):
        everything[0, :, 1 + way, :] = begins[way] * kernel[way]
        everything[1 + way, :, 1 + way, :] = goes_on[way] * kernel[way]
        everything[1 + way, :, 0, :] = (1 - goes_on[way]) * kernel[way]
    size = (1 + ways) * levels
    return (everything + rests).reshape(size, size), rests.reshape(size, size)


def begin() -> np.ndarray:
    """The probability of each state at the first point."""
    start = np.full((1 + steps._WAYS, steps._LEVELS), steps._UNDER_WAY / steps._WAYS)
    start[0] = 1 - steps._UNDER_WAY
    return start.ravel() / steps._LEVELS


@examples(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=6, max_size=6), st.integers(5, 9))
def test_the_sums_are_those_over_all_states(failed: list[int], n: int) -> None:
    found = Steps(AT, failed, [n] * 6)
    matrices = [dense((b - a) / 60) for a, b in pairwise(AT)]
    seen = [np.tile(steps._P**k * (1 - steps._P) ** (n - k), 1 + steps._WAYS) for k in failed]
    before = [begin() * seen[0]]
    for (matrix, _), here in zip(matrices, seen[1:], strict=True):
        before.append((before[-1] @ matrix) * here)
    after = [np.ones_like(seen[0])]
    for (matrix, _), here in zip(matrices[::-1], seen[:0:-1], strict=True):
        after.append(matrix @ (here * after[-1]))
    after.reverse()
    total = before[-1].sum()
    flat = np.prod([here[: steps._LEVELS] for here in seen], axis=0).mean()
    constant = (1 - steps._UNDER_WAY) * np.exp(-steps._EXPECTED)
    exact = (total - constant * flat) / (1 - constant) / flat
    assert found.evidence == pytest.approx(exact, rel=1e-6)
    for gap, (_, rests) in enumerate(matrices):
        stays = before[gap] @ rests @ (seen[gap + 1] * after[gap + 1]) / total
        assert found.movement[0][gap] == pytest.approx(1 - stays, abs=1e-9)


def test_the_drawn_histories_follow_the_exact_posterior() -> None:
    found = Steps(AT, [1, 0, 2, 6, 7, 8], [8] * 6)
    levels, moves = found._histories
    moving, whole = found.movement
    assert (moves > 0).mean(axis=0) == pytest.approx(moving, abs=0.05)
    assert (moves == 1).mean(axis=0) == pytest.approx(whole, abs=0.05)
    changes = np.diff(levels, axis=1)
    assert (changes[moves == 0] == 0).all()
    assert (changes[moves == 2] >= 0).all()
    assert (changes[moves == 3] <= 0).all()


def test_one_clear_step() -> None:
    (step,) = Steps([0, 10, 20, 30], [0, 0, 16, 16], [16] * 4).steps
    assert (step.low, step.high) == (10, 20)
    assert step.at == pytest.approx(15, abs=1)
    assert step.before < 0.08
    assert step.after > 0.92
    assert not step.gradual


def test_two_steps_and_their_sizes() -> None:
    first, second = Steps([0, 5, 10, 15, 20, 25], [250, 250, 470, 480, 930, 930], [930] * 6).steps
    assert [(step.low, step.high) for step in (first, second)] == [(5, 10), (15, 20)]
    assert first.size == pytest.approx(0.24, abs=0.03)
    assert second.size == pytest.approx(0.49, abs=0.03)


def test_a_fall() -> None:
    (step,) = Steps([0, 10, 20, 30], [32, 32, 1, 0], [32] * 4).steps
    assert (step.low, step.high) == (10, 20)
    assert step.size < -0.8


def test_a_ramp_is_called_a_ramp() -> None:
    at = list(range(0, 100, 10))
    (slope,) = Steps(at, [4, 9, 13, 18, 22, 27, 31, 36, 40, 45], [50] * 10).steps
    assert slope.gradual
    assert slope.high - slope.low >= 60


def test_a_ramp_among_rests_is_placed() -> None:
    at = list(range(0, 200, 10))
    share = np.clip((np.array(at) - 50) / 80, 0, 1) * 0.8 + 0.1
    (slope,) = Steps(at, (share * 200).round().astype(int).tolist(), [200] * 20).steps
    assert slope.gradual
    assert 40 <= slope.low <= 70
    assert 110 <= slope.high <= 150


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.5, 1.0])
def test_where_p_is_one_and_the_same_no_change_is_told(share: float) -> None:
    """Except in at most 1 of 20."""
    draw = np.random.default_rng(5)
    at = list(range(0, 100, 10))
    found = [Steps(at, draw.binomial(40, share, 10).tolist(), [40] * 10).steps for _ in range(200)]
    assert sum(map(bool, found)) <= 10


def _dice(t: float) -> float:
    return 0.1 if t < 6 else 0.36 if t < 13.1 else 0.74 if t < 21 else 1.0


def _ramp(t: float) -> float:
    return 0.1 + 0.8 * min(max((t - 8) / 12, 0), 1)


def _hazard(t: float) -> float:
    return float(1 - np.exp(-0.08 * (30 - t)))


def _curve(chance: Callable[[float], float], seed: int) -> Steps:
    allocation, _ = drawn(Known("", chance, 0), settings(seed))
    counts = dict.fromkeys(allocation.points, (0, 0))
    for draw in allocation.used():
        k, n = counts[draw.at]
        counts[draw.at] = k + (draw.verdict == "failed"), n + 1
    return Steps(list(counts), *zip(*counts.values(), strict=True))


@pytest.mark.parametrize(
    ("chance", "causes"),
    [
        (_dice, [6, 13.1, 21]),
        (lambda t: 0.0 if t < 15.2 else 0.1, [15.2]),
        (lambda t: 0.05 if t < 15.2 else 0.2, [15.2]),
    ],
    ids=["dice", "rare", "seldom and more often"],
)
def test_curves_find_all_steps(chance: Callable[[float], float], causes: list[float]) -> None:
    right = 0
    for seed in range(20):
        found = _curve(chance, seed).steps
        right += len(found) == len(causes) and all(
            abs(step.at / SECOND - cause) <= 0.5 for step, cause in zip(found, causes, strict=True)
        )
    assert right >= 18


@pytest.mark.parametrize(("chance", "length"), [(_ramp, 12), (_hazard, 30)], ids=["ramp", "hazard"])
def test_what_takes_its_time_is_no_step(chance: Callable[[float], float], length: float) -> None:
    for seed in range(20):
        found = _curve(chance, seed).steps
        assert found
        for step in found:
            assert (step.high - step.low) / SECOND >= length / 4


def test_too_little_says_nothing() -> None:
    assert Steps([], [], []).steps == []
    assert Steps([5], [3], [4]).steps == []
    assert Steps([0, 5], [0, 0], [0, 0]).steps == []
    assert Steps([0, 5], [0, 1], [1, 1]).steps == []


def test_points_may_be_a_nanosecond_apart() -> None:
    second = 1_000_000_000
    at = [0, 10 * second, 10 * second + 1, 20 * second]
    (step,) = Steps(at, [0, 0, 32, 32], [32] * 4).steps
    assert (step.low, step.high) == (10 * second, 10 * second + 1)


def test_many_points_do_not_vanish() -> None:
    draw = np.random.default_rng(0)
    share = np.where(np.arange(2000) < 900, 0.2, 0.6)
    (step,) = Steps(list(range(2000)), draw.binomial(30, share).tolist(), [30] * 2000).steps
    assert step.low <= 899 <= 900 <= step.high
    assert step.high - step.low <= 5
    assert (
        Steps(list(range(2000)), draw.binomial(30, [0.3] * 2000).tolist(), [30] * 2000).steps == []
    )


@pytest.mark.parametrize("n", [8, 16])
def test_every_outcome_of_two_points_is_told(n: int) -> None:
    for first in range(n + 1):
        for last in range(n + 1):
            for step in Steps([0, SECOND], [first, last], [n, n]).steps:
                assert (step.low, step.high) == (0, SECOND)
                assert (step.size > 0) == (last > first)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=6))
@examples(max_examples=60, deadline=None)
def test_changes_lie_between_points_one_after_the_other(draws: list[tuple[int, int]]) -> None:
    failed, trials = [k for k, _ in draws], [k + passed for k, passed in draws]
    found = Steps([i * SECOND for i in range(len(draws))], failed, trials).steps
    edges = [edge for step in found for edge in (step.low, step.high)]
    assert edges == sorted(edges)
    assert all(0 <= step.low < step.high <= (len(draws) - 1) * SECOND for step in found)


def test_points_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="order of time"):
        Steps([0, 0], [1, 1], [1, 1])


def test_many_draws_do_not_overflow() -> None:
    (step,) = Steps([0, 1, 2], [0, 0, 100_000], [100_000] * 3).steps
    assert (step.low, step.high) == (1, 2)


def test_the_same_draws_give_the_same_answer() -> None:
    asked = ([0, 10, 20, 30, 40], [3, 9, 20, 31, 40], [40] * 5)
    assert Steps(*asked).steps == Steps(*asked).steps


def test_a_step_within_one_gap_is_told_in_its_middle() -> None:
    (step,) = Steps([0, 10 * SECOND], [0, 32], [32, 32]).steps
    assert step.at == pytest.approx(5 * SECOND, rel=1e-6)
    assert step.sudden == 1


def test_the_instant_of_a_step_has_as_many_histories_before_it_as_after_it() -> None:
    """P crosses the middle at a point known to fail in half of the cases, or right beside it."""
    at = [i * SECOND for i in range(5)]
    (step,) = Steps(at, [0, 0, 8, 16, 16], [16] * 5).steps
    assert step.at == pytest.approx(2 * SECOND, abs=SECOND / 10)


def test_the_median_lies_in_the_gap_that_has_it() -> None:
    known = Steps([0, 10, 20, 40, 50], [0] * 5, [1] * 5)
    for first, expected in ((42, 20 + 20 * 8 / 58), (58, 10 + 10 * 50 / 58), (0, 20 + 20 / 2)):
        gap = np.array([1] * first + [2] * (100 - first))
        assert known._median(gap, 0, 4) == round(expected)
