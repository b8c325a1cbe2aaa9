"""From an instant that was never visited to the output of a shell there."""

from __future__ import annotations

import random
import time
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from figures import Figure, amount, at_most, median, quantile
from scale import Scale
from subjects import SUBJECTS, Subject, recorded

_MEDIAN_BAR, _P95_BAR = 0.5, 1.0  # seconds


def rewinding(scale: Scale, work: Path) -> list[Figure]:
    """Several sessions, so that states kept in memory from earlier rewinds help little.

    Like a user, each session first looks at the recording's end; this is not counted.
    """
    figures = []
    for subject in SUBJECTS:
        path = recorded(subject, scale.recording, work)
        chance = random.Random(1)
        times: list[float] = []
        total = scale.sessions * scale.rewinds
        with progress.task(f"rewinding {subject.name}", total, "rewinds") as task:
            for _ in range(scale.sessions):
                with bp.open(path) as run:
                    _look(run, run.duration, subject)
                    for _ in range(scale.rewinds):
                        vtime = chance.randrange(round(run.duration * 1e9)) / 1e9
                        started = time.monotonic()
                        _look(run, vtime, subject)
                        times.append(time.monotonic() - started)
                        task.update(len(times))
        name = (
            f"{subject.name}: rewind to a random, never visited instant of {scale.recording:g} "
            "virtual s, to first shell output"
        )
        note = f"n = {total}"
        figures.append(at_most(f"{name}: p50", median(times), _MEDIAN_BAR, "s", note))
        note = f"n = {total}; worst {amount(max(times), 's')}"
        figures.append(at_most(f"{name}: p95", quantile(times, 0.95), _P95_BAR, "s", note))
    return figures


def _look(run: bp.Recording, vtime: float, subject: Subject) -> None:
    output = bp.bash("echo here").run(run.at(vtime).branch(), subject.container).output
    assert output == "here\n", output
