"""Curves of the futures that are kept, also after an interrupt: no draw beyond a gap."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from likelihoods import recording
from recordings import ORIGIN, SECOND

from branchpoint.futures import curves
from branchpoint.futures.allocation import SEEDS
from branchpoint.futures.draws import Draw
from branchpoint.futures.running.future import Outcome
from branchpoint.futures.running.trials import Interrupted
from branchpoint.futures.sample import Sample
from branchpoint.timeline.failures import failure

FAILURE = failure("exit:db.1")


def draw(seed: int, second: int = 1, *, failed: bool = False) -> Draw:
    at = ORIGIN + second * SECOND
    verdict, failed_at = ("failed", at + 5) if failed else ("passed", None)
    return Draw(at=at, seed=seed, verdict=verdict, failed_at=failed_at, end=at + SECOND)  # type: ignore[arg-type]


def test_a_row_ends_at_its_first_gap() -> None:
    """Of each moment, and of each number that a curve was asked for with."""
    other = 3 * SEEDS
    rows = [draw(0), draw(1), draw(0, 2), draw(other), draw(other + 1)]
    beyond = [draw(3), draw(1, 3), draw(other + 5, 2), draw(SEEDS - 1)]
    assert curves.whole([*beyond, *rows[::-1]]) == sorted(rows, key=lambda d: (d.at, d.seed))
    assert curves.whole([]) == []


def test_what_an_interrupt_leaves_beyond_a_gap_is_kept_but_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failing futures are short and end first: of these three, two have failed."""
    path = tmp_path / "run.branchpoint"
    found = [Outcome(draw(0)), None, Outcome(draw(2, failed=True)), Outcome(draw(3, failed=True))]

    def stop(*_: object) -> Any:
        raise Interrupted(KeyboardInterrupt(), list(found))

    with recording(path, []) as run:
        sample = Sample(run, 1, FAILURE)
        monkeypatch.setattr(sample, "_trials", SimpleNamespace(run=stop))
        with pytest.raises(Interrupted):
            sample.run(range(4))
        (shown,) = curves.asked(run)
        (drawn,) = curves.kept(run)
        assert shown.draws == drawn.draws == [draw(0)]
        draws = curves.draws_of(run, shown.question)
        assert draws.asked == [draw(0)] and len(draws) == 3
        monkeypatch.setattr(sample, "_trials", SimpleNamespace(run=lambda *_: [Outcome(draw(1))]))
        sample.verdicts(range(4))
        (shown,) = curves.asked(run)
        assert (shown.points[0].failed, shown.points[0].trials) == (2, 4)
