"""Scheduling noise matters: a lost update between two threads that happens in no other way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint.futures.draws import Draw
from branchpoint.futures.running.workers import Pool
from branchpoint.timeline.seeds import NOISE

pytestmark = pytest.mark.long

LOST_UPDATE = Path(__file__).parents[1] / "systems" / "lost-update" / "compose.yaml"
FUTURES = int(os.environ.get("BRANCHPOINT_TEST_FUTURES", "40"))
LENGTH = 20  # virtual seconds of each future
LOST = "exit:bank.1"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = tmp_path_factory.mktemp("recordings") / "lost-update.branchpoint"
    with bp.record(LOST_UPDATE, path, seed=1, duration=1 + LENGTH) as run:
        yield run


def futures(run: bp.Recording, seeds: range, noise: tuple[int, int] | None) -> list[Draw]:
    """They leave the recording at 0.8 s, between two deposits."""
    length = LENGTH * 1_000_000_000
    with Pool(run, bp.failure(LOST), length, relative=True, noise=noise, workers=2) as pool:
        draws = list(pool.run((run.at(0.8).at, seed) for seed in seeds))
    return sorted(draws, key=lambda draw: draw.seed)


def test_unperturbed_nothing_is_lost(bank: bp.Recording) -> None:
    assert bank.manifest.failure is None
    assert (
        "400 deposits, all there" in bank.events.where(container="bank.1", type="log").map(str)[0]
    )
    assert {draw.verdict for draw in futures(bank, range(8), noise=None)} == {"passed"}


@pytest.mark.slow
def test_noise_loses_updates_in_some_futures(bank: bp.Recording) -> None:
    draws = futures(bank, range(FUTURES), noise=NOISE)
    failed = [draw for draw in draws if draw.verdict == "failed"]
    assert {draw.verdict for draw in draws} == {"passed", "failed"}
    assert 0.01 <= len(failed) / FUTURES <= 0.6
    # ... and exactly the same ones again: at the same instant, for the same reason
    branch = bank.at(0.8).branch(failed[0].seed)
    exit_ = branch.wait_until(LOST, cap=LENGTH)
    assert exit_ is not None and exit_.at == failed[0].failed_at
    said = branch.events.where(container="bank.1", type="log").map(lambda event: event.text)
    deposits, balance = (int(word) for word in said[-1].split() if word.isdecimal())
    assert balance < deposits
