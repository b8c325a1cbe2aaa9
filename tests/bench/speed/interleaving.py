"""How often scheduling noise causes what never happens without it."""

from __future__ import annotations

from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from branchpoint.futures.running.workers import Pool
from branchpoint.futures.statistics.proportion import wilson
from branchpoint.timeline.seeds import NOISE
from figures import Figure, amount
from scale import Scale
from subjects import LOST_UPDATE, recorded

_START = 0.8  # vtime, between two deposits
_LENGTH = 20  # virtual seconds of each future
_BAR = 0.01, 0.6


def interleaving(scale: Scale, work: Path) -> list[Figure]:
    """Futures of two threads that share a balance without a lock, with noise and without it."""
    path = recorded(LOST_UPDATE, _START + _LENGTH, work)
    seeds = range(scale.futures)
    with bp.open(path) as run:
        lost = {noise: _lost(run, seeds, noise) for noise in (None, NOISE)}
    low, high = wilson(lost[NOISE], len(seeds))
    share = lost[NOISE] / len(seeds)
    every, longest = (amount(ns / 1e6, "ms") for ns in NOISE)
    return [
        Figure(
            f"lost updates in {_LENGTH} virtual s of two threads, without scheduling noise",
            f"in {lost[None]} of {len(seeds)} seeded futures",
            "in none",
            lost[None] == 0,
        ),
        Figure(
            f"the same with noise (at most {longest}, every {every} on average)",
            f"in {lost[NOISE]} of {len(seeds)}: {amount(share, '%')} "
            f"(95 %: {amount(low, '%')} to {amount(high, '%')})",
            f"{amount(_BAR[0], '%')} to {amount(_BAR[1], '%')}",
            _BAR[0] <= share <= _BAR[1],
        ),
    ]


def _lost(run: bp.Recording, seeds: range, noise: tuple[int, int] | None) -> int:
    """In how many futures an update was lost."""
    failure, length = bp.failure("exit:bank.1"), _LENGTH * 1_000_000_000
    at = run.at(_START).at
    with (
        Pool(run, failure, length, relative=True, noise=noise) as pool,
        progress.task("futures of lost-update", len(seeds), "futures") as task,
    ):
        verdicts = []
        for draw in pool.run((at, seed) for seed in seeds):
            verdicts.append(draw.verdict)
            task.update(len(verdicts))
    assert "censored" not in verdicts
    return verdicts.count("failed")
