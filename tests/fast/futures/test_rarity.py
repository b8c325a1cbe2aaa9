"""How rarely something fails: P without bias, correct intervals, and a readable text."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from pathlib import Path

import pytest
from likelihoods import ORIGIN, recording

from branchpoint.errors import BranchpointError
from branchpoint.futures import rarity
from branchpoint.futures.rarity import Rarity
from branchpoint.futures.recording import Recording

WANTED, MOST = 4, 60


def endings(p: float) -> Iterator[tuple[Rarity, float]]:
    """All possible results when at most MOST futures are drawn, with their probabilities."""
    for n in range(WANTED, MOST + 1):
        weight = comb(n - 1, WANTED - 1) * p**WANTED * (1 - p) ** (n - WANTED)
        yield Rarity("x", WANTED, n, 0, WANTED), weight
    for k in range(WANTED):
        yield Rarity("x", k, MOST, 0, WANTED), comb(MOST, k) * p**k * (1 - p) ** (MOST - k)


@pytest.mark.parametrize("p", [0.002, 0.02, 0.06, 0.15, 0.5, 0.9])
def test_the_interval_holds_however_it_ends(p: float) -> None:
    total = holds = mean = 0.0
    for found, weight in endings(p):
        low, high = found.interval
        assert low <= found.p <= high
        total += weight
        holds += weight * (low <= p <= high)
        mean += weight * found.p
    assert total == pytest.approx(1)
    assert holds >= 0.95
    assert mean == pytest.approx(p, abs=1e-9)


def test_it_reads_as_people_say_it() -> None:
    assert repr(Rarity("exit of db.1 from 3 s", 16, 2241, 0, 16)) == (
        "exit of db.1 from 3 s: about 1 in 149 (95 %: 1 in 245 to 1 in 91); "
        "16 of 2241 futures failed"
    )
    assert repr(Rarity("x", 0, 600, 0, 16)) == (
        "x: fewer than 1 in 201 (95 %); 0 of 600 futures failed"
    )
    assert repr(Rarity("x", 16, 40, 0, 16)).startswith("x: about 38% (95 %: 25% to ")
    assert repr(Rarity("x", 0, 0, 3, 16)).startswith("x: nothing is known yet; 3 more ended early")


def test_what_hardly_ever_passes_is_not_said_to_fail_always() -> None:
    assert [rarity._one_in(p) for p in (0.1, 0.994, 0.995, 0.9996, 1)] == [
        "10%", "99%", "99.5%", "99.96%", "100%"
    ]  # fmt: skip
    for p in (1 - 10.0**-n for n in range(2, 17)):
        assert float(rarity._one_in(p)[:-1]) < 100
    assert "about 99.6% (95 %: " in repr(Rarity("x", 250, 251, 0, 300))


def test_censored_futures_may_have_failed_or_not() -> None:
    found = Rarity("x", 2, 98, 20, 16)
    assert found.interval[0] < 2 / 118
    assert found.interval[1] > 22 / 118


@pytest.mark.parametrize("wrong", [{"precision": 0.01}, {"precision": 1.5}, {"futures": 0}])
def test_what_cannot_be_asked_is_said(tmp_path: Path, wrong: dict[str, float]) -> None:
    with recording(tmp_path / "run.branchpoint", []) as run:
        assert isinstance(run, Recording)
        with pytest.raises(BranchpointError):
            run.how_rare("exit:db.1", ORIGIN, **wrong)  # type: ignore[arg-type]


def test_drawing_ends_with_the_last_failure_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops there, not at the end of its batch, in which more futures failed by chance."""

    class Sampled:
        moment = "0.000 s"

        def __init__(self, *_: object, **__: object) -> None:
            self.asked = 0

        def run(self, numbers: range, note: str) -> list[Sampled]:
            assert numbers.start == self.asked
            self.asked = numbers.stop
            return [Ended(number % 5 == 4) for number in numbers]

        def __enter__(self) -> Sampled:
            return self

        def __exit__(self, *_: object) -> None: ...

    class Ended(Sampled):
        def __init__(self, failed: bool) -> None:
            self.draw = self
            self.verdict = "failed" if failed else "passed"

    monkeypatch.setattr(rarity, "Sample", Sampled)
    with recording(tmp_path / "run.branchpoint", []) as run:
        found = run.how_rare("exit:db.1", 0, precision=0.5)
        assert (found.failed, found.trials) == (16, 80)
        few = run.how_rare("exit:db.1", 0, precision=0.5, futures=50)
        assert (few.failed, few.trials) == (10, 50)
