"""P from draws that stopped as soon as they had enough information."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from branchpoint.futures.statistics import stopping
from branchpoint.futures.statistics.proportion import half_width, wilson
from branchpoint.futures.statistics.stopping import AIM, Rule

PRECISION = 0.1
SHARES = (0.003, 0.02, 0.05, 0.0925, 0.2, 0.5, 0.8, 0.99)


def ends(rule: Rule) -> tuple[list[tuple[int, int]], np.ndarray]:
    """All (failures, draws) at which a row may end, with the log of the number of walks to each."""
    walks, _, stops = rule._walks
    found = [
        (int(k), n)
        for n in range(rule.most + 1)
        for k in np.flatnonzero(stops[n] & np.isfinite(walks[n]))
    ]
    return found, np.array([walks[n][k] for k, n in found])


def weights(rule: Rule, p: float) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The same, with the probability of each end."""
    found, walks = ends(rule)
    k, n = np.array(found).T
    return found, np.exp(walks + k * np.log(p) + (n - k) * np.log1p(-p))


def test_walks_are_counted() -> None:
    """Compared with all rows of twelve draws."""
    rule = Rule(0.25, 4)
    count: dict[tuple[int, int], list[int]] = {}
    seen = set()
    for row in product((0, 1), repeat=12):
        n = next(
            n for n in range(4, 13)
            if half_width(sum(row[:n]), n, AIM) <= 0.25 or n == 12
        )  # fmt: skip
        if row[:n] not in seen:
            seen.add(row[:n])
            all_, failed = count.setdefault((sum(row[:n]), n), [0, 0])
            count[sum(row[:n]), n] = [all_ + 1, failed + row[0]]
    walks, failed_first, stops = rule._walks
    for (k, n), (all_, failed) in count.items():
        if n < 12:
            assert stops[n][k]
            assert np.exp(walks[n][k]) == pytest.approx(all_)
            assert np.exp(failed_first[n][k]) == pytest.approx(failed)
    assert len(count) > 5


@pytest.mark.parametrize("p", SHARES)
def test_it_ends_for_certain_and_the_mean_is_p(p: float) -> None:
    rule = stopping.rule(PRECISION)
    found, weight = weights(rule, p)
    assert weight.sum() == pytest.approx(1, abs=1e-9)
    mean = sum(
        w * stopping.estimate(k, n, PRECISION) for (k, n), w in zip(found, weight, strict=True)
    )
    assert mean == pytest.approx(p, abs=1e-9)


def test_the_share_alone_has_a_bias() -> None:
    """This is why this estimate is not used."""
    found, weight = weights(stopping.rule(PRECISION), 0.0925)
    share = sum(w * k / n for (k, n), w in zip(found, weight, strict=True))
    assert share < 0.0925 - 0.01


@pytest.mark.parametrize("p", SHARES)
def test_intervals_hold_p_in_95_percent(p: float) -> None:
    found, weight = weights(stopping.rule(PRECISION), p)
    holds = 0.0
    for (k, n), w in zip(found, weight, strict=True):
        low, high = stopping.interval(k, n, PRECISION)
        assert high - low <= 2 * PRECISION
        holds += w * (low <= p <= high)
    assert holds >= 0.95


@pytest.mark.parametrize("most", [20, 40, 77])
@pytest.mark.parametrize("p", SHARES)
def test_intervals_hold_when_somebody_stops_it(p: float, most: int) -> None:
    rule = stopping.rule(PRECISION)
    walks, _, stops = rule._walks
    holds = total = 0.0
    for n in range(1, most + 1):
        for k in np.flatnonzero(np.isfinite(walks[n]) & (stops[n] | (n == most))):
            w = float(np.exp(walks[n][k] + k * np.log(p) + (n - k) * np.log1p(-p)))
            low, high = stopping.interval(int(k), n, PRECISION)
            total += w
            holds += w * (low <= p <= high)
    assert total == pytest.approx(1, abs=1e-9)
    assert holds >= 0.95


def test_only_the_beginning_of_a_row_tells_p() -> None:
    """What decides whether a row goes on would bring a bias; censored draws are counted apart."""
    assert stopping.beginning([False] * 100, PRECISION) == (0, 20, 0)
    assert stopping.beginning([False] * 20 + [True] * 80, PRECISION) == (0, 20, 0)
    assert stopping.beginning([False] * 19 + [True] * 2, PRECISION) == (2, 21, 0)
    assert stopping.beginning([None, False] * 19 + [None, True], PRECISION) == (1, 20, 20)
    assert stopping.beginning([], PRECISION) == (0, 0, 0)


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5])
def test_rows_that_go_on_because_of_their_failures_bring_no_bias(p: float) -> None:
    """Rows with many failures at first get more draws; by all of these, P would be too low."""
    coins = np.random.default_rng(1).random((4000, 160)) < p
    rows = [row[: 160 if row[:64].mean() > p else 64].tolist() for row in coins]
    ends = [stopping.beginning(row, 0.15) for row in rows]
    assert all(stopping.is_known(end.failed, end.counted, 0.15) for end in ends)
    found = np.mean([stopping.estimate(end.failed, end.counted, 0.15) for end in ends])
    assert abs(found - p) < 0.004 < abs(np.mean([np.mean(row) for row in rows]) - p)


def test_no_draws_tell_nothing() -> None:
    assert np.isnan(stopping.estimate(0, 0, PRECISION))
    assert stopping.interval(0, 0, PRECISION) == (0, 1)


def test_draws_that_no_rule_led_to_count_as_fixed_before() -> None:
    assert stopping.interval(0, 5000, PRECISION) == stopping.exact(0, 5000)
    assert stopping.estimate(7, 5000, PRECISION) == 7 / 5000
    low, high = stopping.interval(50, 1000, 0.01)
    assert low < wilson(50, 1000)[0] < 0.05 < wilson(50, 1000)[1] < high


def test_exact_as_published() -> None:
    """Newcombe, Two-sided confidence intervals for the single proportion, Stat. Med. 17 (1998)
    857-872, table I, method 5.
    """
    assert stopping.exact(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert stopping.exact(0, 20) == pytest.approx((0, 0.1684), abs=5e-5)
    assert stopping.exact(1, 29) == pytest.approx((0.0009, 0.1776), abs=5e-5)
