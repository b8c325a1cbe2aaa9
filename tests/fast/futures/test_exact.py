"""Exact tests of many causes at once, compared with counting all tables in whole numbers."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.futures.statistics.exact import Chances, percent, perfect, together

Table = tuple[int, int]  # of a cause: the failing and the passing futures in which it happened


def ways(failed: int, passed: int, count: int) -> dict[int, int]:
    """The number of ways in which so many failing futures are among ``count`` futures."""
    found = {k: comb(failed, k) * comb(passed, count - k) for k in range(count + 1)}
    return {k: number for k, number in found.items() if number}


def alone(failed: int, passed: int, table: Table) -> Fraction:
    """Fisher's two-sided probability."""
    all_of_them = ways(failed, passed, sum(table))
    mine = all_of_them[table[0]]
    as_odd = sum(number for number in all_of_them.values() if number <= mine)
    return Fraction(as_odd, comb(failed + passed, sum(table)))


def any_below(failed: int, passed: int, tables: list[Table], level: Fraction) -> Fraction:
    """The sum, over all causes, of the probability of so low a p-value by chance."""
    total = Fraction(0)
    for table in tables:
        count = sum(table)
        for k, number in ways(failed, passed, count).items():
            if alone(failed, passed, (k, count - k)) <= level:
                total += Fraction(number, comb(failed + passed, count))
    return total


@st.composite
def samples(draw: st.DrawFn) -> tuple[int, int, list[Table]]:
    failed, passed = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    table = st.tuples(st.integers(0, failed), st.integers(0, passed))
    return failed, passed, draw(st.lists(table, max_size=7))


@given(samples())
def test_probabilities_are_those_of_counting(sample: tuple[int, int, list[Table]]) -> None:
    failed, passed, tables = sample
    found = Chances([t[0] for t in tables], [t[1] for t in tables], failed, passed)
    levels = [alone(failed, passed, table) for table in tables]
    assert found.alone == pytest.approx([float(level) for level in levels], rel=1e-9)
    together = [min(any_below(failed, passed, tables, level), Fraction(1)) for level in levels]
    assert found.chance == pytest.approx([float(each) for each in together], rel=1e-9)


@given(samples())
def test_a_perfect_cause_counts_as_one_more(sample: tuple[int, int, list[Table]]) -> None:
    failed, passed, tables = sample
    found = Chances([t[0] for t in tables], [t[1] for t in tables], failed, passed)
    if not failed or not passed:
        assert found.of_perfect == 1
        return
    one = (failed, 0) if failed <= passed else (0, passed)
    level = alone(failed, passed, one)
    assert perfect(min(failed, passed), failed + passed) == pytest.approx(float(level))
    together = min(any_below(failed, passed, [*tables, one], level), Fraction(1))
    assert found.of_perfect == pytest.approx(float(together), rel=1e-9)


def test_those_that_can_never_look_odd_cost_nothing() -> None:
    """Tarone's correction: a thousand causes that each happen in one future only."""
    found = Chances([5, *[0] * 1000], [0, *[1] * 1000], 5, 35)
    assert found.chance[0] == pytest.approx(found.alone[0]) == pytest.approx(1 / comb(40, 5))
    assert (found.chance[1:] == 1).all()


def test_it_does_not_matter_how_many_are_looked_at_in_one_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(1)
    failing, passing = draw.integers(0, 13, 50), draw.integers(0, 31, 50)
    whole = Chances(failing.tolist(), passing.tolist(), 12, 30)
    monkeypatch.setattr("branchpoint.futures.statistics.exact._AT_ONCE", 40)
    pieces = Chances(failing.tolist(), passing.tolist(), 12, 30)
    assert (whole.alone == pieces.alone).all()
    assert whole.chance == pytest.approx(pieces.chance)


def test_thousands_of_futures_are_no_matter() -> None:
    found = Chances([2000, 1010, 0], [0, 990, 3000], 2000, 3000)
    assert found.chance[0] == found.chance[2] == 0
    assert found.alone[1] < found.chance[1] < 1e-9


def test_the_odder_of_some_tests_do_not_count_for_the_others() -> None:
    assert together([]) == []
    assert together([0.02]) == [0.02]
    assert together([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert together([0.6, 0.001, 0.7]) == pytest.approx([1, 0.003, 1])


def test_a_chance_in_words_stays_on_its_side_of_the_limit() -> None:
    words = [percent(chance) for chance in (1e-9, 0.0123, 0.04999, 0.05, 0.0501, 0.25, 1)]
    assert words == ["under 0.1 %", "1.2 %", "4.9 %", "5 %", "5.1 %", "25 %", "100 %"]
