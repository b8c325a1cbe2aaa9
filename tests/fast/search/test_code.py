"""What an exploration knows about code: places, their numbers, and how often each ran."""

from __future__ import annotations

import numpy as np
import pytest

from branchpoint.search.code import RARE, Code


def ran(code: Code, *places: int) -> tuple[list[int], list[int]]:
    """A stretch in which these ran, taken in."""
    seen = code.look(np.array(places, np.uint64))
    code.learn(*seen)
    return seen


def test_places_are_numbered_in_the_order_in_which_they_are_seen() -> None:
    code = Code()
    assert ran(code, 50, 70) == ([50, 70], [])
    assert ran(code, 10, 60, 70) == ([10, 60], [1])
    assert ran(code, 10, 50, 60) == ([], [0, 2, 3])
    assert code.places == [50, 70, 10, 60] and len(code) == 4
    assert code.counts.tolist() == [2, 2, 2, 2]


def test_what_runs_often_is_not_noted() -> None:
    code = Code()
    for count in range(1, RARE):
        assert ran(code, 5)[1] == ([0] if count > 1 else [])
    assert ran(code, 5) == ([], [0])
    assert ran(code, 5, 6) == ([6], [])
    assert ran(code, 5, 6) == ([], [1])
    assert code.counts.tolist() == [RARE, 2]


@pytest.mark.parametrize(
    ("fresh", "rare"),
    [([7, 6], []), ([7, 7], []), ([5], []), ([], [1]), ([], [0, 0]), ([], [-1])],
)
def test_what_cannot_be_is_refused_and_changes_nothing(fresh: list[int], rare: list[int]) -> None:
    code = Code()
    ran(code, 5)
    with pytest.raises(ValueError, match="code"):
        code.learn(fresh, rare)
    assert (code.places, code.counts.tolist()) == ([5], [1])
