"""What a branch's seed and scheduling noise may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from likelihoods import recording
from recordings import event

import branchpoint as bp
from branchpoint.errors import BranchpointError
from branchpoint.timeline.seeds import NOISE, noise_of


@pytest.fixture
def run(tmp_path: Path) -> Iterator[bp.Recording]:
    with recording(tmp_path / "run.branchpoint", [event(1, "ready")]) as made:
        yield made


@pytest.mark.parametrize(
    ("given", "ns"),
    [
        (True, NOISE),
        (None, None),
        (False, None),
        (("5ms", "1ms"), (5_000_000, 1_000_000)),
        ((0.5, bp.Time.milliseconds(2)), (500_000_000, 2_000_000)),
    ],
)
def test_noise_as_users_give_it(given: Any, ns: tuple[int, int] | None) -> None:
    assert noise_of(given) == ns


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("much", "is not scheduling noise"),
        ("22", "is not scheduling noise"),
        (5, "is not scheduling noise"),
        (("5ms",), "is not scheduling noise"),
        ((0, 1), "both durations must be positive"),
        (("5ms", -1), "both durations must be positive"),
    ],
)
@pytest.mark.parametrize("seed", [None, 1])
def test_wrong_noise_is_refused_with_and_without_a_seed(
    run: bp.Recording, seed: int | None, given: Any, said: str
) -> None:
    with pytest.raises(BranchpointError, match=said):
        run.at(10).branch(seed, noise=given)


@pytest.mark.parametrize("seed", [b"", b"x" * 513, 1.5, "one"])
def test_a_wrong_seed_is_refused(run: bp.Recording, seed: Any) -> None:
    with pytest.raises(BranchpointError, match="seed"):
        run.at(10).branch(seed)
