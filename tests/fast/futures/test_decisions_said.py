"""How decisions that were turned are ranked, and what is said of them."""

from __future__ import annotations

import pytest
from decided import ALL, decided

from branchpoint.futures.attribution import Rate
from branchpoint.futures.culprits.decisions import Decisions
from branchpoint.futures.culprits.turning import _likely, _needed
from branchpoint.futures.curve import CurvePoint
from branchpoint.futures.statistics.stopping import beginning


def lines(found: Decisions) -> list[int | None]:
    return [row.spot.line for row in found.rows]


def test_what_changes_little_comes_first_in_the_order_in_which_it_runs() -> None:
    """Twice as much as the least is little; a program that ends instead is not."""
    rows = [
        decided(1, lost=21),
        decided(2, lost=20),
        decided(3, Rate(1, 1), lost=0),
        decided(4, lost=1, instead=("exit a.1 1",)),
        decided(5, lost=4, new=6),
        decided(6, lost=15, censored=1),
    ]
    found = Decisions(rows, "about", ALL)
    assert lines(found) == [2, 5, 1, 4, 3, 6]
    assert [row.spot.line for row in found.decisive] == [2, 5, 1, 4]


def test_what_is_said() -> None:
    rows = [
        decided(1, condition=(2, 3), instead=("exit b.1 1", "restart b.1", "start b.1")),
        decided(2, Rate(0, 1)),
        decided(3, Rate(1, 1)),
    ]
    found = Decisions(rows, "exit of a.1: futures from main@1.0", ALL)
    assert repr(found).splitlines() == [
        "exit of a.1: futures from main@1.0",
        "3 decisions were turned, one at a time: 1 prevents the failure; 1 more does so in "
        "the one future that was tried",
        "a.py:1 f (condition 2 of 3): fails in 8/8 → 0/8; exit b.1 1, restart b.1, 10 lines run no "
        "more, 0 others do  if x1:",
    ]
    assert "if x1:" in found._repr_html_()
    assert found.futures == 8 + 8 + 1 + 1


def test_too_few_failures_and_no_decisions_are_told_apart() -> None:
    assert "too few failures to tell: 1/8 futures" in Decisions([], "", Rate(1, 8)).conclusion
    for some in (ALL, Rate(3, 8)):
        assert Decisions([], "", some).conclusion.startswith("no decision of a Python program")
    none = Decisions([decided(1, Rate(1, 1))], "", ALL)
    assert none.conclusion == "one decision was turned: none is found that prevents the failure"
    assert "a.py" not in repr(none)


@pytest.mark.parametrize(
    ("before", "tried", "count"),
    [(ALL, 1, 8), (ALL, 300, 8), (ALL, 1000, 9), (Rate(4, 8), 100, 20)],
)
def test_as_many_futures_as_chance_needs(before: Rate, tried: int, count: int) -> None:
    assert _needed(before, tried) == count


def test_the_first_point_from_which_it_fails_about_as_often_as_from_any_is_taken() -> None:
    def point(at: int, failed: int, trials: int) -> CurvePoint:
        draws = [True] * failed + [False] * (trials - failed)
        return CurvePoint(at, failed, trials, 0, 0.0, beginning(draws, 0.1), 0.1)

    points = [point(0, 1, 20), point(1, 12, 20), point(2, 18, 20), point(3, 20, 20)]
    assert _likely(points).at == 2
    assert _likely([point(0, 0, 20), point(1, 0, 20)]).at == 0
