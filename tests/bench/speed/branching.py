"""Branching from a live moment: time until two branches are independent, both states kept."""

from __future__ import annotations

import time
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from figures import Figure, amount, at_most, median, quantile
from scale import Scale
from subjects import SUBJECTS, recorded

_BAR = 0.010  # seconds
_APART = (0.1, 1.0)  # virtual seconds between two forks


def branching(scale: Scale, work: Path) -> list[Figure]:
    """A fork keeps what has changed since the last fork, so time passes between forks."""
    figures = []
    for subject in SUBJECTS:
        path = recorded(subject, scale.recording, work)
        for apart in _APART:
            times = []
            title = f"branching {subject.name} every {apart:g} s"
            with bp.open(path) as run, progress.task(title, scale.branches, "branches") as task:
                replayer = run.replayer
                branch = run.at(scale.recording / 4).branch().wait(1)
                replayer.remember(replayer.bring(branch._history, branch._history.tip))
                for number in range(scale.branches):
                    branch.wait(apart)
                    started = time.monotonic()
                    sibling = branch.end.branch()
                    player = replayer.bring(sibling._history, sibling._history.tip)
                    replayer.remember(player)
                    times.append(time.monotonic() - started)
                    branch = sibling
                    task.update(number + 1)
            name = f"{subject.name}: branch from a live moment, {apart:g} virtual s after the last"
            note = f"median of {len(times)}; p95 {amount(quantile(times, 0.95) * 1e3, 'ms')}"
            figures.append(at_most(name, median(times) * 1e3, _BAR * 1e3, "ms", note))
    return figures
