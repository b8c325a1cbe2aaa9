"""Steps of P(failure): found where they are, and not where there are none."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.explore import turning

AT = [0, 10, 25, 30, 50, 60]


def by_hand(at: list[int], failed: list[int], trials: list[int]) -> dict[tuple[int, ...], float]:
    """The weight of every set of gaps with steps, added up without any recursion."""
    gaps = np.diff(at) / (at[-1] - at[0])
    chance = 1 - np.exp(-gaps)

    def beta(a: float, b: float) -> float:
        return math.gamma(a) * math.gamma(b) / math.gamma(a + b)

    weights = {}
    for count in range(len(at)):
        for cut in itertools.combinations(range(len(at) - 1), count):
            weight = math.prod(
                chance[gap] if gap in cut else 1 - chance[gap] for gap in range(len(at) - 1)
            )
            edges = [0, *(gap + 1 for gap in cut), len(at)]
            for first, end in itertools.pairwise(edges):
                k, n = sum(failed[first:end]), sum(trials[first:end])
                weight *= beta(k + 0.5, n - k + 0.5) / beta(0.5, 0.5)
            weights[cut] = weight
    return weights


@given(st.lists(st.integers(0, 5), min_size=6, max_size=6), st.integers(5, 9))
def test_the_evidence_is_the_sum_over_all_segmentations(failed: list[int], n: int) -> None:
    weights = by_hand(AT, failed, [n] * 6)
    flat = weights.pop(())
    prior = math.exp(-1)
    exact = sum(weights.values()) / (1 - prior) / (flat / prior)
    assert turning.find(AT, failed, [n] * 6).evidence == pytest.approx(exact)


def test_the_drawn_histories_follow_the_exact_posterior() -> None:
    failed, trials = [1, 0, 2, 6, 7, 8], [8] * 6
    weights = by_hand(AT, failed, trials)
    total = sum(weights.values())
    counts = turning._Counts(AT, failed, trials)
    starts = counts._histories(counts.forward(), np.random.default_rng(1))
    for gap in range(5):
        exact = sum(w for cut, w in weights.items() if gap in cut) / total
        assert starts[:, gap + 1].mean() == pytest.approx(exact, abs=0.03)
    best = max(weights, key=lambda cut: weights[cut])
    assert counts.best_cuts() == [0, *(gap + 1 for gap in best), 6]
    assert len(counts.best_steps()) == len(best)


def test_one_clear_step() -> None:
    found = turning.find([0, 10, 20, 30], [0, 0, 16, 16], [16] * 4)
    step = found.turning
    assert step is not None
    assert (step.low, step.at, step.high) == (10, 15, 20)
    assert step.before < 0.05
    assert step.after > 0.95
    assert found.steps == [step] or found.steps[0].at == step.at
    assert found.evidence > 1e6


def test_of_two_steps_the_larger_one_is_the_turning_point() -> None:
    found = turning.find([0, 5, 10, 15, 20, 25], [20, 25, 47, 48, 93, 93], [93, 93, 93, 93, 93, 93])
    assert found.turning is not None
    assert (found.turning.low, found.turning.high) == (15, 20)
    assert [(step.low, step.high) for step in found.steps] == [(5, 10), (15, 20)]
    assert found.turning.size == pytest.approx(0.5, abs=0.07)


def test_a_fall_can_be_the_turning_point() -> None:
    found = turning.find([0, 10, 20], [16, 1, 0], [16, 16, 16])
    assert found.turning is not None
    assert (found.turning.low, found.turning.high) == (0, 10)
    assert found.turning.size < -0.8


def test_a_slope_has_a_turning_point_that_is_hardly_known() -> None:
    at = list(range(0, 100, 10))
    found = turning.find(at, [4, 9, 13, 18, 22, 27, 31, 36, 40, 45], [50] * 10)
    assert found.turning is not None
    assert found.turning.high - found.turning.low >= 50


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.5, 1.0])
def test_a_flat_curve_has_no_turning_point(share: float) -> None:
    """In no more than 1 of 20 flat curves is a step taken for real."""
    draw = np.random.default_rng(5)
    at = list(range(0, 100, 10))
    found = [turning.find(at, draw.binomial(40, share, 10).tolist(), [40] * 10) for _ in range(100)]
    assert sum(one.turning is not None for one in found) <= 5
    assert all(one.steps == [] for one in found if one.turning is None)


def test_too_little_says_nothing() -> None:
    assert turning.find([], [], []).turning is None
    assert turning.find([5], [3], [4]).turning is None
    assert turning.find([0, 5], [0, 0], [0, 0]).turning is None
    assert turning.find([0, 5], [0, 1], [1, 1]).turning is None


def test_points_must_be_in_order() -> None:
    with pytest.raises(ValueError, match="order of time"):
        turning.find([0, 0], [1, 1], [1, 1])


def test_many_draws_do_not_overflow() -> None:
    found = turning.find([0, 1, 2], [0, 0, 100_000], [100_000] * 3)
    assert found.turning is not None
    assert math.isfinite(found.evidence)
    assert (found.turning.low, found.turning.high) == (1, 2)


def test_the_same_draws_give_the_same_answer() -> None:
    asked = ([0, 10, 20, 30, 40], [3, 9, 20, 31, 40], [40] * 5)
    first, second = turning.find(*asked), turning.find(*asked)
    assert first.turning == second.turning
    assert (first.mass == second.mass).all()
