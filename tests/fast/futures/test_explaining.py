"""What an explanation says: since when a failure was likely."""

from __future__ import annotations

from pathlib import Path

import pytest
from coinfutures import Known, drawn, settings
from likelihoods import END, moved, recording
from recordings import ORIGIN, SECOND, event

from branchpoint.futures.curve import Curve
from branchpoint.futures.draws import Question
from branchpoint.futures.explaining import _since

QUESTION = Question(failure="exit of db.1", failure_key="ab", horizon=END + SECOND)
EVENTS = [
    event(5, type="container.start", source="life", container="db.1", text="starts"),
    event(20, type="container.start", source="life", container="web.1", text="starts"),
]


def since(path: Path, chances: tuple[float, float, float]) -> str:
    """What is said where P changes at 5.02 s and at 20.02 s."""
    first, second, third = chances
    system = Known("", lambda t: first if t < 5.02 else second if t < 20.02 else third, 0)
    allocation, _ = drawn(system, settings())
    draws = [moved(draw) for draw in allocation.used()]
    with recording(path, EVENTS) as run:
        return _since(Curve(run, QUESTION, (ORIGIN, END), draws))


def test_a_fall_is_not_when_it_became_likely(tmp_path: Path) -> None:
    """Here the fall is larger than the rise, and is the turning point."""
    said = since(tmp_path / "x.branchpoint", (0.9, 0.05, 0.5))
    assert said.startswith("When it became likely: P(failure) 0.0")
    assert "web.1 starts" in said and "db.1 starts" not in said


@pytest.mark.parametrize(
    ("chances", "words"),
    [
        ((0.9, 0.9, 0.05), "When it became likely is not known, only when it became less likely: "),
        ((0.5, 0.5, 0.5), "When it became likely: no turning point: no change of P(failure)"),
    ],
)
def test_where_it_never_became_likelier_no_moment_is_named(
    tmp_path: Path, chances: tuple[float, float, float], words: str
) -> None:
    said = since(tmp_path / "x.branchpoint", chances)
    assert said.startswith(words) and "starts" not in said
