"""Intervals for shares: compared with published values, and by how often they contain the truth."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.futures.statistics.proportion import (
    difference,
    fewest_more,
    half_width,
    most_trials,
    quantile,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_wilson_as_published(successes: int, trials: int, low: float, high: float) -> None:
    """Newcombe, Two-sided confidence intervals for the single proportion, Stat. Med. 17 (1998)
    857-872, table I, method 3.
    """
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_as_published(counts: tuple[int, ...], low: float, high: float) -> None:
    """Newcombe, Interval estimation for the difference, Stat. Med. 17 (1998) 873-890, table II,
    method 10.
    """
    assert difference(*counts) == pytest.approx((low, high), abs=5e-5)


def test_without_trials_nothing_is_known() -> None:
    assert wilson(0, 0) == (0, 1)
    low, high = difference(0, 0, 3, 10)
    assert low < -0.3 < 0.7 < high


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_is_a_sound_interval(failed: int, passed: int) -> None:
    n = failed + passed
    low, high = wilson(failed, n)
    assert 0 <= low < high <= 1
    assert n == 0 or low <= failed / n <= high
    assert wilson(passed, n) == pytest.approx((1 - high, 1 - low))
    assert n == 0 or half_width(failed, n, 0.8) < half_width(failed, n, 0.95)
    if n and low > 0:  # the score test is just not significant at the ends of the interval
        for end in (low, high):
            if 0 < end < 1:
                score = abs(failed / n - end) / np.sqrt(end * (1 - end) / n)
                assert score == pytest.approx(quantile(0.95))


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_a_difference_is_a_sound_interval(a: int, m: int, b: int, n: int) -> None:
    a, b = min(a, m), min(b, n)
    low, high = difference(a, m, b, n)
    assert -1 - 1e-12 <= low <= a / m - b / n <= high <= 1 + 1e-12
    assert difference(b, n, a, m) == pytest.approx((-high, -low))


def test_arrays_are_as_their_numbers() -> None:
    k, n = np.array([0, 3, 16]), np.array([16, 0 + 5, 16])
    low, high = wilson(k, n)
    assert [(a, b) for a, b in zip(low, high, strict=True)] == [
        wilson(*one) for one in zip(k, n, strict=True)
    ]
    assert difference(k, n, 1, 9)[0][1] == difference(3, 5, 1, 9)[0]


@given(st.integers(0, 100), st.integers(0, 100), st.sampled_from([0.05, 0.1, 0.2]))
def test_no_fewer_trials_can_be_enough(failed: int, passed: int, precision: float) -> None:
    more = fewest_more(failed, failed + passed, precision)
    n = failed + passed + more
    assert half_width([failed, failed + more], n).min() <= precision
    if more:
        every = np.arange(failed, failed + more)
        assert half_width(every, n - 1).min() > precision
    assert most_trials(precision) == min(
        n for n in range(1, 400) if half_width(n / 2, n) <= precision
    )


def test_what_a_tenth_costs() -> None:
    assert fewest_more(0, 0, 0.1) == 16
    assert most_trials(0.1) == 93


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.22, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0])
def test_drawing_until_it_is_narrow_keeps_the_promise(share: float) -> None:
    """The exact coverage of the interval when trials go on until it is narrow enough."""
    waiting, covered = {(0, 0): 1.0}, 0.0
    while waiting:
        k, n = min(waiting, key=lambda state: state[1])
        weight = waiting.pop((k, n))
        more = fewest_more(k, n, 0.1)
        if not more:
            low, high = wilson(k, n)
            covered += weight * bool(low <= share <= high)
        for j in range(more + 1) if more else ():
            chance = comb(more, j) * share**j * (1 - share) ** (more - j)
            waiting[k + j, n + more] = waiting.get((k + j, n + more), 0) + weight * chance
    assert covered > 0.925
