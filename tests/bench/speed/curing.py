"""What the cure for flags costs: the same states taken and entered with it and without."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from branchpoint.machine.computer import Computer, Cures
from branchpoint.timeline.replaying.player import Player
from figures import Figure, at_most, median
from scale import Scale
from subjects import SUBJECTS, recorded

_APART = 100_000_000  # ns
_BAR = 0.03


def curing(scale: Scale, work: Path) -> list[Figure]:
    """Two machines go through the same stretch in turns; each takes a state and enters it again."""
    figures = []
    for subject in SUBJECTS:
        path = recorded(subject, scale.recording, work)
        with (
            bp.open(path) as run,
            progress.task(f"cost of the cure for flags, {subject.name}") as task,
        ):
            root, booted = run.replayer.root, run.replayer.snapshot
            begin = root.point(run.at(run.duration / 3).at)
            state = run.replayer.bring(root, begin).computer.capture()
            start = functools.partial(
                Computer, booted.spec, template=booted.template, pool=run.replayer.pool
            )
            took: dict[bool, list[float]] = {True: [], False: []}
            with start() as cured, start(cures=Cures(flags=False)) as plain:
                players = {True: Player(cured), False: Player(plain)}
                for player in players.values():
                    player.restore(root, begin, state)
                for number in range(scale.cured):
                    order = (True, False) if number % 2 else (False, True)
                    for which in order:
                        player = players[which]
                        player.replay_to(root.point(player.place.at + _APART))
                        started = time.monotonic()
                        player.computer.restore(player.computer.capture())
                        took[which].append(time.monotonic() - started)
                    task.update(number + 1)
        ratio = median(took[True]) / median(took[False]) - 1
        note = f"{median(took[True]) * 1e3:.3g} ms, medians of {scale.cured}, in turns"
        name = f"{subject.name}: take and enter a state: cost of the cure for flags"
        figures.append(at_most(name, ratio, _BAR, "%", note))
    return figures
