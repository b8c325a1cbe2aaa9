"""Saving and restoring a machine's state, without anything else."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np

import branchpoint as bp
from branchpoint import progress
from figures import Figure, amount, median
from scale import Scale
from subjects import SUBJECTS, recorded

_APART = 1_000_000_000  # ns


def states(scale: Scale, work: Path) -> list[Figure]:
    """In the middle of the recording; restoring alternates between states a second apart."""
    figures = []
    for subject in SUBJECTS:
        path = recorded(subject, scale.recording, work)
        capture, pages, restore, load = [], [], [], []
        with bp.open(path) as run, progress.task(f"states of {subject.name}") as task:
            replayer, root = run.replayer, run.replayer.root
            chance = random.Random(2)
            stored = run.files.checkpoints
            for at in chance.sample(stored, min(scale.captures, len(stored))):
                root.states.clear()
                started = time.monotonic()
                replayer.bring(root, root.point(at))
                load.append(time.monotonic() - started)
                task.update(note="from disk")
            player = replayer.bring(root, root.point(run.at(run.duration / 3).at))
            player.computer.capture()
            kept = []
            for _ in range(min(scale.captures, int(run.duration / 2))):
                player.replay_to(root.point(player.place.at + _APART))
                before = player.computer.base
                started = time.monotonic()
                kept.append(player.computer.capture())
                capture.append(time.monotonic() - started)
                assert before is not None
                pages.append(np.count_nonzero(before.slots != kept[-1].slots))
                task.update(note="capture")
            for state in chance.choices(kept, k=scale.captures):
                started = time.monotonic()
                player.computer.restore(state)
                restore.append(time.monotonic() - started)
                task.update(note="restore")
        name, count = subject.name, f"median of {len(capture)}"
        figures += [
            Figure(
                f"{name}: take the state, 1 virtual s after the last",
                f"{amount(median(capture) * 1e3, 'ms')} ({count}; {median(pages):.0f} pages)",
            ),
            Figure(
                f"{name}: rewind in the same process to a state in memory",
                f"{amount(median(restore) * 1e3, 'ms')} (median of {len(restore)})",
            ),
            Figure(
                f"{name}: go to a checkpoint on disk and check it",
                f"{amount(median(load) * 1e3, 'ms')} (median of {len(load)})",
            ),
        ]
    return figures
