"""How a change changes P(failure): how many futures are drawn, and what is said of them."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import recordings

from branchpoint.clock import SECOND
from branchpoint.errors import BranchpointError
from branchpoint.futures.attribution import Rate
from branchpoint.futures.draws import Draw
from branchpoint.futures.recording import Recording
from branchpoint.futures.running.future import Outcome
from branchpoint.futures.sample import MOST
from branchpoint.futures.what_if import WhatIf, _inputs, _more, judged
from branchpoint.store.manifest import Input
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.replaying.history import COMMAND, FAULT

Pairs = list[tuple[Outcome, Outcome]]


def outcome(verdict: str) -> Outcome:
    failed_at = 5 if verdict == "failed" else None
    return Outcome(Draw(at=0, seed=0, verdict=verdict, failed_at=failed_at, end=9))  # type: ignore[arg-type]


def drawn(before: float, after: float, seed: int) -> Pairs:
    """Pairs of futures that fail with these probabilities, as many as are asked for."""
    chance, pairs, more = random.Random(seed), [], 20
    while more:
        pairs += [
            tuple(outcome("failed" if chance.random() < p else "passed") for p in (before, after))
            for _ in range(more)
        ]
        more = _more(pairs)
    return pairs


def result(before: tuple[int, int], after: tuple[int, int]) -> WhatIf:
    arms = [
        [outcome("failed")] * failed + [outcome("passed")] * (trials - failed)
        for failed, trials in (before, after)
    ]
    return judged("it", list(zip(*arms, strict=True)))


def test_what_it_shows_is_said() -> None:
    found = result((12, 40), (0, 40))
    assert found.found and found.effect == -0.3
    low, high = found.interval
    assert low < -0.3 < high < 0
    assert found.conclusion.startswith(
        "with the change it fails less often: P(failure) changes by -0.30"
    )
    assert "it fails in 12/40 as it is, 0/40 with the change" in repr(found)
    assert "0/40" in found._repr_html_()
    assert result((0, 40), (12, 40)).conclusion.startswith("with the change it fails more often")
    assert result((12, 40), (11, 40)).conclusion == "the change makes no difference beyond chance"
    assert (
        result((2, 40), (1, 40)).conclusion
        == "too few failures to tell: about futures=160 would do"
    )
    assert "take a moment" in result((0, 40), (0, 40)).conclusion


def test_futures_that_ended_early_are_not_counted_and_said() -> None:
    pairs = [(outcome("failed"), outcome("passed"))] * 10 + [
        (outcome("censored"), outcome("passed"))
    ]
    found = judged("it", pairs)
    assert (found.before, found.after, found.censored) == (Rate(10, 10), Rate(11 * 0, 11), 1)
    assert "(1 more ended early)" in repr(found)


def test_how_many_would_do_counts_futures_that_ended_early() -> None:
    pairs = [(outcome("censored"), outcome("failed"))] + [
        (outcome("censored"), outcome("passed"))
    ] * 9
    words = judged("it", pairs).conclusion
    assert words == "too few failures to tell: about futures=120 would do"


def test_it_is_drawn_until_a_prevention_would_be_seen() -> None:
    assert 20 <= len(drawn(0.5, 0, 1)) <= 40
    assert len(drawn(0, 0, 1)) == len(drawn(1, 1, 1)) == MOST
    pairs = drawn(0.3, 0, 1)
    assert sum(one.draw.verdict == "failed" for one, _ in pairs) >= 12 or len(pairs) == MOST


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_where_the_change_does_nothing_it_is_hardly_ever_said_to_do_something(share: float) -> None:
    said = sum(judged("it", drawn(share, share, seed)).found for seed in range(400))
    assert said <= 31  # of 400 with 5 %: more in one of 200 runs


def test_a_complete_prevention_is_seen() -> None:
    seen = sum(judged("it", drawn(0.1, 0, seed)).found for seed in range(100))
    assert seen >= 90


def test_what_is_to_come_anyway_is_no_part_of_the_change(tmp_path: Path) -> None:
    """A recording without one of its faults has an input that comes later, and stays."""
    skip = Input(at=recordings.ORIGIN + 5 * SECOND, kind=FAULT, data=b"skip", note="without a kill")
    path = tmp_path / "x.branchpoint"
    RecordingFiles.create(path, recordings.head(inputs=[*recordings.head().inputs, skip])).close()
    with Recording(RecordingFiles.open(path), lambda: pytest.fail("not needed")) as run:
        sample = SimpleNamespace(moment=run.at(2))
        (given,) = _inputs(sample, lambda branch: branch.run_command("true", ""))  # type: ignore[arg-type]
        assert (given.at, given.kind) == (recordings.ORIGIN + 2 * SECOND, COMMAND)
        with pytest.raises(BranchpointError, match="the change does nothing"):
            _inputs(sample, lambda branch: None)  # type: ignore[arg-type]
